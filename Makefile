# Needs python3 (3.11 or newer) with venv and pip; everything else is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt
SETUP := pyproject.toml constraints.txt

.DEFAULT_GOAL := help

help: ## say what can be made
	@grep -hE '^[a-z-]+:.*## ' Makefile | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

install: $(VENV)/.installed ## what `reconcile run` needs, into .venv
dev: $(VENV)/.dev ## that, and what testing, training (torch), serving and Ray need

demo: install ## count 200 bins and write a report (drawn bins, where Amazon's bucket does not answer)
	$(BIN)/reconcile demo

test: dev ## run the tests
	$(BIN)/python -m pytest

lint: dev ## check style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: dev ## measure what the README quotes
	$(BIN)/python -m benchmarks

lock: ## renew constraints.txt from the ranges in pyproject.toml
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet --editable '.[train,serve,ray,dev]'
	printf '%s\n' '# The versions that make installs; `make lock` renews them from the ranges in pyproject.toml.' > constraints.txt
	.venv-lock/bin/pip freeze --exclude-editable >> constraints.txt
	rm -rf .venv-lock

clean: ## remove .venv and what tools left behind; results of runs stay
	rm -rf $(VENV) .venv-lock dist .pytest_cache .mypy_cache .ruff_cache

$(BIN)/pip:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(SETUP) | $(BIN)/pip
	$(PIP) --editable .
	touch $@

$(VENV)/.dev: $(SETUP) | $(BIN)/pip
	$(PIP) --editable '.[train,serve,ray,dev]'
	touch $@ $(VENV)/.installed

.PHONY: help install dev demo test lint bench lock clean
