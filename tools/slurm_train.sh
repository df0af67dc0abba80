#!/usr/bin/env bash
# Trains as a Slurm job.
set -euo pipefail

usage() {
    echo "usage: $0 PARTITION JOB_NAME CONFIG WORK_DIR [train.py arguments]" \
        "(environment: GPUS GPUS_PER_NODE CPUS_PER_TASK SRUN_ARGS)"
}
case "${1:-}" in -h | --help)
    usage
    exit 0
    ;;
esac
if [ $# -lt 4 ]; then
    usage >&2
    exit 2
fi
TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
GPUS_PER_NODE=${GPUS_PER_NODE:-8}

# SRUN_ARGS is several arguments in one variable: splitting it is meant.
# shellcheck disable=SC2086
PYTHONPATH="$TOOLS/..${PYTHONPATH:+:$PYTHONPATH}" \
    exec srun -p "$1" \
    --job-name="$2" \
    --gres="gpu:$GPUS_PER_NODE" \
    --ntasks="${GPUS:-8}" \
    --ntasks-per-node="$GPUS_PER_NODE" \
    --cpus-per-task="${CPUS_PER_TASK:-5}" \
    --kill-on-bad-exit=1 \
    ${SRUN_ARGS:-} \
    python -u "$TOOLS/train.py" "$3" --work-dir="$4" --launcher=slurm "${@:5}"
