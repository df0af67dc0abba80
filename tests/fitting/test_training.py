"""Training adapts, reports what it reached and gives the teacher back."""

import pytest
import torch
import torch.nn.functional as F

from mmkd_custom.errors import UserError
from mmkd_custom.fitting.adapters import adapters
from mmkd_custom.fitting.training import AdaptSettings, train_adapter
from mmkd_custom.models.teachers.timm.teacher import TimmTeacher
from mmkd_custom.models.teachers.wrappers.adapted import (
    Adaptation,
    AdaptedTeacher,
)
from mmkd_custom.models.teachers.wrappers.base import feature_name

CLASSES = 3
MODES = ['norm', 'lora', 'full']


@pytest.fixture(params=MODES)
def mode(request):
    if request.param == 'lora':
        pytest.importorskip('peft')
    return request.param


@pytest.fixture
def config(tmp_path):
    """Config of a tiny teacher with weights of its own."""
    path = tmp_path / 'vit.pth'
    torch.save(TimmTeacher('test_vit').model.state_dict(), path)
    return dict(
        type='mmkd_custom.TimmTeacher',
        model_name='test_vit',
        checkpoint=str(path),
        input_size=32,
    )


def build(config):
    options = dict(config)
    del options['type']
    return TimmTeacher(**options)


def toy(count=24, size=32):
    """Noise with a bright quarter that tells the class."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(count, 3, size, size, generator=generator)
    labels = torch.arange(count) % CLASSES
    half = size // 2
    images[labels == 0, :, :half, :half] += 2
    images[labels == 1, :, half:, half:] += 2
    return images, labels


def once(images, labels):
    return lambda epoch=0: [(images, labels)]


def stored(trained, teacher, settings, path):
    lora = settings.mode == 'lora'
    Adaptation(
        tensors=trained.tensors,
        mode=settings.mode,
        teacher=teacher.name,
        teacher_sha256=teacher.digest(),
        classes=['a', 'b', 'c'],
        feature=feature_name(teacher),
        rank=settings.rank if lora else None,
        alpha=settings.alpha if lora else None,
    ).save(path)
    return str(path)


def test_a_separable_toy_is_learnt_and_stored(tmp_path, config, mode):
    teacher, (images, labels) = build(config), toy()
    digest = teacher.digest()
    lr = 3e-3 if mode == 'full' else 1e-2
    settings = AdaptSettings(mode, epochs=12, lr=lr, rank=2, alpha=3.0)
    batches = [(images[i : i + 8], labels[i : i + 8]) for i in (0, 8, 16)]
    trained = train_adapter(
        teacher,
        lambda epoch: batches,
        CLASSES,
        settings,
        held_out=lambda: batches,
    )
    assert len(trained.losses) == 12
    assert trained.losses[-1] < 0.2 * trained.losses[0]
    assert trained.accuracy > 95
    assert teacher.digest() == digest

    path = stored(trained, teacher, settings, tmp_path / 'a.safetensors')
    adapted = AdaptedTeacher(config, path)
    output = adapted(images)
    # The un-merged network with the stored values, as it was trained.
    with adapters(
        teacher, mode, images[:1], settings.rank, settings.alpha
    ) as parameters:
        with torch.no_grad():
            for name, parameter in parameters.items():
                assert not torch.equal(parameter, trained.tensors[name])
                parameter.copy_(trained.tensors[name])
            feature = teacher.encode(images, ('feature',)).feature
    torch.testing.assert_close(output.feature, feature, rtol=1e-5, atol=1e-5)
    logits = F.linear(
        feature, trained.tensors['head.weight'], trained.tensors['head.bias']
    )
    torch.testing.assert_close(output.logits, logits, rtol=1e-5, atol=1e-4)
    top1 = (output.logits.argmax(1) == labels).float().mean() * 100
    assert top1.item() == pytest.approx(trained.accuracy)


def test_the_stored_head_gives_the_loss_that_was_trained(tmp_path, config):
    # The second epoch's loss is that of the weights after the first step,
    # which is the same in a run of one epoch and of two.
    teacher, (images, labels) = build(config), toy()
    runs = [
        train_adapter(
            teacher,
            once(images, labels),
            CLASSES,
            AdaptSettings(epochs=epochs, lr=1e-2),
        )
        for epochs in (1, 2)
    ]
    assert runs[0].losses[0] == runs[1].losses[0] == pytest.approx(1.0986123)
    path = stored(
        runs[0], teacher, AdaptSettings(), tmp_path / 'a.safetensors'
    )
    logits = AdaptedTeacher(config, path)(images).logits
    loss = F.cross_entropy(logits, labels).item()
    assert loss == pytest.approx(runs[1].losses[1], abs=1e-5)
    assert loss < 1.09


def test_a_seed_gives_the_same_weights_and_leaves_the_generator(config, mode):
    teacher, (images, labels) = build(config), toy()
    settings = AdaptSettings(mode, epochs=2, rank=2)
    runs = []
    for seed in (1, 1, 2):
        torch.manual_seed(len(runs))
        before = torch.get_rng_state()
        runs.append(
            train_adapter(
                teacher, once(images, labels), CLASSES, settings, seed
            ).tensors
        )
        assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(runs[0][k], runs[1][k]) for k in runs[0])
    if mode == 'lora':
        assert not all(torch.equal(runs[0][k], runs[2][k]) for k in runs[0])


def test_small_batches_through_the_network_change_nothing(config):
    images, labels = toy()
    runs = []
    for max_batch in (None, 5):
        teacher = build(config)
        teacher.max_batch = max_batch
        seen = []
        encode = teacher.encode

        def watched(inputs, wants, encode=encode, seen=seen):
            seen.append(len(inputs))
            return encode(inputs, wants)

        teacher.encode = watched
        runs.append(
            train_adapter(
                teacher,
                once(images, labels),
                CLASSES,
                AdaptSettings(epochs=2),
            ).tensors
        )
        assert max(seen) == (max_batch or len(images))
    for name in runs[0]:
        torch.testing.assert_close(
            runs[0][name], runs[1][name], rtol=1e-3, atol=1e-4
        )


def test_a_loss_that_is_not_finite_is_an_error_and_leaves_the_teacher(config):
    teacher, (images, labels) = build(config), toy()
    digest = teacher.digest()
    with pytest.raises(UserError) as error:
        train_adapter(
            teacher,
            once(images * float('inf'), labels),
            CLASSES,
            AdaptSettings(epochs=1),
        )
    assert 'lr' in str(error.value)
    assert teacher.digest() == digest
    assert not any(p.requires_grad for p in teacher.parameters())


@pytest.mark.parametrize(
    'option, value',
    [
        ('mode', 'bias'),
        ('epochs', 0),
        ('rank', 0),
        ('batch_size', -1),
        ('lr', 0.0),
        ('lr', float('nan')),
        ('alpha', -1.0),
        ('holdout', 1.0),
    ],
)
def test_wrong_settings_are_refused(option, value):
    with pytest.raises(UserError) as error:
        AdaptSettings(**{option: value})
    assert option in str(error.value) and str(value) in str(error.value)
