"""Configs that read what an earlier step has fitted: each step, in order."""

import json

import pytest
import torch
import torch.nn.functional as F

from mmkd_custom.engine.config import load_config, prepare
from mmkd_custom.engine.launch import build_runner, train
from mmkd_custom.fitting import FitProbeHook
from mmkd_custom.fitting.adapt import adapt_config
from mmkd_custom.fitting.probe import probe_config
from mmkd_custom.fitting.training import AdaptSettings
from mmkd_custom.models.teachers import TimmTeacher
from tests.configs.shipped import FITTED, ROOT
from tests.helpers import forget_instances, make_domains

FOLDER = 'good_practices/'
SMALL = {
    'train_dataloader.batch_size': 4,
    'train_dataloader.num_workers': 0,
    'train_dataloader.sampler.labelled': 2,
    'train_dataloader.sampler.unlabelled': 2,
    'train_dataloader.sampler.epoch_length': 1,
    'val_dataloader.num_workers': 0,
    'train_cfg.max_epochs': 1,
}
#: A ViT of three blocks in place of twelve.
NARROW = dict(embed_dim=24, depth=3, num_heads=3)


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Loads configs on nine images a domain, with a tiny teacher's weights."""
    torch.manual_seed(0)
    weights = TimmTeacher('test_efficientnet', input_size=64).model
    torch.save(weights.state_dict(), tmp_path / 'teacher.pth')
    for name, value in dict(
        DATA_ROOT=make_domains(tmp_path / 'data', per_class=3),
        SOURCE='art',
        TARGET='photo',
        HEADS=tmp_path / 'heads',
        SMALL_VIT=tmp_path / 'vit' / 'student.pth',
        SYNTHETIC=tmp_path / 'data' / 'photo',
    ).items():
        monkeypatch.setenv(name, str(value))

    def make(name, teacher=None, **options):
        if teacher:
            options[f'{teacher}.model_name'] = 'test_efficientnet'
            options[f'{teacher}.checkpoint'] = str(tmp_path / 'teacher.pth')
        return load_config(ROOT / name, {**SMALL, **options})

    return make


@pytest.fixture
def trained(tmp_path):
    """Trains a config, and returns its results."""

    def run(config, folder=None):
        forget_instances()
        folder = tmp_path / (folder or 'work')
        train(
            prepare(
                config,
                config_path=config.filename,
                work_dir=str(folder),
                validate=True,
                overwrite=True,
            )
        )
        return json.loads((folder / 'results.json').read_text())

    return run


INSIDE = 'model.teacher.teacher.teacher'


def test_one_run_fits_the_probe_that_the_tool_writes(small, trained, tmp_path):
    config = small(FOLDER + 'probed.py', INSIDE)
    probe, _, path = probe_config(config)
    assert path == tmp_path / 'heads' / 'probe_art_0.safetensors'
    by_tool = trained(config)

    config = small(
        FOLDER + 'probe_then_distil.py',
        'model.teacher.teacher',
        **{'train_cfg.max_epochs': 2},
    )
    forget_instances()
    runner = build_runner(
        prepare(
            config,
            config_path=config.filename,
            work_dir=str(tmp_path / 'one'),
        )
    )
    runner.train()
    layer = runner.model.networks['probe'].fc
    weight = probe.tensors['weight'] / probe.tensors['std']
    # Two epochs of training have not moved it; the cache has half precision.
    alike = F.cosine_similarity(layer.weight, weight)
    assert alike.min() > 0.999
    results = json.loads((tmp_path / 'one' / 'results.json').read_text())
    assert results['teacher'] == by_tool['teacher']
    # Resumed, it is what it was, and not fitted anew.
    with torch.no_grad():
        layer.weight.add_(1.0)
    hook = next(h for h in runner.hooks if isinstance(h, FitProbeHook))
    hook.before_train(runner)
    assert (layer.weight - weight).mean().item() == pytest.approx(1, abs=0.1)


def test_an_adapted_teacher_is_measured_beside_its_student(small, trained):
    config = small(FOLDER + 'fine_tuned.py', INSIDE)
    settings = AdaptSettings('full', epochs=2, holdout=0)
    assert settings.lr < AdaptSettings('norm').lr
    adaptation, _ = adapt_config(config, settings)
    assert {key.partition('/')[0] for key in adaptation.tensors} == {
        'full',
        'head.weight',
        'head.bias',
    }
    results = trained(config)
    assert results['teacher'].keys() == results['last'].keys() - {'epoch'}
    assert 0 <= results['teacher']['accuracy/top1'] <= 100


def test_each_row_reads_a_file_of_its_own(small):
    files = set()
    for name, option in dict(
        probed='probe',
        fine_tuned='adaptation',
        norm_layers='adaptation',
        lora='adaptation',
    ).items():
        teacher = small(f'{FOLDER}{name}.py').model.teacher.teacher
        files.add(teacher[option])
    assert len(files) == 4


@pytest.mark.slow
@pytest.mark.parametrize('name', ['alpha_temperature', 'mixed', 'synthetic'])
def test_variants_of_one_run_train(name, small, trained, monkeypatch):
    monkeypatch.setenv('ALPHA', '0.3')
    monkeypatch.setenv('TEMPERATURE', '4')
    more = {}
    if name == 'synthetic':
        more = {
            'train_dataloader.batch_size': 6,
            'train_dataloader.sampler.synthetic': 2,
        }
    config = small(f'{FOLDER}{name}.py', 'model.teacher.teacher', **more)
    assert trained(config)['epochs'] == 1
    if name == 'alpha_temperature':
        term = config.model.terms.kd
        assert (term.weight, term.loss.temperature) == (0.3, 4)
        assert config.model.supervised_weight == pytest.approx(0.7)


def test_a_vit_that_was_fitted_here_teaches(small, trained):
    narrow = {f'model.{k}': v for k, v in NARROW.items()}
    config = small(
        'small_vit/small_vit_teacher.py',
        **{
            **narrow,
            'train_dataloader.batch_size': 2,
            'train_cfg.max_epochs': 2,
            'train_cfg.val_interval': 2,
            'param_scheduler.0.end': 1,
            'param_scheduler.1.begin': 1,
        },
    )
    last = trained(config, 'vit')['last']
    narrow = {f'model.teacher.teacher.{k}': v for k, v in NARROW.items()}
    for name in ('scalekd', 'soft_target'):
        config = small(f'small_vit/small_vit_{name}.py', **narrow)
        # The same network sees the same images.
        found = trained(config, name)['teacher']
        assert found == pytest.approx(
            {k: v for k, v in last.items() if k != 'epoch'}, abs=1e-3
        )


def test_every_such_config_is_tried_here():
    here = open(__file__, encoding='utf-8').read()
    for name in FITTED:
        stem = name.split('/')[-1][: -len('.py')]
        assert stem.replace('small_vit_', '') in here, name
