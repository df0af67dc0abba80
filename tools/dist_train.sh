#!/usr/bin/env bash
# Trains on several GPUs of this machine, or of NNODES machines.
set -euo pipefail
USAGE='CONFIG GPUS [train.py arguments] (environment: NNODES NODE_RANK PORT MASTER_ADDR)' LEAST=2
# shellcheck source=tools/_launch.sh
. "$(dirname "${BASH_SOURCE[0]}")/_launch.sh"
on_gpus "$2" train.py "$1" "${@:3}"
