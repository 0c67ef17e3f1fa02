# `make` lists the targets. PYTHON creates the virtual environment VENV.
PYTHON ?= python3
VENV ?= .venv
VENV_PEERS ?= .venv-peers
SECONDS ?= 3600
SCALE ?= 1
# Where `make ui-api` writes, from tests/ui_types.
API ?= api.d.ts
# How `make check` runs the tests: `test`, as in CI, or `coverage`.
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
.PHONY: help run test test-fast test-python test-serializable test-row-security coverage check ui-api ui-types bench bench-quick bench-ui torture fuzz-auth screenshots migration settings-docs constraints vendor clean
export VENV_PEERS
# Without bytecode files each process compiles all tests, and each server all modules.
unexport PYTHONDONTWRITEBYTECODE

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

test-row-security: $(VENV)/.dev  ## run the tests on PostgreSQL with row security
	TEST_ROW_SECURITY=1 $(PYTEST) -k postgresql

# Takes half as long again as the tests alone, so `make check` and CI leave it out.
coverage: $(VENV)/.dev  ## run the tests and list unreached lines; fail below 95 %
	$(PYTEST) --cov --cov-report=term

check: $(VENV)/.dev  ## check style, types and security, then run all tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/bandit -q -r chatstore -s B101
	$(MAKE) ui-types
	$(MAKE) $(SUITE)

# npm brings the compiler only; nothing of it is served.
ui-types: $(VENV)/.dev  ## check the types of the web UI, where npm is installed
	@if command -v npm >/dev/null; then \
	  $(MAKE) --silent ui-api API=node_modules/api.d.ts && cd tests/ui_types \
	    && { cmp api.d.ts node_modules/api.d.ts || { echo "The API has changed: run make ui-api"; exit 1; }; } \
	    && node_modules/tsc/bin/tsc --project .; \
	else echo "npm is not installed: the types of the web UI are not checked"; [ "$$CI" != true ]; fi

# TypeScript 7 checks; the generator needs the compiler of TypeScript 5.
ui-api: $(VENV)/.dev  ## make the types of the API for the web UI from /openapi.json
	@cd tests/ui_types \
	  && { [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --silent --ignore-scripts --legacy-peer-deps --no-audit --no-fund; } \
	  && (cd ../.. && $(BIN)/python -m tests.support.openapi_document) > node_modules/openapi.json \
	  && node_modules/.bin/openapi-typescript node_modules/openapi.json -o $(API) >/dev/null 2>&1

# An hour or two on a quiet machine; SCALE=0.01 fills in a hundredth.
bench: $(VENV)/.bench $(VENV_PEERS)/.done  ## measure chatstore and other services; write docs/performance.md
	$(BIN)/python -m bench.speed
	$(BIN)/python -m bench.keyed
	$(BIN)/python -m bench.feed
	$(BIN)/python -m bench.access
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

bench-ui: $(VENV)/.dev  ## measure the web UI in a browser with a quarter of the processor
	$(BIN)/python -m bench.ui

torture: $(VENV)/.dev  ## kill every process for hours, and prove that nothing is lost
	$(BIN)/python -m tests.torture --database sqlite --seconds $(SECONDS)
	$(BIN)/python -m tests.torture --database postgresql --seconds $(SECONDS)
	$(BIN)/python -m tests.torture --database replicas --seconds $(SECONDS)
	TORTURE_SECONDS=$(SECONDS) $(BIN)/python -m pytest tests/contract/test_state_machine.py

fuzz-auth: $(VENV)/.dev  ## send 100,000 hostile credentials; none may be let in
	HOSTILE_HEADERS=100000 $(BIN)/python -m pytest tests/contract/test_hostile_headers.py

screenshots: $(VENV)/.dev  ## render the pictures of the web UI into docs/pictures
	$(BIN)/python -m tests.screenshots

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

# A maintainer changes a version in static/vendor/lock.json and runs it with RENEW=--renew.
vendor:  ## fetch the libraries of the web UI that chatstore/static/vendor/lock.json names
	$(PYTHON) tools/vendor.py $(RENEW)

clean:  ## remove environments and builds; instance/ stays
	rm -rf $(VENV) $(VENV)-3.* $(VENV_PEERS) build dist *.egg-info .coverage .pytest_cache .mypy_cache .ruff_cache

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "chatstore needs Python 3.11 or newer: make $(MAKECMDGOALS) PYTHON=python3.12"; exit 2; }
	$(PYTHON) -m venv $(VENV)

# A wheel brings a newer SQLite to most machines; elsewhere we use that of Python.
$(VENV)/.run: $(BIN)/python setup.cfg setup.py pyproject.toml constraints.txt
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
