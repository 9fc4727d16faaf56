# make demo   the whole course loop on a made-up class of 12 (DATA=cifar10 with DATASETS_DIR set uses the real images)
# make test   every test;  make check  format, lint, types;  make bench  measurements
PYTHON ?= python3
VENV ?= .venv
DATA ?= stand-in
# Two files at a time on two cores, in order: the long ones are not the last. Set PYTEST_ARGS to choose tests yourself.
PYTEST_ARGS ?= -n auto --dist loadfile --no-loadscope-reorder
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format bench release clean

help:
	@echo "make setup | demo | test | check | format | bench | release | clean"

setup: $(VENV)/.installed

$(VENV)/.installed: requirements.txt autograder/requirements.txt
	sh autograder/system_packages.sh python bubblewrap
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --progress-bar off -r autograder/requirements.txt
	touch $@

demo: setup
	$(BIN)/python -m autograder demo --data $(DATA)

test: setup
	sh autograder/system_packages.sh bubblewrap chromium
	$(BIN)/python -m pytest $(PYTEST_ARGS)

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup
	$(BIN)/python benchmarks/bench_train.py
	$(BIN)/python benchmarks/bench_data.py --quick
	$(BIN)/python benchmarks/calibrate_stand_ins.py --quick
	$(BIN)/python benchmarks/bench_search.py --quick
	$(BIN)/python benchmarks/bench_searchers.py --quick
	$(BIN)/python benchmarks/bench_leaderboard.py
	$(BIN)/python benchmarks/bench_grading.py --quick
	$(BIN)/python benchmarks/bench_notebooks.py --quick

# Rewrites exercises/ from solutions/ and exercise_code/; commit the result together with its source.
release: setup
	$(BIN)/python -m autograder release --all

clean:
	rm -rf $(VENV) .course .demo .pytest_cache .ruff_cache .mypy_cache .hypothesis leaderboard/site
