#!/usr/bin/env bash
# Installs what the tests need and runs them all: lint, format, pytest.
# Further arguments go to pytest. Without an active virtual environment it
# makes .venv, with $PYTHON or python3.
set -euo pipefail
exec </dev/null
cd "$(dirname "${BASH_SOURCE[0]}")/.."

if [ -z "${VIRTUAL_ENV:-}" ]; then
    VIRTUAL_ENV="$PWD/.venv"
    # A venv whose making was interrupted has no pip.
    [ -x "$VIRTUAL_ENV/bin/pip" ] ||
        "${PYTHON:-python3}" -m venv --clear "$VIRTUAL_ENV"
    export VIRTUAL_ENV PATH="$VIRTUAL_ENV/bin:$PATH"
fi
PYTHON="$VIRTUAL_ENV/bin/python"

# Written last, so an interrupted installation is done again.
STAMP="$VIRTUAL_ENV/.mmkd_custom_test"
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
