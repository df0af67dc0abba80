"""Ranks: what launchers tell them, and gloo where there is no accelerator."""

from __future__ import annotations

import os
import subprocess

import torch
from mmengine.config import Config
from mmengine.device import get_device
from mmengine.dist import is_distributed

from ..errors import UserError

#: The environment variables in which a launcher tells a process its rank,
#: the number of ranks, and its rank on its machine.
VARIABLES = {
    'pytorch': ('RANK', 'WORLD_SIZE', 'LOCAL_RANK'),
    'slurm': ('SLURM_PROCID', 'SLURM_NTASKS', 'SLURM_LOCALID'),
    'mpi': (
        'OMPI_COMM_WORLD_RANK',
        'OMPI_COMM_WORLD_SIZE',
        'OMPI_COMM_WORLD_LOCAL_RANK',
    ),
}

#: Who starts processes that have them.
_STARTED_BY = {
    'pytorch': 'torchrun or tools/dist_*.sh',
    'slurm': 'srun or tools/slurm_*.sh',
    'mpi': 'mpirun',
}


def distribute(config: Config) -> None:
    """Makes this process a rank, as far as MMEngine does not.

    MMEngine's runner does the rest: on an accelerator all of it. On a CPU it
    fails, so gloo is set up here for each of its launchers.

    Args:
        config (Config): Of a runner; on a CPU its ``model_wrapper_cfg`` is
            set unless it says one.

    Raises:
        UserError: If its ``launcher`` has not started this process, or does
            not say which machine is the first.
    """
    launcher = config.get('launcher') or 'none'
    if launcher not in VARIABLES:
        return
    if not is_distributed():
        _check(launcher)
        if launcher == 'slurm':
            os.environ.setdefault('MASTER_PORT', str(_port_of_job()))
    if get_device() != 'cpu':
        return
    if not is_distributed():
        _translate(launcher)
        torch.distributed.init_process_group('gloo')
    if config.get('model_wrapper_cfg') is None:
        config.model_wrapper_cfg = dict(
            type='MMDistributedDataParallel',
            # Else MMEngine gives the rank's, which a CPU model must not have.
            device_ids=None,
            broadcast_buffers=False,
            find_unused_parameters=config.get('find_unused_parameters', False),
        )


def _check(launcher: str) -> None:
    """Checks that the launcher has started this process."""
    for name in VARIABLES[launcher][:2]:
        if name not in os.environ:
            raise UserError(
                f'--launcher {launcher}: the environment has no {name}, but '
                f'a process started by {_STARTED_BY[launcher]} is wanted.'
            )


def _port_of_job() -> int:
    """Gives a port that other Slurm jobs on the machine are not given.

    MMEngine's default is one for all: of two jobs that meet on a machine the
    second fails.
    """
    job, step = (
        int(os.environ.get(name, 0))
        for name in ('SLURM_JOB_ID', 'SLURM_STEP_ID')
    )
    # Below what systems give out to clients.
    return 20000 + (31 * job + step) % 12000


def _translate(launcher: str) -> None:
    """Says in torch's variables what the launcher says in its own."""
    if launcher == 'pytorch':
        return
    for theirs, ours in zip(VARIABLES[launcher], VARIABLES['pytorch']):
        if theirs in os.environ:
            os.environ[ours] = os.environ[theirs]
    # MMEngine's default.
    os.environ.setdefault('MASTER_PORT', '29500')
    if 'MASTER_ADDR' not in os.environ:
        os.environ['MASTER_ADDR'] = _first_machine(launcher)


def _first_machine(launcher: str) -> str:
    """Asks Slurm for the name of rank 0's machine."""
    if launcher != 'slurm':
        raise UserError(
            f'--launcher {launcher}: the environment has no MASTER_ADDR, but '
            'the name of the first machine is wanted there.'
        )
    nodes = os.environ.get('SLURM_NODELIST', '')
    try:
        names = subprocess.run(
            ['scontrol', 'show', 'hostnames', nodes],
            check=True,
            capture_output=True,
            text=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        # As in most containers.
        raise UserError(
            f'--launcher {launcher}: scontrol does not say which machine '
            f'of SLURM_NODELIST={nodes} is the first ({error}); its name '
            'is wanted in MASTER_ADDR.'
        ) from error
    return names.split()[0]
