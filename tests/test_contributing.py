"""What docs/contributing.md shows trains exactly as it is written there."""

import re
import sys

import pytest
import torch
from torchvision.models import get_model

from mmkd_custom.engine.config import load_config, prepare
from mmkd_custom.engine.launch import train
from mmkd_custom.registry import MODELS
from tests.helpers import make_domains

SMALL = {
    'train_cfg.max_epochs': 2,
    'train_dataloader.num_workers': 0,
    'train_dataloader.batch_size': 4,
    'train_dataloader.sampler.labelled': 2,
    'train_dataloader.sampler.unlabelled': 2,
    'train_dataloader.sampler.epoch_length': 1,
    'train_dataloader.sampler.num_views': 1,
}
CONFIGS = {
    'with_cosine.py': 'loss_cosine',
    'with_normed.py': 'loss_hint',
    'with_torchvision.py': 'loss_general',
}


@pytest.fixture(scope='module')
def files(repo):
    text = (repo / 'docs' / 'contributing.md').read_text()
    return dict(re.findall(r'```python title="(.+?)"\n(.*?)```', text, re.S))


@pytest.fixture
def folder(repo, files, tmp_path, monkeypatch):
    """The page's files beside ``configs/``, with data and weights."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / 'configs').symlink_to(repo / 'configs')
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    root = make_domains(tmp_path / 'data' / 'mine', ('catalogue', 'phone'))
    for name, value in dict(
        DATA_ROOT=root, SOURCE='catalogue', TARGET='phone', SEED=0
    ).items():
        monkeypatch.setenv(name, str(value))
    yield tmp_path
    # Other tests look at all that is registered.
    modules = {name[: -len('.py')] for name in files}
    for name, part in list(MODELS.module_dict.items()):
        if part.__module__ in modules:
            del MODELS.module_dict[name]
    for name in modules:
        sys.modules.pop(name, None)


def test_every_config_of_the_page_is_trained(files):
    configs = {name for name, text in files.items() if '_base_ =' in text}
    assert configs == set(CONFIGS)


@pytest.mark.slow
@pytest.mark.parametrize('name', CONFIGS)
def test_a_part_of_the_page_trains(folder, name):
    if name == 'with_torchvision.py':
        torch.manual_seed(0)
        weights = get_model('resnet18', weights=None).state_dict()
        torch.save(weights, folder / 'resnet18.pth')
    config = load_config(folder / name, SMALL)
    prepare(
        config,
        config_path=folder / name,
        work_dir=str(folder / 'work'),
        validate=False,
    )
    train(config)
    assert (folder / 'work' / 'student.pth').is_file()
    scalars = next((folder / 'work').glob('*/vis_data/scalars.json'))
    assert CONFIGS[name] in scalars.read_text()
