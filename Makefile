# Every target does its own set-up: `make test` on a fresh clone is enough.
# It needs Python 3.11 or later with venv, make and git; nothing is installed outside .venv.

PYTHON ?= python3
WORKERS ?= auto
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed
PYTEST := $(BIN)/pytest --numprocesses $(WORKERS) --maxprocesses 4

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:
.PHONY: help setup demo lab test test-real check format notebooks bench constraints clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(READY) ## make .venv (the other targets do this by themselves)

demo: $(READY) ## load the sample logs, show what is wrong with them and one aggregate through time
	$(BIN)/esbench demo

lab: $(READY) ## open JupyterLab on notebooks/
	$(BIN)/jupyter-lab $(if $(filter 0,$(shell id -u)),--allow-root) $(ARGS) notebooks

test: $(READY) ## run the tests that need nothing but pip
	$(PYTEST) -m "not real" $(ARGS)

test-real: $(READY) ## run the tests that need Debian's PostgreSQL or Chromium
	$(PYTEST) -m real $(ARGS)

check: $(READY) ## lint, format check and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(READY) ## put the code into shape
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

notebooks: $(READY) ## run the notebooks again, each .ipynb from the .py beside it
	$(BIN)/jupytext --quiet --update --to ipynb notebooks/*.py
	$(BIN)/python -m tests.notebooks notebooks/*.ipynb

bench: $(READY) ## run the benchmarks (ARGS="--events 500000" for a shorter run)
	$(BIN)/python -m benchmarks $(ARGS)

constraints: ## resolve the dependencies anew into constraints.txt
	rm -rf $(VENV)-resolve
	$(PYTHON) -m venv $(VENV)-resolve
	$(VENV)-resolve/bin/pip install --quiet --upgrade '.[dev]' hatchling editables
	$(VENV)-resolve/bin/pip freeze | grep -E '^[A-Za-z0-9._-]+==[^ ]+$$' | LC_ALL=C sort -f > constraints.txt
	rm -rf $(VENV)-resolve

clean: ## remove .venv and caches
	rm -rf $(VENV) .hypothesis .mypy_cache .pytest_cache .ruff_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "esbench needs Python 3.11 or later: make PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

# --no-compile saves a third of the time: most modules are never imported.
# PIP_CONSTRAINT, unlike --constraint, also holds where pip builds esbench itself.
$(READY): $(BIN)/python pyproject.toml constraints.txt
	@echo "Setting up $(VENV) (about a minute the first time)"
	@PIP_CONSTRAINT=constraints.txt $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --editable '.[dev]'
	@touch $@
