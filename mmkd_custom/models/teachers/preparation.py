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


class InputPreparation:
    """Renormalises and resizes a batch (DESIGN decision 3).

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
        if min(self.std) <= 0:
            raise UserError(
                f'teacher: std={self.std} must be positive on 0-255 pixels.'
            )
        if max(self.std) < 1:
            # No image varies by less than one of 255 steps, and most cards
            # state their numbers so.
            raise UserError(
                f'teacher: mean={self.mean} and std={self.std} are those of '
                '0-1 pixels, but those of 0-255 pixels are wanted, which are '
                '255 times as large.'
            )
        if interpolation not in INTERPOLATIONS:
            raise UserError(
                f'teacher: interpolation={interpolation!r} is not one of '
                f'{", ".join(INTERPOLATIONS)}.'
            )
        self.interpolation = interpolation
        self.patch_multiple = patch_multiple
        self.input_size = _pair(input_size, patch_multiple)
        self._told_of_rounding = False

    @torch.no_grad()
    def __call__(
        self,
        inputs: torch.Tensor,
        mean: Optional[Sequence[float]] = None,
        std: Optional[Sequence[float]] = None,
        to_rgb: bool = True,
    ) -> torch.Tensor:
        """Prepares a batch; see :meth:`FrozenTeacher.prepare`."""
        if inputs.ndim == 4 and inputs.shape[1] == 1:
            # What is grey is so in each of the three channels.
            inputs = inputs.expand(-1, 3, -1, -1)
        if inputs.ndim != 4 or inputs.shape[1] != 3:
            raise UserError(
                f"the teacher's inputs have shape {tuple(inputs.shape)}, but "
                '(N, 3, H, W) or (N, 1, H, W) is wanted.'
            )
        # MPS has no float64.
        host = torch.device('cpu')
        device = host if inputs.device.type == 'mps' else inputs.device
        own_mean, own_std, student_mean, student_std = (
            _on(device, values)
            for values in (
                self.mean,
                self.std,
                (0, 0, 0) if mean is None else mean,
                (1, 1, 1) if std is None else std,
            )
        )
        student_mean = student_mean.expand(3)
        student_std = student_std.expand(3)
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


def _on(
    device: torch.device, values: Union[Sequence[float], torch.Tensor]
) -> torch.Tensor:
    """Gives numbers in float64 on a device, which is not waited for."""
    if torch.is_tensor(values):
        return values.to(device, torch.float64)
    return send(torch.tensor(values, dtype=torch.float64), device)


def _three(option: str, values: Sequence[float]) -> Tuple[float, ...]:
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError) as error:
        raise UserError(
            f'teacher: {option}={values!r} must be one number for each of R, '
            'G, B.'
        ) from error
    if len(numbers) != 3:
        raise UserError(
            f'teacher: {option} has {len(numbers)} numbers, but one for each '
            'of R, G, B is wanted.'
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
            not isinstance(edge, int)
            or isinstance(edge, bool)
            or edge < 1
            or edge % step
            for edge in pair
        )
    ):
        raise UserError(
            f'teacher: input_size={size!r} must be one or two positive '
            f'multiples of {step}.'
        )
    return tuple(pair)
