"""Every shipped config trains, evaluates and reports, on its own layout."""

import json
import math

import pytest
from mmengine.config import Config
from mmengine.registry import DefaultScope

from mmkd_custom.engine.config import load_config, prepare
from mmkd_custom.engine.launch import train
from mmkd_custom.fitting.config import inner_teacher
from mmkd_custom.registry import MODELS
from tests.cli import REPOSITORY, run_tool
from tests.helpers import make_domains
from tests.layouts import OFFICEHOME
from tests.models.teachers.open_clip.open_clip_models import register

CONFIGS = sorted(
    path.relative_to(REPOSITORY / 'configs').as_posix()
    for path in (REPOSITORY / 'configs').rglob('*.py')
    if '_base_' not in path.parts
)
#: Iterations of an epoch, and images that are tested.
STEPS, TESTED = 2, 6


def small(name: str) -> dict:
    """What makes a config small and offline; its structure stays."""
    alone = 'only_' in name
    # It may stand in its cache.
    _, teacher = inner_teacher(Config.fromfile(REPOSITORY / 'configs' / name))
    options = {
        'train_dataloader.batch_size': 4 if alone else 8,
        'train_dataloader.num_workers': 0,
        'train_dataloader.sampler.labelled': 4,
        'train_dataloader.sampler.unlabelled': 4,
        'train_dataloader.sampler.epoch_length': STEPS,
        'val_dataloader.num_workers': 0,
        'val_dataloader.dataset.indices': TESTED,
        'test_dataloader.dataset.indices': TESTED,
        'train_cfg.max_epochs': 2 if 'customkd' in name else 1,
        'default_hooks.logger.interval': 1,
    }
    if 'openclip' in name:
        options.update(
            {
                f'{teacher}.model_name': 'tiny-vit',
                f'{teacher}.pretrained': None,
            }
        )
    elif not alone:
        options.update(
            {
                f'{teacher}.model_name': 'test_vit',
                f'{teacher}.pretrained': False,
                f'{teacher}.checkpoint': None,
                f'{teacher}.input_size': 160,
            }
        )
    if 'imagenet' in name:
        # A ResNet takes any size; the pipelines stay those of the config.
        for stream in ('labelled', 'unlabelled'):
            path = f'train_dataloader.dataset.{stream}.pipeline.1.scale'
            options[path] = 64
        for loader in ('val_dataloader', 'test_dataloader'):
            options[f'{loader}.dataset.pipeline.2.crop_size'] = 64
        if not alone:
            options['model.input_size'] = 64
    if 'mbv3_officehome' in name or 'mbv3_domainnet' in name:
        path = 'model' if alone else 'model.student'
        options[f'{path}.backbone.init_cfg'] = None
    return options


def test_there_are_configs():
    assert 'customkd_mbv3_officehome.py' in CONFIGS
    protocols = (
        'mbv3_officehome',
        'mbv3_domainnet',
        'wrn28-2_cifar100_400',
        'r18_imagenet_1pct',
        'r50_imagenet_1pct',
        'r18_imagenet_10pct',
        'r50_imagenet_10pct',
    )
    for name in protocols:
        assert f'customkd_{name}.py' in CONFIGS
        assert f'customkd_{name}_openclip.py' in CONFIGS
        alone = 'source' if 'mbv3' in name else 'labelled'
        assert f'baselines/{alone}_only_{name}.py' in CONFIGS


@pytest.mark.parametrize('width', [2, 8])
def test_wide_students_fit_together(width):
    path = REPOSITORY / 'configs/_base_/students' / f'wrn28_{width}_cifar.py'
    student = Config.fromfile(path).student
    student.head.num_classes = 100
    with DefaultScope.overwrite_default_scope('mmkd_custom'):
        student = MODELS.build(student)
    assert student.backbone.out_channels == 64 * width
    assert student.head.fc.in_features == 64 * width


@pytest.mark.slow
@pytest.mark.parametrize('name', CONFIGS)
def test_config_trains_and_reports(name, layout, monkeypatch, tmp_path):
    for key, value in layout(name).items():
        monkeypatch.setenv(key, value)
    (tmp_path / 'models').mkdir()
    register(tmp_path / 'models')
    path = REPOSITORY / 'configs' / name
    work_dir = tmp_path / 'work'
    config = load_config(path, small(name))
    train(prepare(config, config_path=path, work_dir=str(work_dir)))

    results = json.loads((work_dir / 'results.json').read_text())
    assert results['config'] == path.name
    assert results['task'] == config.task
    assert len(results['split_sha256']) == 64
    assert 0 <= results['last']['accuracy/top1'] <= 100
    assert (work_dir / 'student.pth').is_file()
    scalars = [
        json.loads(line)
        for line in next(work_dir.glob('*/vis_data/scalars.json'))
        .read_text()
        .splitlines()
    ]
    losses = [entry['loss'] for entry in scalars if 'loss' in entry]
    assert len(losses) == STEPS * config.train_cfg.max_epochs
    assert all(map(math.isfinite, losses))
    if 'customkd' in name:
        terms = {key for entry in scalars for key in entry}
        assert {'loss_customization', 'loss_general'} <= terms


@pytest.mark.slow
@pytest.mark.parametrize('folder', ['Real World', 'Real_World'])
def test_flagship_runs_on_the_layout_of_officehome(tmp_path, folder):
    assert len(OFFICEHOME) == 65
    root = make_domains(
        tmp_path / 'data', ('Art', folder), OFFICEHOME, per_class=1
    )
    result = run_tool(
        'train.py',
        REPOSITORY / 'configs' / 'customkd_mbv3_officehome.py',
        '--work-dir',
        tmp_path / 'work',
        '--cfg-options',
        'train_cfg.max_epochs=2',
        'model.teacher.pretrained=False',
        'model.student.backbone.init_cfg=None',
        'train_dataloader.batch_size=4',
        'train_dataloader.num_workers=0',
        'train_dataloader.sampler.labelled=2',
        'train_dataloader.sampler.unlabelled=2',
        'train_dataloader.sampler.epoch_length=1',
        'val_dataloader.num_workers=0',
        DATA_ROOT=str(root),
        SOURCE='Art',
        TARGET='Real_World',
        SEED='0',
    )
    assert result.returncode == 0, result.stderr
    assert (tmp_path / 'work' / 'student.pth').is_file()
    assert (tmp_path / 'work' / 'results.json').is_file()


@pytest.mark.slow
def test_weights_that_cannot_be_downloaded_are_one_sentence(tmp_path):
    root = make_domains(
        tmp_path / 'data', ('Art', 'Clipart'), OFFICEHOME[:3], per_class=1
    )
    for options, words in (
        (['model.teacher.pretrained=False'], 'mobilenet_v3_large-3ea3c186'),
        ([], 'vit_base_patch14_dinov2'),
    ):
        result = run_tool(
            'train.py',
            REPOSITORY / 'configs' / 'customkd_mbv3_officehome.py',
            '--work-dir',
            tmp_path / 'work',
            '--cfg-options',
            'val_dataloader.num_workers=0',
            *options,
            DATA_ROOT=str(root),
            SOURCE='Art',
            TARGET='Clipart',
            SEED='0',
            HF_HUB_OFFLINE='1',
            TORCH_HOME=str(tmp_path / 'hub'),
            # No proxy answers there: a download fails at once.
            https_proxy='http://127.0.0.1:9',
            HTTPS_PROXY='http://127.0.0.1:9',
        )
        assert result.returncode == 2, result.stderr
        last = result.stderr.strip().splitlines()[-1]
        assert last.startswith('error: ') and words in last, last
        assert not list((tmp_path / 'work').glob('*.pth'))
