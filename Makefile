# Development tasks of finetuned. Run `make` to list them.

PY := .venv/bin/python
DATA_DIR ?= var
PORT ?= 8000
WORKERS ?= 4

# Otherwise every process would compile all modules again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo up doctor test test-fast soak stateless lint format openapi metrics-docs helm-readme helm-tools docs converters constraints clean

help:  ## List the available tasks
	@awk -F ':.*##' '/^[a-z-]+:.*##/ { printf "  %-12s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install:  ## Set up .venv for this machine (GPU or CPU)
	@scripts/install.sh

demo: install  ## Train the demo model on the example chats and compare base and tuned answers
	@$(PY) examples/demo.py

up: install  ## Run the complete service on this machine (DATA_DIR=var PORT=8000)
	@$(PY) -m service.cli up --data-dir $(DATA_DIR) --port $(PORT)

doctor: install  ## Check what this machine lacks
	@$(PY) -m service.cli doctor --data-dir $(DATA_DIR) --port $(PORT)

# More workers than cores, since tests often wait. tests/parallel.py distributes the tests.
PYTEST := $(PY) -m pytest -q

test: install  ## Run all tests, against real components (WORKERS=4)
	@$(PYTEST) -n $(WORKERS)

test-fast: install  ## Run all tests except slow and end-to-end ones
	@$(PYTEST) -n 4 -m "not e2e and not slow"

soak: install  ## Kill trainer, worker and store twenty times; every job must end with the same losses
	@FINETUNED_SOAK_KILLS=20 $(PY) -m pytest -s tests/e2e/test_soak.py

stateless: install  ## Run two of every process on Redis and S3, and kill each once; nothing may be lost
	@FINETUNED_STATELESS=1 $(PY) -m pytest tests/e2e/test_stateless.py

.PHONY: upgrade
upgrade: install  ## Run the previous release and this one side by side under traffic (FROM=commit)
	@FINETUNED_UPGRADE=1 FINETUNED_UPGRADE_FROM=$(FROM) $(PYTEST) -s tests/upgrade/test_side_by_side.py

.PHONY: faults
faults: install  ## Let each operation of each actor fail in each way (ONLY=actor or case, or PAIRS=1000 SEED=1)
	@FINETUNED_FAULTS=all FINETUNED_FAULTS_ONLY=$(ONLY) FINETUNED_FAULTS_PAIRS=$(PAIRS) \
	  FINETUNED_FAULTS_SEED=$(SEED) $(PYTEST) -rP --show-capture=stdout -n $(WORKERS) tests/faults

.PHONY: policies
policies: install  ## Check the chart against checkov's policies
	@FINETUNED_POLICIES=1 $(PY) -m pytest tests/helm/test_checkov.py

.PHONY: calibration
calibration: install  ## Train on tasks whose right verdict is known, and print the table of verdicts
	@$(PY) -m bench.evals.calibration

.PHONY: simulation
simulation: install  ## Simulate evaluations whose true gain is known, and print the table of their statistics
	@$(PY) -m bench.evals.simulation

.PHONY: personal-data
personal-data: install  ## Print what the detection of personal data finds, misses and invents
	@$(PY) -m tests.datasets.personal_cases.score

.PHONY: known-pairs
known-pairs: install  ## Print which known near-duplicates, contradictions and leaks the report finds
	@$(PY) -m tests.datasets.cases.score

.PHONY: known-files
known-files: install  ## Print how many files of known content are read as they were meant
	@$(PY) -m tests.datasets.file_cases.score

.PHONY: known-answers
known-answers: install  ## Print which known refusals, cut-off answers, placeholders and other bad answers the report finds
	@$(PY) -m tests.datasets.quality_cases.score

.PHONY: coverage
coverage: install  ## Run all tests and report uncovered lines
	@$(PY) -m coverage erase
	@$(PY) -m coverage run -m pytest -q -n $(WORKERS)
	@$(PY) -m coverage combine --quiet
	@$(PY) -m coverage report

.PHONY: zoo
zoo: install  ## Train and serve tiny models of each family of architectures
	@FINETUNED_ZOO=1 $(PYTEST) -s tests/training/zoo

.PHONY: egress
egress: install  ## Run the whole loop with loopback only, and record all connections (root on Linux)
	@FINETUNED_EGRESS=1 $(PY) -m pytest -rs -s tests/egress

.PHONY: multi-node
multi-node: install  ## Train on a Ray cluster of two nodes in network namespaces, and kill one (root on Linux)
	@FINETUNED_MULTI_NODE=1 $(PY) -m pytest -rs tests/e2e/test_multi_node.py

.PHONY: fuzz
fuzz: install  ## Send made-up requests to the API, and made-up bytes to its parsers (SECONDS=600)
	@FINETUNED_FUZZ_SECONDS=$(or $(SECONDS),600) $(PY) -m pytest -s tests/fuzz

.PHONY: exports
exports: install  ## Export the demo's model in every format, and chat with each
	@FINETUNED_ALL_EXPORTS=1 $(PY) -m pytest -s tests/e2e/test_exports.py

.PHONY: pages
pages: install  ## Run the code blocks of all pages, including long ones
	@FINETUNED_LONG_PAGES=1 $(PY) -m pytest tests/docs tests/e2e/test_docs.py \
		tests/inference/engine/test_tool_caller_e2e.py tests/inference/engine/test_openai_answers_e2e.py

.PHONY: tracking
tracking: install  ## Send the metrics of a training to a real MLflow server
	@FINETUNED_TRACKING=1 $(PY) -m pytest tests/jobs/tracking

.PHONY: reinforcement
reinforcement: install  ## Train the demo's model by rewards alone, and print how they rise
	@FINETUNED_REINFORCEMENT=1 $(PY) -m pytest -s tests/training/test_reinforcement_proof.py tests/e2e/test_reinforcement.py

.PHONY: reasoning
reasoning: install  ## Train a model that thinks, and read its thoughts through OpenAI's SDK
	@FINETUNED_REASONING=1 $(PY) -m pytest tests/inference/engine/test_reasoning_e2e.py

lint: install  ## Check style, types, architecture, spelling and wording
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@.venv/bin/lint-imports --no-cache
	@.venv/bin/codespell README.md CONTRIBUTING.md CHANGELOG.md docs service clients helm scripts bench examples
	@$(PY) scripts/house_style.py

.PHONY: audit
audit: install  ## Look for insecure code and known vulnerabilities of packages (asks PyPI)
	@$(PY) -m scripts.audit

format: install  ## Format the code
	@$(PY) -m ruff check --fix-only --quiet .
	@$(PY) -m ruff format .

openapi: install  ## Write openapi.json from the app
	@$(PY) -m service.cli openapi --output openapi.json

.PHONY: snapshot
snapshot: install  ## Save in tests/upgrade what this version writes to Redis and storage, when it is released
	@$(PY) -m tests.upgrade.write

.PHONY: openapi-examples openapi-release lint-openapi
openapi-examples: install  ## Fetch the examples of openapi.json from a running api, then write it
	@$(PY) -m tests.openapi.record
	@$(PY) -m service.cli openapi --output openapi.json

openapi-release: openapi  ## Save openapi.json in docs/openapi as the contract of this version
	@cp openapi.json docs/openapi/$$($(PY) -c 'import service; print(service.__version__)').json

lint-openapi: install  ## Lint openapi.json and find breaking changes since the release (npm)
	@$(PY) -m tests.openapi.checks

.PHONY: clients
clients: install  ## Generate the clients' types from openapi.json
	@$(PY) clients/python/scripts/generate_types.py
	@$(PY) -m tests.node run clients/typescript generate

.PHONY: pictures
pictures: install  ## Generate the command-line pictures from a real training job
	@$(PY) -m tests.clients.python.pictures

metrics-docs: install  ## Generate docs/metrics.md from the declared metrics
	@$(PY) -m service.cli metrics --output docs/metrics.md

helm-readme: install  ## Generate the chart's README from its values, and its users of Valkey
	@$(PY) scripts/helm_readme.py
	@$(PY) -m scripts.helm_users

helm-tools: install  ## Install helm and kubectl into .cache/helm
	@$(PY) scripts/helm_tools.py

docs: install  ## Build the site from docs/ into build/site, in strict mode
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet

converters: install  ## Write the digests of llama.cpp's converters from the installed version
	@$(PY) -m service.exporting.gguf.converters

constraints: install  ## Write requirements/constraints.txt from the installed packages
	@scripts/constraints.sh

.PHONY: locks
locks: install  ## Write requirements/locks from the constraints, or locks of another torch (TORCH_INDEX=URL; asks PyPI)
	@$(PY) -m scripts.locks $(if $(TORCH_INDEX),--torch-index $(TORCH_INDEX))

.PHONY: images image-test
images:  ## Build all container images with docker or buildah (docs/images.md)
	@scripts/images.sh

image-test: install  ## Build, run and inspect the images that need no GPU (root, buildah)
	@FINETUNED_IMAGE_TESTS=1 $(PY) -m pytest -s tests/image

clean:  ## Remove caches and the virtual environment
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
