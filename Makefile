# Everything runs in a virtual environment of its own, so that any Python 3.11+ will do.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: demo test soak lint format docs benchmarks clean

demo: $(VENV)/.installed
	$(BIN)/dask-distill demo

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest -n 2 --dist loadfile

soak: $(VENV)/.installed-test
	$(BIN)/python -m pytest -m soak --timeout 3600

lint: $(VENV)/.installed-lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache

format: $(VENV)/.installed-lint
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.installed-docs
	rm -rf docs/reference/generated  # pages of what no longer exists
	$(BIN)/python -m sphinx -b html -q -W --keep-going docs docs/_build/html

benchmarks: $(VENV)/.installed-benchmark
	$(BIN)/python benchmarks/scoring.py
	$(BIN)/python benchmarks/whole_job.py
	$(BIN)/python benchmarks/farthest_first.py
	$(BIN)/python benchmarks/kcenter.py

clean:
	rm -rf $(VENV) distill-demo docs/_build docs/reference/generated

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable ".[fast,demo]"
	touch $@

$(VENV)/.installed-%: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable ".[$*]"
	touch $@
