"""Ranks: how they are told apart, and that two compute what one does."""

import os

import pytest
import torch
from mmengine.config import Config
from mmengine.model import MMDistributedDataParallel

from mmkd_custom.engine import distributed
from mmkd_custom.engine.distributed import VARIABLES, distribute
from mmkd_custom.errors import UserError
from mmkd_custom.stages import CUSTOMIZATION, DISTILLATION
from tests.helpers import build_customkd, make_batch, student_config
from tests.two_ranks import TwoRanks


@pytest.fixture
def started(monkeypatch):
    """Gives the environment of a launched process; notes gloo's start."""
    ours = [name for names in VARIABLES.values() for name in names]
    others = ['MASTER_ADDR', 'MASTER_PORT', 'SLURM_JOB_ID', 'SLURM_STEP_ID']
    for name in (*ours, *others, 'SLURM_NODELIST'):
        # Set first, so that what distribute() sets is undone.
        monkeypatch.setenv(name, 'unset')
        monkeypatch.delenv(name)
    opened = []

    def init(backend):
        names = (*VARIABLES['pytorch'], 'MASTER_ADDR', 'MASTER_PORT')
        opened.append((backend, *(os.environ.get(name) for name in names)))

    monkeypatch.setattr(torch.distributed, 'init_process_group', init)
    monkeypatch.setattr(distributed, 'get_device', lambda: 'cpu')

    def start(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return opened

    return start


@pytest.fixture
def scontrol(tmp_path, monkeypatch):
    """A stand-in for Slurm's, which expands a list of machines."""
    path = tmp_path / 'scontrol'
    path.write_text('#!/bin/sh\n[ "$3" = "box[3-4]" ] && printf "box3\\nbox4"')
    path.chmod(0o755)
    monkeypatch.setenv('PATH', f'{tmp_path}{os.pathsep}{os.environ["PATH"]}')


SLURM = dict(
    SLURM_PROCID='5',
    SLURM_NTASKS='8',
    SLURM_LOCALID='1',
    SLURM_NODELIST='box[3-4]',
    SLURM_JOB_ID='77',
    SLURM_STEP_ID='0',
)


def test_without_a_launcher_nothing_is_done(started):
    config, opened = Config(dict(launcher='none')), started()
    distribute(config)
    assert opened == [] and 'model_wrapper_cfg' not in config


@pytest.mark.parametrize(
    ('launcher', 'words'),
    [
        ('pytorch', 'no RANK, but a process started by torchrun'),
        ('slurm', 'no SLURM_PROCID, but a process started by srun'),
        ('mpi', 'no OMPI_COMM_WORLD_RANK, but a process started by mpirun'),
    ],
)
def test_a_launcher_that_did_not_start_it_is_told(started, launcher, words):
    started()
    with pytest.raises(UserError, match=f'--launcher {launcher}: .*{words}'):
        distribute(Config(dict(launcher=launcher)))
    rank, size, _ = VARIABLES[launcher]
    started(**{rank: '0'})
    with pytest.raises(UserError, match=f'no {size}, but'):
        distribute(Config(dict(launcher=launcher)))


@pytest.mark.parametrize('launcher', ['pytorch', 'slurm', 'mpi'])
def test_gloo_on_a_cpu(started, scontrol, launcher):
    variables = dict(zip(VARIABLES[launcher], '581'))
    if launcher == 'slurm':
        variables = SLURM
    else:
        variables.update(MASTER_ADDR='box3', MASTER_PORT='1234')
    opened, config = started(**variables), Config(dict(launcher=launcher))
    distribute(config)
    (found,) = opened
    assert found[:-1] == ('gloo', '5', '8', '1', 'box3')
    if launcher == 'slurm':
        assert 20000 <= int(found[-1]) < 32000
    else:
        assert found[-1] == '1234'
    assert config.model_wrapper_cfg.type == 'MMDistributedDataParallel'
    assert config.model_wrapper_cfg.device_ids is None


def test_a_wrapper_of_the_config_stays(started, scontrol):
    started(**SLURM)
    mine = dict(type='Mine')
    config = Config(dict(launcher='slurm', model_wrapper_cfg=mine))
    distribute(config)
    assert config.model_wrapper_cfg == mine


def test_mpi_wants_the_first_machine(started):
    opened = started(**dict(zip(VARIABLES['mpi'], '581')))
    with pytest.raises(UserError, match='no MASTER_ADDR, but the name of the'):
        distribute(Config(dict(launcher='mpi')))
    assert opened == []


def test_mpi_has_a_port_if_none_is_given(started):
    variables = dict(zip(VARIABLES['mpi'], '581'), MASTER_ADDR='box3')
    opened = started(**variables)
    distribute(Config(dict(launcher='mpi')))
    assert opened == [('gloo', '5', '8', '1', 'box3', '29500')]


@pytest.mark.parametrize('script', [None, '#!/bin/sh\nexit 1\n'])
def test_slurm_without_scontrol_wants_the_first_machine(
    started, tmp_path, monkeypatch, script
):
    opened = started(**SLURM)
    path = tmp_path / 'scontrol'
    if script is not None:
        path.write_text(script)
        path.chmod(0o755)
    monkeypatch.setenv('PATH', str(tmp_path))
    words = r'SLURM_NODELIST=box\[3-4\] is the first .* in MASTER_ADDR'
    with pytest.raises(UserError, match=words):
        distribute(Config(dict(launcher='slurm')))
    assert opened == []
    # As in a container, where there is none.
    started(MASTER_ADDR='box3')
    distribute(Config(dict(launcher='slurm')))
    assert opened[0][:-1] == ('gloo', '5', '8', '1', 'box3')


def test_a_group_that_is_there_is_taken(started, monkeypatch):
    monkeypatch.setattr(distributed, 'is_distributed', lambda: True)
    config, opened = Config(dict(launcher='pytorch')), started()
    distribute(config)
    assert opened == []
    assert config.model_wrapper_cfg.type == 'MMDistributedDataParallel'


def test_on_an_accelerator_mmengine_does_it(started, monkeypatch):
    monkeypatch.setattr(distributed, 'get_device', lambda: 'cuda')
    config, opened = Config(dict(launcher='slurm')), started(**SLURM)
    distribute(config)
    assert opened == [] and 'model_wrapper_cfg' not in config
    # But for the port, which MMEngine takes from there.
    assert os.environ['MASTER_PORT'] != '29500'


def test_jobs_that_meet_on_a_machine_have_ports_of_their_own(
    started, scontrol, monkeypatch
):
    ports = set()
    for job, step in ((77, 0), (77, 1), (78, 0), (79, 0)):
        started(
            **{**SLURM, **dict(SLURM_JOB_ID=str(job), SLURM_STEP_ID=str(step))}
        )
        monkeypatch.delenv('MASTER_PORT', raising=False)
        distribute(Config(dict(launcher='slurm')))
        ports.add(os.environ['MASTER_PORT'])
    assert len(ports) == 4
    # A port of the user's is the user's.
    started(**SLURM, MASTER_PORT='4321')
    distribute(Config(dict(launcher='slurm')))
    assert os.environ['MASTER_PORT'] == '4321'


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
        for stage, trained in (
            (CUSTOMIZATION, 'teacher_projection.'),
            (DISTILLATION, 'student'),
        ):
            model = MMDistributedDataParallel(
                build(), broadcast_buffers=False, find_unused_parameters=True
            )
            got = gradients(model, stage, part)
            expected = gradients(build(), stage, make_batch(LABELS))
            assert got.keys() == expected.keys()
            assert all(name.startswith(trained) for name in got)
            for name, gradient in expected.items():
                torch.testing.assert_close(
                    got[name], gradient, rtol=1e-3, atol=1e-5, msg=name
                )

    def test_no_teacher_in_the_reducer(self):
        self.join_group()
        model = MMDistributedDataParallel(build(), find_unused_parameters=True)
        teacher = {id(p) for p in model.module.teacher.parameters()}
        assert teacher
        assert not teacher & {id(p) for p in model.parameters()}
