#!/usr/bin/env bash
# All tests, the cheapest first; those with real containers need root and skip themselves without. usage: test.sh [all]
set -euo pipefail
cd "$(dirname "$0")/.."
marks="not slow"
[[ ${1:-} == all ]] && marks=""
exec .venv/bin/python -m pytest -m "$marks" --durations=10 tests/unit tests/cluster tests/clients tests/e2e
