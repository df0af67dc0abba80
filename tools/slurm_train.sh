#!/usr/bin/env bash
# Trains as a Slurm job.
set -euo pipefail
USAGE='PARTITION JOB_NAME CONFIG WORK_DIR [train.py arguments] (environment: GPUS GPUS_PER_NODE CPUS_PER_TASK SRUN_ARGS)' LEAST=4
# shellcheck source=tools/_launch.sh
. "$(dirname "${BASH_SOURCE[0]}")/_launch.sh"
on_slurm "$1" "$2" train.py "$3" --work-dir="$4" "${@:5}"
