#!/usr/bin/env bash
# Tests a checkpoint on several GPUs of this machine, or of NNODES machines.
set -euo pipefail
USAGE='CONFIG CHECKPOINT GPUS [test.py arguments] (environment: NNODES NODE_RANK PORT MASTER_ADDR)' LEAST=3
# shellcheck source=tools/_launch.sh
. "$(dirname "${BASH_SOURCE[0]}")/_launch.sh"
on_gpus "$3" test.py "$1" "$2" "${@:4}"
