"""From a batch as the student sees it to what a teacher wants."""

from __future__ import annotations

from typing import Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from mmengine.logging import print_log

from ...errors import UserError
from ..batch import send

ANTIALIASED = ('bilinear', 'bicubic')
INTERPOLATIONS = ANTIALIASED + ('nearest',)

Numbers = Union[Sequence[float], torch.Tensor]


class InputPreparation:
    """Renormalises and resizes a batch.

    One affine per channel, (x * std + mean - mean_t) / std_t, whose scale and
    shift are computed in float64; then the resize.

    Args:
        mean (Sequence[float]): Means of R, G, B on 0-255 pixels.
        std (Sequence[float]): Standard deviations of R, G, B on 0-255 pixels.
        input_size (int | tuple[int, int], optional): Size in pixels (or
            height and width) that images are resized to. None keeps the
            student's size, rounded to the nearest multiple of
            ``patch_multiple``. Defaults to None.
        interpolation (str): 'bicubic', 'bilinear' (both antialiased) or
            'nearest'. Defaults to 'bicubic'.
        patch_multiple (int): Height and width must be multiples of it.
            Defaults to 1.

    Raises:
        UserError: If an option has no such value.
    """

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        input_size: Union[int, Sequence[int], None] = None,
        interpolation: str = 'bicubic',
        patch_multiple: int = 1,
    ) -> None:
        self.mean = _three('mean', mean)
        self.std = _three('std', std)
        # No image varies by less than one of 255 steps, and most cards state
        # their numbers for 0-1 pixels.
        if min(self.std) <= 0 or max(self.std) < 1:
            raise UserError(
                'teacher: expected mean and positive std of 0-255 pixels, got '
                f'mean={self.mean} and std={self.std}.'
            )
        if interpolation not in INTERPOLATIONS:
            raise UserError(
                f'teacher: expected interpolation out of '
                f'{", ".join(INTERPOLATIONS)}, got {interpolation!r}.'
            )
        self.interpolation = interpolation
        self.patch_multiple = patch_multiple
        self.input_size = _pair(input_size, patch_multiple)
        self._told_of_rounding = False

    def __str__(self) -> str:
        size = "the student's size"
        if self.input_size is not None:
            size = '{}x{}'.format(*self.input_size)
        return f'{size} {self.interpolation}'

    @torch.no_grad()
    def __call__(
        self,
        inputs: torch.Tensor,
        mean: Optional[Numbers] = None,
        std: Optional[Numbers] = None,
        to_rgb: bool = True,
    ) -> torch.Tensor:
        """Prepares a batch.

        Args:
            inputs (Tensor): Images (N, 3, H, W), or grey ones (N, 1, H, W),
                as the student's preprocessor left them.
            mean (Sequence[float] | Tensor, optional): The student's means on
                0-255 pixels, in the order of the channels of ``inputs``. None
                means that none was subtracted. Defaults to None.
            std (Sequence[float] | Tensor, optional): The student's standard
                deviations, likewise. Defaults to None.
            to_rgb (bool): Whether the channels of ``inputs`` are R, G, B;
                otherwise they are B, G, R. Defaults to True.

        Returns:
            Tensor: float32 (N, 3, H_t, W_t), RGB.

        Raises:
            UserError: If ``inputs`` has another shape.
        """
        if inputs.ndim == 4 and inputs.shape[1] == 1:
            # What is grey is so in each of the three channels.
            inputs = inputs.expand(-1, 3, -1, -1)
        if inputs.ndim != 4 or inputs.shape[1] != 3:
            raise UserError(
                'teacher: expected inputs (N, 3, H, W) or (N, 1, H, W), got '
                f'{tuple(inputs.shape)}.'
            )
        # MPS has no float64.
        mps = inputs.device.type == 'mps'
        device = torch.device('cpu') if mps else inputs.device
        own_mean, own_std, student_mean, student_std = (
            _on(device, values).expand(3)
            for values in (
                self.mean,
                self.std,
                (0,) if mean is None else mean,
                (1,) if std is None else std,
            )
        )
        if not to_rgb:
            inputs = inputs.flip(1)
            student_mean, student_std = (
                student_mean.flip(0),
                student_std.flip(0),
            )
        scale, shift = (
            values.to(inputs.device, torch.float32).view(1, 3, 1, 1)
            for values in (
                student_std / own_std,
                (student_mean - own_mean) / own_std,
            )
        )
        return self._resize(inputs.float() * scale + shift)

    def _resize(self, images: torch.Tensor) -> torch.Tensor:
        given = tuple(images.shape[-2:])
        size = self.input_size
        if size is None:
            step = self.patch_multiple
            size = tuple(max(round(edge / step), 1) * step for edge in given)
            if size != given and not self._told_of_rounding:
                self._told_of_rounding = True
                print_log(
                    f'teacher: images of {given} are resized to {size}, the '
                    f'nearest multiple of its patch of {step}.',
                    logger='current',
                )
        if size == given:
            return images
        return F.interpolate(
            images,
            size,
            mode=self.interpolation,
            antialias=self.interpolation in ANTIALIASED,
        )


def _on(device: torch.device, values: Numbers) -> torch.Tensor:
    """Returns numbers in float64 on a device, which is not waited for."""
    if torch.is_tensor(values):
        return values.to(device, torch.float64).flatten()
    return send(torch.tensor(values, dtype=torch.float64), device)


def _three(option: str, values: Sequence[float]) -> Tuple[float, ...]:
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != 3:
        raise UserError(
            f'teacher: expected {option} to be one number for each of R, G, '
            f'B, got {values!r}.'
        )
    return numbers


def _pair(
    size: Union[int, Sequence[int], None], step: int
) -> Optional[Tuple[int, int]]:
    if size is None:
        return None
    pair = (size, size) if isinstance(size, int) else size
    if (
        not isinstance(pair, (tuple, list))
        or len(pair) != 2
        or any(
            type(edge) is not int or edge < 1 or edge % step for edge in pair
        )
    ):
        raise UserError(
            'teacher: expected input_size to be one or two positive multiples '
            f'of {step}, got {size!r}.'
        )
    return tuple(pair)
