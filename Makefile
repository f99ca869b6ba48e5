# Hermes: `make help` lists what there is. Everything runs from .venv, made from the hashes in requirements.lock.

VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= python3
UV := $(shell command -v uv 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help install demo test quick bench torture docs lint format lock clean

help: ## list these commands
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-9s %s\n", $$1, $$2}'

install: $(VENV)/.installed ## make .venv with everything to run, test and measure

$(VENV)/.installed: requirements.lock pyproject.toml
ifdef UV
	$(UV) venv --quiet --allow-existing --python $(PYTHON) $(VENV)
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes --compile-bytecode requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
else
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
endif
	@touch $@

demo: install ## simulate a market and run the whole road over it
	$(BIN)/hermes demo

test: install ## run the tests
	$(BIN)/python -m pytest

quick: install ## run the tests that need no server, browser, cluster, notebook or torture (2 minutes)
	HYPOTHESIS_PROFILE=quick $(BIN)/python -m pytest -m "not (s3 or browser or cluster or notebook or torture or oracle or pages)"

bench: install ## measure against the peers, in one run on this machine
	$(BIN)/python -m bench

torture: install ## torture the lake: kills, faults, races, hostile bytes (about 45 minutes)
	$(BIN)/python -m torture

docs: install ## build the documentation in build/site, every warning an error
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going --conf-dir docs . build/site
	@echo "open build/site/index.html"

lint: install ## formatter, linter, strict type checker, import contracts, known vulnerabilities of the lock
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m tools.advisories

format: install ## format the code and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: ## resolve pyproject.toml again into requirements.lock (needs uv)
	uv pip compile pyproject.toml --group dev --all-extras --universal --python-version 3.11 \
		--generate-hashes --no-header --no-emit-index-url --quiet --upgrade --output-file requirements.lock

clean: ## remove the environment and what tools left behind
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
