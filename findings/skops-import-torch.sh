#!/usr/bin/env bash
# skops 0.16.0: importing skops.io imports torch, wherever torch is installed.
#
# Expected: a library that reads and writes scikit-learn models imports
# scikit-learn and what that needs.
# What happens: on import it calls scikit-learn's all_estimators(), which imports
# each of its packages. One of them, externals.array_api_compat.torch, imports
# torch.
# Why it matters: a service that loads a tree in an image that also has torch
# pays for torch at each start: seconds, and hundreds of MiB of memory.
# mlflow requires skops, so it is there in most environments that track models.
# What to do: import skops.io where a model is read or written, not at the top
# of a module; leave torch out of the image of a scikit-learn model.
# Seen with: skops 0.16.0, scikit-learn 1.9.1, torch 2.13.0, Python 3.11.
set -euo pipefail
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
cd "$dir"
python3 -m venv env
env/bin/pip install -qq --disable-pip-version-check skops==0.16.0 scikit-learn==1.9.1 torch==2.13.0
env/bin/python -W ignore - 2> log <<'CODE' || { cat log >&2; exit 1; }
import sys
import time

import sklearn.ensemble

before = "torch" in sys.modules
compatible = "sklearn.externals.array_api_compat.torch" in sys.modules
started = time.process_time()
import skops.io  # noqa: E402

after = "torch" in sys.modules
print(f"torch loaded: with scikit-learn {before}, with skops.io {after}; {time.process_time() - started:.1f} CPU seconds")
by_walk = not compatible and "sklearn.externals.array_api_compat.torch" in sys.modules
if (before, after, by_walk) != (False, True, True):
    raise SystemExit(f"CHANGED: {before}, {after}, {by_walk}")
print("AS STATED: skops.io loads torch, scikit-learn does not")
CODE
