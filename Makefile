# Hermes: `make help` lists what there is. Everything runs from .venv, made from the hashes in the lock files.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null)

# What tests import is compiled once, not by every process of every run, whatever the shell says.
export PYTHONDONTWRITEBYTECODE :=

QUICK := not (s3 or server or browser or cluster or notebook or torture or oracle or pages)

.DEFAULT_GOAL := help
.PHONY: help install install-dev demo test quick coverage bench notebooks torture docs lint format lock clean

help: ## list these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-11s %s\n", $$1, $$2}'

install: ## make .venv with what running needs
	@test -e $(VENV)/.installed || $(MAKE) --no-print-directory $(VENV)/.lean

install-dev: $(VENV)/.installed ## make .venv with everything to run, test and measure

$(VENV)/.lean: requirements-run.lock pyproject.toml
	$(call install_from,requirements-run.lock)

$(VENV)/.installed: requirements.lock pyproject.toml
	$(call install_from,requirements.lock)

ifdef UV
define install_from
	$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode $(1)
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -q src/hermes
	@touch $@
endef
else
define install_from
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement $(1)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	$(BIN)/python -m compileall -q src/hermes
	@touch $@
endef
endif

demo: install ## simulate a market and run the full pipeline over it
	$(BIN)/hermes demo

test: install-dev ## run the tests
	$(BIN)/python -m pytest

quick: install-dev ## run the tests that need no server, browser, cluster, notebook, pages or torture (2 minutes)
	HYPOTHESIS_PROFILE=quick $(BIN)/python -m pytest -m "$(QUICK)"

# Of the quick tests, and apart from them: before Python 3.12 measuring slows every line down, and CI is to be soon done.
coverage: install-dev ## run the quick tests and print how much of the code they reach; fail below the floor
	HYPOTHESIS_PROFILE=quick $(BIN)/python -m pytest -m "$(QUICK)" --cov --cov-report=term:skip-covered

bench: install-dev ## measure against the peers, in one run on this machine
	$(BIN)/python -m bench

notebooks: install-dev ## run the notebooks and store their outputs; `--check` (see tools/notebooks.py) only compares
	$(BIN)/python -m tools.notebooks

torture: install-dev ## torture the lake: kills, faults, races, hostile bytes (about 45 minutes)
	$(BIN)/python -m torture

docs: install-dev ## build the documentation in build/site, every warning an error
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --conf-dir docs . build/site
	@echo "open build/site/index.html"

lint: install-dev ## formatter, linter, strict type checker, import contracts, known vulnerabilities of the lock
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tools.vulnerabilities

format: install-dev ## format the code and fix what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: ## resolve pyproject.toml again into requirements.lock and its part that running needs (needs uv)
	uv pip compile pyproject.toml --group dev --all-extras --universal --python-version 3.11 \
		--generate-hashes --no-header --no-emit-index-url --quiet --upgrade --output-file requirements.lock
	uv pip compile pyproject.toml --group build --universal --python-version 3.11 --constraint requirements.lock \
		--generate-hashes --no-header --no-emit-index-url --quiet --upgrade --output-file requirements-run.lock

clean: ## remove the environment and what tools left behind
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
