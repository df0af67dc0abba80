"""What of a config tells a run from others."""

import json

import pytest
from mmengine.config import Config

from mmkd_custom.engine.config import load_config, prepare
from mmkd_custom.engine.identity import identity, settings_of
from mmkd_custom.utils.runs import differing
from tests.cli import REPOSITORY
from tests.helpers import make_domains

CONFIG = REPOSITORY / 'configs' / 'customkd_mbv3_domain_folder.py'


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return make_domains(tmp_path_factory.mktemp('data'), per_class=1)


@pytest.fixture
def make(root, monkeypatch):
    """Tells the run of the shipped config from others."""
    for name, value in dict(
        DATA_ROOT=str(root), SOURCE='art', TARGET='photo', SEED='0'
    ).items():
        monkeypatch.setenv(name, value)

    def build(options=(), path=CONFIG, **switches):
        config = load_config(path, dict(options))
        prepare(config, config_path=path, **switches)
        return identity(config, seed=config.randomness.seed, task=config.task)

    return build


@pytest.mark.parametrize(
    'option, value',
    [
        ('optim_wrapper.optimizer.lr', 0.1),
        ('model.general_weight', 3),
        ('model.schedule.distillation', 3),
        ('model.teacher.teacher.checkpoint', 'others.pth'),
        ('model.student.backbone.arch', 'large'),
        ('train_dataloader.batch_size', 12),
        ('train_dataloader.sampler.epoch_length', 7),
        ('train_dataloader.dataset.labelled.labels_per_class', 1),
        ('train_dataloader.dataset.unlabelled.pipeline.1.scale', 33),
        ('val_dataloader.dataset.pipeline.1.scale', 33),
        ('param_scheduler.0.end', 3),
        ('custom_hooks.0.type', 'EMAHook'),
    ],
)
def test_what_decides_the_course_of_a_run_counts(make, option, value):
    before, after = make(), make({option: value})
    assert before['config_sha256'] != after['config_sha256']
    different = differing(before, after)
    assert f'expected {option}={value!r}, got' in different
    assert after['options'] == {option: value}


def test_environment_counts(make, monkeypatch):
    before = make()
    assert differing(before, make(validate=False)) is None
    monkeypatch.setenv('SEED', '1')
    assert differing(before, make())
    monkeypatch.setenv('SEED', '0')
    monkeypatch.setenv('SOURCE', 'photo')
    monkeypatch.setenv('TARGET', 'art')
    assert before['config_sha256'] != make()['config_sha256']


@pytest.mark.parametrize(
    'option, value',
    [
        ('work_dir', '/elsewhere'),
        ('model.teacher.cache_dir', '/elsewhere'),
        ('train_dataloader.num_workers', 0),
        ('val_dataloader.batch_size', 3),
        ('train_cfg.max_epochs', 7),
        ('train_cfg.val_interval', 7),
        ('default_hooks.checkpoint.interval', 7),
        ('log_level', 'ERROR'),
        ('visualizer.vis_backends.0.type', 'TensorboardVisBackend'),
        ('env_cfg.cudnn_benchmark', True),
    ],
)
def test_paths_and_length_do_not(make, option, value):
    before, after = make(), make({option: value})
    assert before['config_sha256'] == after['config_sha256']
    assert differing(before, after) is None
    if option == 'train_cfg.max_epochs':
        assert (after['max_epochs'], after['max_iters']) == (7, None)
        assert 'max_epochs=7' in differing(before, after, length=True)


def test_where_the_data_and_the_config_lie_does_not(
    make, tmp_path, monkeypatch
):
    before = make()
    moved = make_domains(tmp_path / 'elsewhere', per_class=1)
    monkeypatch.setenv('DATA_ROOT', str(moved))
    renamed = tmp_path / 'renamed.py'
    renamed.write_text(f'_base_ = {str(CONFIG)!r}\n')
    after = make(path=renamed)
    assert before['config_sha256'] == after['config_sha256']
    assert (before['config'], after['config']) == (CONFIG.name, 'renamed.py')
    assert differing(before, after) is None


def test_what_the_data_decides_is_known_only_with_the_data(make):
    resolved, given = make(), Config.fromfile(str(CONFIG))
    raw = identity(given, seed=0, task=given.task)
    assert raw['settings']['data_preprocessor.num_classes'] == 'auto'
    assert resolved['settings']['data_preprocessor.num_classes'] == 3
    # As a benchmark compares them, which reads no data.
    assert differing(resolved, raw, length=True) is None
    other = Config.fromfile(str(CONFIG))
    other.data_preprocessor.num_classes = 4
    other = identity(other, seed=0, task=given.task)
    assert 'num_classes=4, got 3' in differing(resolved, other)


@pytest.mark.parametrize(
    'schedule, longer',
    [
        (dict(begin=2, end=10, T_max=8), dict(begin=2, end=30, T_max=28)),
        (dict(end=10, T_max=10), dict(end=30, T_max=30)),
        # Some say the end, some leave it out.
        (dict(end=10), dict()),
    ],
)
def test_where_a_schedule_ends_with_the_run_is_its_length(schedule, longer):
    def run(epochs, options):
        return settings_of(
            Config(
                dict(
                    train_cfg=dict(by_epoch=True, max_epochs=epochs),
                    param_scheduler=[
                        dict(type='CosineAnnealingLR', **options)
                    ],
                )
            )
        )

    first, second = run(10, schedule), run(30, longer)
    assert differing(dict(settings=first), dict(settings=second)) is None


def test_settings_are_plain(tmp_path):
    class Own:
        pass

    settings = settings_of(
        Config(
            dict(
                model=dict(
                    type=Own,
                    weight=float('inf'),
                    nothing=None,
                    none=dict(),
                    sizes=(1, 2),
                    probe='some/where/probe.pth',
                    checkpoint='https://host/some/weights.pth',
                    file='/some/where/file.txt',
                )
            )
        )
    )
    assert json.loads(json.dumps(settings)) == {
        'model.type': f'{__name__}.{Own.__qualname__}',
        'model.weight': 'inf',
        'model.sizes': [1, 2],
        'model.probe': 'probe.pth',
        'model.checkpoint': 'https://host/some/weights.pth',
        'model.file': 'file.txt',
    }


def test_the_weights_that_a_run_starts_from_do(make):
    before, after = make(), make({'load_from': 'a/weights.pth'})
    assert 'load_from' in differing(before, after)
    moved = make({'load_from': 'b/weights.pth'})
    assert differing(after, moved) is None
    # A run that goes on names its own checkpoint there.
    config = load_config(CONFIG, {'load_from': 'work/epoch_3.pth'})
    config.resume = True
    resumed = identity(config, seed=0, task=config.task)
    assert 'load_from' not in resumed['settings']
    config.initial_weights = 'a/weights.pth'
    resumed = identity(config, seed=0, task=config.task)
    assert resumed['settings']['load_from'] == 'weights.pth'
