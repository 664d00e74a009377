"""What a preparation imports: packages of training and tracking take longer than the rest of a small one's driver."""

import os
import subprocess
import sys

import pytest

from millstream.pipelines import prepare
from millstream.tracking.recipe.loader import load
from tests.tracking.recipes import WHOLE, write

PREPARE_AND_LIST = """
import sys
from millstream.__main__ import cli
from millstream.tracking.recipe import plugins

for package in ("millstream.pipelines.sources", "millstream.pipelines.steps"):
    for name in plugins.names(package):
        plugins.find(package, name)
try:
    cli(["prepare", sys.argv[1]])
except SystemExit as ended:
    assert ended.code == 0
print(*(name for name in ("torch", "pytorch_lightning", "torchmetrics", "mlflow") if name in sys.modules))
"""


@pytest.mark.spark
def test_a_preparation_imports_neither_torch_nor_lightning_nor_mlflow(spark, settings, tmp_path):
    recipe = str(write(tmp_path, WHOLE, ("{name: digits}", "{name: digits, limit: 100}")))
    prepare.prepare(load(recipe), settings, say=lambda line: None)  # the command then needs no Java of its own
    command = [sys.executable, "-c", PREPARE_AND_LIST, recipe]
    environment = {**os.environ, "MILLSTREAM_HOME": str(settings.home)}
    found = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "is there already" in found.stderr
    assert found.stdout.splitlines()[-1] == ""
