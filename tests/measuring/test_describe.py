"""A config's teacher is described, and its peak memory falls."""

import numpy as np
import pytest
from mmengine.config import Config

from mmkd_custom.errors import UserError
from mmkd_custom.measuring import describe
from mmkd_custom.measuring.describe import describe_config, peak_memory
from mmkd_custom.models.teachers import TimmTeacher
from tests.helpers import teacher_config


def make(**options):
    model = dict(teacher=teacher_config(max_batch=3), input_size=96)
    return Config(dict(model=dict(model, **options)))


def test_images_are_as_large_as_the_model_says():
    cached = dict(type='CachedTeacher', teacher=teacher_config(max_batch=3))
    for config in (make(), make(teacher=cached)):
        report = describe_config(config)
        assert report['name'] == 'test_efficientnet'
        assert report['input_size'] == (96, 96)
        assert report['max_batch'] == 3
    assert describe_config(make(), 64)['input_size'] == (64, 64)


def test_misspelt_teacher_is_named():
    config = make(teacher=dict(teacher_config(), type='TimTeacher'))
    with pytest.raises(UserError, match='TimTeacher.*TimmTeacher'):
        describe_config(config)


@pytest.mark.parametrize('max_batch, wanted', [(None, [4]), (2, [2, 2])])
def test_those_inside_are_cut_as_the_tool_says(monkeypatch, max_batch, wanted):
    seen = []
    encode = TimmTeacher.encode

    def watched(self, inputs, wants):
        seen.append(len(inputs))
        return encode(self, inputs, wants)

    monkeypatch.setattr(TimmTeacher, 'encode', watched)
    members = [teacher_config(max_batch=1), teacher_config(max_batch=3)]
    ensemble = dict(type='EnsembleTeacher', teachers=members)
    cached = dict(type='CachedTeacher', teacher=ensemble)
    describe._measure(make(teacher=cached), 4, max_batch, 32)
    # After the dry runs when they are built.
    assert sorted(seen[-2 * len(wanted) :]) == sorted(2 * wanted)


@pytest.mark.slow
def test_peak_memory_falls_with_max_batch():
    # What this process takes is no part of it.
    ballast = np.ones(2**28)
    whole, cut = peak_memory(make(), 128, [None, 8], image_size=224)
    assert (whole['max_batch'], cut['max_batch']) == (None, 8)
    # The first map of the network alone, of 128 images of 224 px: that is
    # (128, 16, 112, 112) in float32. A cut batch never holds it.
    first = 128 * 16 * 112 * 112 * 4 / 1e6
    assert whole['peak_mb'] - cut['peak_mb'] > first
    for row in (whole, cut):
        assert ballast.nbytes / 1e6 > row['peak_mb'] > row['built_mb'] > 50


@pytest.mark.parametrize(
    'options, arguments, words',
    [
        (dict(teacher=None), (8, [None]), 'teacher'),
        ({}, (0, [None]), '--batch-size: .* 0'),
        ({}, (8, [None, 0]), '--max-batch: .* 0'),
        ({}, (8, [None], -1), '--image-size: .* -1'),
    ],
)
def test_wrong_options_are_refused(options, arguments, words):
    with pytest.raises(UserError, match=words):
        peak_memory(make(**options), *arguments)
