import numpy as np
import pytest
import torch
from mmpretrain.structures import DataSample

from mmkd_custom.datasets.two_stream.packing import (
    compose,
    geometry_only,
    run_seeded,
    without_label,
)
from mmkd_custom.datasets.two_stream.views import kept_rng, seeded_rng
from mmkd_custom.errors import UserError

IMAGE = np.arange(300, dtype=np.uint8).reshape(10, 10, 3)
STEPS = [dict(type='RandomCrop', crop_size=4), dict(type='PackInputs')]


def test_steps_are_built_or_taken_as_they_are():
    assert compose(None) is None
    pipeline = compose([*STEPS[:1], lambda results: results['img'].shape])
    assert pipeline(dict(img=IMAGE)) == (4, 4, 3)


def test_the_draws_are_those_of_the_key():
    pipeline = compose(STEPS)

    def run(*key):
        info = dict(img=IMAGE, sample_idx=0)
        with kept_rng():
            return run_seeded(pipeline, info, *key)['inputs']

    with seeded_rng(1, 2):
        expected = pipeline(dict(img=IMAGE))['inputs']
    assert torch.equal(run(1, 2), expected)
    assert any(not torch.equal(run(1, 3 + i), expected) for i in range(4))


@pytest.mark.parametrize(
    'step, words', [(lambda r: None, 'returned None'), (dict, 'PackInputs')]
)
def test_what_is_not_packed_is_refused(step, words):
    with kept_rng(), pytest.raises(UserError, match=f'sample 7: .*{words}'):
        run_seeded(compose([step]), dict(img=IMAGE, sample_idx=7), 0)


def test_labels_of_any_name_go():
    info = dict(img_path='a', gt_label=1, gt_score=2, clean_label=3, view=4)
    info.update(my_gt_class=5)
    assert without_label(info) == dict(img_path='a', view=4)


def test_only_geometry_stays():
    sample = DataSample(metainfo=dict(img_path='cat/a.jpg', flip=True))
    sample.set_gt_label(1)
    kept = geometry_only(sample)
    assert kept.metainfo == dict(flip=True) and not kept.keys()


def test_what_is_no_transform_is_refused():
    with pytest.raises(UserError, match="pipeline: .*'PackInputs'"):
        compose(['PackInputs'])
