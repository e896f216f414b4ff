# Every target sets up what it needs. `make serve` and `make test` work on a fresh machine.
PYTHON ?= python3
VENV   ?= .venv
BIN     = $(VENV)/bin
PLUGINS = $(patsubst %/pyproject.toml,%,$(wildcard plugins/[a-z]*/pyproject.toml))
TYPED   = src $(PLUGINS:%=%/src) $(PLUGINS:%=%/tests) tests bench
PIP     = $(BIN)/python -m pip --disable-pip-version-check
INSTALL = $(PIP) install --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help install serve test soak check format bench wheels docs clean

help: ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.installed ## create .venv with pyreg, all plugins and the test tools

serve: $(VENV)/.serves ## serve on 127.0.0.1:5000 from ./pyreg-data (CONFIG=config.yml for another)
	$(BIN)/pyreg serve $(CONFIG)

test: install ## run the tests in their short form (ARGS="-k skopeo" for some)
	$(BIN)/python -m pytest $(ARGS)

soak: install ## run the tests in their long form: hours of proof, gigabytes of layers
	PYREG_SOAK=1 $(BIN)/python -m pytest $(ARGS)

check: install ## lint, check formatting and types, test the documentation
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict $(TYPED)
	$(BIN)/python -m pytest -q tests/test_architecture.py $(wildcard tests/docs tests/test_docs.py)

format: install ## put the source in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: install ## measure pyreg beside Debian's docker-registry
	$(BIN)/python -m bench $(ARGS)

wheels: $(VENV)/.serves ## build wheels of pyreg and of each plugin into dist/
	rm -rf dist
	$(PIP) wheel --no-deps --no-build-isolation --wheel-dir dist . $(PLUGINS:%=./%)

docs: install ## test the documentation: its examples, tables and links
	$(BIN)/python -m pytest $(wildcard tests/docs tests/test_docs.py)

clean: ## remove what the other targets made, save ./pyreg-data
	rm -rf $(VENV) dist build bench/results .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The stamps: each is made anew when what it was made from has changed.
$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "$(PYTHON) is not there. pyreg needs Python 3.11 or newer: make PYTHON=/path/to/it ..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "$$($(PYTHON) --version) is too old. pyreg needs 3.11 or newer: make PYTHON=/path/to/it ..."; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON) has no venv module: apt-get install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)

# Without build isolation pip fetches the build backend once, not once for each distribution.
$(VENV)/.serves: $(BIN)/python constraints.txt pyproject.toml plugins/storage_filesystem/pyproject.toml
	$(INSTALL) hatchling editables
	$(INSTALL) --no-build-isolation --editable '.[fast]' --editable plugins/storage_filesystem
	@touch $@

$(VENV)/.installed: $(VENV)/.serves tests/requirements.txt $(PLUGINS:%=%/pyproject.toml)
	$(INSTALL) --requirement tests/requirements.txt
	$(INSTALL) --no-build-isolation $(patsubst %,--editable %,$(filter-out plugins/storage_filesystem,$(PLUGINS)))
	@touch $@
