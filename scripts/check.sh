#!/usr/bin/env bash
# ruff, mypy and the import contracts; each must pass.
set -euo pipefail
cd "$(dirname "$0")/.."
echo "==> ruff"
.venv/bin/ruff check --quiet .
.venv/bin/ruff format --check --quiet .
echo "==> mypy"
.venv/bin/mypy --no-error-summary pybernetes
echo "==> import contracts"
PYTHONPATH=. .venv/bin/lint-imports --no-logo | tail -n 12
echo "check: all passed"
