# Requires python3 (3.11 or newer) with venv and pip. Everything else is installed into .venv.
PYTHON ?= python3
FUZZ_SECONDS ?= 600
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --disable-pip-version-check --constraint constraints.txt
SETUP := pyproject.toml constraints.txt

.DEFAULT_GOAL := help

help: ## list these targets
	@grep -hE '^[a-z-]+:.*## ' Makefile | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

install: $(VENV)/.installed ## install the `reconcile` command into .venv
dev: $(VENV)/.dev ## install everything for tests, training, serving and Ray into .venv

demo: install ## count 200 bins and write a report; uses drawings if Amazon's bucket does not answer
	@echo '==> Count 200 bins'
	@$(BIN)/reconcile demo

test: dev ## run all tests
	$(BIN)/python -m pytest

fuzz: dev ## try new damaged inputs for FUZZ_SECONDS (600), or until one fails
	FUZZ_SECONDS=$(FUZZ_SECONDS) $(BIN)/python -m tests.fuzz

lint: dev ## check style, types, the direction of imports and the README
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python tools/check_readme.py

docs: $(VENV)/.docs ## build the documentation site into site/
	$(BIN)/mkdocs build --strict

bench: dev ## run the benchmarks and write benchmarks/RESULTS.md
	$(BIN)/python -m benchmarks

lock: ## renew constraints.txt from the version ranges in pyproject.toml
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet --editable '.[train,serve,ray,docs,dev]'
	printf '%s\n' '# The versions that make installs; `make lock` renews them from the ranges in pyproject.toml.' > constraints.txt
	.venv-lock/bin/pip freeze --exclude-editable >> constraints.txt
	rm -rf .venv-lock

clean: ## delete .venv, site/ and caches; results of runs stay
	rm -rf $(VENV) .venv-lock dist site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache

$(BIN)/pip:
	@echo '==> Create a virtual environment in $(VENV)'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(SETUP) | $(BIN)/pip
	@echo '==> Install reconcile and the packages it needs'
	@$(PIP) --editable .
	@touch $@

$(VENV)/.dev: $(SETUP) | $(BIN)/pip
	@echo '==> Install reconcile and the packages for tests, training, serving and Ray'
	@$(PIP) --editable '.[train,serve,ray,dev]'
	@touch $@ $(VENV)/.installed

$(VENV)/.docs: $(SETUP) | $(BIN)/pip
	@echo '==> Install the packages that build the documentation'
	@$(PIP) --editable '.[docs]'
	@touch $@ $(VENV)/.installed

# Targets install into one .venv, so `make -j` must not run them at once.
.NOTPARALLEL:
.PHONY: help install dev demo test fuzz lint docs bench lock clean
