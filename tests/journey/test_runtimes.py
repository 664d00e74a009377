"""One model of each family, four runtimes, one set of numbers; and an image of it, as far as it needs no Docker.

The family of trees without a download is in `test_bad_scoring`.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress

import numpy as np
import pytest

from millstream.tracking.runs import model_logging
from millstream.tracking.settings import Settings
from millstream.training.assembly import model_folder
from millstream.training.export import container
from tests.docker.test_images import instructions, named
from tests.journey.command import completed
from tests.journey.test_bare_venvs import raw_rows
from tests.runtimes import check_runtimes, numbers, plain, same

pytestmark = [pytest.mark.slow, pytest.mark.mirror, pytest.mark.spark, pytest.mark.timeout(3600)]
FAMILIES = {
    "classical/xgboost-adult": ["probabilities"],
    "mlp/adult": ["probabilities"],
    "cnn/lenet-digits": ["probabilities"],
    "rnn/gru-names": ["probabilities"],
    "generative/vae-mnist": ["latent", "reconstruction_error"],
    "rl/dqn-cartpole": ["value"],
}
"""Recipes, and the columns that the graph has of the model's."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runtimes")


def trained(folder, recipe):
    home = folder / "home"
    run = completed(home, "run", recipe, "--budget", "smoke")
    settings = Settings.read({"MILLSTREAM_HOME": str(home)})
    model = model_folder.load(model_logging.model_folder(run["model_uri"], settings))
    raw = raw_rows(model, settings).head(100)
    columns = model.manifest.source.config.get("columns") if model.manifest is not None else None
    declared = columns if isinstance(columns, dict) else {}
    for column in model.raw_columns:
        if declared.get(column.name, {}).get("type") == "long":  # restored from scaled numbers: nearly whole
            raw[column.name] = raw[column.name].astype("float64").round().astype(column.dtype)
        if column.layout == "tensor":
            values = [one if isinstance(one, bytes) else np.asarray(one, column.dtype) for one in raw[column.name]]
            raw[column.name] = [one if isinstance(one, bytes) else one.tobytes() for one in values]
    return run["model_uri"], settings, raw, model


@pytest.mark.parametrize("recipe", FAMILIES)
def test_four_runtimes_have_one_set_of_numbers(spark, folder, tmp_path, recipe):
    uri, settings, raw, _ = trained(folder, recipe)
    assert check_runtimes(uri, settings, raw, tmp_path) == FAMILIES[recipe]


def test_the_commands_of_a_dockerfile_serve_the_model(folder, tmp_path):
    uri, settings, raw, model = trained(folder, "classical/xgboost-adult")
    image = container.write(model_logging.describe(uri, settings).folder, tmp_path / "image")
    commands = instructions(image / "Dockerfile")
    assert {path.name for path in image.iterdir()} == {"Dockerfile", "requirements.txt", "code", "model"}
    assert all((image / copy.split()[0]).exists() for copy in named(commands, "COPY"))
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", venv], check=True)
    install = re.match(r"python -m pip install .*?(?= &&)", named(commands, "RUN")[0])
    subprocess.run([venv / "bin" / "python", *shlex.split(install[0])[1:]], cwd=image, check=True)
    words = json.loads(named(commands, "CMD")[0])
    words = [str(venv / "bin" / "python"), *words[1:]]
    port = str(20_000 + os.getpid() % 20_000)
    words[words.index("8080")] = port
    variables = dict(one.split("=", 1) for one in shlex.split(named(commands, "ENV")[0]))
    variables["PYTHONPATH"] = str(image / "code")
    environment = {"PATH": os.environ["PATH"], **variables, "MILLSTREAM_SERVE_TOKEN": "secret"}
    refused = subprocess.run(
        words, cwd=image, env={**environment, "MILLSTREAM_SERVE_TOKEN": ""}, capture_output=True, check=False
    )
    assert refused.returncode == 1
    server = subprocess.Popen(words, cwd=image, env=environment)
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(300):
            with suppress(OSError):
                urllib.request.urlopen(f"{url}/health").close()
                break
            assert server.poll() is None
            time.sleep(0.2)
        rows = [{name: plain(value) for name, value in row.items()} for row in raw.to_dict("records")]
        headers = {"Content-Type": "application/json", "Authorization": "Bearer secret"}
        request = urllib.request.Request(f"{url}/predict", json.dumps({"rows": rows}).encode(), headers)
        with urllib.request.urlopen(request) as answer:
            found = json.load(answer)["predictions"]
        expected = model.predict(raw)
        assert [one["prediction"] for one in found] == expected["prediction"].tolist()
        same({"p": np.array([one["probability"] for one in found])}, {"p": numbers(expected)["probability"]})
    finally:
        server.terminate()
        server.wait(30)
