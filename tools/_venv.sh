# shellcheck shell=bash
# Sourced by demo.sh and test.sh in the repository's folder. Takes the active
# environment, virtual or of conda (its base aside, which is not for packages
# of one project), else makes .venv with $PYTHON or python3. Sets VENV, its
# folder, and PYTHON, its interpreter.
VENV="${VIRTUAL_ENV:-}"
if [ -z "$VENV" ] && [ "${CONDA_DEFAULT_ENV:-}" != base ]; then
    VENV="${CONDA_PREFIX:-}"
fi
if [ -z "$VENV" ]; then
    VENV="$PWD/.venv"
    # A venv whose making was interrupted has no pip.
    [ -x "$VENV/bin/pip" ] ||
        "${PYTHON:-python3}" -m venv --clear "$VENV"
    export VIRTUAL_ENV="$VENV" PATH="$VENV/bin:$PATH"
fi
PYTHON="$VENV/bin/python"
