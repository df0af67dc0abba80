"""The config that the README shows trains as it is shown."""

import json
import re

import pytest
import torch

from mmkd_custom.engine.config import load_config, prepare
from mmkd_custom.engine.launch import train
from tests.helpers import make_domains

SMALL = {
    "'timm/vit_small_patch14_dinov2.lvd142m'": "dict(type='mmkd_custom."
    "TimmTeacher', model_name='test_vit', input_size=160)",
    "'data/catalogue'": "'{root}/catalogue'",
    "'data/phone'": "'{root}/phone'",
    "'data/tested'": "'{root}/phone'",
}


def test_the_readme_is_short_and_begins_with_what_goes_in_and_out(repo):
    lines = (repo / 'README.md').read_text().splitlines()
    assert len(lines) <= 110
    assert any('docs/images/overview.svg' in line for line in lines[:15])


def test_the_badges_are_true(repo):
    readme = (repo / 'README.md').read_text()
    badges = dict(re.findall(r'^!\[(\w+): (.+?)\]', readme, re.M))
    setup = (repo / 'setup.py').read_text()
    least, most = badges['Python'].split(' to ')
    versions = re.findall(r"Python :: (3\.\d+)'", setup)
    assert (versions[0], versions[-1]) == (least, most)
    assert f"python_requires='>={least}'" in setup
    assert f"license='{badges['licence']}'" in setup
    newest = badges['MMPretrain'].split(' ')[0]
    assert f"'mmpretrain>={newest}" in setup


@pytest.mark.slow
def test_config_of_the_readme_trains(repo, tmp_path):
    readme = (repo / 'README.md').read_text()
    (text,) = re.findall(r'```python\n(.*?)```', readme, re.DOTALL)
    root = make_domains(tmp_path / 'data', ('catalogue', 'phone'), per_class=2)
    for shown, small in SMALL.items():
        assert text.count(shown) == 1, shown
        text = text.replace(shown, small.format(root=root.as_posix()))
    path = tmp_path / 'mine.py'
    path.write_text(text)
    work_dir = tmp_path / 'work'
    config = load_config(
        path,
        {
            'train_cfg.max_epochs': 1,
            'distill.epoch_length': 2,
            'train_dataloader.batch_size': 2,
            'train_dataloader.num_workers': 0,
            'val_dataloader.num_workers': 0,
            'val_dataloader.batch_size': 6,
        },
    )
    assert config.model.type.endswith('CustomKD')
    assert 'imagenet' not in str(config.val_dataloader).lower()
    prepare(config, config_path=path, work_dir=str(work_dir))
    metrics = train(config)
    assert 0 <= metrics['accuracy/top1'] <= 100

    # A customization epoch, then the student's.
    results = json.loads((work_dir / 'results.json').read_text())
    assert results['history'][-1]['epoch'] == 2
    student = torch.load(work_dir / 'student.pth', weights_only=True)
    assert student['meta']['dataset_meta']['classes'] == ['cat', 'dog', 'owl']
    log = next(work_dir.glob('*/vis_data/scalars.json')).read_text()
    for term in ('loss_customization', 'loss_general', 'loss_specific'):
        assert term in log, term
