"""A folder from which Docker builds an image that serves a model: its files, its code, and what they require."""

from __future__ import annotations

import shutil
from pathlib import Path

from millstream.tracking.errors import BadData
from millstream.tracking.runs import model_code
from millstream.training.serving import model_file, rest

DOCKERFILE = """\
# Serves a model on port 8080: docker build --tag model . && docker run --publish 127.0.0.1:8080:8080 \\
#     --env {token} model
FROM python:3.11.13-slim-bookworm

WORKDIR /srv
COPY requirements.txt requirements.txt
RUN python -m pip install --no-cache-dir --requirement requirements.txt \\
    && useradd --create-home --uid 10001 millstream
COPY code code
COPY model model

USER millstream
ENV OMP_NUM_THREADS=1 \\
    PYTHONPATH=/srv/code \\
    PYTHONUNBUFFERED=1
EXPOSE 8080
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 \\
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/health')"]
CMD ["python", "-m", "{module}", "model", "--host", "0.0.0.0", "--port", "8080"]
"""


def write(model: Path, target: Path) -> Path:
    """Write the folder `target`, from an MLflow model and its files in `data/model`; returns it.

    Raises BadData for a target that exists, and for a model that carries no code.
    """
    if target.exists():
        raise BadData.at(target, "is there already; give a path that is not, nothing is overwritten")
    files, code = model / "data" / "model", model / "code"
    if model_file.read(files).served is None or not code.is_dir():
        raise BadData.at(model, "was registered without its code; train it again with this version of Millstream")
    own = [".".join(file.relative_to(code).with_suffix("").parts) for file in code.rglob("*.py")]
    modules = model_code.needed([rest.__name__, *(name for name in own if not name.endswith("__init__"))])
    staged = target.with_name(f".{target.name}.part")
    shutil.rmtree(staged, ignore_errors=True)  # left by a process that was killed
    shutil.copytree(files, staged / "model")
    model_code.write(modules, staged / "code")
    (staged / "requirements.txt").write_text("\n".join(model_code.requirements(modules)) + "\n", encoding="utf-8")
    text = DOCKERFILE.format(token=rest.TOKEN, module=rest.__name__)
    (staged / "Dockerfile").write_text(text, encoding="utf-8")
    return staged.rename(target)
