# Each target sets up what it needs: a virtual environment in .venv, installed once.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo test lint manifest bench accuracy stress e2e interop docs clean
help:
	@echo "make demo      register a synthetic plate and show the result"
	@echo "make test      run the test suite"
	@echo "make lint      run the linters and type checker"
	@echo "make bench     measure against fractal-tasks-core"
	@echo "make accuracy  compare estimates and finished plates with the truth and others"
	@echo "make stress    run tasks at once, kill them, cut the power: hours"
	@echo "make e2e       register plates of all writers, and on a real Fractal server"
	@echo "make interop   compare with other software that reads and writes transforms"
	@echo "make docs      write docs/errors.md and pictures (needs chromium), build site/"
	@echo "make clean     remove all that these targets made"

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: $(BIN)/python pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	@touch $@

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[docs]"
	@touch $@

$(VENV)/.installed-bench: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[bench]"
	@touch $@

$(VENV)/.installed-e2e: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[e2e]"
	@touch $@

# Chromium, unless the system has a browser; the libraries it needs only as root.
$(VENV)/.installed-browser: $(VENV)/.installed-dev
	command -v chromium || command -v google-chrome || $(BIN)/python -m playwright \
		install $(if $(filter 0,$(shell id -u)),--with-deps) chromium
	@touch $@

$(VENV)/.installed-interop: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[interop]"
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/fractal-tasks demo demo-output

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/typos
	$(BIN)/fractal-tasks manifest check

manifest: $(VENV)/.installed-dev
	$(BIN)/fractal-tasks manifest write

bench: $(VENV)/.installed
	$(BIN)/python benchmarks/run.py

accuracy: $(VENV)/.installed-bench
	$(BIN)/python benchmarks/accuracy/run.py
	$(BIN)/python benchmarks/accuracy/plate_run.py
	$(BIN)/python benchmarks/accuracy/beyond_run.py

# On Linux STRESS_OPTIONS="--folder /dev/shm" works in memory.
stress: $(VENV)/.installed-dev
	$(BIN)/python -m stress.concurrency $(STRESS_OPTIONS)
	$(BIN)/python -m stress.kills $(STRESS_OPTIONS)
	$(BIN)/python -m stress.mutations $(STRESS_OPTIONS)
	$(BIN)/python -m stress.object_store $(STRESS_OPTIONS)
	$(BIN)/python -m stress.power_loss $(STRESS_OPTIONS)

# First the slow tests, e.g. plates of all writers, and the report in a browser; then a
# server, which needs Python 3.13.
# SERVER_PYTHON=PATH chooses the Python of the server, ARGS=--keep keeps its logs.
e2e: $(VENV)/.installed-e2e $(VENV)/.installed-dev $(VENV)/.installed-browser
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal -m e2e
	NEED_BROWSER=1 $(BIN)/python -m pytest -m "" -k in_browser tests/report
	$(BIN)/python e2e/run.py $(if $(SERVER_PYTHON),--server-python $(SERVER_PYTHON)) $(ARGS)

# Needs Python 3.12 or 3.13, as the conformance cases of RFC-5 do.
interop: $(VENV)/.installed-interop
	$(BIN)/python -m pytest -m interop tests/interop

docs: $(VENV)/.installed-docs
	$(BIN)/python docs/generate_errors.py
	$(BIN)/python docs/make_pictures.py
	$(BIN)/mkdocs build --strict
	@echo "The documentation is in $(CURDIR)/site/index.html"

clean:
	rm -rf $(VENV) .venv-peer .venv-e2e site demo-output
