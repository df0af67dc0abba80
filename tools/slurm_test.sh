#!/usr/bin/env bash
# Tests a checkpoint as a Slurm job.
set -euo pipefail
USAGE='PARTITION JOB_NAME CONFIG CHECKPOINT [test.py arguments] (environment: GPUS GPUS_PER_NODE CPUS_PER_TASK SRUN_ARGS)' LEAST=4
# shellcheck source=tools/_launch.sh
. "$(dirname "${BASH_SOURCE[0]}")/_launch.sh"
on_slurm "$1" "$2" test.py "$3" "$4" "${@:5}"
