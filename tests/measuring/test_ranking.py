"""Students ranked without training: who is nearest, the same every time."""

import pytest
import torch

from mmkd_custom.engine.config import load_config
from mmkd_custom.errors import UserError
from mmkd_custom.measuring.ranking import rank_students
from tests.cli import REPOSITORY
from tests.helpers import make_domains, student_config

CONFIG = REPOSITORY / 'configs' / 'fitnet' / 'fitnet_mbv3_domain_folder.py'


@pytest.fixture
def config(tmp_path, monkeypatch):
    root = make_domains(tmp_path, per_class=2)
    names = dict(DATA_ROOT=str(root), SOURCE='art', TARGET='photo')
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    teacher = dict(
        _delete_=True,
        type='TimmTeacher',
        model_name='test_efficientnet',
        input_size=None,
    )
    options = {
        'model.teacher.teacher': teacher,
        'model.input_size': 64,
        'train_dataloader.num_workers': 0,
    }
    return load_config(CONFIG, options)


def rank(config, students):
    # Of the teacher's random weights.
    torch.manual_seed(0)
    return rank_students(config, students, images=8, seeds=2, batch_size=4)


def test_it_ranks_and_repeats(config):
    small = student_config(3)
    wide = dict(small, head=dict(small['head'], mid_channels=[8]))
    ranked = rank(config, dict(small=small, wide=wide))
    first, second = ranked
    assert {first.name, second.name} == {'small', 'wide'}
    assert 0 < first.distance <= second.distance
    assert first.parameters != second.parameters
    (again,) = rank(config, dict(small=small))
    assert again == next(each for each in ranked if each.name == 'small')


def test_a_wrong_number_is_named(config):
    with pytest.raises(UserError, match='--images'):
        rank_students(config, {}, images=0)
