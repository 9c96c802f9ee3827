# The only list of commands. `make demo` and `make test` set up all they need on a machine with Python 3.11+ and make.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help setup setup-dev services demo test again unit lint format long bench tables docs clean

UV := $(shell command -v uv || echo .tools/uv/bin/uv)
PYTEST_FLAGS ?= -n 2 --dist loadfile

help:              ## Show this list
	@grep -hE '^[a-z-]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

$(UV):
	@echo "setup: installing uv into .tools/uv with pip"
	@python3 scripts/install_uv.py .tools/uv

setup: $(UV)       ## Install the locked run-time packages into .venv
	@$(UV) sync --locked --no-dev --quiet
	@echo "setup: packages of uv.lock are in .venv"

setup-dev: $(UV)   ## Install the locked packages with all that the tests use
	@$(UV) sync --locked --quiet
	@echo "setup: packages of uv.lock with the dev group are in .venv"

services: $(UV)    ## Install the services that the tests start (Debian with root or sudo; elsewhere told by name)
	@bash scripts/install_services.sh
	@$(UV) run python scripts/fetch_neo4j.py
	@$(UV) run python scripts/fetch_kafka.py

demo: setup        ## Set up and run the main job: three sites, live telemetry, a cascade, a ready server
	@$(UV) run --no-dev twinmesh demo $(DEMO_FLAGS)

test: setup-dev services  ## Set up and pass the tests
	@$(UV) run pytest $(PYTEST_FLAGS) $(TESTS)

again: setup-dev   ## Run once more, alone, the few tests that failed last; each that passes now is named as unstable
	@$(UV) run python scripts/test_again.py

unit: setup-dev    ## Tests only, without installing services
	@$(UV) run pytest $(PYTEST_FLAGS) $(TESTS)

lint: setup-dev    ## Style, types, import directions
	@$(UV) run ruff check --no-cache .
	@$(UV) run ruff format --check .
	@$(UV) run basedpyright
	@$(UV) run lint-imports

format: setup-dev  ## Put the code into its format
	@$(UV) run ruff check --fix-only .
	@$(UV) run ruff format .

# Each long suite gets this many seconds and prints the counts it reached and its seed.
long: export TWINMESH_LONG_S ?= 600
long: setup-dev services  ## The long counts (time budget for each suite: TWINMESH_LONG_S)
	@TWINMESH_LONG=1 $(UV) run pytest -m long -s --timeout 7200 $(TESTS)

bench: setup-dev   ## First ratios beside the peers
	@$(UV) run twinmesh bench cascade
	@$(UV) run twinmesh bench import
	@$(UV) run twinmesh bench store
	@$(UV) run twinmesh bench graphql
	@$(UV) run twinmesh bench federation
	@$(UV) run twinmesh bench ingest
	@$(UV) run twinmesh bench history
	@$(UV) run twinmesh bench quality
	@$(UV) run twinmesh bench opcua
	@$(UV) run twinmesh bench soak
	@$(UV) run twinmesh bench overload
	@$(UV) run twinmesh bench neo4j
	@$(UV) run twinmesh bench neo4j_followers

tables: setup-dev  ## Make ontology/data anew from ../shared/data/ontologies
	@$(UV) run python scripts/make_ontology_tables.py

docs: setup-dev    ## Write docs/errors.md and schema.graphql from the source
	@$(UV) run python scripts/make_error_docs.py
	@$(UV) run python scripts/make_schema.py

clean:             ## Remove what the commands above made
	rm -rf .venv .tools var dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
