"""A config file and switches become what the runner takes."""

import os
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.device import get_device

from mmkd_custom.datasets import DomainFolder
from mmkd_custom.engine import config as module
from mmkd_custom.engine.config import load_config, prepare, read_config
from mmkd_custom.errors import UserError
from mmkd_custom.registry import DATASETS
from tests.cli import REPOSITORY
from tests.helpers import make_domains

SHIPPED = REPOSITORY / 'configs' / 'customkd_mbv3_domain_folder.py'
#: What prepare() reads, and nothing else.
PLAIN = """
optim_wrapper = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))
train_dataloader = dict(batch_size=4, num_workers=2)
val_dataloader = dict(batch_size=4, num_workers=0, persistent_workers=True)
test_dataloader = dict(batch_size=4)
val_cfg = dict()
val_evaluator = dict(type='Accuracy')
"""


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return make_domains(tmp_path_factory.mktemp('data'), per_class=1)


@pytest.fixture
def data(root, monkeypatch):
    """The environment that shipped configs read."""
    for name, value in dict(
        DATA_ROOT=str(root), SOURCE='art', TARGET='photo', SEED='0'
    ).items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def plain(tmp_path):
    """Writes a small config, loads it."""

    def make(text=PLAIN, **options):
        path = tmp_path / 'plain.py'
        path.write_text(text)
        return load_config(path, options)

    return make


@pytest.fixture
def prepared(plain):
    """Loads a small config and applies switches to it."""

    def make(options=(), **switches):
        config = plain(**dict(options))
        return prepare(config, config_path='some/where/plain.py', **switches)

    return make


def every(node, key):
    """All values of a key, however deep."""
    if isinstance(node, dict):
        found = [node[key]] if key in node else []
        return found + [v for n in node.values() for v in every(n, key)]
    if isinstance(node, (list, tuple)):
        return [v for n in node for v in every(n, key)]
    return []


@pytest.mark.parametrize(
    'text', ['a = 1 +', 'a = 1 / 0', "_base_ = './nothing.py'"]
)
def test_file_that_cannot_be_read_is_named(plain, text):
    with pytest.raises(UserError, match='plain.py'):
        plain(text)
    with pytest.raises(UserError, match='missing.py'):
        load_config('missing.py')


def test_variable_that_breaks_the_config_is_named(data, monkeypatch):
    monkeypatch.setenv('SEED', 'abc')
    with pytest.raises(UserError) as error:
        load_config(SHIPPED)
    assert all(w in str(error.value) for w in (SHIPPED.name, 'abc', 'SEED'))


@pytest.mark.parametrize(
    'key, value, words',
    [
        ('custom_hooks.99.type', 1, ['custom_hooks.99.type']),
        ('train_dataloader.batch_size.deep', 1, ['batch_size.deep']),
        ('train_dataloader.drop_last', True, ['sampler.drop_last']),
        (
            'train_dataloader.dataset.labelled.domian',
            'art',
            ["'domian'", "'domain'"],
        ),
        (
            'train_dataloader.dataset.labelled.type',
            'DomainFoldr',
            ["'DomainFoldr'", "'DomainFolder'"],
        ),
    ],
)
def test_option_that_does_not_fit_is_named(data, key, value, words):
    with pytest.raises(UserError) as error:
        load_config(SHIPPED, {key: value})
    assert all(word in str(error.value) for word in words)


VARIABLES = """
_base_ = './base.py'
one = '{{$NAME:default}}/images'
two = "{{ $NAME:default }}"
three = f'{one} and {{$NAME:default}}'
seed = {{'$NUMBER:3'}}
here = __import__('os').environ.get('NAME')
"""


@pytest.mark.parametrize(
    'value',
    [
        '/data/plain',
        'a "quoted" one of Ann\'s',
        r'C:\temp\new\1' + '\\',
        'caf\u00e9\nsecond line',
    ],
)
def test_variables_are_taken_as_they_are(tmp_path, monkeypatch, value):
    (tmp_path / 'base.py').write_text("base = '{{$NAME:default}}'\n")
    (tmp_path / 'config.py').write_text(VARIABLES)
    config = read_config(tmp_path / 'config.py')
    assert (config.one, config.seed) == ('default/images', 3)
    monkeypatch.setenv('NAME', value)
    monkeypatch.setenv('NUMBER', '7')
    config = read_config(tmp_path / 'config.py')
    assert config.base == config.two == config.here == value
    assert config.one == f'{value}/images'
    assert config.three == f'{value}/images and {value}'
    assert config.seed == 7
    assert os.environ['NAME'] == value
    # As a run's snapshot of it.
    config.dump(tmp_path / 'snapshot.py')
    assert Config.fromfile(tmp_path / 'snapshot.py').two == value


def test_auto_is_resolved_everywhere(data, tmp_path, monkeypatch):
    # The labelled domain has the classes cat, dog and owl.
    counts = every(load_config(SHIPPED).to_dict(), 'num_classes')
    assert len(counts) >= 3 and set(counts) == {3}
    moved = make_domains(tmp_path / "Ann's \\t data", per_class=1)
    monkeypatch.setenv('DATA_ROOT', str(moved))
    config = load_config(SHIPPED)
    assert config.data_preprocessor.num_classes == 3
    assert config.val_dataloader.dataset.data_root == str(moved)


class Bare(DomainFolder):
    """A dataset of a user's that takes nothing but what it needs."""

    def __init__(self, data_root, pipeline=()):
        super().__init__(data_root, 'art', pipeline=pipeline)


FOLDER = "dict(type='DomainFolder', data_root={root!r}, domain='art')"


@pytest.mark.parametrize(
    'dataset',
    [
        FOLDER,
        "dict(type='Bare', data_root={root!r})",
        "dict(type='mmpretrain.CustomDataset', data_root={root!r} + '/art')",
        *(
            f"dict(type='TwoStreamDataset', labelled={around})"
            for around in (
                f"dict(type='RepeatDataset', times=2, dataset={FOLDER})",
                f"dict(type='ConcatDataset', datasets=[{FOLDER}])",
                f"dict(type='mmpretrain.KFoldDataset', dataset={FOLDER})",
            )
        ),
    ],
)
def test_auto_is_resolved_by_any_dataset(plain, root, monkeypatch, dataset):
    monkeypatch.setitem(DATASETS.module_dict, 'Bare', Bare)
    config = plain(
        f'train_dataloader = dict(dataset={dataset.format(root=str(root))})\n'
        "model = [dict(heads=(dict(num_classes='auto', class_names='auto'), "
        'dict(num_classes=9)))]'
    )
    assert every(config.to_dict(), 'num_classes') == [3, 9]
    assert every(config.to_dict(), 'class_names') == [['cat', 'dog', 'owl']]


def test_class_names_are_words_for_prompts(plain, tmp_path):
    root = make_domains(tmp_path / 'd', classes=('Alarm_Clock', 'cup'))
    config = plain(
        f'train_dataloader = dict(dataset={FOLDER.format(root=str(root))})\n'
        "model = dict(class_names='auto')"
    )
    assert config.model.class_names == ['alarm clock', 'cup']


@pytest.mark.parametrize(
    'text',
    [
        '',
        'train_dataloader = None',
        "train_dataloader = dict(dataset=dict(type='mmpretrain.CustomDataset',"
        'ann_file={listed!r}))',
        # Unlabelled images alone.
        "train_dataloader = dict(dataset=dict(type='TwoStreamDataset',"
        "unlabelled=dict(type='ImageFolder', data_root='images')))",
    ],
)
def test_auto_needs_class_names(plain, tmp_path, text):
    (tmp_path / 'list.txt').write_text('a.jpg 0\nb.jpg 1\n')
    text = text.format(listed=str(tmp_path / 'list.txt'))
    with pytest.raises(UserError, match='num_classes'):
        plain(f"{text}\nmodel = dict(head=dict(num_classes='auto'))")
    # A number needs no dataset.
    if 'dataset' not in text:
        plain(f'{text}\nmodel = dict(head=dict(num_classes=4))')


def test_amp_needs_an_accelerator_and_scaling_a_base(prepared, monkeypatch):
    if get_device() == 'cpu':
        with pytest.raises(UserError, match='--amp'):
            prepared(amp=True)
    with pytest.raises(UserError, match='--auto-scale-lr'):
        prepared(auto_scale_lr=True)
    monkeypatch.setattr(module, 'get_device', lambda: 'cuda')
    wrapper = prepared(amp=True).optim_wrapper
    assert (wrapper.type, wrapper.loss_scale) == ('AmpOptimWrapper', 'dynamic')
    assert wrapper.optimizer.type == 'SGD'
    given = {'optim_wrapper.loss_scale': 512.0}
    assert prepared(given, amp=True).optim_wrapper.loss_scale == 512.0


def test_work_directory(prepared):
    assert Path(prepared().work_dir) == Path('work_dirs') / 'plain'
    assert prepared(dict(work_dir='mine')).work_dir == 'mine'
    config = prepared(dict(work_dir='mine'), work_dir='other')
    assert config.work_dir == 'other'


def test_resume_auto(prepared, tmp_path):
    options = dict(load_from='weights.pth', resume=True)
    switches = dict(work_dir=str(tmp_path), resume='auto')
    config = prepared(options, **switches)
    # What it starts from stays what the config says.
    assert (config.resume, config.load_from) == (False, 'weights.pth')
    for epoch in (1, 2):
        torch.save({}, tmp_path / f'epoch_{epoch}.pth')
    (tmp_path / 'epoch_3.pth').write_bytes(b'torn')
    config = prepared(**switches)
    assert config.resume is True
    assert Path(config.load_from) == tmp_path / 'epoch_2.pth'
    with pytest.raises(UserError, match='--overwrite.*--resume'):
        prepared(overwrite=True, **switches)


@pytest.mark.parametrize('content', [None, b'torn'])
def test_resume_from_a_file(prepared, tmp_path, content):
    path = tmp_path / 'weights.pth'
    torch.save({}, path)
    config = prepared(resume=str(path))
    assert (config.resume, config.load_from) == (True, str(path))
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.raises(UserError, match='weights.pth'):
        prepared(resume=str(path))


def test_loaders_get_what_their_workers_allow(prepared):
    config = prepared(launcher='pytorch')
    assert config.launcher == 'pytorch'
    assert config.train_dataloader.persistent_workers is True
    for loader in (config.val_dataloader, config.test_dataloader):
        assert loader.persistent_workers is False
    for loader in (config.train_dataloader, config.test_dataloader):
        assert loader.pin_memory is True
        assert loader.collate_fn.type == 'default_collate'
    config = prepared({'train_dataloader.persistent_workers': False})
    assert config.train_dataloader.persistent_workers is False


def test_no_validation(prepared):
    config = prepared(validate=False)
    for name in ('val_cfg', 'val_dataloader', 'val_evaluator'):
        assert config[name] is None
    assert config.test_dataloader.batch_size == 4


def test_a_shipped_config_is_a_base_by_name(tmp_path, data):
    name = 'fitnet/fitnet_mbv3_domain_folder.py'
    mine = tmp_path / 'mine.py'
    by_path = read_config(SHIPPED.parent / name).to_dict()
    mine.write_text(f"_base_ = 'mmkd_custom::{name}'\n")
    assert read_config(mine).to_dict() == by_path
    # Among others, and next to another package's.
    mine.write_text(
        "_base_ = ['mmkd_custom::_base_/schedules/adamw_short.py',\n"
        "          'mmpretrain::_base_/models/resnet18.py']\n"
    )
    config = read_config(mine)
    assert config.model.backbone.depth == 18
    assert config.optim_wrapper == by_path['optim_wrapper']
    mine.write_text("_base_ = 'mmkd_custom::customkd_mbv3_oficehome.py'\n")
    with pytest.raises(UserError, match='customkd_mbv3_oficehome.py'):
        load_config(mine)
