import enum
import functools
import json

import numpy as np
import pytest
import torch

from mmkd_custom.cache.manifest import cache_manifest, options_of
from mmkd_custom.cache.store_manifest import first_difference


class Transform:
    """Any transform of a user's."""

    def __init__(self, **options):
        self.__dict__.update(options)
        self._scratch = object()


class Mode(str, enum.Enum):
    BILINEAR = 'bilinear'


Plain = enum.Enum('Plain', 'NEAREST BICUBIC')


@pytest.mark.parametrize(
    'value, expected',
    [
        (None, None),
        ((1, 2.5, 'x', True), [1, 2.5, 'x', True]),
        ({'a': (1,), 3: None}, {'a': [1], '3': None}),
        ({'b', 'a'}, ['a', 'b']),
        (np.float32(0.5), 0.5),
        (np.float64(0.5), 0.5),
        (float('nan'), 'nan'),
        (np.float32('nan'), 'nan'),
        (torch.float16, 'torch.float16'),
        (Plain.BICUBIC, 'Plain.BICUBIC'),
        (Mode.BILINEAR, 'Mode.BILINEAR'),
        (np.mean, 'numpy.mean'),
        (functools.partial(int, base=2), ['builtins.int', [], {'base': 2}]),
        (Transform(p=0.5), dict(type='Transform', p=0.5)),
        (
            Transform(inner=[Transform(p=1)]),
            dict(type='Transform', inner=[dict(type='Transform', p=1)]),
        ),
    ],
)
def test_options_as_json(value, expected):
    written = options_of(value)
    assert written == expected
    read = json.loads(json.dumps(written))
    # As a run compares it with the file: types count.
    assert first_difference(read, written) is None


def test_arrays_count_with_their_bytes():
    first = options_of(Transform(mean=np.zeros(3)))
    assert first == options_of(Transform(mean=np.zeros(3)))
    assert first != options_of(Transform(mean=np.ones(3)))
    assert first != options_of(Transform(mean=np.zeros(3, np.float32)))
    assert options_of(torch.zeros(2)) == options_of(np.zeros(2, np.float32))


def test_objects_that_hold_each_other():
    first, second = Transform(), Transform()
    first.other, second.other = second, first
    assert options_of(first)['other']['other'] == '...'


def test_no_address_is_written():
    class Slots:
        __slots__ = ()

    assert options_of(Slots()) == 'Slots'
    assert '0x' not in json.dumps(options_of(Transform(a=Slots(), f=Slots)))


@pytest.fixture
def manifest(small_runner):
    def make(**options):
        runner = small_runner(**options)
        dataset = runner.train_dataloader.dataset
        return cache_manifest(runner.model, dataset)

    return make


def test_alike_for_runs_that_are_alike(manifest):
    first = manifest()
    assert json.loads(json.dumps(first)) == first
    # How a teacher runs, and how long the run is, make no other outputs.
    other = manifest(
        epochs=6,
        seed=0,
        **{
            'model.teacher.teacher.max_batch': 2,
            'model.teacher.teacher.channels_last': False,
            'model.teacher.cache_dtype': 'float32',
            'model.general_weight': 7.0,
            'train_dataloader.sampler.labelled': 3,
            'train_dataloader.sampler.unlabelled': 1,
        },
    )
    assert other == first


def test_layers_without_weights(small_runner):
    runner = small_runner()
    dataset = runner.train_dataloader.dataset
    first = cache_manifest(runner.model, dataset)
    network = runner.model.teacher.teacher.model
    for name, layer in list(network.named_modules()):
        if isinstance(layer, torch.nn.SiLU):
            parent, _, child = name.rpartition('.')
            setattr(network.get_submodule(parent), child, torch.nn.ReLU())
    other = cache_manifest(runner.model, dataset)
    assert {n for n in first if first[n] != other[n]} == {'teacher_layers'}


def test_what_the_teacher_sees_is_its_own_pipeline(manifest):
    def edit(config):
        dataset = config.train_dataloader.dataset
        load, crop, flip, *_, pack = dataset.labelled.pipeline
        dataset.teacher_pipeline = [load, dict(crop, scale=64), flip, pack]

    found = manifest(edit=edit)
    assert list(found['pipelines']) == ['teacher']
    assert found['pipelines']['teacher'][1]['scale'] == [64, 64]


@pytest.mark.parametrize(
    'options',
    [
        {'model.teacher.teacher.dtype': 'bfloat16'},
        {'model.teacher.teacher.interpolation': 'bilinear'},
        {'model.teacher.teacher.input_size': 64},
        {'model.teacher.teacher.global_pool': 'max'},
        {'data_preprocessor.to_rgb': False},
        {'data_preprocessor.pad_size_divisor': 64},
        {'seed': 1},
    ],
)
def test_what_makes_other_outputs(manifest, options):
    first, other = manifest(), manifest(**options)
    assert {n for n in first if first[n] != other[n]}
