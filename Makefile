# `make report` and `make test` install what they need.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
CORES ?= all
VENV ?= .venv
BIN := $(VENV)/bin
AIPERF := .venv-aiperf
# More flags for pip, such as --extra-index-url with PyTorch's CPU wheel index.
PIP_FLAGS ?=

# Everything if vLLM's CPU build can be installed (Linux on x86-64, CPython 3.11), otherwise everything but vLLM.
# On a machine with CUDA: make ENVIRONMENT=cuda …
PLATFORM := $(shell $(PYTHON) -c 'import platform, sys; print(platform.system(), platform.machine(), *sys.version_info[:2])')
ENVIRONMENT ?= $(if $(filter Linux-x86_64-3-11,$(subst $() ,-,$(PLATFORM))),cpu,core)

help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(VENV)/installed: envs/$(ENVIRONMENT).lock pyproject.toml
	@echo "Installing envs/$(ENVIRONMENT).lock into $(VENV) ($(PLATFORM))"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes $(PIP_FLAGS) -r envs/$(ENVIRONMENT).lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

env: $(VENV)/installed  ## make the locked environment in .venv

report: env  ## run the whole pipeline: results/report/index.html; bars in a terminal, plain lines elsewhere
	$(BIN)/python -m vllm_lab.provenance adopt
	$(BIN)/snakemake --cores $(CORES) report $$([ -t 2 ] && echo --logger rich)
	@echo "Open results/report/index.html"

test: env aiperf  ## run all tests, on small real data
	$(BIN)/python -m pytest

$(AIPERF)/installed: envs/aiperf.lock
	$(PYTHON) -m venv $(AIPERF)
	$(AIPERF)/bin/python -m pip install --quiet --no-deps --require-hashes $(PIP_FLAGS) -r envs/aiperf.lock
	@touch $@

aiperf: $(AIPERF)/installed  ## AIPerf in .venv-aiperf, for the test in which AIPerf reads an export

lint: env  ## ruff, snakefmt, snakemake --lint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint

docs: env  ## the generated pages and pictures of docs/ (needs graphviz)
	$(BIN)/python -m vllm_lab.pages
	dot -Tsvg docs/architecture.dot >docs/architecture.svg
	$(BIN)/snakemake --quiet all --rulegraph -- archive | tred | dot -Grankdir=LR -Granksep=0.3 -Gnodesep=0.08 \
	  -Tsvg >docs/rules.svg.partial && mv docs/rules.svg.partial docs/rules.svg

archive: env  ## the report, its research object, and everything in one file: results/provenance/archive.zip
	$(BIN)/snakemake --cores $(CORES) archive

lock:  ## resolve the environments' locks anew (needs uv)
	envs/lock.sh

clean:  ## delete results and Snakemake's records; keeps the environment
	rm -rf .snakemake
	find results -mindepth 1 ! -name README.md -delete

.PHONY: help env report test aiperf lint docs archive lock clean
