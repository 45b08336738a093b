# Every target sets up what it needs; the first one takes a few minutes.
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.installed

.PHONY: run demo test check fix bench browser clean

$(READY): pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) is missing. Install Python 3.11, or say: make PYTHON=python3"; exit 1; }
	@echo "Setting up $(VENV); the first time this takes a few minutes."
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --upgrade pip
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt torch
	@$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $(READY)

run: $(READY) ## Open the chat app
	$(BIN)/luthier

demo: $(READY) ## The main job, headless, on the shipped sample
	$(BIN)/luthier demo

check: $(READY) ## Lint, format, types, import rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fix: $(READY) ## Let the linter repair what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

browser: ## Chromium for the browser tests, through apt where that is allowed
	@command -v chromium >/dev/null || { \
	  if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium >/dev/null; \
	  else echo "Chromium is not installed: the browser tests are left out. Get it with: sudo apt-get install chromium"; fi; }

test: $(READY) browser ## All layers, the fast ones first
	$(BIN)/pytest -n 2 --dist loadfile tests/contract tests/unit
	$(BIN)/pytest -n 2 --dist loadfile tests/integration tests/suite
	$(BIN)/pytest tests/browser

bench: $(READY) ## Long matrices and comparisons; tables go to tests/benchmarks/results/
	$(BIN)/python -m tests.benchmarks.run

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
