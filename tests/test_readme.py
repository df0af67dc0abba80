"""The config that the README shows trains as it is shown."""

import json
import re

import pytest
import torch

from mmkd_custom.engine.config import load_config, prepare
from mmkd_custom.engine.launch import train
from tests.helpers import make_domains

SMALL = {
    'data/mine': '{root}',
    'vit_base_patch14_dinov2.lvd142m': 'test_vit',
    'pretrained=True, input_size=224': 'input_size=160',
    'batch_size=128, num_workers=4': 'batch_size=4, num_workers=0',
    'labelled=64, unlabelled=64': 'labelled=2, unlabelled=2',
}


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
            'train_cfg.max_epochs': 2,
            'train_dataloader.sampler.epoch_length': 2,
            'val_dataloader.num_workers': 0,
            'val_dataloader.batch_size': 6,
        },
    )
    assert config.model.student.head.num_classes == 3
    assert config.data_preprocessor.num_classes == 3
    # Nothing of ImageNet is left.
    assert config.test_dataloader.dataset == config.val_dataloader.dataset
    assert 'imagenet' not in str(config.val_dataloader)
    prepare(config, config_path=path, work_dir=str(work_dir))
    metrics = train(config)
    assert 0 <= metrics['accuracy/top1'] <= 100

    results = json.loads((work_dir / 'results.json').read_text())
    assert [entry['epoch'] for entry in results['history']] == [1, 2]
    student = torch.load(work_dir / 'student.pth', weights_only=True)
    assert student['meta']['dataset_meta']['classes'] == ['cat', 'dog', 'owl']
    assert (work_dir / 'epoch_2.pth').is_file()
    log = next(work_dir.glob('*/*.log')).read_text()
    log += next(work_dir.glob('*/vis_data/scalars.json')).read_text()
    for term in ('loss_customization', 'loss_general', 'loss_specific'):
        assert term in log, term
