"""A student that learned without labels is what another run starts from."""

import pytest
import torch
from mmengine.registry import DefaultScope

from mmkd_custom.engine.config import load_config
from mmkd_custom.registry import MODELS
from mmkd_custom.utils.files import load_checkpoint
from tests.configs.shipped import ROOT
from tests.helpers import digests

SHORT = {'train_dataloader.sampler.epoch_length': 2}


@pytest.mark.slow
def test_a_second_run_starts_from_its_student(small_runner, tmp_path):
    name = 'pretrain/feature_mbv3_domain_folder.py'
    runner = small_runner('pre', name=name, epochs=1, validate=True, **SHORT)
    before = {k: v.clone() for k, v in runner.model.state_dict().items()}
    runner.train()
    assert runner.iter == 2
    assert 'evaluation_history' not in runner.message_hub.runtime_info
    scalars = runner.message_hub.log_scalars
    assert 'train/loss_hint' in scalars and 'train/loss_ce' not in scalars
    found = load_checkpoint(tmp_path / 'pre' / 'student.pth')['state_dict']
    moved = [
        k for k in found if not torch.equal(found[k], before[f'student.{k}'])
    ]
    assert any(name.startswith('backbone') for name in moved)

    start = {
        'model.student.init_cfg.type': 'Pretrained',
        'model.student.init_cfg.checkpoint': str(
            tmp_path / 'pre' / 'student.pth'
        ),
    }
    runner = small_runner('next', epochs=2, **SHORT, **start)
    seen = []
    # Told by StageHook when everything has been initialised and loaded.
    runner.model.set_stage = lambda stage, usual=runner.model.set_stage: (
        seen.append(
            {
                k: v.clone()
                for k, v in runner.model.student.state_dict().items()
            }
        )
        or usual(stage)
    )
    runner.train()
    assert seen[0].keys() == found.keys()
    assert all(torch.equal(seen[0][name], found[name]) for name in found)
    assert runner.iter == 4


def test_further_pretraining_starts_twice_from_one_start(layout, monkeypatch):
    def start(name, seed, options):
        for key, value in layout(name).items():
            monkeypatch.setenv(key, value)
        config = load_config(ROOT / name, options)
        torch.manual_seed(seed)
        with DefaultScope.overwrite_default_scope('mmkd_custom'):
            model = MODELS.build(
                dict(config.model, data_preprocessor=config.data_preprocessor)
            )
            model.init_weights()
        return digests(model.student)

    tiny = dict(
        _delete_=True,
        type='TimmTeacher',
        model_name='test_efficientnet',
        input_size=None,
    )
    named = {'model.student.init_cfg.type': 'SeededStart'}
    first = 'pretrain/feature_mbv3_domain_folder.py'
    further = start(first, 0, {'model.teacher.teacher': tiny, **named})
    second = 'self_pretraining/self_pretraining_mbv3_domain_folder.py'
    options = {'model.teacher.checkpoint': None}
    assert further == start(second, 0, options) == start(second, 1, options)
