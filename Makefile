# Everything in .venv, nothing outside the folder. `make demo` and `make test` do their own set-up.
#   make setup                                   the environment, with .venv/bin/llavaseg
#   make demo                                    a recorded camera and commands, out/demo/index.html
#   make demo IMAGE=a.jpg COMMAND="the red mug"  the same on your photograph
#   make pick                                   picks in simulation, out/pick/index.html (PICKS=100 for the bar)
#   make coverage                                line and branch coverage of core and nodes, out/coverage/index.html
#   make mutation                                how many small faults the tests notice, in an hour
#   make test | lint | clean
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := setup
.PHONY: setup demo pick test coverage mutation lint clean help

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.llavaseg-ready
EXTRAS := ros,train,test
# Where the CPU build of torch is, when pip's own configuration does not offer it.
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
TORCH := $(shell sed -n 's/^\(torch==[^ ;]*\).*/\1/p' constraints.txt)
# Test processes: JOBS=1 make test.
JOBS ?= 2
# A Python to start from: PYTHON=/usr/bin/python3.12 make setup. Without it, the first that fits.
PYTHON ?=

INTERFACES := $(wildcard msg/*.msg action/*.action srv/*.srv)
# Not the Python sources: the installation is editable. __init__.py is the one file of them that gets copied.
SOURCES := pyproject.toml setup.py CMakeLists.txt package.xml constraints.txt llavaseg_ros/__init__.py $(INTERFACES) \
  $(wildcard launch/*.py config/*.yaml scripts/*)

setup: $(READY)

$(BIN)/python:
	@fits='import sys, sysconfig, venv, ensurepip, pathlib; \
	sys.exit(not ((3, 10) <= sys.version_info[:2] <= (3, 13) and pathlib.Path(sysconfig.get_path("include"), "Python.h").exists()))'; \
	for python in $(or $(PYTHON),python3.11 python3 python3.12 python3.13 python3.10); do \
	  if "$$python" -c "$$fits" 2>/dev/null; then echo "make: $(VENV) with $$("$$python" -V)"; "$$python" -m venv $(VENV); touch $(VENV)/COLCON_IGNORE; exit; fi; \
	done; \
	echo "make: no usable Python ($(or $(PYTHON),python3, python3.10 to python3.13)): needed is 3.10 to 3.13 with venv and headers" >&2; \
	echo "      (Debian, Ubuntu: apt install python3-venv python3-dev; or name one with PYTHON=...)" >&2; exit 1

$(READY): $(SOURCES) | $(BIN)/python
	@command -v c++ >/dev/null || { echo "make: no C++ compiler (Debian, Ubuntu: apt install g++)" >&2; exit 1; }
	@# torch first and apart: which build it is decides gigabytes. The last resort is PyPI's, for CUDA.
	@pip="$(BIN)/python -m pip --disable-pip-version-check"; cp constraints.txt $(VENV)/constraints.txt; \
	$$pip install -q --no-compile '$(TORCH)' 2>/dev/null || $$pip install -q --no-compile --retries 1 --timeout 20 --index-url $(TORCH_INDEX) '$(TORCH)' 2>/dev/null || { \
	  echo "make: no CPU build of $(TORCH) for this Python, neither where pip looks nor at $(TORCH_INDEX); taking PyPI's torch" >&2; \
	  sed -i '/^torch==/s/+cpu//' $(VENV)/constraints.txt; }; \
	$$pip install -q --no-compile -c $(VENV)/constraints.txt -e '.[$(EXTRAS)]'
	@touch $@

# Through the environment, so that quotes in a command need no escaping.
export IMAGE COMMAND PICKS
demo: setup
	@$(BIN)/llavaseg demo $${IMAGE:+--image "$$IMAGE"} $${COMMAND:+--command "$$COMMAND"}

pick: setup
	@$(BIN)/llavaseg pick $${PICKS:+--picks "$$PICKS"}

# Two processes, a ROS domain each: most tests wait for a thread or a message. One thread of arithmetic each. One that
# crashes ends the run: started again by xdist, its share is never finished.
test: setup
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile --max-worker-restart 0

coverage: setup
	@mkdir -p out/coverage; rm -f out/coverage/data*
	@passed=0; OMP_NUM_THREADS=1 $(BIN)/python -m coverage run -m pytest -q -n $(JOBS) --dist loadfile || passed=$$?; \
	$(BIN)/python -m coverage combine -q; $(BIN)/python -m coverage html -q -d out/coverage; $(BIN)/python -m coverage report; exit $$passed

mutation: setup
	@$(BIN)/python test/mutation/run.py

lint: setup
	@$(BIN)/ruff check .
	@$(BIN)/mypy llavaseg_ros

clean:
	rm -rf $(VENV) build install log dist out .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

help:
	@sed -n '1,/^SHELL/{/^#/s/^# \{0,1\}//p}' Makefile
