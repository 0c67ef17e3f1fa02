# `make` lists the targets. VENV and PYTHON choose where and with what.
PYTHON ?= python3
VENV ?= .venv
VENV_PEERS ?= .venv-peers
SECONDS ?= 3600
SCALE ?= 1
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help run test coverage test-serializable check bench bench-quick torture migration clean
export VENV_PEERS

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' Makefile

run: $(VENV)/.run  ## install, migrate and serve on http://127.0.0.1:8000
	@exec $(BIN)/chatstore serve --migrate

test: $(VENV)/.dev  ## install what the tests need and run them all
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

# Takes half as long again as the tests alone.
coverage: $(VENV)/.dev  ## the tests, and which lines they do not reach: 95 % at least
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --cov --cov-report=term

test-serializable: $(VENV)/.dev  ## the tests on PostgreSQL under serializable isolation
	TEST_ISOLATION=serializable $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -k postgresql

check: $(VENV)/.dev  ## lint, types, security, tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/bandit -q -r chatstore -s B101
	$(MAKE) test

# An hour or two on a quiet machine; SCALE=0.01 fills in a hundredth.
bench: $(VENV)/.bench $(VENV_PEERS)/.done  ## measure everything, beside others; write docs/performance.md
	$(BIN)/python -m bench.speed
	$(BIN)/python -m bench.keyed
	$(BIN)/python -m bench.tail
	$(BIN)/python -m bench.libraries
	$(BIN)/python -m bench.many
	$(BIN)/python -m bench.growth --scale $(SCALE)
	$(BIN)/python -m bench.worst --scale $(SCALE)
	$(BIN)/python -m bench.relevance
	$(BIN)/python -m bench.scripts
	$(BIN)/python -m bench.report

bench-quick: $(VENV)/.load  ## say in two minutes what has become slower
	$(BIN)/python -m bench.quick

torture: $(VENV)/.dev  ## kill everything, for hours, and prove that nothing is lost
	$(BIN)/python -m tests.torture --database sqlite --seconds $(SECONDS)
	$(BIN)/python -m tests.torture --database postgresql --seconds $(SECONDS)
	$(BIN)/python -m tests.torture --database replicas --seconds $(SECONDS)
	TORTURE_SECONDS=$(SECONDS) $(BIN)/python -m pytest tests/contract/test_state_machine.py

migration: $(VENV)/.dev  ## write the next migration: make migration m="add a column"
	@test -n "$(m)" || { echo 'say what it does: make migration m="add a column"'; exit 2; }
	$(BIN)/alembic -c migrations/alembic.ini revision --autogenerate -m "$(m)"

clean:  ## remove what was installed and built; instance/ stays
	rm -rf $(VENV) $(VENV_PEERS) build dist *.egg-info .coverage .pytest_cache .mypy_cache .ruff_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "chatstore needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv $(VENV)

# The wheel of a newer SQLite where there is one; the one that Python has otherwise.
$(VENV)/.run: $(BIN)/python setup.cfg pyproject.toml
	$(BIN)/pip install --quiet --only-binary pysqlite3 -e '.[sqlite]' \
	  || $(BIN)/pip install --quiet -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(BIN)/pip install --quiet -e '.[dev]'
	@touch $@

# wrk makes the load where there is one; Locust otherwise.
$(VENV)/.load: $(VENV)/.dev
	command -v wrk >/dev/null || $(BIN)/pip install --quiet -e '.[load]'
	@touch $@

$(VENV)/.bench: $(VENV)/.load
	$(BIN)/pip install --quiet -e '.[bench]'
	@touch $@

# What does not install is left out of the comparison, by name.
$(VENV_PEERS)/.done: bench/peers/requirements.txt
	$(PYTHON) -m venv $(VENV_PEERS)
	$(VENV_PEERS)/bin/pip install --quiet -r bench/peers/requirements.txt \
	  || for each in $$(grep -v '^#' bench/peers/requirements.txt); do \
	    $(VENV_PEERS)/bin/pip install --quiet "$$each" || echo "without $$each"; done
	@touch $@
