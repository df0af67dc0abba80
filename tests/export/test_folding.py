"""Pixels that the network makes itself are those of the pipeline."""

import numpy as np
import pytest
import torch
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from PIL import Image

from mmkd_custom.errors import UserError
from mmkd_custom.export.folding import Preparation, read_steps

LOAD, PACK = dict(type='LoadImageFromFile'), dict(type='PackInputs')
MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]


def edge(scale=40, crop=32, **others):
    return [
        dict(type='ResizeEdge', scale=scale, **others),
        dict(type='CenterCrop', crop_size=crop),
    ]


@pytest.mark.parametrize('size', [(70, 70), (61, 90), (90, 61), (20, 50)])
@pytest.mark.parametrize(
    'steps, differing',
    [
        # OpenCV rounds in fixed point where it interpolates.
        ([dict(type='Resize', scale=(48, 32), interpolation='area')], 0.2),
        ([dict(type='Resize', scale=32)], 0.2),
        ([dict(type='Resize', scale=32, interpolation='bicubic')], 0.01),
        ([dict(type='Resize', scale=32, interpolation='nearest')], 0),
        ([dict(type='Resize', scale=32, backend='pillow')], 0.3),
        (edge(backend='pillow', interpolation='bicubic'), 0.02),
        (edge(crop=(32, 24), interpolation='area'), 0.1),
    ],
)
def test_pixels_are_those_of_the_pipeline(tmp_path, steps, differing, size):
    rng = np.random.RandomState(0)
    small = rng.randint(0, 256, (9, 7, 3)).astype(np.uint8)
    image = Image.fromarray(small).resize(size, Image.BICUBIC)
    image.save(tmp_path / 'a.png')
    pipeline = [LOAD, *steps, PACK]
    with DefaultScope.overwrite_default_scope('mmkd_custom'):
        sample = Compose(pipeline)(dict(img_path=str(tmp_path / 'a.png')))
    wanted = sample['inputs'].flip(0).float()
    front = Preparation(read_steps(pipeline), [0] * 3, [1] * 3, True)
    got = front(torch.from_numpy(np.asarray(image))[None])[0]
    assert got.shape == wanted.shape
    off = (got - wanted).abs()
    assert off.max() <= 1
    assert (off > 0).float().mean() <= differing


@pytest.mark.parametrize('to_rgb', [True, False])
def test_channels_and_normalisation(to_rgb):
    steps = read_steps([LOAD, dict(type='Resize', scale=2), PACK])
    front = Preparation(steps, MEAN, STD, to_rgb)
    red = torch.tensor([255, 0, 0], dtype=torch.uint8).expand(1, 4, 4, 3)
    channels = [255.0, 0.0, 0.0] if to_rgb else [0.0, 0.0, 255.0]
    wanted = (torch.tensor(channels) - torch.tensor(MEAN)) / torch.tensor(STD)
    torch.testing.assert_close(front(red)[0, :, 0, 0], wanted)


@pytest.mark.parametrize(
    'pipeline, named',
    [
        ([dict(LOAD, color_type='grayscale'), PACK], 'LoadImageFromFile'),
        ([LOAD, PACK], 'PackInputs'),
        ([LOAD, dict(type='Pad', size=(9, 9)), PACK], 'Pad'),
        ([LOAD, *edge(), dict(type='Rotate'), PACK], 'Rotate'),
        ([LOAD, *edge(interpolation='lanczos'), PACK], 'lanczos'),
        ([LOAD, *edge(crop=48), PACK], '48'),
        ([LOAD, dict(type='ResizeEdge', scale=9), PACK], 'CenterCrop'),
        (
            [LOAD, dict(type='Resize', scale=9, keep_ratio=True), PACK],
            'keep_ratio',
        ),
    ],
)
def test_other_steps_are_named(pipeline, named):
    with pytest.raises(UserError, match=f'--fold: .*{named}'):
        read_steps(pipeline)
