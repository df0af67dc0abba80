#!/usr/bin/env bash
# Installs what the tests need and runs them all: lint, format, pytest.
# Further arguments go to pytest. Without an active environment it makes
# .venv, with $PYTHON or python3.
set -euo pipefail
exec </dev/null

# Before anything is installed.
case "${1:-}" in -h | --help)
    echo "usage: $0 [pytest arguments] (environment: PYTHON)"
    exit 0
    ;;
esac
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# shellcheck source=tools/_venv.sh
. tools/_venv.sh

# Written last, so an interrupted installation is done again.
STAMP="$VENV/.mmkd_custom_test"
WANTED="$PWD $(sha256sum setup.py pyproject.toml | sha256sum)"
if [ "$(cat "$STAMP" 2>/dev/null)" != "$WANTED" ]; then
    "$PYTHON" -m pip install --quiet --upgrade pip
    "$PYTHON" -m pip install --quiet --editable '.[test]'
    echo "$WANTED" >"$STAMP"
fi

# One thread a process: the tests are many and small.
export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
exec "$PYTHON" -m pytest -q -n 2 "$@"
