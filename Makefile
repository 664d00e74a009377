# make demo        the main job on embedded data: from nothing to a registered model
# make test        the tests that take minutes; make test-all: all; make soak: faults in full
# make smoke       one recipe of each kind the whole way, with little data; make test-all: every recipe
# make check       format, lint, types, import rules, words; known vulnerabilities, where they can be looked up
# STACK=modern     the same on Spark 4, numpy 2 and Arrow 25
STACK ?= default
PYTHON ?= python3.11

ifeq ($(STACK),modern)
VENV := .venv-modern
EXTRAS := export,s3,test
else
VENV := .venv
EXTRAS := export,petastorm,s3,test,check
endif
BIN := $(VENV)/bin
# compiled once, however many processes import it
unexport PYTHONDONTWRITEBYTECODE
# a file of tests to a process, since what its tests share is made once; the journeys, which take longest, come first
SPREAD := --numprocesses 2 --dist loadfile --no-loadscope-reorder
READY := $(VENV)/.ready
PYTEST := $(BIN)/python tests/cpu_seconds.py -m pytest

.DEFAULT_GOAL := help
.PHONY: help install demo test test-all smoke soak check format clean

help:
	@sed -n '1,5s/^# //p' Makefile

$(READY): pyproject.toml constraints/$(STACK).txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints/$(STACK).txt --editable '.[$(EXTRAS)]'
	@touch $(READY)

install: $(READY)

demo: $(READY)
	$(BIN)/python -m millstream run cnn/lenet-digits

test: $(READY)
	$(PYTEST) --durations 40 -m 'not slow and not smoke and not gpu'

test-all: $(READY)
	MILLSTREAM_TEST_ALL=1 $(PYTEST) $(SPREAD) -m 'not gpu'

smoke: $(READY)
	$(PYTEST) --numprocesses 2 --dist loadgroup -m 'smoke and not slow'

soak: $(READY)
	MILLSTREAM_SOAK=1 $(PYTEST) --timeout 10800 -m 'fault or slow or soak'

check: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python .ci/words.py
	$(BIN)/python .ci/vulnerabilities.py

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf .venv .venv-modern .millstream build *.egg-info
