# The verbs, for people and for CI alike. Everything lives in .venv; nothing is installed elsewhere.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BENCH_STAMP := $(VENV)/.bench-installed

.PHONY: setup demo test test-unit test-faults check dev serve bench bench-serving bench-stats bench-agents bench-policies bench-decisioning soak pictures lock clean

setup: $(STAMP)

# Hash-locked, wheels only, no dependency resolution: the lock file is the whole truth.
$(STAMP): requirements/lock.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "Found Python %d.%d. Expected 3.11 or newer. What to do: make PYTHON=python3.11 setup" % sys.version_info[:2])'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: -r requirements/lock.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps -e .
	touch $@

# ONCE=1 ends after the summary; without it the shop stays open until Ctrl-C.
demo: setup
	$(BIN)/nextbest demo $(if $(ONCE),--once)

test: setup
	$(BIN)/python -m pytest

test-unit: setup
	$(BIN)/python -m pytest -m "not slow"

# Everything that can break, broken at its whole size (docs/when-things-fail.md). NEXTBEST_FAULTS=short (make test) takes small ones.
test-faults: setup
	NEXTBEST_FAULTS=whole $(BIN)/python -m pytest tests/faults -m faults -n 0 -s

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/sqlfluff lint --disable-progress-bar dbt_project

dev: setup
	$(BIN)/nextbest dev

serve: setup
	$(BIN)/nextbest serve

# The peers, at the product's own pins: pip finds all they need in place and adds what only they bring.
$(BENCH_STAMP): $(STAMP) requirements/bench.lock.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: -r requirements/bench.lock.txt
	touch $@

bench: $(BENCH_STAMP)
	$(BIN)/python -m benchmarks

# Ratios to yardsticks of the same run (about four minutes, the first time two more); on an idle machine.
bench-serving: setup
	$(BIN)/python -m benchmarks.serving

# What experiments promise, over 10,000 simulated ones (about two minutes).
bench-stats: setup
	$(BIN)/python -m benchmarks.experiments

# Agents beside chance, the best single message and Vowpal Wabbit, 20 simulated crowds.
bench-agents: setup
	$(BIN)/python -m benchmarks.agents --seeds 20 --first 100 --jobs 2

# Two policies of one agent beside each other: verdicts and lifts beside the truth, ten simulated crowds.
bench-policies: setup
	$(BIN)/python -m benchmarks.agent_policies

# Policies on logged data: never below the best single action, streams beside Vowpal Wabbit, coverage of intervals (an hour).
bench-decisioning: setup
	$(BIN)/python -m benchmarks.decisioning mailings
	$(BIN)/python -m benchmarks.decisioning agents
	$(BIN)/python -m benchmarks.decisioning regret
	$(BIN)/python -m benchmarks.decisioning coverage

soak: setup
	$(BIN)/python -m benchmarks.serving.soak

# Taken from what the last `make demo` left behind, in a real browser.
pictures: setup
	$(BIN)/python -m docs.make_pictures all .nextbest/demo docs/pictures

# Needs uv on the PATH; resolves anew for every supported Python and writes hashes, no addresses.
lock:
	uv pip compile requirements/dev.in --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --only-binary :all: --no-header --output-file requirements/lock.txt
	uv pip compile requirements/bench.in --constraint requirements/lock.txt --override requirements/bench.overrides.txt \
	  --universal --python-version 3.11 --generate-hashes --no-emit-index-url --only-binary :all: --no-header \
	  --no-emit-package pm-implicit --no-emit-package fastrlock --output-file requirements/bench.lock.txt

clean:
	rm -rf $(VENV) .nextbest
