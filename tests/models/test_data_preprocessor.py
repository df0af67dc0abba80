"""The preprocessor against MMPretrain's own."""

import copy

import numpy as np
import pytest
import torch
from mmpretrain.models.utils import ClsDataPreprocessor
from mmpretrain.structures import DataSample

from mmkd_custom.errors import UserError
from mmkd_custom.models import DistillDataPreprocessor
from mmkd_custom.models import batch as batch_module
from mmkd_custom.models.batch import send
from tests.helpers import make_batch

MEAN, STD = [123.675, 116.28, 103.53], [58.395, 57.12, 57.375]
NORMALISE = dict(mean=MEAN, std=STD, to_rgb=True, num_classes=5)
MIXUP = dict(augments=dict(type='Mixup', alpha=1.0))
MIXED = [3, 0, 1, None, None, None]


def by_hand(images):
    """RGB images, normalised one channel at a time."""
    return torch.stack(
        [
            (images[:, 2 - c].double() - MEAN[c]) / STD[c]
            for c in range(len(MEAN))
        ],
        1,
    ).float()


@pytest.mark.parametrize('as_list', [False, True])
@pytest.mark.parametrize('training', [False, True])
def test_training_puts_labelled_samples_first(training, as_list):
    labels = [3, None, None, 0, None, 1]
    batch = make_batch(labels)
    batch['data_samples'][1].set_metainfo(dict(stream='synthetic'))
    order = [0, 3, 5, 2, 4, 1] if training else range(6)
    images = batch['inputs'][list(order)]
    batch['views'] = dict(teacher=batch['inputs'])
    if as_list:
        batch['inputs'] = list(batch['inputs'])
    data = DistillDataPreprocessor(**NORMALISE)(copy.deepcopy(batch), training)
    for found in (data['inputs'], data['views']['teacher']):
        torch.testing.assert_close(
            found, by_hand(images), rtol=1e-5, atol=1e-5
        )
    found = [
        s.gt_label.item() if 'gt_label' in s else None
        for s in data['data_samples']
    ]
    assert found == [labels[i] for i in order]


@pytest.mark.parametrize('training', [True, False])
@pytest.mark.parametrize(
    'options',
    [
        NORMALISE,
        dict(),
        dict(NORMALISE, to_onehot=True, pad_size_divisor=24, pad_value=7),
        dict(NORMALISE, batch_augments=MIXUP),
    ],
)
def test_a_labelled_batch_is_as_mmpretrain_makes_it(options, training):
    batch = make_batch([0, 4, 2, 2])
    results = []
    for kind in (ClsDataPreprocessor, DistillDataPreprocessor):
        np.random.seed(0)
        torch.manual_seed(0)
        results.append(kind(**options)(copy.deepcopy(batch), training))
    theirs, ours = results
    assert torch.equal(ours['inputs'], theirs['inputs'])
    for a, b in zip(ours['data_samples'], theirs['data_samples']):
        assert torch.equal(a.gt_label, b.gt_label)
        assert ('gt_score' in a) == ('gt_score' in b)
        if 'gt_score' in b:
            assert torch.equal(a.gt_score, b.gt_score.float())


def test_mixup_mixes_the_labelled_with_each_other_only():
    batch = make_batch(MIXED)
    # Labelled pixels are multiples of 100, unlabelled ones are 7: what
    # they are mixed with shows.
    labelled = torch.tensor([0, 1, 2])
    batch['inputs'][:] = 7
    for value, position in enumerate(labelled):
        batch['inputs'][position] = 100 * value
    data = DistillDataPreprocessor(num_classes=5, batch_augments=MIXUP)(
        batch, True
    )
    rest = torch.tensor([3, 4, 5])
    assert (data['inputs'][rest] == 7).all()
    mixed = data['inputs'][labelled][:, 0, 0, 0]
    scores = torch.stack([data['data_samples'][i].gt_score for i in labelled])
    # The same mixture in image and label: pixels follow from the scores.
    torch.testing.assert_close(
        mixed, scores @ torch.tensor([100.0, 200.0, 0.0, 0.0, 0.0])
    )
    assert not any('gt_score' in data['data_samples'][i] for i in rest)
    assert ((scores > 0).sum(1) > 1).any()


def test_nothing_is_mixed_outside_training():
    batch = make_batch(MIXED)
    data = DistillDataPreprocessor(num_classes=5, batch_augments=MIXUP)(
        copy.deepcopy(batch), False
    )
    assert torch.equal(data['inputs'], batch['inputs'].float())


@pytest.mark.parametrize('as_list', [False, True])
def test_views_are_normalised_like_the_inputs(as_list):
    batch = make_batch(MIXED)
    images = {
        name: make_batch(MIXED, seed=2, size=size)['inputs']
        for name, size in dict(teacher=48, strong=24).items()
    }
    views = {k: list(v) if as_list else v for k, v in images.items()}
    data = DistillDataPreprocessor(**NORMALISE)(dict(batch, views=views), True)
    assert set(data['views']) == {'teacher', 'strong'}
    for name, view in data['views'].items():
        torch.testing.assert_close(
            view, by_hand(images[name]), rtol=1e-5, atol=1e-5
        )
    # It goes through the student, as the inputs do.
    strong = data['views']['strong']
    assert strong.is_contiguous(memory_format=torch.channels_last)


def test_a_batch_may_lack_the_students_view():
    batch = make_batch(MIXED)
    batch['views'] = dict(teacher=batch.pop('inputs'))
    data = DistillDataPreprocessor(**NORMALISE)(batch, True)
    assert data['inputs'] is None and set(data['views']) == {'teacher'}


@pytest.mark.parametrize('kind', ['Mixup', 'CutMix', 'ResizeMix'])
def test_every_view_is_mixed_alike(kind):
    batch = make_batch(MIXED)
    # Nearest neighbours, so that a view twice as large shows equal pixels.
    large = batch['inputs'].repeat_interleave(2, 2).repeat_interleave(2, 3)
    batch['views'] = dict(teacher=large, strong=batch['inputs'].clone())
    augment = dict(type=kind, alpha=1.0)
    if kind == 'ResizeMix':
        augment.update(lam_min=0.3, lam_max=0.6)
    preprocessor = DistillDataPreprocessor(
        num_classes=5, batch_augments=dict(augments=augment)
    )
    plain = DistillDataPreprocessor(num_classes=5)(copy.deepcopy(batch))
    np.random.seed(3)
    torch.manual_seed(3)
    data = preprocessor(copy.deepcopy(batch), True)
    assert torch.equal(data['views']['strong'], data['inputs'])
    changed = (data['inputs'] != plain['inputs']).flatten(1).any(1)
    assert changed.any() and not changed[3:].any()
    if kind != 'ResizeMix':
        # Partners, ratio and box are the same.
        assert torch.equal(
            data['views']['teacher'][..., ::2, ::2], data['inputs']
        )
    else:
        where = (data['views']['teacher'] != plain['views']['teacher']).any(1)
        box = (data['inputs'] != plain['inputs']).any(1)
        assert (where[:, ::2, ::2] == box).float().mean() > 0.99
    # One draw: what follows is drawn as if there were one view.
    after = np.random.rand(), torch.rand(())
    np.random.seed(3)
    torch.manual_seed(3)
    del batch['views']
    alone = preprocessor(batch, True)
    assert torch.equal(alone['inputs'], data['inputs'])
    assert after == (np.random.rand(), torch.rand(()))


def test_views_of_other_sizes_want_a_known_mixture():
    batch = make_batch(MIXED)

    def roll(images, scores):
        return images.roll(1, 0), scores.roll(1, 0)

    preprocessor = DistillDataPreprocessor(
        num_classes=5, batch_augments=dict(augments=roll)
    )
    batch['views'] = dict(teacher=batch['inputs'])
    data = preprocessor(copy.deepcopy(batch), True)
    assert torch.equal(data['views']['teacher'], data['inputs'])
    batch['views']['teacher'] = make_batch(MIXED, size=48)['inputs']
    with pytest.raises(UserError, match='augments'):
        preprocessor(batch, True)


def test_labels_become_scores_without_images_too():
    preprocessor = DistillDataPreprocessor(num_classes=5, to_onehot=True)
    batch = make_batch(MIXED)
    for data in (batch, dict(data_samples=make_batch(MIXED)['data_samples'])):
        samples = preprocessor(data, True)['data_samples']
        found = [
            s.gt_score.argmax().item() if 'gt_score' in s else None
            for s in samples
        ]
        assert found == MIXED


def test_the_layout_can_be_left_as_it_is():
    preprocessor = DistillDataPreprocessor(channels_last=False, **NORMALISE)
    assert preprocessor(make_batch(MIXED), True)['inputs'].is_contiguous()


@pytest.mark.parametrize('sizes', [[32] * 6, [32, 24, 28, 20, 40, 32]])
def test_lists_of_images_are_stacked_and_padded(sizes):
    samples = make_batch(MIXED)['data_samples']
    images = [
        make_batch([0], seed=i, size=size)['inputs'][0]
        for i, size in enumerate(sizes)
    ]
    data = DistillDataPreprocessor(pad_value=9, **NORMALISE)(
        dict(inputs=images, data_samples=samples), True
    )
    edge = max(sizes)
    assert data['inputs'].shape == (6, 3, edge, edge)
    for got, image, size in zip(data['inputs'], images, sizes):
        torch.testing.assert_close(
            got[:, :size, :size], by_hand(image[None])[0], rtol=1e-5, atol=1e-5
        )
        assert (got[:, size:] == 9).all() and (got[:, :, size:] == 9).all()


def test_layout_is_channels_last():
    data = DistillDataPreprocessor(**NORMALISE)(make_batch(MIXED), True)
    inputs = data['inputs']
    assert inputs.is_contiguous(memory_format=torch.channels_last)
    assert not inputs.is_contiguous()


@pytest.mark.parametrize('samples', [dict(), dict(data_samples=None)])
def test_images_without_samples(samples):
    images = make_batch([0, 1])['inputs']
    data = DistillDataPreprocessor(**NORMALISE)(dict(inputs=images, **samples))
    torch.testing.assert_close(
        data['inputs'], by_hand(images), rtol=1e-5, atol=1e-5
    )
    assert data['data_samples'] is None


def test_an_unlabelled_batch_stays_unlabelled():
    batch = make_batch([None, None])
    data = DistillDataPreprocessor(to_onehot=True, **NORMALISE)(batch, True)
    assert all(type(s) is DataSample for s in data['data_samples'])
    assert not any(s.keys() for s in data['data_samples'])


@pytest.mark.parametrize('name', ['gt_label', 'gt_score'])
def test_labels_reach_the_device_at_once_and_unread(monkeypatch, name):
    sent = []
    monkeypatch.setattr(
        batch_module,
        'send',
        lambda values, device: sent.append(len(values)) or values.to(device),
    )
    # A value on the meta device cannot be read: the host waits for none.
    model = DistillDataPreprocessor(**NORMALISE).to('meta')
    batch = make_batch(MIXED)
    for sample in batch['data_samples']:
        if name == 'gt_score' and 'gt_label' in sample:
            del sample.gt_label
            sample.set_gt_score(torch.ones(5) / 5)
    data = model(batch, True)
    assert data['inputs'].device.type == 'meta'
    shapes = [
        (s.get(name).device.type, tuple(s.get(name).shape))
        for s in data['data_samples']
        if name in s
    ]
    wanted = (1,) if name == 'gt_label' else (5,)
    assert shapes == [('meta', wanted)] * 3
    assert sent == [3]


def test_pinned_copies_are_not_waited_for(monkeypatch):
    seen = []
    pinned = torch.ones(3)
    monkeypatch.setattr(torch.Tensor, 'pin_memory', lambda self: pinned)
    monkeypatch.setattr(
        torch.Tensor,
        'to',
        lambda self, *args, **kwargs: seen.append((self, args, kwargs)),
    )
    host, device = torch.zeros(3), torch.device('cuda', 0)
    send(host, device)
    assert seen[0][0] is pinned
    assert seen[0][1:] == ((device,), dict(non_blocking=True))
    send(host, torch.device('cpu'))
    assert seen[1][0] is host and seen[1][2] == {}
    assert DistillDataPreprocessor()._non_blocking


def test_streams_one_after_the_other_are_not_copied(monkeypatch):
    # A copy of a part would leave pinned memory, and its transfer would wait.
    moved = []
    cast = ClsDataPreprocessor.cast_data

    def watch(self, data):
        moved.append(data.data_ptr())
        return cast(self, data)

    monkeypatch.setattr(ClsDataPreprocessor, 'cast_data', watch)
    batch = make_batch([1, 2, None, None, None])
    DistillDataPreprocessor(**NORMALISE)(batch, True)
    inputs = batch['inputs']
    assert moved == [inputs.data_ptr()]
