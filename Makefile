# Two commands: `make` runs the experiment of config.yaml, `make test` the tests.
# uv, bootstrapped into .venv, installs exactly what uv.lock names.
.PHONY: all setup test test-all test-browser test-slurm format lint config
.DEFAULT_GOAL := all

PYTHON ?= python3
BIN := .venv/bin
# What test-browser opens.
REPORT ?= results/report.html
RUN := $(BIN)/snakemake --cores all
# One thread per library and job: Snakemake runs the jobs side by side.
TEST := env OMP_NUM_THREADS=1 $(BIN)/python -m pytest

all: setup
	$(RUN)

setup: .venv/.locked

.venv/.locked: pyproject.toml uv.lock
	@test -x $(BIN)/uv || { \
	  $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	    || { echo "mcrage needs Python 3.11 or newer, found: $$($(PYTHON) --version). Say which: make PYTHON=python3.12"; exit 1; }; \
	  $(PYTHON) -m venv .venv && $(BIN)/python -m pip install --quiet 'uv>=0.9'; }
	@echo "Installing the packages of uv.lock into .venv (about 6 GB with torch and CUDA)"
	@# Compiled now, since every job starts Python anew, and some sites forbid it to write bytecode.
	$(BIN)/uv sync --locked --compile-bytecode --python $(BIN)/python
	@touch $@

test: setup
	$(TEST) -m "not slow and not slurm"

test-all: setup
	MCRAGE_EXAMPLES=new $(TEST) -m "not slurm"

# Opens a report in Chromium, as on a telephone, a desktop and on paper, and leaves pictures. Skipped
# where there is no Chromium (Debian: apt-get install chromium).
test-browser: setup
	$(TEST) -n 0 tests/browser
	$(BIN)/python tests/browser/look.py $(REPORT) --pictures build/report-pictures

# Installs SLURM from Debian's packages where it is missing, and starts a cluster of its own.
test-slurm: setup
	tests/slurm/run $(TEST) -n 0 -m slurm tests/slurm

format: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/snakefmt Snakefile workflow

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

config: setup
	PYTHONPATH=workflow/scripts $(BIN)/python -m mcrage.config.render
