"""Training: what it refuses, what it names, and what it leaves."""

import json

import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import HOOKS

from mmkd_custom.engine.launch import train
from mmkd_custom.errors import UserError
from mmkd_custom.models import CustomKD
from mmkd_custom.registry import MODELS
from mmkd_custom.utils.files import load_checkpoint
from mmkd_custom.utils.runs import RUN_KEY, left_by_run, run_of
from tests.cli import free_port
from tests.runners import PLAIN

NO_TEACHER = {'model.teacher.teacher.checkpoint': 'nothing.pth'}
OLD = (
    'results.json',
    'student.pth',
    'epoch_1.pth',
    'epoch_40.pth',
    'best_accuracy_top1_epoch_40.pth',
    'last_checkpoint',
    'sub/log.txt',
)


@HOOKS.register_module(force=True)
class Mistaken(Hook):
    """Finds the user's input wrong at some point."""

    priority = 'LOWEST'

    def __init__(self, point):
        setattr(self, point, self._refuse)

    def _refuse(self, *args, **kwargs):
        raise UserError('found late.')


def mistaken(point):
    return lambda config: config.custom_hooks.append(
        dict(type='Mistaken', point=point)
    )


@pytest.fixture
def used(tmp_path):
    """A work directory that an older run used."""
    work_dir = tmp_path / 'work'
    (work_dir / 'sub').mkdir(parents=True)
    for name in OLD:
        (work_dir / name).write_text(f'old {name}')
    return work_dir


def contents(folder):
    return {path: path.read_bytes() for path in left_by_run(folder)}


@pytest.mark.parametrize('resume', [None, 'auto'])
def test_used_folder_is_refused_and_untouched(small_config, used, resume):
    for name in ('epoch_1.pth', 'epoch_40.pth'):
        (used / name).unlink()
    before = sorted(used.rglob('*')), contents(used)
    with pytest.raises(UserError, match='best_accuracy.*--overwrite'):
        train(small_config(resume=resume, **PLAIN))
    assert (sorted(used.rglob('*')), contents(used)) == before


@pytest.mark.parametrize('point', ['before_train', 'before_train_iter'])
def test_nothing_is_deleted_before_the_first_step(small_config, used, point):
    before = contents(used)
    with pytest.raises(UserError, match='nothing.pth'):
        train(small_config(overwrite=True, **NO_TEACHER))
    assert contents(used) == before
    with pytest.raises(UserError, match='found late'):
        train(small_config(overwrite=True, edit=mistaken(point), **PLAIN))
    assert contents(used) == before


@pytest.mark.parametrize('point', ['before_train', 'before_train_iter'])
def test_attempt_after_a_mistake_is_not_refused(small_config, tmp_path, point):
    with pytest.raises(UserError, match='found late'):
        train(small_config(edit=mistaken(point), **PLAIN))
    assert left_by_run(tmp_path / 'work') == []
    train(small_config(**PLAIN))
    assert (tmp_path / 'work' / 'student.pth').is_file()


def test_overwriting_deletes_all_that_an_older_run_left(small_config, used):
    train(small_config(overwrite=True, **PLAIN))
    assert sorted(path.name for path in used.glob('*.pth')) == [
        'epoch_1.pth',
        'epoch_2.pth',
        'student.pth',
    ]
    assert (used / 'sub' / 'log.txt').is_file()
    assert json.loads((used / 'results.json').read_text())['epochs'] == 2
    # The switch does not become part of the config.
    (snapshot,) = used.glob('*.py')
    assert 'overwrite' not in snapshot.read_text()


@pytest.mark.parametrize('name', ['epoch_2.pth', 'student.pth'])
def test_weights_that_the_run_would_delete_are_no_start(
    small_config, used, name
):
    (used / name).write_text('old')
    before = contents(used)
    start = {'load_from': str(used / '..' / 'work' / name)}
    with pytest.raises(UserError, match='--overwrite'):
        train(small_config(overwrite=True, **start, **PLAIN))
    assert contents(used) == before


@pytest.mark.parametrize(
    'change, words',
    [
        (dict(seed=1), ['seed=1', 'got 0']),
        ('environment', ["task='photo->art'", "'art->photo'"]),
        ('an image less', ['split_sha256']),
    ],
)
def test_run_is_not_resumed_as_another(
    small_config, tmp_path, monkeypatch, change, words
):
    train(small_config(**PLAIN))
    if change == 'an image less':
        (tmp_path / 'data' / 'art' / 'owl' / '000.jpg').unlink()
    elif change == 'environment':
        monkeypatch.setenv('SOURCE', 'photo')
        monkeypatch.setenv('TARGET', 'art')
    switches = change if isinstance(change, dict) else {}
    before = contents(tmp_path / 'work')
    with pytest.raises(UserError) as error:
        train(small_config(epochs=4, resume='auto', **switches, **PLAIN))
    for word in ['epoch_2.pth', *words]:
        assert word in str(error.value)
    assert contents(tmp_path / 'work') == before


def test_checkpoint_that_does_not_tell_its_run_is_resumed(
    small_config, tmp_path
):
    train(small_config(**PLAIN))
    path = tmp_path / 'work' / 'epoch_2.pth'
    older = load_checkpoint(path)
    del older['message_hub']['runtime_info'][RUN_KEY]
    torch.save(older, path)
    train(small_config(epochs=4, resume='auto', seed=1, **PLAIN))
    results = json.loads((tmp_path / 'work' / 'results.json').read_text())
    # MMEngine takes over the checkpoint's seed, and the results say so.
    assert (results['epochs'], results['seed']) == (4, 0)
    newest = load_checkpoint(tmp_path / 'work' / 'epoch_4.pth')
    assert run_of(newest)['seed'] == 0


@pytest.mark.parametrize(
    'option, words',
    [
        ('model.genral_weight', ['CustomKD', "'general_weight'"]),
        ('model.teacher.cache_dri', ['CachedTeacher', "'cache_dir'"]),
        ('model.student.backbone.archh', ['MobileNetV3', "'arch'"]),
        ('custom_hooks.3.tusk', ['ResultsHook', "'task'"]),
        (
            'train_dataloader.dataset.unlabelled.pipeline.1.sclae',
            ["'scale'"],
        ),
        ('train_dataloader.sampler.labeled', ['TwoStream', "'labelled'"]),
        ('train_dataloader.num_worker', ['DataLoader', "'num_workers'"]),
        ('train_cfg.max_epoch', ['EpochBasedTrainLoop', "'max_epochs'"]),
        ('optim_wrapper.optimizer.weigth_decay', ['AdamW', "'weight_decay'"]),
        ('optim_wrapper.clip_grad.max_nrm', ["'max_norm'"]),
        ('param_scheduler.0.start_facter', ['LinearLR', "'start_factor'"]),
        ('val_evaluator.0.topkk', ['Accuracy', "'topk'"]),
    ],
)
def test_misspelt_argument_is_named(small_config, option, words):
    with pytest.raises(UserError) as error:
        train(small_config(validate=True, **{option: 3}))
    for word in [option, *words]:
        assert word in str(error.value)


@pytest.mark.parametrize(
    'option, name, words',
    [
        ('model', 'CustomKDD', ['model', "'CustomKD'"]),
        ('model.teacher', 'CachdTeacher', ['model', "'CachedTeacher'"]),
        ('model.teacher.teacher', 'TimTeacher', ['model', "'TimmTeacher'"]),
        ('custom_hooks.1', 'EpochSedHook', ['hook', "'EpochSeedHook'"]),
        (
            'train_dataloader.dataset.unlabelled.pipeline.0',
            'LoadImageFromFil',
            ['transform', "'LoadImageFromFile'"],
        ),
        (
            'train_dataloader.sampler',
            'mmkd_custom.TwoStreamSamplr',
            ['sampler', "'TwoStreamSampler'"],
        ),
        ('optim_wrapper.optimizer', 'AdamWW', ['optimizer', "'AdamW'"]),
        ('param_scheduler.0', 'LinarLR', ['scheduler', "'LinearLR'"]),
        ('val_evaluator.0', 'Acuracy', ['metric', "'Accuracy'"]),
    ],
)
def test_misspelt_type_is_named(small_config, option, name, words):
    with pytest.raises(UserError) as error:
        train(small_config(validate=True, **{f'{option}.type': name}))
    for word in [f'{option}.type', name, *words]:
        assert word in str(error.value)


@pytest.mark.parametrize(
    'defect',
    [
        TypeError("forward() got an unexpected keyword argument 'student'"),
        KeyError('general_weight'),
    ],
)
def test_defect_of_a_model_is_no_mistake_of_the_user(
    small_config, monkeypatch, defect
):
    def broken(*args, **kwargs):
        raise defect

    monkeypatch.setattr(CustomKD, 'forward', broken)
    with pytest.raises(type(defect)):
        train(small_config())


def test_metrics_of_the_last_evaluation_are_returned(small_config, tmp_path):
    metrics = train(small_config(validate=True, **PLAIN))
    results = json.loads((tmp_path / 'work' / 'results.json').read_text())
    assert metrics == dict(results['history'][-1])
    assert metrics['epoch'] == 2
    assert 0 <= metrics['accuracy/top1'] <= 100
    assert train(small_config('b', **PLAIN)) == {}
    assert (tmp_path / 'b' / 'student.pth').is_file()


def test_weights_that_cannot_be_downloaded_are_named(
    small_config, tmp_path, monkeypatch
):
    monkeypatch.setenv('TORCH_HOME', str(tmp_path / 'torch'))
    monkeypatch.setenv('no_proxy', '127.0.0.1')
    # A port that nobody listens at.
    url = f'http://127.0.0.1:{free_port()}/weights/small-1a2b3c4d.pth'
    init = dict(type='Pretrained', checkpoint=url)
    options = {'model.backbone.init_cfg': init, **PLAIN}
    with pytest.raises(UserError) as error:
        train(small_config(**options))
    folder = tmp_path / 'torch' / 'hub' / 'checkpoints'
    for word in (url, str(folder)):
        assert word in str(error.value)
    # Put there by hand, it is found.
    model = MODELS.build(small_config('unused', **PLAIN).model)
    weights = model.backbone.state_dict()
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(weights, folder / 'small-1a2b3c4d.pth')
    train(small_config(**options, **{'optim_wrapper.optimizer.lr': 0.0}))
    student = load_checkpoint(tmp_path / 'work' / 'student.pth')['state_dict']
    name = 'layer0.conv.weight'
    assert torch.equal(student[f'backbone.{name}'], weights[name])


def test_streams_inside_other_datasets_are_trained_on(small_config):
    short = {'train_dataloader.sampler.epoch_length': 1}
    config = small_config(validate=True, **short)
    loader = config.train_dataloader.dataset
    art, photo = loader.labelled, loader.unlabelled
    balanced = dict(
        type='ClassBalancedDataset', dataset=art, oversample_thr=0.5
    )
    loader.labelled = dict(
        type='ConcatDataset',
        datasets=[dict(type='RepeatDataset', dataset=art, times=2), balanced],
    )
    loader.unlabelled = dict(
        type='mmpretrain.KFoldDataset', dataset=photo, num_splits=2
    )
    assert train(config)
