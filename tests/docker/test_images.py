"""What a linter of Dockerfiles would report, as far as it needs no daemon."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "docker").glob("*.Dockerfile"))


def instructions(file):
    """(name, rest) of each instruction, continued lines joined and comments left out."""
    lines = [line for line in file.read_text().splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [tuple(line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


@pytest.fixture(params=FILES, ids=lambda file: file.name)
def image(request):
    return instructions(request.param)


def named(image, name):
    return [rest for found, rest in image if found == name]


def test_there_is_an_image_for_each_side():
    assert [file.name for file in FILES] == ["prepare.Dockerfile", "tracking.Dockerfile", "train.Dockerfile"]


def test_the_base_is_pinned_to_a_patch_release(image):
    assert image[0][0] == "FROM"
    assert re.fullmatch(r"\S+:\d+\.\d+\.\d+\S*", image[0][1])


def test_nothing_runs_as_root(image):
    names = [name for name, _ in image]
    last_user = max(at for at, name in enumerate(names) if name == "USER")
    assert image[last_user][1] != "root"
    assert last_user < names.index("CMD")
    assert "RUN" not in names[last_user:]


def test_packages_are_installed_lean_and_pinned(image):
    for run in named(image, "RUN"):
        if "apt-get install" in run:
            assert "--no-install-recommends" in run
            assert "rm -rf /var/lib/apt/lists/*" in run
            assert "apt-get update" in run
        if "pip install" in run:
            assert "--no-cache-dir" in run
            assert "--constraint" in run or all(
                "==" in word for word in run.split("--no-cache-dir ")[1].split("&&")[0].split()
            )


def test_files_are_copied_from_the_repository_and_never_fetched(image):
    assert not named(image, "ADD")
    for copy in named(image, "COPY"):
        *sources, _ = copy.split()
        assert all((ROOT / source).exists() for source in sources)


def test_a_daemon_can_check_the_health(image):
    assert len(named(image, "HEALTHCHECK")) == 1
    assert "CMD [" in named(image, "HEALTHCHECK")[0]


def test_commands_are_given_as_lists_so_that_signals_arrive(image):
    assert all(rest.startswith("[") for name in ("CMD", "ENTRYPOINT") for rest in named(image, name))


def test_an_image_with_the_package_has_every_folder_of_it(image):
    sources = {source for copy in named(image, "COPY") for source in copy.split()[:-1]}
    linked = {link.resolve().name for link in (ROOT / "millstream").iterdir() if link.is_symlink()}
    assert "millstream" not in sources or sources >= linked


@pytest.mark.security
def test_no_secret_is_built_in(image):
    written = " ".join(rest for name, rest in image if name in ("ENV", "ARG", "RUN"))
    assert not re.search(r"(PASSWORD|SECRET|TOKEN|KEY)\w*=\S", written, re.IGNORECASE)


def test_the_folder_does_not_hide_the_library_docker():
    assert not (ROOT / "docker" / "__init__.py").exists()
