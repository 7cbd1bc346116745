# Each target does its own set-up, once: a second call starts at once.
VENV ?= .venv
PYTHON ?= python3
PORT ?= 8501
WORKERS ?= 2

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet
PACKAGES := xray_generator postprocess
CODE := $(wildcard $(PACKAGES) app.py pages)
# Test files are dealt out to several processes, in order: those with a browser come last.
PYTEST := $(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder

# Idle torch threads sleep instead of spinning.
export OMP_WAIT_POLICY := PASSIVE
export STREAMLIT_BROWSER_GATHER_USAGE_STATS := false

.DEFAULT_GOAL := help
.PHONY: help app test lint browser-test bench docs clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

app: $(VENV)/.app  ## the studio on http://localhost:8501
	$(BIN)/python -m streamlit run app.py --server.headless true --server.address localhost --server.port $(PORT)

test: lint  ## every check and every test
	$(PYTEST) $(ARGS)
	@test -x /usr/bin/chromium || echo "SKIPPED: the browser tests, because /usr/bin/chromium is missing."
	@command -v dciodvfy >/dev/null || echo "SKIPPED: the test of DICOM files by dciodvfy, because dicom3tools is missing."
	@command -v redis-server >/dev/null || echo "SKIPPED: the tests of workers at a broker, because redis-server is missing."

lint: $(VENV)/.dev  ## style, types and the one-way rule of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

browser-test: $(VENV)/.dev  ## the journeys in a real Chromium
	$(PYTEST) -m browser $(ARGS)

bench: $(VENV)/.app  ## speed, as JSON
	@for file in tests/benchmarks/*.py; do PYTHONPATH=. $(BIN)/python $$file $(ARGS) || exit 1; done

docs: $(VENV)/.dev  ## the site of the documents, in site/
	$(BIN)/python -m mkdocs build

clean:  ## what tools left behind; keeps .venv, outputs and runs
	rm -rf .mypy_cache .pytest_cache .ruff_cache .import_linter_cache build dist site *.egg-info
	find $(CODE) tests -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is written last, so an installation that was cut short is done again.
$(VENV)/.app: requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -r requirements.txt
	touch $@

$(VENV)/.dev: requirements-dev.txt requirements-broker.txt requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -r requirements.txt -r requirements-broker.txt -r requirements-dev.txt
	touch $(VENV)/.app $@
