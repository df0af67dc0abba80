"""Training and testing leave what was finished and nothing else."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from mmkd_custom.engine.config import load_config, prepare
from mmkd_custom.engine.launch import test as run_test
from mmkd_custom.engine.launch import train
from mmkd_custom.errors import UserError
from mmkd_custom.export.student import save_student
from mmkd_custom.registry import MODELS
from tests.cli import REPOSITORY, TINY, environment
from tests.helpers import make_domains

CONFIG = REPOSITORY / 'configs' / 'customkd_mbv3_domain_folder.py'
DOMAINS = dict(SOURCE='art', TARGET='photo', SEED='0')
NO_TEACHER = {'model.teacher.checkpoint': 'nothing.pth'}


@pytest.fixture
def root(tmp_path):
    return make_domains(tmp_path / 'data', per_class=2)


@pytest.fixture
def make(root, monkeypatch):
    """Prepares the shipped domain-folder config, made small."""
    for name, value in dict(DOMAINS, DATA_ROOT=str(root)).items():
        monkeypatch.setenv(name, value)

    def build(work_dir, options=(), **switches):
        config = load_config(
            CONFIG,
            {
                'model.teacher.model_name': 'test_efficientnet',
                'model.teacher.checkpoint': None,
                'train_dataloader.batch_size': 4,
                'train_dataloader.num_workers': 0,
                'train_dataloader.sampler.labelled': 2,
                'train_dataloader.sampler.unlabelled': 2,
                'val_dataloader.num_workers': 0,
                'test_dataloader.num_workers': 0,
                'train_cfg.max_epochs': 2,
                **dict(options),
            },
        )
        return prepare(
            config, config_path=CONFIG, work_dir=str(work_dir), **switches
        )

    return build


def tree(folder):
    """Every file's bytes, every folder."""
    return {
        path.relative_to(folder).as_posix(): (
            None if path.is_dir() else path.read_bytes()
        )
        for path in folder.rglob('*')
    }


def spoil(root, domain):
    """Makes one image of a domain unreadable."""
    (root / domain / 'owl' / '000.jpg').write_bytes(b'no jpeg')
    return root


def test_a_wrong_option_leaves_no_folder(make, tmp_path):
    kept = tmp_path / 'runs'
    kept.mkdir()
    with pytest.raises(UserError, match='nothing.pth'):
        train(make(kept / 'a' / 'b' / 'run', NO_TEACHER))
    assert os.listdir(kept) == []


def test_a_wrong_option_leaves_an_old_run_as_it_was(make, tmp_path):
    work_dir = tmp_path / 'run'
    (work_dir / 'sub').mkdir(parents=True)
    # The runner writes its snapshot over the first of these.
    for name in (CONFIG.name, 'epoch_7.pth', 'results.json', 'sub/log.txt'):
        (work_dir / name).write_text(f'old {name}')
    before = tree(work_dir)
    with pytest.raises(UserError, match='nothing.pth'):
        train(make(work_dir, NO_TEACHER))
    assert tree(work_dir) == before


def test_a_mistake_met_in_the_first_epoch_too(make, root, tmp_path):
    work_dir = tmp_path / 'run'
    work_dir.mkdir()
    # A fresh run replaces these when it starts.
    for name in (CONFIG.name, 'results.json', 'student.pth'):
        (work_dir / name).write_text(f'old {name}')
    before = tree(work_dir)
    config = make(work_dir)
    # Without TeacherMemoryHook, which would meet it before any epoch.
    config.custom_hooks = config.custom_hooks[:-1]
    spoil(root, 'art')
    with pytest.raises(UserError, match='000.jpg'):
        train(config)
    assert tree(work_dir) == before


def test_files_stay_once_an_epoch_is_done(make, tmp_path):
    work_dir = tmp_path / 'run'
    work_dir.mkdir()
    (work_dir / CONFIG.name).write_text('old')
    # The evaluation after the first epoch meets it.
    other = spoil(make_domains(tmp_path / 'other', per_class=2), 'photo')
    options = {
        'val_dataloader.dataset.data_root': str(other),
        'train_cfg.val_interval': 1,
    }
    with pytest.raises(UserError, match='000.jpg'):
        train(make(work_dir, options))
    saved = torch.load(work_dir / 'epoch_1.pth', weights_only=True)
    assert saved['meta']['epoch'] == 1
    assert (work_dir / CONFIG.name).read_text() != 'old'
    assert list(work_dir.glob('*/*.log'))
    assert not (work_dir / 'results.json').exists()


def test_train_gives_the_metrics_of_the_last_evaluation(make, tmp_path):
    metrics = train(make(tmp_path / 'run'))
    results = json.loads((tmp_path / 'run' / 'results.json').read_text())
    assert metrics == dict(results['history'][-1])
    assert metrics['epoch'] == 2
    assert 0 <= metrics['accuracy/top1'] <= 100


def test_a_run_without_evaluation_has_no_metrics(make, tmp_path):
    assert train(make(tmp_path / 'run', validate=False)) == {}
    assert (tmp_path / 'run' / 'student.pth').is_file()


@pytest.fixture
def student(make, tmp_path):
    """A plain student that calls everything an owl."""
    config = make(tmp_path / 'unused')
    model = MODELS.build(config.model.student)
    fc = model.head.layers[-1].fc
    torch.nn.init.zeros_(fc.weight)
    fc.bias.data = torch.tensor([0.0, 1.0, 2.0])
    path = tmp_path / 'student.pth'
    save_student(model.state_dict(), path)
    return path


def test_a_plain_student_is_tested_without_its_teacher(
    make, student, tmp_path
):
    metrics = run_test(make(tmp_path / 'test', NO_TEACHER), student)
    # A third of the images are owls; F1 is 1/2 for them, else 0.
    assert metrics['accuracy/top1'] == pytest.approx(100 / 3, abs=1e-3)
    assert metrics['single-label/f1-score'] == pytest.approx(100 / 6, abs=1e-3)


def test_a_checkpoint_of_a_run_builds_the_teacher(make, student, tmp_path):
    state = torch.load(student, weights_only=True)['state_dict']
    path = tmp_path / 'epoch_1.pth'
    torch.save({f'student.{key}': value for key, value in state.items()}, path)
    with pytest.raises(UserError, match='nothing.pth'):
        run_test(make(tmp_path / 'test', NO_TEACHER), path)
    assert not (tmp_path / 'test').exists()


@pytest.mark.parametrize('damage', ['torn', 'missing key'])
def test_weights_that_cannot_be_tested_leave_no_file(
    make, student, tmp_path, damage
):
    if damage == 'torn':
        student.write_bytes(student.read_bytes()[:1000])
    else:
        content = torch.load(student, weights_only=True)
        content['state_dict'].popitem()
        torch.save(content, student)
    with pytest.raises(UserError, match='student.pth'):
        run_test(make(tmp_path / 'a' / 'test'), student)
    assert not (tmp_path / 'a').exists()


@pytest.mark.slow
def test_weights_that_cannot_be_downloaded_are_named(
    make, tmp_path, monkeypatch
):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    # A port that nobody listens at.
    url = f'http://127.0.0.1:{free_port()}/weights/small-1a2b3c4d.pth'
    options = {
        'model.student.backbone.init_cfg': dict(
            type='Pretrained', checkpoint=url
        )
    }
    with pytest.raises(UserError, match='cannot be downloaded') as error:
        train(make(tmp_path / 'run', options))
    folder = tmp_path / 'torch' / 'hub' / 'checkpoints'
    for word in (f'put small-1a2b3c4d.pth from {url}', f'into {folder}.'):
        assert word in str(error.value)
    assert not (tmp_path / 'run').exists()
    # Put there by hand, it is found.
    model = MODELS.build(make(tmp_path / 'unused').model.student)
    weights = model.backbone.state_dict()
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(weights, folder / 'small-1a2b3c4d.pth')
    config = make(tmp_path / 'run', options, validate=False)
    config.optim_wrapper.optimizer.lr = 0.0
    train(config)
    student = torch.load(tmp_path / 'run' / 'student.pth', weights_only=True)
    name = 'layer0.conv.weight'
    assert torch.equal(
        student['state_dict'][f'backbone.{name}'], weights[name]
    )


def free_port():
    with socket.socket() as sock:
        sock.bind(('127.0.0.1', 0))
        return sock.getsockname()[1]


RANK_DIGESTS = """
import json, os
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS
from tests.helpers import digests

@HOOKS.register_module()
class RankDigests(Hook):
    def after_train(self, runner):
        names = dict(runner.model.module.named_parameters())
        values = digests(runner.model.module)
        path = os.path.join(os.environ['DIGESTS'], f'{get_rank()}.json')
        with open(path, 'w') as file:
            json.dump({name: values[name] for name in names}, file)
"""


@pytest.mark.slow
def test_two_processes_finish_a_run(tmp_path):
    root = make_domains(tmp_path / 'data')
    work_dir = tmp_path / 'run'
    # The shipped config with a hook that tells each rank's parameters.
    modules, ranks = tmp_path / 'modules', tmp_path / 'ranks'
    modules.mkdir()
    ranks.mkdir()
    (modules / 'rank_digests.py').write_text(RANK_DIGESTS)
    config = tmp_path / CONFIG.name
    config.write_text(f"""
_base_ = {str(CONFIG)!r}
custom_imports = dict(imports=['rank_digests'])
custom_hooks = [*_base_.custom_hooks, dict(type='RankDigests')]
""")
    arguments = [
        *('--work-dir', work_dir, '--cfg-options'),
        *(*TINY, 'train_cfg.max_epochs=2'),
    ]
    env = environment(
        DATA_ROOT=str(root),
        PORT=str(free_port()),
        CUDA_VISIBLE_DEVICES='',
        DIGESTS=str(ranks),
        **DOMAINS,
    )
    env['PYTHONPATH'] = os.pathsep.join([str(modules), env['PYTHONPATH']])
    # The script takes the python of the path.
    folder = str(Path(sys.executable).parent)
    env['PATH'] = os.pathsep.join([folder, env['PATH']])
    script = REPOSITORY / 'tools' / 'dist_train.sh'
    process = subprocess.Popen(
        ['bash', str(script), str(config), '2', *map(str, arguments)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        output, _ = process.communicate(timeout=240)
    except subprocess.TimeoutExpired:
        process.terminate()  # torchrun ends its workers then
        raise
    assert process.returncode == 0, output
    results = json.loads((work_dir / 'results.json').read_text())
    assert results['epochs'] == 2
    assert [entry['epoch'] for entry in results['history']] == [2]
    # All images of the target domain, each counted once: 18.
    hits = results['last']['accuracy/top1'] * 18 / 100
    assert hits == pytest.approx(round(hits), abs=1e-3)
    student = torch.load(work_dir / 'student.pth', weights_only=True)
    assert not [k for k in student['state_dict'] if k.startswith('module.')]
    assert all(torch.isfinite(v).all() for v in student['state_dict'].values())
    first, second = (
        json.loads((ranks / f'{rank}.json').read_text()) for rank in (0, 1)
    )
    assert first
    assert first == second
