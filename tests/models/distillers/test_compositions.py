"""Parts combine by configuration alone: trained, in two processes, resumed."""

import subprocess
import sys

import pytest
import torch

from mmkd_custom.models.distillers import mimicking
from tests.cli import REPOSITORY, environment, free_port
from tests.helpers import make_domains
from tests.models.distillers import every_part
from tests.models.distillers.compositions import (
    COMPOSITIONS,
    EVERY_LOSS,
    train_and_resume,
)
from tests.models.networks.cases import OF_NO_IMAGE

#: Those of the last stage, which are what is left in the log.
TERMS = {
    'maps_ramp_strong_view_discriminator': {
        'ce',
        'kd',
        'hint',
        'strong',
        'domain',
    },
    'two_teachers': {'ce', 'relation', 'contrast'},
    'customkd_with_dkd_and_a_hint': {
        'ce',
        'general',
        'specific',
        'dkd',
        'hint',
    },
    'losses_that_remember': {
        'ce',
        'general',
        'specific',
        'directions',
        'queue',
        'confident',
    },
    'propagated_labels': {'ce', 'general', 'specific', 'propagated'},
    'averaged_student': {'ce', 'mean'},
    'scalekd': {
        'ce',
        'soft',
        *(f'stage{i}_{v}' for i in (3, 4) for v in mimicking.VIEWS),
    },
    'every_loss': {'ce', *EVERY_LOSS},
    'every_part': {'ce', *every_part.TERMS},
}


def test_every_part_is_in_one_of_them():
    connectors, networks = every_part.registered()
    assert connectors == set(every_part.CONNECTORS)
    used = {n['type'] for n in every_part.NETWORKS.values()}
    assert networks - OF_NO_IMAGE == used


@pytest.mark.slow
@pytest.mark.parametrize('name', list(COMPOSITIONS))
def test_it_trains_and_resumes_bit_for_bit(name, tmp_path, monkeypatch):
    make_domains(tmp_path / 'data', per_class=3)
    for key, value in dict(
        DATA_ROOT=str(tmp_path / 'data'), SOURCE='art', TARGET='photo'
    ).items():
        monkeypatch.setenv(key, value)
    runner = train_and_resume(name, tmp_path)
    scalars = runner.message_hub.log_scalars
    logged = {
        key[len('train/loss_') :]: scalars[key].current()
        for key in scalars
        if key.startswith('train/loss_')
    }
    assert set(logged) == TERMS[name]
    assert all(torch.isfinite(torch.tensor(v)) for v in logged.values())


@pytest.mark.slow
def test_in_two_processes_too(tmp_path):
    make_domains(tmp_path / 'data', per_class=3)
    done = subprocess.run(
        [
            sys.executable,
            '-m',
            'torch.distributed.run',
            '--nproc_per_node=2',
            f'--master_port={free_port()}',
            '-m',
            'tests.models.distillers.compositions',
            str(tmp_path),
        ],
        cwd=REPOSITORY,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for name in COMPOSITIONS:
        assert done.stdout.count(f'{name}: resumed bit for bit') == 2
