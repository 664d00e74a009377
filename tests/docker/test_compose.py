"""The compose file against a schema of what we use of it, and against the house's rules."""

import re
from pathlib import Path

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docker" / "compose.yaml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
STRINGS = {"type": "array", "items": {"type": "string"}}
SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["name", "services", "volumes"],
    "properties": {
        "name": {"type": "string", "pattern": "^[a-z0-9][a-z0-9_-]*$"},
        "volumes": {"type": "object", "additionalProperties": {"type": ["null", "object"]}},
        "services": {
            "type": "object",
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "oneOf": [{"required": ["image"]}, {"required": ["build"]}],
                "properties": {
                    "image": {"type": "string"},
                    "build": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["context", "dockerfile"],
                        "properties": {"context": {"type": "string"}, "dockerfile": {"type": "string"}},
                    },
                    "command": STRINGS,
                    "entrypoint": STRINGS,
                    "environment": {"type": "object", "additionalProperties": {"type": "string"}},
                    "ports": STRINGS,
                    "volumes": STRINGS,
                    "profiles": STRINGS,
                    "restart": {"enum": ["no", "always", "on-failure", "unless-stopped"]},
                    "deploy": {"type": "object"},
                    "depends_on": {
                        "type": "object",
                        "additionalProperties": {
                            "type": "object",
                            "required": ["condition"],
                            "properties": {
                                "condition": {
                                    "enum": ["service_started", "service_healthy", "service_completed_successfully"]
                                }
                            },
                        },
                    },
                    "healthcheck": {
                        "type": "object",
                        "additionalProperties": False,
                        "properties": {
                            "test": STRINGS,
                            "interval": {"type": "string", "pattern": r"^\d+s$"},
                            "timeout": {"type": "string", "pattern": r"^\d+s$"},
                            "retries": {"type": "integer"},
                            "disable": {"type": "boolean"},
                        },
                    },
                },
            },
        },
    },
}


def test_the_file_has_the_form_of_a_compose_file():
    jsonschema.validate(COMPOSE, SCHEMA)


def test_all_services_of_the_house_are_there():
    assert {"postgres", "s3", "mlflow", "spark-master", "spark-worker", "job"} <= set(SERVICES)
    assert SERVICES["spark-worker"]["deploy"]["replicas"] == 2


@pytest.mark.security
def test_every_port_is_bound_to_loopback():
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in ports)


@pytest.mark.security
def test_every_secret_is_required_from_the_environment_and_has_no_default():
    for name, service in SERVICES.items():
        for variable, value in service.get("environment", {}).items():
            if re.search("PASSWORD|SECRET|KEY", variable) or ("://" in value and "@" in value):
                assert re.search(r"\$\{\w+:\?", value), f"{name}.{variable}"
    required = set(re.findall(r"\$\{(\w+):\?", TEXT))
    assert set(re.findall(r"\$\{(\w+)", TEXT)) == required
    example = dict(line.split("=") for line in (ROOT / "docker/.env.example").read_text().splitlines() if "=" in line)
    assert set(example) == required
    assert not any(example.values())


def test_images_are_pinned_and_dockerfiles_exist():
    for service in SERVICES.values():
        if "image" in service:
            assert re.fullmatch(r"\S+:\d+\.\d+\S*", service["image"])
        else:
            assert (ROOT / "docker" / service["build"]["context"] / service["build"]["dockerfile"]).is_file()


def test_every_service_reports_its_health_and_waits_for_what_it_needs():
    for name, service in SERVICES.items():
        built = "build" in service
        assert "healthcheck" in service or built, name  # a built image brings its own
        for needed, rule in service.get("depends_on", {}).items():
            assert needed in SERVICES
            if rule["condition"] == "service_healthy":
                check = SERVICES[needed].get("healthcheck", {})
                assert not check.get("disable"), needed


def test_every_named_volume_is_declared():
    used = {volume.partition(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])}
    assert used == set(COMPOSE["volumes"])
