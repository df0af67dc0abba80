"""The size that a test pipeline really gives."""

import pytest
from mmengine.config import Config

from mmkd_custom.export import input_shape

LOAD = dict(type='LoadImageFromFile')
PACK = dict(type='PackInputs')


def shape(*transforms, load=LOAD, **others):
    dataset = dict(pipeline=[load, *transforms, PACK])
    config = dict(model=dict(), test_dataloader=dict(dataset=dataset))
    return input_shape(Config(dict(config, **others)))


@pytest.mark.parametrize(
    'transforms, wanted',
    [
        # Width first, height first, by turns.
        ([dict(type='Resize', scale=(96, 64))], (64, 96)),
        ([dict(type='CenterCrop', crop_size=(96, 64))], (64, 96)),
        (
            [
                dict(type='Resize', scale=(96, 64)),
                dict(type='CenterCrop', crop_size=(48, 32)),
            ],
            (32, 48),
        ),
        ([dict(type='mmpretrain.Resize', scale=64)], (64, 64)),
        (
            [
                dict(type='ResizeEdge', scale=64, edge='short'),
                dict(type='CenterCrop', crop_size=48),
            ],
            (48, 48),
        ),
        (
            [
                dict(type='Resize', scale=(40, 24)),
                dict(type='Pad', size=(64, 32)),
            ],
            (32, 64),
        ),
        (
            [
                dict(type='Resize', scale=(96, 64), keep_ratio=True),
                dict(type='Pad', size=(96, 96)),
            ],
            (96, 96),
        ),
    ],
)
def test_height_and_width(transforms, wanted):
    assert shape(*transforms) == (3, *wanted)


def test_one_channel():
    load = dict(LOAD, color_type='grayscale')
    assert shape(dict(type='Resize', scale=32), load=load) == (1, 32, 32)


def test_validation_alone_tells():
    pipeline = [LOAD, dict(type='Resize', scale=32), PACK]
    loader = dict(dataset=dict(pipeline=pipeline))
    config = Config(dict(model=dict(), val_dataloader=loader))
    assert input_shape(config) == (3, 32, 32)


def test_what_the_preprocessor_pads():
    assert shape(
        dict(type='Resize', scale=(50, 33)),
        data_preprocessor=dict(pad_size_divisor=32),
    ) == (3, 64, 64)


@pytest.mark.parametrize(
    'transforms',
    [
        # The size is the image's own.
        [],
        [dict(type='ResizeEdge', scale=64, edge='short')],
        # What cannot be run.
        [dict(type='NoSuchTransform')],
    ],
)
def test_what_no_pipeline_tells(transforms):
    assert shape(*transforms) is None


def test_no_pipeline():
    assert input_shape(Config(dict(model=dict()))) is None
