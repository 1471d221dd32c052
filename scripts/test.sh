#!/usr/bin/env bash
# All tests in four stages, cheapest first. usage: test.sh [all]
set -euo pipefail
cd "$(dirname "$0")/.."
marks="not slow"; [[ ${1:-} == all ]] && marks=""
e2e=()
[[ $(id -u) -eq 0 ]] || { echo "==> not root: tests with real containers are left out"; e2e=(--deselect-e2e); }
.venv/bin/python -m pytest -m "$marks" --durations=10 "${e2e[@]}" tests
