"""A config file and switches become what the runner takes."""

from pathlib import Path

import pytest
import torch
from mmengine.device import get_device

from mmkd_custom.datasets import DomainFolder
from mmkd_custom.engine import config as module
from mmkd_custom.engine.config import load_config, prepare
from mmkd_custom.errors import UserError
from mmkd_custom.registry import DATASETS
from tests.cli import REPOSITORY
from tests.helpers import make_domains

CONFIGS = REPOSITORY / 'configs'
FLAGSHIP = CONFIGS / 'customkd_mbv3_domain_folder.py'
SHIPPED = sorted(
    path.relative_to(CONFIGS).as_posix()
    for path in CONFIGS.rglob('*.py')
    if '_base_' not in path.parts
)
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


def every(node, key):
    """All values of a key, however deep."""
    if isinstance(node, dict):
        found = [node[key]] if key in node else []
        return found + [v for n in node.values() for v in every(n, key)]
    if isinstance(node, (list, tuple)):
        return [v for n in node for v in every(n, key)]
    return []


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match='nothing.py: there is no such file'):
        load_config(tmp_path / 'nothing.py')


def test_a_variable_that_breaks_the_config_is_hinted_at(data, monkeypatch):
    monkeypatch.setenv('SEED', 'abc')
    with pytest.raises(UserError) as error:
        load_config(FLAGSHIP)
    for word in (FLAGSHIP.name, 'NameError', 'abc', 'SEED', 'DATA_ROOT'):
        assert word in str(error.value)


@pytest.mark.parametrize(
    'text', ['a = 1 +', 'a = 1 / 0', "_base_ = './nothing.py'"]
)
def test_a_config_that_cannot_be_read_is_named(plain, text):
    with pytest.raises(UserError, match='plain.py: cannot be read'):
        plain(text)


@pytest.mark.parametrize(
    'key', ['custom_hooks.99.type', 'train_dataloader.batch_size.deep']
)
def test_an_option_that_fits_nothing_is_named(data, key):
    with pytest.raises(UserError, match='--cfg-options') as error:
        load_config(FLAGSHIP, {key: 1})
    assert key in str(error.value)


def test_options_are_merged(plain):
    config = plain(**{'train_dataloader.num_workers': 7})
    assert config.train_dataloader.num_workers == 7
    assert config.train_dataloader.batch_size == 4


def test_auto_is_resolved_everywhere(data):
    counts = every(load_config(FLAGSHIP).to_dict(), 'num_classes')
    # The labelled domain has the classes cat, dog and owl.
    assert len(counts) >= 3
    assert set(counts) == {3}


def test_auto_is_resolved_by_a_dataset_of_one_stream(plain, root):
    config = plain(f"""
train_dataloader = dict(
    dataset=dict(type='DomainFolder', data_root={str(root)!r}, domain='art'))
model = [dict(heads=(dict(num_classes='auto'), dict(num_classes=9)))]
""")
    assert every(config.to_dict(), 'num_classes') == [3, 9]


def test_class_names_are_those_of_the_folders(plain, tmp_path):
    root = make_domains(tmp_path / 'd', classes=('Alarm_Clock', 'cup'))
    config = plain(f"""
train_dataloader = dict(
    dataset=dict(type='DomainFolder', data_root={str(root)!r}, domain='art'))
model = dict(teacher=dict(class_names='auto'), head=dict(num_classes='auto'))
""")
    assert config.model.teacher.class_names == ['alarm clock', 'cup']
    assert config.model.head.num_classes == 2


def test_auto_is_resolved_by_folders_of_mmpretrain(plain, root):
    config = plain(f"""
train_dataloader = dict(dataset=dict(
    type='mmpretrain.CustomDataset', data_root={str(root / 'art')!r}))
model = dict(teacher=dict(class_names='auto'), head=dict(num_classes='auto'))
""")
    assert config.model.teacher.class_names == ['cat', 'dog', 'owl']
    assert config.model.head.num_classes == 3


class Bare(DomainFolder):
    """A dataset of a user's that takes nothing but what it needs."""

    def __init__(self, data_root, pipeline=()):
        super().__init__(data_root, 'art', pipeline=pipeline)


@pytest.mark.parametrize(
    'around',
    [
        "dict(type='RepeatDataset', times=2, dataset={})",
        "dict(type='ConcatDataset', datasets=[{}])",
        "dict(type='mmpretrain.KFoldDataset', dataset={})",
    ],
)
def test_auto_is_resolved_by_a_dataset_around_others(plain, root, around):
    inner = f"dict(type='DomainFolder', data_root={str(root)!r}, domain='art')"
    config = plain(f"""
train_dataloader = dict(dataset=dict(
    type='TwoStreamDataset', labelled={around.format(inner)}))
model = dict(head=dict(num_classes='auto'))
""")
    assert config.model.head.num_classes == 3


def test_auto_is_resolved_by_a_dataset_of_few_options(
    plain, root, monkeypatch
):
    monkeypatch.setitem(DATASETS.module_dict, 'Bare', Bare)
    text = """
train_dataloader = dict(dataset=dict(type='Bare', {}={!r}))
model = dict(head=dict(num_classes='auto'))
"""
    config = plain(text.format('data_root', str(root)))
    assert config.model.head.num_classes == 3
    with pytest.raises(UserError, match="'data_rot'.*nearest: 'data_root'"):
        plain(text.format('data_rot', str(root)))


def test_drop_last_belongs_to_the_sampler(data):
    option = {'train_dataloader.drop_last': True}
    with pytest.raises(UserError, match='train_dataloader.sampler.drop_last'):
        load_config(FLAGSHIP, option)
    load_config(FLAGSHIP, {'train_dataloader.sampler.drop_last': True})


def test_auto_wants_class_names(plain, tmp_path):
    (tmp_path / 'list.txt').write_text('a.jpg 0\nb.jpg 1\n')
    with pytest.raises(UserError, match='CustomDataset has none'):
        plain(f"""
train_dataloader = dict(dataset=dict(
    type='mmpretrain.CustomDataset', ann_file={str(tmp_path / 'list.txt')!r}))
model = dict(head=dict(num_classes='auto'))
""")


def test_auto_wants_a_training_dataset(plain):
    for loader in ('', 'train_dataloader = None\n'):
        with pytest.raises(UserError, match='labelled dataset'):
            plain(loader + "model = dict(head=dict(num_classes='auto'))")
    with pytest.raises(UserError, match="class_names='auto'.*the names"):
        plain("model = dict(teacher=dict(class_names='auto'))")


def test_a_number_needs_no_dataset(plain):
    config = plain('model = dict(head=dict(num_classes=4))')
    assert config.model.head.num_classes == 4


@pytest.mark.parametrize('size', [0, -1, 2.5, 'many'])
@pytest.mark.parametrize('loader', ['train_dataloader', 'val_dataloader'])
def test_a_batch_size_is_a_positive_number(plain, loader, size):
    with pytest.raises(UserError) as error:
        plain(**{f'{loader}.batch_size': size})
    assert f'{loader}.batch_size={size!r}' in str(error.value)


def test_amp_without_an_accelerator_is_refused(plain):
    if get_device() != 'cpu':
        pytest.skip('there is an accelerator')
    with pytest.raises(UserError, match='--amp'):
        prepare(plain(), config_path='plain.py', amp=True)


def test_amp_with_an_accelerator(plain, monkeypatch):
    monkeypatch.setattr(module, 'get_device', lambda: 'cuda')
    config = prepare(plain(), config_path='plain.py', amp=True)
    assert config.optim_wrapper.type == 'AmpOptimWrapper'
    assert config.optim_wrapper.loss_scale == 'dynamic'
    assert config.optim_wrapper.optimizer.type == 'SGD'
    config = plain(**{'optim_wrapper.loss_scale': 512.0})
    prepare(config, config_path='plain.py', amp=True)
    assert config.optim_wrapper.loss_scale == 512.0


@pytest.mark.parametrize('name', SHIPPED)
def test_learning_rates_are_meant_for_the_batch_of_the_config(
    layout, monkeypatch, name
):
    for key, value in layout(name).items():
        monkeypatch.setenv(key, value)
    config = load_config(CONFIGS / name)
    assert not config.auto_scale_lr.get('enable', False)
    prepare(config, config_path=name, auto_scale_lr=True)
    assert config.auto_scale_lr.enable is True
    size = config.auto_scale_lr.base_batch_size
    assert size == config.train_dataloader.batch_size
    # The batch that the sampler makes.
    sampler = config.train_dataloader.sampler
    streams = sampler.get('streams', ('labelled', 'unlabelled'))
    assert size == sum(sampler[stream] for stream in streams)


def test_scaling_the_learning_rate_wants_a_base(plain):
    with pytest.raises(UserError, match='--auto-scale-lr'):
        prepare(plain(), config_path='plain.py', auto_scale_lr=True)


def test_the_work_directory(plain):
    config = prepare(plain(), config_path='some/where/plain.py')
    assert Path(config.work_dir) == Path('work_dirs') / 'plain'
    config = prepare(plain(work_dir='mine'), config_path='plain.py')
    assert config.work_dir == 'mine'
    config = plain(work_dir='mine')
    prepare(config, config_path='plain.py', work_dir='other')
    assert config.work_dir == 'other'


def test_resume_auto_starts_when_there_is_nothing(plain, tmp_path):
    config = plain(load_from='weights.pth', resume=True)
    prepare(
        config,
        config_path='plain.py',
        work_dir=str(tmp_path / 'work'),
        resume='auto',
    )
    assert config.resume is False
    # What it starts from stays what the config says.
    assert config.load_from == 'weights.pth'


def test_resume_auto_continues(plain, tmp_path):
    for epoch in (1, 2):
        torch.save({}, tmp_path / f'epoch_{epoch}.pth')
    (tmp_path / 'epoch_3.pth').write_bytes(b'torn')
    config = prepare(
        plain(),
        config_path='plain.py',
        work_dir=str(tmp_path),
        resume='auto',
    )
    assert config.resume is True
    assert Path(config.load_from) == tmp_path / 'epoch_2.pth'


def test_resume_continues_from_a_file(plain, tmp_path):
    path = tmp_path / 'weights.pth'
    torch.save({}, path)
    config = prepare(plain(), config_path='plain.py', resume=str(path))
    assert (config.resume, config.load_from) == (True, str(path))


@pytest.mark.parametrize('content', [None, b'', b'torn'])
def test_resume_wants_a_whole_file(plain, tmp_path, content):
    path = tmp_path / 'damaged.pth'
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match='damaged.pth'):
        prepare(plain(), config_path='plain.py', resume=str(path))


def test_loaders_get_what_their_workers_allow(plain):
    config = prepare(plain(), config_path='plain.py', launcher='pytorch')
    assert config.launcher == 'pytorch'
    assert config.train_dataloader.persistent_workers is True
    for loader in (config.val_dataloader, config.test_dataloader):
        assert loader.persistent_workers is False
    for loader in (config.train_dataloader, config.test_dataloader):
        assert loader.pin_memory is True
        assert loader.collate_fn.type == 'default_collate'
        assert loader.batch_size == 4
    config = plain(**{'train_dataloader.persistent_workers': False})
    prepare(config, config_path='plain.py')
    assert config.train_dataloader.persistent_workers is False


def test_no_validation(plain):
    config = prepare(plain(), config_path='plain.py', validate=False)
    for name in ('val_cfg', 'val_dataloader', 'val_evaluator'):
        assert config[name] is None
    assert config.train_dataloader.batch_size == 4
    assert config.test_dataloader.batch_size == 4


def test_the_labelled_dataset_is_built_with_known_arguments(data):
    option = 'train_dataloader.dataset.labelled.'
    with pytest.raises(UserError, match="no argument 'domian'.*'domain'"):
        load_config(FLAGSHIP, {option + 'domian': 'art'})
    with pytest.raises(UserError, match="'DomainFoldr'.*'DomainFolder'"):
        load_config(FLAGSHIP, {option + 'type': 'DomainFoldr'})
