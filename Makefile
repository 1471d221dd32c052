# The developer's and CI's commands. `make run` and `make test` do all their own set-up on a fresh Debian or Ubuntu.
PYTHON ?= python3
BIN := .venv/bin
PYBERNETES := $(BIN)/python -m pybernetes

.PHONY: run stop test test-all conformance check bench setup setup-host clean

run: setup-host setup           ## a cluster on this machine with a demo application
	@$(BIN)/python scripts/run.py

stop:                           ## remove the cluster and everything it made
	@$(PYBERNETES) down

test: setup-host setup          ## everything but the slow tests
	@scripts/test.sh

test-all: setup-host setup      ## the slow and the exhaustive as well
	@scripts/test.sh all

conformance: setup-host setup    ## upstream's own suite (of v1.20), built here; an hour
	@$(BIN)/python -m tests.upstream

check: setup                    ## ruff, mypy, import contracts
	@scripts/check.sh

bench: setup-host setup         ## the rows of docs/status.md, measured here
	@$(BIN)/python -m benchmarks

setup: .venv/.installed         ## the virtual environment with pinned packages
	@$(BIN)/python -m compileall -q pybernetes

.venv/.installed: pyproject.toml
	@scripts/setup.sh $(PYTHON)

setup-host:                     ## containerd, runc, CNI plugins, nftables, iproute2 from the distribution
	@scripts/setup-host.sh

clean:
	rm -rf .venv build *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache
