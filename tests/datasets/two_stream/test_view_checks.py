"""Views that come out in several ways, and crops that do not belong."""

import random

import numpy as np
import pytest
import torch

from mmkd_custom.datasets.two_stream.dataset import TwoStreamDataset
from mmkd_custom.datasets.two_stream.view_checks import (
    check_clean,
    check_geometry,
    check_repeatable,
)
from mmkd_custom.datasets.two_stream.views import compose
from mmkd_custom.errors import UserError
from tests.datasets.two_stream.helpers import FLIP, LOAD, PACK, crop, domain

UPSIDE_DOWN = dict(FLIP, direction='vertical')
JITTER = dict(type='ColorJitter', brightness=0.4, contrast=0.4, saturation=0.4)
SHIFT = dict(type='RandomCrop', crop_size=32, padding=4)
ERASE = dict(
    type='RandomErasing', erase_prob=0.25, mode='rand', max_area_ratio=1 / 3
)
RANDAUGMENT = dict(
    type='RandAugment',
    policies='timm_increasing',
    num_policies=2,
    total_level=10,
    magnitude_level=9,
    magnitude_std=0.5,
)
NORMALIZE = dict(type='Normalize', mean=[123.0] * 3, std=[58.0] * 3)
BGR = dict(type='PILToNumpy', to_bgr=True)


def image(*shape):
    return dict(
        img=np.random.RandomState(0).randint(0, 256, shape, np.uint8),
        img_shape=shape[:2],
        ori_shape=shape[:2],
    )


def compare(own, other, shape=(227, 260, 3)):
    pipelines = [compose('x', [*steps, PACK]) for steps in (own, other)]
    infos = image(*shape), image(*shape)
    check_geometry('pipelines.teacher', *pipelines, infos, seed=5)


#: As in the shipped configs, and what is done to images elsewhere.
ALIKE = {
    'domain_folder_96': (
        [crop(96, 0.5), FLIP, JITTER],
        [crop(224, 0.5), FLIP],
    ),
    'imagenet': ([crop(224), FLIP, JITTER], [crop(224), FLIP]),
    'elpv': (
        [crop(96, 0.5), FLIP, UPSIDE_DOWN, JITTER],
        [crop(224, 0.5), FLIP, UPSIDE_DOWN],
    ),
    'cifar': (
        [BGR, SHIFT, FLIP],
        [BGR, SHIFT, FLIP, dict(type='Resize', scale=224)],
        (32, 32, 3),
    ),
    'randaugment of the student': (
        [crop(96), FLIP, RANDAUGMENT, ERASE],
        [crop(224), FLIP],
    ),
    'randaugment': ([crop(96), FLIP], [crop(96), FLIP, RANDAUGMENT]),
    'randaugment of cifar': (
        [SHIFT, FLIP],
        [SHIFT, FLIP, RANDAUGMENT],
        (32, 32, 3),
    ),
    'byol': (
        [
            crop(96, 0.2),
            FLIP,
            JITTER,
            dict(type='GaussianBlur', radius=1.0, prob=0.5),
            dict(type='Solarize', thr=128, prob=0.2),
            NORMALIZE,
        ],
        [crop(224, 0.2), FLIP],
    ),
    'centre': (
        [
            dict(type='ResizeEdge', scale=256, edge='short'),
            dict(type='CenterCrop', crop_size=224),
        ],
        [
            dict(type='ResizeEdge', scale=288, edge='short'),
            dict(type='CenterCrop', crop_size=256),
        ],
    ),
    'grey': ([crop(96), FLIP], [crop(224), FLIP], (227, 260)),
    'inverted': ([crop(96)], [crop(96), dict(type='Invert', prob=1.0)]),
}


@pytest.mark.parametrize('case', ALIKE.values(), ids=ALIKE)
@pytest.mark.filterwarnings('ignore')
def test_the_same_crop_in_any_colours_passes(case):
    compare(*case)


APART = {
    'no flip': ([crop(96, 0.5), FLIP, JITTER], [crop(224, 0.5)]),
    'no flip upside down': (
        [crop(96, 0.5), FLIP, UPSIDE_DOWN],
        [crop(224, 0.5), FLIP],
    ),
    'whole image': (
        [crop(96), FLIP],
        [dict(type='Resize', scale=(224, 224))],
    ),
    'a draw before': ([JITTER, crop(96, 0.5), FLIP], [crop(224, 0.5), FLIP]),
    'another range': ([crop(96, 0.5), FLIP], [crop(224), FLIP]),
    'another order': ([FLIP, crop(96, 0.5)], [crop(224, 0.5), FLIP]),
    'order of cifar': ([FLIP, SHIFT], [SHIFT, FLIP], (32, 32, 3)),
    'no crop of cifar': ([SHIFT, FLIP], [FLIP], (32, 32, 3)),
    'strong': ([crop(96), FLIP], [FLIP, crop(96), RANDAUGMENT]),
    'strong without flip': ([crop(96), FLIP], [crop(96), RANDAUGMENT]),
}


@pytest.mark.parametrize('case', APART.values(), ids=APART)
@pytest.mark.filterwarnings('ignore')
def test_other_crops_and_flips_are_refused(case):
    with pytest.raises(UserError, match='pipelines.teacher'):
        compare(*case)


class Noise:
    """Adds noise of a generator of its own, in one view of two."""

    def __init__(self, kind):
        self.draw = {
            'numpy': lambda rng=np.random.default_rng(0): rng.integers(9),
            'new': lambda: np.random.default_rng().integers(9),
            'random': lambda rng=random.Random(0): rng.randrange(9),
            'torch': lambda rng=torch.Generator(): torch.randint(
                9, (1,), generator=rng
            ).item(),
            'global': lambda: (
                random.randrange(9)
                + np.random.randint(9)
                + torch.randint(9, (1,)).item()
            ),
        }[kind]

    def __call__(self, results):
        results['img'] = results['img'] // 2 + np.uint8(self.draw())
        return results


@pytest.mark.parametrize('kind', ['numpy', 'new', 'random', 'torch'])
def test_a_generator_of_its_own_is_named(kind):
    pipeline = compose('x', [crop(32), Noise(kind), FLIP, PACK])
    with pytest.raises(UserError, match='labelled: .* Noise '):
        check_repeatable('labelled', pipeline, image(40, 40, 3), (0, 1))


def test_global_generators_and_broken_images_pass():
    pipeline = compose('x', [crop(32), Noise('global'), FLIP, JITTER, PACK])
    check_repeatable('labelled', pipeline, image(40, 40, 3), (0, 1))
    # Whoever asks for the sample says why it cannot be read.
    loading = compose('x', [dict(type='LoadImageFromFile'), PACK])
    check_repeatable('labelled', loading, dict(img_path='nothing'), (0, 1))
    infos = dict(img_path='nothing'), dict(img_path='nothing')
    check_geometry('pipelines.teacher', loading, loading, infos, 0)


RESIZE = dict(type='Resize', scale=(48, 48))


@pytest.mark.parametrize(
    'step, name',
    [
        (crop(48), 'RandomResizedCrop'),
        # As good as never flipped: what counts is that it draws.
        (dict(FLIP, prob=1e-9), 'RandomFlip'),
        (Noise('global'), 'Noise'),
        (RESIZE, None),
        (dict(type='CenterCrop', crop_size=32), None),
        (NORMALIZE, None),
    ],
)
def test_a_clean_view_draws_nothing(step, name):
    steps = [step] if step is RESIZE else [RESIZE, step]
    pipeline = compose('x', [*steps, PACK])
    if name is None:
        check_clean('pipelines.teacher', pipeline, image(40, 40, 3))
        return
    with pytest.raises(UserError, match=f'pipelines.teacher: .* {name};'):
        check_clean('pipelines.teacher', pipeline, image(40, 40, 3))


def test_a_dataset_looks_at_all_its_pipelines(two_domains):
    def of(name, *steps):
        return domain(two_domains, name, [LOAD, *steps, PACK])

    steps = crop(32), FLIP
    art, real = (of(name, *steps) for name in ('Art', 'Real World'))
    teacher = [LOAD, crop(48), FLIP, PACK]
    apart = [LOAD, FLIP, crop(48), PACK]
    states = random.getstate(), np.random.get_state()[1].tolist()
    torch_state = torch.get_rng_state()
    views = dict(teacher=teacher, strong=[LOAD, *steps, JITTER, PACK])
    TwoStreamDataset(art, real, pipelines=views)
    free = dict(pipelines=dict(strong=apart), independent=('strong',))
    TwoStreamDataset(art, real, **free)
    still = dict(teacher=[LOAD, RESIZE, PACK])
    TwoStreamDataset(art, real, pipelines=still, clean=('teacher',))
    with pytest.raises(UserError, match='pipelines.teacher: .* RandomFlip;'):
        TwoStreamDataset(
            art, real, pipelines=dict(teacher=apart), clean=('teacher',)
        )
    assert states == (random.getstate(), np.random.get_state()[1].tolist())
    assert torch.equal(torch_state, torch.get_rng_state())
    for parts, pipelines, words in (
        ((art, real), dict(teacher=apart), 'pipelines.teacher'),
        ((art, real), dict(strong=apart), 'pipelines.strong'),
        (
            (art, of('Real World', *steps[::-1])),
            dict(teacher=teacher),
            'pipelines.teacher',
        ),
        ((art, of('Real World', Noise('new'))), {}, 'unlabelled: .* Noise '),
        (
            (art, real),
            dict(strong=[LOAD, *steps, Noise('new'), PACK]),
            'pipelines.strong: .* Noise ',
        ),
    ):
        with pytest.raises(UserError, match=words):
            TwoStreamDataset(*parts, pipelines=pipelines)
