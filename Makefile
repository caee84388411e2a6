# Development tasks of finetuned. Run `make` to list them.

PY := .venv/bin/python
DATA_DIR ?= var
PORT ?= 8000
WORKERS ?= 4
export WORKERS

# Otherwise every process would compile all modules again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help install demo up doctor test test-fast proof lint format openapi openapi-examples clients console \
        metrics-docs helm-readme docs locks images bundle release clean

help:  ## List the available tasks
	@awk -F ':.*##' '/^[a-z-]+:.*##/ { printf "  %-17s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install:  ## Set up .venv for this machine (GPU or CPU)
	@scripts/install.sh

demo: install  ## Train the demo model on the example chats and compare base and tuned answers
	@$(PY) examples/demo.py

up: install  ## Run the complete service on this machine (DATA_DIR=var PORT=8000)
	@$(PY) -m service.cli up --data-dir $(DATA_DIR) --port $(PORT)

doctor: install  ## Check what this machine lacks
	@$(PY) -m service.cli doctor --data-dir $(DATA_DIR) --port $(PORT)

# More workers than cores, since tests often wait. tests/parallel.py distributes the tests.
test: install  ## Run all tests, against real components (WORKERS=4)
	@$(PY) -m pytest -q -n $(WORKERS)

test-fast: install  ## Run all tests except slow and end-to-end ones
	@$(PY) -m pytest -q -n 4 -m "not e2e and not slow"

proof: install  ## Run a long test or a measurement (NAME=faults), or list them all
	@$(PY) -m scripts.proofs $(NAME)

lint: install  ## Check style, types, architecture, spelling and wording
	@$(PY) -m ruff check .
	@$(PY) -m ruff format --check .
	@$(PY) -m mypy
	@.venv/bin/lint-imports --no-cache
	@.venv/bin/codespell README.md CONTRIBUTING.md CHANGELOG.md docs service clients helm scripts bench examples deploy
	@$(PY) scripts/house_style.py

format: install  ## Format the code
	@$(PY) -m ruff check --fix-only --quiet .
	@$(PY) -m ruff format .

openapi: install  ## Write openapi.json from the app
	@$(PY) -m service.cli openapi --output openapi.json

openapi-examples: openapi  ## Fetch the examples of openapi.json from a running API, then write it
	@$(PY) -m tests.openapi.record
	@$(PY) -m service.cli openapi --output openapi.json

clients: install  ## Generate the clients' types and methods from openapi.json
	@$(PY) clients/python/scripts/generate.py
	@$(PY) -m tests.node run clients/typescript generate

console: install  ## Build the web console from clients/console into service/console/static
	@$(PY) -m tests.node run clients/typescript build
	@$(PY) -m tests.node run clients/console build

metrics-docs: install  ## Generate docs/metrics.md and docs/api/errors.md from the code
	@$(PY) -m service.cli metrics --output docs/metrics.md
	@$(PY) -m service.cli error-codes --output docs/api/errors.md
	@$(PY) -m service.cli codes --output docs/codes.md


helm-readme: install  ## Generate the chart's README from its values, and its users of Valkey
	@$(PY) -m scripts.helm_files

docs: install  ## Build the site from docs/ into build/site, in strict mode
	@NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --strict --quiet

locks: install  ## Pin the installed packages, and write their hashes (TORCH_INDEX=URL; asks PyPI)
	@$(if $(TORCH_INDEX),,scripts/constraints.sh)
	@$(PY) -m scripts.locks $(if $(TORCH_INDEX),--torch-index $(TORCH_INDEX))

images:  ## Build all container images with docker or buildah (docs/images.md)
	@scripts/images.sh

release: openapi  ## Check, tag and write a release (VERSION=0.3.0 SIGN=key.pem FLAGS=--dry-run)
	@$(PY) -m scripts.release $(VERSION) $(if $(SIGN),--sign $(SIGN)) $(FLAGS)

bundle: install  ## Write a folder that installs a server offline (SUITE=bookworm OUTPUT=folder FLAGS=--gpu)
	@$(PY) -m scripts.bundle --suite $(SUITE) $(FLAGS) $(OUTPUT)

clean:  ## Remove caches and the virtual environment
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
