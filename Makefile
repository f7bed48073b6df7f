# Everything runs in a private environment, .venv, made on demand and brought up to date when pyproject.toml or this file changes.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help demo test lint bench compare vectors torture mutants clean

PYTHON ?= python3
PY := .venv/bin/python
HASH := $(shell cat pyproject.toml Makefile | sha256sum | cut -c1-16)
HAVE := .venv/.have-$(HASH)
MODE ?= core
PLACEMENT ?= both
PYTEST_ARGS ?=
BENCH_ARGS ?=
COMPARE_ARGS ?=
TORTURE ?= full
JOBS ?= 2
LIVES ?= 1000000
MUTANTS ?= --sample 4
# make test PYTHON=python3.13: an environment of another Python than the one that is named is made anew.
ifneq ($(origin PYTHON),file)
ifneq ($(shell $(PYTHON) -V),$(shell $(PY) -V 2>/dev/null))
.PHONY: $(PY)
endif
endif
# Where the environment forbids them, every start of every daemon would compile all that it imports.
unexport PYTHONDONTWRITEBYTECODE
# A folder on the path, as an installation is: no hook that every start of Python and every import passes through.
EDITABLE := --config-settings editable_mode=compat --editable

help:  ## this list (each with PYTHON=python3.13 to name another Python than python3)
	@sed -nE 's/^([a-z]+):.*## (.*)$$/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 16

demo: $(HAVE)  ## a guided tour on a private daemon
	$(PY) -m supervisors demo

test: $(HAVE)-test  ## every test, JOBS=2 files at a time, and lint beside them; the slowest are listed
	@{ $(MAKE) --no-print-directory lint 2>&1 | tee .venv/lint.log; } & lint=$$!; tests=0; \
	  LIVES=$(LIVES) $(PY) -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder --durations 20 $(PYTEST_ARGS) || tests=$$?; \
	  wait $$lint || { cat .venv/lint.log; exit 1; }; exit $$tests

lint: $(HAVE)-test  ## ruff, strict mypy
	$(PY) -m ruff check .
	$(PY) -m mypy --strict -p actorcore -p supervisors -p benchmarks

bench: $(HAVE)-bench  ## every benchmark, each with its floor: BENCH_ARGS="--only P7,P10 --quick --json FILE"
	$(PY) -m benchmarks $(BENCH_ARGS)

compare: $(HAVE)-peers  ## the same work on what a user would pick instead: COMPARE_ARGS="--only actorcore,ray --json FILE"
	$(PY) -m benchmarks.compare $(COMPARE_ARGS)

vectors: $(HAVE)  ## replay recorded OTP vectors: DIR=<vectors> MODE=core|processes PLACEMENT=resident|process|both
	@test -n "$(DIR)" || { echo "usage: make vectors DIR=<directory of vectors> [MODE=core|processes] [PLACEMENT=both]" >&2; exit 2; }
	$(PY) -m tests.otp "$(DIR)" --mode "$(MODE)" --placement "$(PLACEMENT)"

torture: $(HAVE)-test  ## the goals' numbers, for hours: TORTURE=small|mid|full, or counts, as in R4_KILLS=5000 R8_KILLS=100
	TORTURE=$(TORTURE) $(PY) -m pytest -m "torture or sized" --timeout 7200 $(PYTEST_ARGS)
	$(PY) -m tests.otp --mode core
	$(PY) -m tests.otp --mode processes

mutants: $(HAVE)-test  ## R13: changed operators of each pure module, and who notices, in minutes; all, in hours: MUTANTS="--book FILE"
	$(PY) -m tests.mutants operators $(MUTANTS)

clean:  ## caches and build products; the environment stays (rm -r .venv)
	rm -rf build dist ./*.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find actorcore supervisors tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "Python 3.11 or newer is needed; name one: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null \
	  || { if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; \
	       then apt-get update && apt-get install -y python3-venv; \
	       else echo "$(PYTHON) has no ensurepip: install python3-venv (as root: apt-get install python3-venv)" >&2; exit 1; fi; }
	$(PYTHON) -m venv --clear .venv

# One stamp per set of extras and content of those two files; older stamps go, so that going back installs again.
$(HAVE): $(PY)
	$(PY) -m pip install --quiet $(EDITABLE) .
	@rm -f .venv/.have-*; touch $@

$(HAVE)-%: $(PY)
	$(PY) -m pip install --quiet $(EDITABLE) '.[$*]'
	@find .venv -maxdepth 1 -name '.have-*' ! -name '.have-$(HASH)*' -delete; touch $(HAVE) $@
