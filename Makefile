# The one list of things to do. Each target sets up .venv by itself, once.
#
#   PYTHON=python3.12    the interpreter to build .venv with (3.11 or later)
#   TORCH=...            another wheel of PyTorch: whatever `pip install` takes, as a file, or
#                        make demo TORCH="torch==2.13.0 --index-url URL" with one of the indices that PyTorch's page names
# Both are read when .venv is made: `make clean` first to change them.

PYTHON ?= python3
TORCH ?= $(shell grep '^torch==' constraints.txt)

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
PINS := $(VENV)/constraints.txt
READY := $(VENV)/.ready
PACKAGES := cli exporter trainer runtime

.PHONY: help demo test check bench gpu clean
.DEFAULT_GOAL := help

help:
	@echo "make demo    the main job from end to end: train, export, segment a slide of 8192 x 8192; a score and a picture"
	@echo "make test    every test"
	@echo "make check   ruff, formatting, strict types, house rules"
	@echo "make bench   measures speed, memory and tile waste; prints the tables"
	@echo "make gpu     is it right and how fast on this NVIDIA GPU; writes benchmarks/results, in eight minutes"
	@echo "make clean   removes what make and the demo made, .venv too"

# PyTorch goes first and alone, so that TORCH decides which build it is; the rest is then pinned to that build.
$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "unetctl needs Python 3.11 or later: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	grep -v '^torch==' constraints.txt > $(PINS)
	$(PIP) install -c $(PINS) $(TORCH)
	$(BIN)/python -c 'from importlib.metadata import version; print("torch==" + version("torch"))' >> $(PINS)
	$(PIP) install -c $(PINS) -e ".[dev]"
	touch $(READY)

demo: $(READY)
	$(BIN)/python -m benchmarks.demo

test: $(READY)
	$(BIN)/python -m pytest tests

# Type checkers don't follow the mapping of `unetctl.runtime` to runtime/: they get a folder of links that looks like it.
check: $(READY)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	mkdir -p .links/unetctl
	for package in $(PACKAGES); do ln -sfn "../../$$package" ".links/unetctl/$$package"; done
	$(BIN)/python -m mypy $(foreach package,$(PACKAGES),-p unetctl.$(package))
	$(BIN)/python -m pytest tests/house -m "not journey"

bench: $(READY)
	$(BIN)/python -m benchmarks.tile_waste
	$(BIN)/python -m benchmarks.speed build/bench
	$(BIN)/python -m benchmarks.share build/bench
	$(BIN)/python -m benchmarks.growth build/bench
	$(BIN)/python -m benchmarks.virtual_memory

gpu: $(READY)
	$(BIN)/python -m benchmarks.gpu benchmarks/results

clean:
	rm -rf $(VENV) .links demo build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
