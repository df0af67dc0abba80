"""The frozen teacher: what every teacher guarantees."""

from __future__ import annotations

import hashlib
from typing import Any, Dict, Optional, Sequence, Tuple, Union

import torch
import torch.nn as nn

from ...errors import UserError
from ..batch import STUDENT, TEACHER, Batch
from ..outputs import FEATURE, LOGITS, OUTPUTS, Outputs, Shape, concatenate
from .preparation import InputPreparation

DTYPES = {
    'float32': torch.float32,
    'bfloat16': torch.bfloat16,
    'float16': torch.float16,
}

#: What ``weights`` says of a network that loaded none.
RANDOM_WEIGHTS = 'random'


class FrozenTeacher(nn.Module):
    """A network that is asked and never trained: f_t of METHODS 1.

    Any network assigned to an attribute is frozen on the spot: in ``eval()``
    whatever ``train()`` is told, no parameter requires grad, in the teacher's
    own dtype. It runs under ``no_grad`` and outside the student's autocast.
    Its output is a plain tensor, not an inference tensor, so it may be the
    input of a trainable projection. A deep copy is the teacher itself.

    Args:
        mean (Sequence[float]): Means of R, G, B on 0-255 pixels.
        std (Sequence[float]): Standard deviations of R, G, B on 0-255 pixels.
        input_size (int | tuple[int, int], optional): Size in pixels (or
            height and width) that images are resized to. None keeps the
            student's size. Defaults to None.
        interpolation (str): 'bicubic', 'bilinear' (both antialiased) or
            'nearest'. Defaults to 'bicubic'.
        patch_multiple (int): Height and width must be multiples of it.
            Defaults to 1.
        dtype (str): 'float32', 'bfloat16' or 'float16', of weights and
            computation. Defaults to 'float32'.
        channels_last (bool): Whether weights and images are laid out (N, H,
            W, C) in memory. Defaults to True.
        max_batch (int, optional): Most images that go through the network at
            once; a larger batch is cut. None never cuts. Defaults to None.
        compile (bool): Whether ``torch.compile`` compiles the network at its
            first use. Defaults to False.

    Attributes:
        feature_dim (int): Width D of the feature.
        num_classes (int, optional): Number of classes C; None if headless.
        offers (tuple[str]): What it can be asked for, of
            :data:`~mmkd_custom.models.outputs.OUTPUTS`.
        dims (dict[str, tuple[int]]): Shape for one image of each, at the size
            of the dry run; maps as ``maps.0``, ``maps.1`` …
        name (str): Name of the network.
        weights (str): Where its weights came from.
        feature_mean (Tensor, optional): (D,), set by :meth:`standardize`.
        feature_std (Tensor, optional): (D,), likewise.

    Raises:
        UserError: If an option has no such value.
    """

    feature_dim: int
    num_classes: Optional[int] = None
    offers: Tuple[str, ...] = (FEATURE, LOGITS)

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        input_size: Union[int, Tuple[int, int], None] = None,
        interpolation: str = 'bicubic',
        patch_multiple: int = 1,
        dtype: str = 'float32',
        channels_last: bool = True,
        max_batch: Optional[int] = None,
        compile: bool = False,
    ) -> None:
        super().__init__()
        self.eval()
        self.name = type(self).__name__
        self.weights = RANDOM_WEIGHTS
        self.preparation = InputPreparation(
            mean, std, input_size, interpolation, patch_multiple
        )
        if dtype not in DTYPES:
            raise UserError(
                f'teacher: dtype={dtype!r} is not one of {", ".join(DTYPES)}.'
            )
        if max_batch is not None and (
            isinstance(max_batch, bool)
            or not isinstance(max_batch, int)
            or max_batch < 1
        ):
            raise UserError(
                f'teacher: max_batch={max_batch!r}, but a positive integer or '
                'None is wanted.'
            )
        self.max_batch = max_batch
        self.dims: Dict[str, Tuple[int, ...]] = {}
        self._encode = (
            torch.compile(self.encode, dynamic=False)
            if compile
            else self.encode
        )
        self.dtype = DTYPES[dtype]
        self.memory_format = (
            torch.channels_last if channels_last else torch.contiguous_format
        )
        # Not persistent: they are no weights, and a run computes them anew.
        self.register_buffer('feature_mean', None, persistent=False)
        self.register_buffer('feature_std', None, persistent=False)

    @property
    def mean(self) -> Tuple[float, ...]:
        """tuple[float]: Means of R, G, B on 0-255 pixels."""
        return self.preparation.mean

    @property
    def std(self) -> Tuple[float, ...]:
        """tuple[float]: Standard deviations of R, G, B on 0-255 pixels."""
        return self.preparation.std

    @property
    def input_size(self) -> Optional[Tuple[int, int]]:
        """tuple[int, int]: Height and width; None is the student's size."""
        return self.preparation.input_size

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        # At assignment, so that no subclass can forget it.
        if isinstance(value, nn.Module):
            value.requires_grad_(False)
            value.to(dtype=self.dtype, memory_format=self.memory_format)
            value.eval()

    def __deepcopy__(self, memo: dict) -> FrozenTeacher:
        return self

    def train(self, mode: bool = True) -> FrozenTeacher:
        """Stays in evaluation mode, whatever ``mode`` is."""
        return super().train(False)

    def encode(self, inputs: torch.Tensor, wants: Sequence[str]) -> Outputs:
        """Runs the network; each kind of teacher implements it.

        Args:
            inputs (Tensor): RGB images (N, 3, H, W), normalised with the
                teacher's mean and std, in the teacher's dtype.
            wants (Sequence[str]): Names out of ``offers``. What costs extra
                and is not among them is not computed.

        Returns:
            Outputs: In any dtype; at least what is wanted.
        """
        raise NotImplementedError

    def forward(
        self, inputs: torch.Tensor, wants: Optional[Sequence[str]] = None
    ) -> Outputs:
        """Asks the teacher about images that :meth:`prepare` returned.

        Args:
            inputs (Tensor): (N, 3, H, W), normalised the teacher's way.
            wants (Sequence[str], optional): Names out of ``offers``. None is
                the feature, and the logits if there is a head. Defaults to
                None.

        Returns:
            Outputs: Detached, in float32, exactly what is wanted (the
            grid comes with the tokens).

        Raises:
            UserError: If the teacher does not offer it.
        """
        if wants is None:
            wants = [n for n in (FEATURE, LOGITS) if n in self.offers]
        lacking = [name for name in wants if name not in self.offers]
        if lacking:
            raise UserError(
                f'teacher {self.name}: gives no {lacking[0]}, only '
                f'{", ".join(self.offers)}.'
            )
        wants = tuple(name for name in OUTPUTS if name in wants)
        inputs = inputs.to(self.dtype, memory_format=self.memory_format)
        # no_grad, not inference_mode: an inference tensor may not be saved
        # for the backward of the projection it goes into.
        with (
            torch.no_grad(),
            torch.autocast(inputs.device.type, enabled=False),
        ):
            output = concatenate(
                [
                    self._only(self._encode(part, wants), wants)
                    for part in inputs.split(self.max_batch or len(inputs))
                ]
                if len(inputs)
                else [self._only(self.encode(inputs, wants), wants)]
            )
            return self.standardized(output)

    def ask(
        self, batch: Batch, wants: Sequence[str], view: Optional[str] = None
    ) -> Outputs:
        """Asks the teacher about a batch, prepared its own way.

        Args:
            batch (Batch): With the view.
            wants (Sequence[str]): Names out of ``offers``.
            view (str, optional): None is the teacher's own if there is one,
                else the student's. Defaults to None.

        Returns:
            Outputs: As of :meth:`forward`.
        """
        own = TEACHER if TEACHER in batch.views else STUDENT
        images = self.prepare(batch.image(view or own), *batch.pixels)
        return self(images, wants)

    def holds(self, keys: torch.Tensor, wants: Sequence[str]) -> bool:
        """Whether it knows its answers without seeing the images.

        Args:
            keys (Tensor): Sample and view number of each (B, 2).
            wants (Sequence[str]): Names out of ``offers``.

        Returns:
            bool: False, but for a teacher with a cache.
        """
        return False

    @property
    def shapes(self) -> Dict[str, Shape]:
        """dict[str, Shape]: What it offers, by path."""
        return {name: Shape(sizes) for name, sizes in self.dims.items()}

    def standardized(self, output: Outputs) -> Outputs:
        """Applies what :meth:`standardize` was given, if it was.

        Args:
            output (Outputs): As the network gave it; changed in place.

        Returns:
            Outputs: The same object.
        """
        if output.feature is not None and self.feature_mean is not None:
            output.feature = (
                output.feature - self.feature_mean
            ) / self.feature_std
        return output

    def _only(self, output: Outputs, wants: Sequence[str]) -> Outputs:
        wanted = {name: getattr(output, name) for name in wants}
        if 'tokens' in wants:
            wanted['grid'] = output.grid
        return Outputs(**wanted).map(torch.Tensor.float)

    def standardize(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        """Gives (f_t - mean) / std as the feature from now on.

        A dimension that hardly varies, less than a tenth of the mean
        deviation, is divided as if it varied that much, so that noise does
        not become a target [ours].

        Args:
            mean (Tensor): (D,) means of the feature over some images.
            std (Tensor): (D,) standard deviations over them.

        Raises:
            UserError: If a shape does not fit, a value is not finite, or no
                dimension varies.
        """
        for name, values in dict(mean=mean, std=std).items():
            if tuple(values.shape) != (self.feature_dim,):
                raise UserError(
                    f'teacher {self.name}: the {name} of its feature has '
                    f'shape {tuple(values.shape)}, but ({self.feature_dim},) '
                    'is wanted.'
                )
        least = 0.1 * std.double().mean()
        if not (torch.isfinite(mean).all() and 0 < least < float('inf')):
            raise UserError(
                f'teacher {self.name}: its feature is the same for all '
                'images, or not finite, so it cannot be standardised.'
            )
        device = next(self.parameters()).device
        self.feature_mean = mean.float().to(device)
        self.feature_std = std.double().clamp_min(least).float().to(device)

    def prepare(
        self,
        inputs: torch.Tensor,
        mean: Optional[Sequence[float]] = None,
        std: Optional[Sequence[float]] = None,
        to_rgb: bool = True,
    ) -> torch.Tensor:
        """Takes a batch as the student sees it to what the teacher wants.

        One affine per channel, (x * std + mean - mean_t) / std_t, whose scale
        and shift are computed in float64; then the resize.

        Args:
            inputs (Tensor): Images (N, 3, H, W) as the student's
                preprocessor left them.
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
            UserError: If ``inputs`` is not (N, 3, H, W).
        """
        return self.preparation(inputs, mean, std, to_rgb)

    def infer_dims(self, size: Tuple[int, int]) -> None:
        """Sets ``feature_dim``, ``num_classes`` and ``dims`` from a dry run.

        It draws no random number and leaves every weight as it is.

        Args:
            size (tuple[int, int]): Height and width in pixels of the one
                black image it runs on.

        Raises:
            UserError: If the network cannot run on it, or the feature is not
                one vector an image.
        """
        # Half-precision kernels may be missing on the CPU, where a teacher is
        # built that later runs on a GPU; the way to float32 and back is exact.
        self.float()
        try:
            with torch.no_grad(), torch.autocast('cpu', enabled=False):
                output = self.encode(torch.zeros(1, 3, *size), self.offers)
        except (AssertionError, RuntimeError, ValueError) as error:
            # Networks refuse a size, or much else, in the middle of a pass.
            raise UserError(
                f'teacher {self.name}: does not run on an RGB image of '
                f'{size[0]} x {size[1]} pixels ({type(error).__name__}: '
                f'{error}); give an input_size and options that its network '
                'takes.'
            ) from error
        self.to(self.dtype)
        shape = tuple(getattr(output.feature, 'shape', ()))
        if len(shape) != 2:
            raise UserError(
                f'teacher {self.name}: its feature for one image has shape '
                f'{shape or type(output.feature).__name__}, but one vector '
                '(1, D) is wanted.'
            )
        self.feature_dim = shape[1]
        self.num_classes = (
            None if output.logits is None else output.logits.shape[1]
        )
        self.offers = tuple(
            n for n in OUTPUTS if getattr(output, n) is not None
        )
        self.dims = {
            name: tuple(tensor.shape[1:])
            for name, tensor in output.named_tensors().items()
        }

    def digest(self) -> str:
        """Computes the SHA-256 of names, dtypes, shapes and bytes, in order.

        Returns:
            str: 64 hexadecimal digits; equal if and only if the weights and
            buffers are.
        """
        sha = hashlib.sha256()
        for name, tensor in self.state_dict().items():
            sha.update(
                f'{name} {tensor.dtype} {tuple(tensor.shape)}\n'.encode()
            )
            flat = tensor.detach().cpu().contiguous().reshape(-1)
            sha.update(memoryview(flat.view(torch.uint8).numpy()))
        return sha.hexdigest()

    def describe(self) -> str:
        """Describes the teacher in one line for the log.

        Returns:
            str: Name, millions of parameters, input size in pixels, dtype,
            feature width, classes, source of the weights and the first 12
            digits of :meth:`digest`.
        """
        count = sum(p.numel() for p in self.parameters()) / 1e6
        size = (
            "the student's size"
            if self.input_size is None
            else '{}x{}'.format(*self.input_size)
        )
        head = (
            'no head'
            if self.num_classes is None
            else f'{self.num_classes} classes'
        )
        return (
            f'{self.name}: {count:.2f} M parameters, input {size} '
            f'{self.preparation.interpolation}, '
            f'{str(self.dtype)[len("torch.") :]}, feature '
            f'{self.feature_dim}, {head}, weights {self.weights} '
            f'(sha256 {self.digest()[:12]})'
        )
