"""Tests of InputPreparation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from mmkd_custom.errors import UserError
from mmkd_custom.models.teachers.preparation import InputPreparation

STUDENT_MEAN = np.array([123.675, 116.28, 103.53])
STUDENT_STD = np.array([58.395, 57.12, 57.375])
MEAN = np.array([122.771, 116.746, 104.094])
STD = np.array([68.5, 66.632, 70.323])


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (4, 3, 20, 24))


def channels(values: np.ndarray) -> np.ndarray:
    return values.reshape(1, 3, 1, 1)


def as_student(pixels: np.ndarray) -> torch.Tensor:
    normalised = (pixels - channels(STUDENT_MEAN)) / channels(STUDENT_STD)
    return torch.tensor(normalised, dtype=torch.float32)


def as_teacher(pixels: np.ndarray) -> np.ndarray:
    return (pixels - channels(MEAN)) / channels(STD)


@pytest.mark.parametrize('as_tensor', [False, True])
def test_affine_equals_normalising_raw_pixels(pixels, as_tensor):
    wrap = torch.tensor if as_tensor else list
    out = InputPreparation(MEAN, STD)(
        as_student(pixels), wrap(STUDENT_MEAN), wrap(STUDENT_STD)
    )
    assert out.dtype == torch.float32
    assert np.abs(out.double().numpy() - as_teacher(pixels)).max() <= 1e-5


def test_bgr_inputs_come_with_bgr_means(pixels):
    bgr = as_student(pixels).flip(1)
    out = InputPreparation(MEAN, STD)(
        bgr, STUDENT_MEAN[::-1].copy(), STUDENT_STD[::-1].copy(), to_rgb=False
    )
    assert np.abs(out.double().numpy() - as_teacher(pixels)).max() <= 1e-5


def test_inputs_are_left_as_they_are_and_no_graph_is_kept(pixels):
    inputs = as_student(pixels).requires_grad_()
    before = inputs.detach().clone()
    out = InputPreparation(MEAN, STD)(inputs, STUDENT_MEAN, STUDENT_STD)
    assert not out.requires_grad
    assert torch.equal(inputs.detach(), before)


@pytest.mark.parametrize(
    'interpolation, pil',
    [
        ('bicubic', Image.BICUBIC),
        ('bilinear', Image.BILINEAR),
    ],
)
def test_resize_equals_pillow(pixels, interpolation, pil):
    out = InputPreparation(
        MEAN, STD, input_size=(9, 11), interpolation=interpolation
    )(as_student(pixels), STUDENT_MEAN, STUDENT_STD)
    wanted = np.stack(
        [
            [
                np.asarray(
                    Image.fromarray(channel.astype(np.float32)).resize(
                        (11, 9), pil
                    )
                )
                for channel in image
            ]
            for image in as_teacher(pixels)
        ]
    )
    assert out.shape == (4, 3, 9, 11)
    assert np.abs(out.numpy() - wanted).max() < 1e-4


def test_nearest_makes_no_new_values(pixels):
    prepare = InputPreparation(
        MEAN, STD, input_size=10, interpolation='nearest'
    )
    out = prepare(torch.tensor(pixels))
    assert out.shape == (4, 3, 10, 10)
    known = InputPreparation(MEAN, STD)(torch.tensor(pixels))
    assert np.isin(out.numpy(), known.numpy()).all()


def test_students_size_is_rounded_to_the_patch_and_said_once(log_lines):
    prepare = InputPreparation(MEAN, STD, patch_multiple=14)
    assert prepare(torch.zeros(1, 3, 96, 104)).shape == (1, 3, 98, 98)
    assert prepare(torch.zeros(1, 3, 96, 96)).shape == (1, 3, 98, 98)
    assert prepare(torch.zeros(1, 3, 3, 28)).shape == (1, 3, 14, 28)
    assert prepare(torch.zeros(1, 3, 28, 42)).shape == (1, 3, 28, 42)
    assert len(log_lines) == 1
    assert '(96, 104)' in log_lines[0] and '(98, 98)' in log_lines[0]


@pytest.mark.parametrize(
    'options, named',
    [
        (dict(mean=(1, 2)), 'mean.*(1, 2)'),
        (dict(std=(1, 0, 1)), 'std'),
        (dict(mean=127), 'mean.*127'),
        (dict(std='imagenet'), "std.*'imagenet'"),
        # Those of 0-1 pixels.
        (dict(mean=(0.5,) * 3, std=(0.2,) * 3), '0-255.*std=.*0.2'),
        (dict(input_size=98.0), 'input_size.*98.0'),
        (dict(input_size=True), 'input_size.*True'),
        (dict(input_size=(98, 98.0)), 'input_size'),
        (dict(interpolation='lanczos'), "interpolation.*'lanczos'"),
        (dict(input_size=100, patch_multiple=14), 'input_size.* 14'),
        (dict(input_size=0), 'input_size.*0'),
        (dict(input_size='cart'), "input_size.*'cart'"),
        (dict(input_size=(1, 2, 3)), 'input_size'),
    ],
)
def test_wrong_options(options, named):
    with pytest.raises(UserError, match=named):
        InputPreparation(**dict(dict(mean=MEAN, std=STD), **options))


@pytest.mark.parametrize('shape', [(3, 8, 8), (2, 4, 8, 8)])
def test_wrong_shape(shape):
    with pytest.raises(UserError) as error:
        InputPreparation(MEAN, STD)(torch.zeros(shape))
    assert str(shape) in str(error.value)


@pytest.mark.parametrize('to_rgb', [False, True])
def test_grey_images_are_the_same_in_each_channel(pixels, to_rgb):
    grey = pixels[:, :1]
    normalised = torch.tensor((grey - 120.0) / 60.0, dtype=torch.float32)
    out = InputPreparation(MEAN, STD)(normalised, [120.0], [60.0], to_rgb)
    wanted = as_teacher(np.repeat(grey, 3, 1))
    assert np.abs(out.double().numpy() - wanted).max() <= 1e-5
