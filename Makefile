# Everything runs in a virtual environment of its own, so that any Python 3.11+ will do.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# what a package must do that has just been installed
TRIED := import numpy, dask_distill as d; print(len(d.distill(numpy.eye(30), size=3)), 'rows by', d.__file__)

.PHONY: demo test soak lint format docs dist benchmarks clean

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

# a wheel and a source distribution, each installed by itself in an environment of its own and tried
dist: $(VENV)/.installed-dist
	rm -rf dist
	$(BIN)/python -m build --outdir dist .
	for file in dist/*.whl dist/*.tar.gz; do \
	  rm -rf $(VENV)-dist && $(PYTHON) -m venv $(VENV)-dist && \
	  $(VENV)-dist/bin/python -m pip install --quiet $$file && \
	  $(VENV)-dist/bin/dask-distill strategies auto > /dev/null && \
	  $(VENV)-dist/bin/python -I -c "$(TRIED)" || exit 1; \
	done
	rm -rf $(VENV)-dist

benchmarks: $(VENV)/.installed-benchmark
	$(BIN)/python benchmarks/scoring.py
	$(BIN)/python benchmarks/whole_job.py
	$(BIN)/python benchmarks/farthest_first.py
	$(BIN)/python benchmarks/kcenter.py

clean:
	rm -rf $(VENV) $(VENV)-dist dist distill-demo docs/_build docs/reference/generated

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip

$(VENV)/.installed: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable ".[fast,demo]"
	touch $@

$(VENV)/.installed-%: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable ".[$*]"
	touch $@
