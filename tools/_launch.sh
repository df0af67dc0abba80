# shellcheck shell=bash
# Sourced by dist_*.sh and slurm_*.sh, which set USAGE, and LEAST: how many
# arguments they need.
usage="usage: $0 $USAGE"
case "${1:-}" in -h | --help)
    echo "$usage"
    exit 0
    ;;
esac
if [ $# -lt "$LEAST" ]; then
    echo "$usage" >&2
    exit 2
fi
TOOLS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PYTHONPATH="$TOOLS/..${PYTHONPATH:+:$PYTHONPATH}"

# on_gpus GPUS TOOL [arguments]
on_gpus() {
    if [[ ! $1 =~ ^([1-9][0-9]*|gpu|cpu|auto)$ ]]; then
        echo "$usage" >&2
        exit 2
    fi
    exec python "$TOOLS/_torchrun.py" \
        --nnodes="${NNODES:-1}" \
        --node_rank="${NODE_RANK:-0}" \
        --master_addr="${MASTER_ADDR:-127.0.0.1}" \
        --master_port="${PORT:-29500}" \
        --nproc_per_node="$1" \
        "$TOOLS/$2" --launcher=pytorch "${@:3}"
}

# on_slurm PARTITION JOB_NAME TOOL [arguments]
on_slurm() {
    local per_node=${GPUS_PER_NODE:-8}
    # SRUN_ARGS is several arguments in one variable: splitting it is meant.
    # shellcheck disable=SC2086
    exec srun -p "$1" \
        --job-name="$2" \
        --gres="gpu:$per_node" \
        --ntasks="${GPUS:-8}" \
        --ntasks-per-node="$per_node" \
        --cpus-per-task="${CPUS_PER_TASK:-5}" \
        --kill-on-bad-exit=1 \
        ${SRUN_ARGS:-} \
        python -u "$TOOLS/$3" --launcher=slurm "${@:4}"
}
