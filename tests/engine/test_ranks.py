"""Ranks: how launchers make them, and that two compute what one does."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel

from mmkd_custom.engine import launch
from mmkd_custom.errors import UserError
from mmkd_custom.stages import CUSTOMIZATION, DISTILLATION
from mmkd_custom.utils.files import load_checkpoint
from tests.cli import REPOSITORY, TINY, environment, free_port
from tests.helpers import (
    build_customkd,
    make_batch,
    make_domains,
    student_config,
)
from tests.two_ranks import TwoRanks

CONFIG = REPOSITORY / 'configs' / 'customkd_mbv3_domain_folder.py'


@pytest.fixture
def distribute(monkeypatch):
    """Makes this process a rank; gives the config and the groups opened."""
    for name in ('RANK', 'SLURM_PROCID', 'MASTER_PORT', 'SLURM_JOB_ID'):
        # Set first, so that what is set is undone.
        monkeypatch.setenv(name, 'unset')
        monkeypatch.delenv(name)
    opened = []
    monkeypatch.setattr(torch.distributed, 'init_process_group', opened.append)

    def make(launcher, device='cpu', options=(), **variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(launch, 'get_device', lambda: device)
        config = Config(dict(launcher=launcher, **dict(options)))
        launch._distribute(config)
        return config, opened

    return make


@pytest.mark.parametrize(
    'launcher, variables, word',
    [
        ('pytorch', {}, 'RANK'),
        ('slurm', {}, 'SLURM_PROCID'),
        ('mpi', {}, 'OMPI_COMM_WORLD_RANK'),
        # MMEngine's Slurm and MPI want an accelerator.
        ('slurm', dict(SLURM_PROCID='0'), 'CPU'),
    ],
)
def test_launcher_that_cannot_be_is_named(
    distribute, launcher, variables, word
):
    with pytest.raises(UserError) as error:
        distribute(launcher, **variables)
    for name in (f'--launcher {launcher}', word):
        assert name in str(error.value)


def test_gloo_on_a_cpu(distribute):
    assert 'model_wrapper_cfg' not in distribute('none')[0]
    config, opened = distribute('pytorch', RANK='0')
    assert opened == ['gloo']
    assert config.model_wrapper_cfg.device_ids is None
    mine = dict(model_wrapper_cfg=dict(type='Mine'))
    config, _ = distribute('pytorch', options=mine, RANK='0')
    assert config.model_wrapper_cfg == dict(type='Mine')
    config, opened = distribute('pytorch', device='cuda', RANK='0')
    assert len(opened) == 2 and 'model_wrapper_cfg' not in config


def test_slurm_jobs_that_meet_on_a_machine_have_ports_of_their_own(
    distribute, monkeypatch
):
    ports = set()
    for job, step in (('77', '0'), ('77', '1'), ('78', '0')):
        monkeypatch.delenv('MASTER_PORT', raising=False)
        names = dict(SLURM_JOB_ID=job, SLURM_STEP_ID=step, SLURM_PROCID='0')
        distribute('slurm', device='cuda', **names)
        ports.add(int(os.environ['MASTER_PORT']))
    assert len(ports) == 3
    assert all(20000 <= port < 32000 for port in ports)
    # A port of the user's is the user's.
    distribute('slurm', device='cuda', MASTER_PORT='4321')
    assert os.environ['MASTER_PORT'] == '4321'


RANK_DIGESTS = """
import json, os
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from tests.helpers import digests

@HOOKS.register_module()
class RankDigests(Hook):
    def after_train(self, runner):
        model = runner.model.module
        names = [name for name, _ in model.named_parameters()]
        # Of BatchNorm too, which BatchNormStatisticsHook makes one.
        names += [f'student.{k}' for k, _ in model.student.named_buffers()]
        values = digests(model)
        path = os.path.join(os.environ['DIGESTS'], f'{get_rank()}.json')
        with open(path, 'w') as file:
            json.dump({name: values[name] for name in names}, file)
"""


@pytest.mark.slow
def test_two_processes_finish_a_run(tmp_path):
    root = make_domains(tmp_path / 'data')
    work_dir = tmp_path / 'run'
    # The shipped config with a hook that tells each rank's parameters.
    (tmp_path / 'rank_digests.py').write_text(RANK_DIGESTS)
    config = tmp_path / CONFIG.name
    config.write_text(f"""
_base_ = {str(CONFIG)!r}
custom_imports = dict(imports=['rank_digests'])
model = dict(networks=dict(propagated=dict(type='PropagatedLabels')))
custom_hooks = [
    *_base_.custom_hooks,
    dict(type='StudentEMAHook'),
    dict(type='BatchNormStatisticsHook', batch_size=4),
    dict(type='SelectionHook', held_out=_base_.val_dataloader.dataset),
    dict(type='RankDigests')]
""")
    env = environment(
        DATA_ROOT=str(root),
        SOURCE='art',
        TARGET='photo',
        PORT=str(free_port()),
        CUDA_VISIBLE_DEVICES='',
        DIGESTS=str(tmp_path),
    )
    env['PYTHONPATH'] = os.pathsep.join([str(tmp_path), env['PYTHONPATH']])
    # The script takes the python of the path.
    folder = str(Path(sys.executable).parent)
    env['PATH'] = os.pathsep.join([folder, env['PATH']])
    arguments = [str(config), '2', '--work-dir', str(work_dir)]
    arguments += ['--cfg-options', *TINY, 'train_cfg.max_epochs=2']
    script = REPOSITORY / 'tools' / 'dist_train.sh'
    process = subprocess.Popen(
        ['bash', str(script), *arguments],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        output, _ = process.communicate(timeout=1000)
    except subprocess.TimeoutExpired:
        process.terminate()  # torchrun ends its workers then
        raise
    assert process.returncode == 0, output
    results = json.loads((work_dir / 'results.json').read_text())
    assert [entry['epoch'] for entry in results['history']] == [2]
    # All images of the target domain, each counted once: 18.
    hits = results['last']['accuracy/top1'] * 18 / 100
    assert hits == pytest.approx(round(hits), abs=1e-3)
    # They are the unlabelled ones too, shared by the ranks.
    chosen = results['selection']
    hits = chosen.pop('agreement') * 18 / 100
    assert hits == pytest.approx(round(hits), abs=1e-6)
    assert chosen == {f'held_out/{k}': v for k, v in results['last'].items()}
    student = load_checkpoint(work_dir / 'student.pth')['state_dict']
    assert not [k for k in student if k.startswith('module.')]
    first, second = (
        json.loads((tmp_path / f'{rank}.json').read_text()) for rank in (0, 1)
    )
    assert first and first == second


LABELS = [0, 1, 2, 3, None, None, None, None]


def build():
    """A model whose forward treats every image on its own."""
    student = student_config()
    # BatchNorm over half a batch is another function than over the whole.
    student['backbone']['norm_eval'] = True
    student['head']['dropout_rate'] = 0.0
    return build_customkd(student=student)


def gradients(model, stage, batch):
    core = getattr(model, 'module', model)
    model.train()
    core.set_stage(stage)
    model.zero_grad()
    data = core.data_preprocessor(batch, True)
    loss, _ = core.parse_losses(model(**data, mode='loss'))
    loss.backward()
    return {
        name: parameter.grad.clone()
        for name, parameter in core.named_parameters()
        if parameter.grad is not None
    }


@pytest.mark.slow
class TestDistributed(TwoRanks):
    """Runs each test in two gloo processes."""

    def test_gradients_equal_one_process(self):
        self.join_group()
        whole = make_batch(LABELS)
        # Rank 0 gets labelled 0, 1 and the first two unlabelled images.
        mine = [
            2 * self.rank,
            2 * self.rank + 1,
            4 + 2 * self.rank,
            5 + 2 * self.rank,
        ]
        part = dict(
            inputs=whole['inputs'][mine],
            data_samples=[whole['data_samples'][i] for i in mine],
        )
        for stage in (CUSTOMIZATION, DISTILLATION):
            model = MMDistributedDataParallel(
                build(), broadcast_buffers=False, find_unused_parameters=True
            )
            # No teacher in the reducer.
            teacher = {id(p) for p in model.module.teacher.parameters()}
            assert teacher
            assert not teacher & {id(p) for p in model.parameters()}
            got = gradients(model, stage, part)
            expected = gradients(build(), stage, make_batch(LABELS))
            assert got.keys() == expected.keys()
            trained = model.module.trained_children(stage)
            assert {name.split('.')[0] for name in got} <= {*trained}
            for name, gradient in expected.items():
                torch.testing.assert_close(
                    got[name], gradient, rtol=1e-3, atol=1e-5, msg=name
                )
