#!/usr/bin/env bash
# Trains on several GPUs of this machine, or of NNODES machines.
set -euo pipefail

usage() {
    echo "usage: $0 CONFIG GPUS [train.py arguments]" \
        "(environment: NNODES NODE_RANK PORT MASTER_ADDR)"
}
case "${1:-}" in -h | --help)
    usage
    exit 0
    ;;
esac
if [ $# -lt 2 ] || [[ ! $2 =~ ^([1-9][0-9]*|gpu|cpu|auto)$ ]]; then
    usage >&2
    exit 2
fi
TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

PYTHONPATH="$TOOLS/..${PYTHONPATH:+:$PYTHONPATH}" \
    exec python "$TOOLS/_torchrun.py" \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$2" \
    "$TOOLS/train.py" "$1" --launcher pytorch "${@:3}"
