"""Networks that start alike in runs that are not."""

import pytest
import torch
from mmengine.registry import DefaultScope

from mmkd_custom.errors import UserError
from mmkd_custom.models import Distiller, SeededStart
from tests.helpers import IMAGE_SIZE, digests, student_config, teacher_config


def start(run_seed, drawn, **cfg):
    """The student of a run that has drawn some numbers before."""
    torch.manual_seed(run_seed)
    torch.rand(drawn)
    init_cfg = dict(type='SeededStart', **cfg)
    with DefaultScope.overwrite_default_scope('mmkd_custom'):
        model = Distiller(
            dict(student_config(), init_cfg=init_cfg),
            teacher_config() if drawn else None,
            input_size=IMAGE_SIZE,
        )
        model.init_weights()
    return digests(model.student)


def test_students_start_alike_whatever_was_drawn_before():
    first = start(0, 0)
    assert first == start(1, 3)
    other = start(0, 0, seed=1)
    # All that is drawn differs: weights of convolutions, not BatchNorm's.
    assert first != other and first.keys() == other.keys()


def test_the_seed_is_named():
    for wrong in (-1, 0.5, None):
        with pytest.raises(UserError, match='SeededStart.seed'):
            SeededStart(wrong)
