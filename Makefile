# `make` lists the targets. PYTHON creates the virtual environment VENV.
PYTHON ?= python3
VENV ?= .venv
VENV_PEERS ?= .venv-peers
SECONDS ?= 3600
SCALE ?= 1
# How `make check` runs the tests: `test`, or `coverage` in CI.
SUITE ?= test
BIN := $(VENV)/bin
# The releases of Python that setup.cfg names.
PYTHONS ?= 3.11 3.12 3.13
PIP_INSTALL = $(BIN)/pip install --quiet --constraint constraints.txt
# What `make test-fast` runs, of these all but the tests on PostgreSQL and
# test_streaming.py, which starts a server and lists 60 MB.
FAST_TESTS := tests/fulltext tests/schemas tests/models tests/web tests/routes \
  tests/contract/test_error_shape.py tests/contract/test_layers.py tests/contract/test_links.py \
  tests/contract/test_requirements.py tests/contract/test_routes.py tests/contract/test_settings_docs.py \
  tests/store/test_facets.py tests/store/test_messages.py tests/store/test_sessions.py \
  tests/test_clock.py tests/test_settings.py tests/test_strict_json.py
PYTEST = $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help run test test-fast test-python test-serializable coverage check bench bench-quick torture migration settings-docs constraints clean
export VENV_PEERS

help:  ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' Makefile

run: $(VENV)/.run  ## install, migrate and serve on http://127.0.0.1:8000
	@exec $(BIN)/chatstore serve --migrate

test: $(VENV)/.dev  ## install what the tests need and run them all
	$(PYTEST)

# Starts neither PostgreSQL nor a server.
test-fast: $(VENV)/.dev  ## run the tests that take a minute: on SQLite, without servers
	$(PYTEST) --ignore tests/web/test_streaming.py -k "not postgresql" $(FAST_TESTS)

# An interpreter is python3.x on the PATH, or one that pyenv or uv has installed.
test-python:  ## run the fast tests on each Python of PYTHONS that is installed here
	@for version in $(PYTHONS); do \
	  export PYENV_VERSION="$$(pyenv latest "$$version" 2>/dev/null)"; \
	  for name in "python$$version" "$$(uv python find --no-python-downloads "$$version" 2>/dev/null)"; do \
	    python=$$("$$name" -c 'import sys; print(sys.executable)' 2>/dev/null) && break; \
	  done; \
	  if [ -z "$$python" ]; then echo "Python $$version: not installed here, not tested"; continue; fi; \
	  echo "Python $$version: $$python"; \
	  $(MAKE) test-fast "PYTHON=$$python" "VENV=$(VENV)-$$version" || exit 1; \
	done

test-serializable: $(VENV)/.dev  ## run the tests on PostgreSQL under serializable isolation
	TEST_ISOLATION=serializable $(PYTEST) -k postgresql

# Takes half as long again as the tests alone, so only CI runs it instead of them.
coverage: $(VENV)/.dev  ## run the tests and list unreached lines; fail below 95 %
	$(PYTEST) --cov --cov-report=term

check: $(VENV)/.dev  ## check style, types and security, then run all tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/bandit -q -r chatstore -s B101
	$(MAKE) $(SUITE)

# An hour or two on a quiet machine; SCALE=0.01 fills in a hundredth.
bench: $(VENV)/.bench $(VENV_PEERS)/.done  ## measure chatstore and other services; write docs/performance.md
	$(BIN)/python -m bench.speed
	$(BIN)/python -m bench.keyed
	$(BIN)/python -m bench.feed
	$(BIN)/python -m bench.tail
	$(BIN)/python -m bench.libraries
	$(BIN)/python -m bench.many
	$(BIN)/python -m bench.waiting
	$(BIN)/python -m bench.growth --scale $(SCALE)
	$(BIN)/python -m bench.branches --scale $(SCALE)
	$(BIN)/python -m bench.worst --scale $(SCALE)
	$(BIN)/python -m bench.relevance
	$(BIN)/python -m bench.scripts
	$(BIN)/python -m bench.report

bench-quick: $(VENV)/.load  ## print in two minutes what has become slower
	$(BIN)/python -m bench.quick

torture: $(VENV)/.dev  ## kill every process for hours, and prove that nothing is lost
	$(BIN)/python -m tests.torture --database sqlite --seconds $(SECONDS)
	$(BIN)/python -m tests.torture --database postgresql --seconds $(SECONDS)
	$(BIN)/python -m tests.torture --database replicas --seconds $(SECONDS)
	TORTURE_SECONDS=$(SECONDS) $(BIN)/python -m pytest tests/contract/test_state_machine.py

migration: $(VENV)/.dev  ## write the next migration: make migration m="add a column"
	@test -n "$(m)" || { echo 'Describe the migration: make migration m="add a column"'; exit 2; }
	$(BIN)/alembic -c migrations/alembic.ini revision --autogenerate -m "$(m)"

settings-docs: $(VENV)/.dev  ## write the table of docs/settings.md from the settings
	$(BIN)/python -m tests.support.settings_table

# Newer interpreters install what the oldest can: a library drops old ones first.
constraints: $(BIN)/python  ## resolve all dependencies again and write constraints.txt
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' \
	  || { echo "Use the oldest Python: make constraints PYTHON=python3.11 VENV=.venv-3.11"; exit 2; }
	$(BIN)/pip install --quiet --dry-run --ignore-installed --report $(VENV)/report.json '.[sqlite,dev,bench,load]'
	@$(BIN)/python -c "$$WRITE_CONSTRAINTS" $(VENV)/report.json > constraints.txt
	@echo "wrote constraints.txt: $$(grep -c == constraints.txt) releases"

define WRITE_CONSTRAINTS
import json, sys
found = [each["metadata"] for each in json.load(open(sys.argv[1]))["install"]]
lines = {f"{each['name']}=={each['version']}" for each in found if each["name"] != "chatstore"}
print("# The releases that chatstore is tested with. `make constraints` writes this file.")
print(*sorted(lines, key=str.lower), sep="\n")
endef
export WRITE_CONSTRAINTS

clean:  ## remove environments and builds; instance/ stays
	rm -rf $(VENV) $(VENV)-3.* $(VENV_PEERS) build dist *.egg-info .coverage .pytest_cache .mypy_cache .ruff_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "chatstore needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv $(VENV)

# A wheel brings a newer SQLite to most machines; elsewhere we use that of Python.
$(VENV)/.run: $(BIN)/python setup.cfg pyproject.toml constraints.txt
	$(PIP_INSTALL) --only-binary pysqlite3 -e '.[sqlite]' || $(PIP_INSTALL) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(PIP_INSTALL) -e '.[dev]'
	@touch $@

# wrk generates the load where it is installed; Locust otherwise.
$(VENV)/.load: $(VENV)/.dev
	command -v wrk >/dev/null || $(PIP_INSTALL) -e '.[load]'
	@touch $@

$(VENV)/.bench: $(VENV)/.load
	$(PIP_INSTALL) -e '.[bench]'
	@touch $@

# A library that cannot be installed is left out of the comparison, by name.
$(VENV_PEERS)/.done: bench/peers/requirements.txt
	$(PYTHON) -m venv $(VENV_PEERS)
	$(VENV_PEERS)/bin/pip install --quiet -r bench/peers/requirements.txt \
	  || for each in $$(grep -v '^#' bench/peers/requirements.txt); do \
	    $(VENV_PEERS)/bin/pip install --quiet "$$each" || echo "without $$each"; done
	@touch $@
