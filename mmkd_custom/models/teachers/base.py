"""The frozen teacher: what every teacher guarantees."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import torch

from ...errors import UserError
from ...stages import STUDENT, TEACHER
from ..batch import Batch
from ..outputs import (
    FEATURE,
    LOGITS,
    OUTPUTS,
    TOKENS,
    Outputs,
    Shape,
    concatenate,
    from_named,
)
from .frozen import FrozenNetwork
from .preparation import InputPreparation
from .standardization import STATISTICS, checked_statistics, standardize


class FrozenTeacher(FrozenNetwork):
    """A network that is asked and never trained: f_t of CustomKD.

    It runs under ``no_grad`` and outside the student's autocast. Its output
    is a plain tensor, not an inference tensor, so it may be the input of a
    trainable projection. A kind of teacher implements ``encode``.

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
        **execution: How it runs; see :class:`FrozenNetwork`.

    Attributes:
        feature_dim (int): Width D of the feature.
        num_classes (int, optional): Number of classes C; None if headless.
        offers (tuple[str]): What it can be asked for, of
            :data:`~mmkd_custom.models.outputs.OUTPUTS`.
        dims (dict[str, tuple[int]]): Shape for one image of each, at the size
            of the dry run; maps as ``maps.0``, ``maps.1`` …
        name, weights (str): Of the network, and where they came from.
        feature_mean, feature_std (Tensor, optional): (D,), and
        feature_basis (Tensor, optional): (D, D), set by :meth:`standardize`.
        kept_views (int): Views of a sample that a cache keeps; 1 without.

    Raises:
        UserError: If there is no such option, or it has no such value.
    """

    feature_dim: int
    num_classes: Optional[int] = None
    offers: Tuple[str, ...] = (FEATURE, LOGITS)
    kept_views: int = 1
    _grid: Optional[Tuple[int, int]] = None
    _inferred_at: Optional[Tuple[int, int]] = None

    def __init__(
        self,
        mean: Sequence[float],
        std: Sequence[float],
        input_size: Union[int, Tuple[int, int], None] = None,
        interpolation: str = 'bicubic',
        patch_multiple: int = 1,
        **execution: Any,
    ) -> None:
        super().__init__(**execution)
        self.weights = 'random'
        self.preparation = InputPreparation(
            mean, std, input_size, interpolation, patch_multiple
        )
        self.dims: Dict[str, Tuple[int, ...]] = {}
        # Not persistent: they are no weights, and a run computes them anew.
        for name in STATISTICS:
            self.register_buffer(name, None, persistent=False)

    @property
    def mean(self) -> Tuple[float, ...]:
        """tuple[float]: Means of R, G, B on 0-255 pixels."""
        return self.preparation.mean

    @property
    def std(self) -> Tuple[float, ...]:
        """tuple[float]: Their standard deviations."""
        return self.preparation.std

    @property
    def input_size(self) -> Optional[Tuple[int, int]]:
        """tuple[int, int]: Height and width; None is the student's size."""
        return self.preparation.input_size

    @property
    def shapes(self) -> Dict[str, Shape]:
        """dict[str, Shape]: Of each output, at ``input_size`` if given."""
        size = self.input_size or self._inferred_at
        if self._inferred_at not in (None, size):
            self.infer_dims(size)
        return {
            name: Shape(sizes, self._grid if name == TOKENS else None)
            for name, sizes in self.dims.items()
        }

    def shapes_for(self, size: Tuple[int, int]) -> Dict[str, Shape]:
        """Returns :attr:`shapes`; ``size`` is of the student's images."""
        if self.input_size is not None:
            return self.shapes
        image = torch.zeros(1, 3, *size, device=next(self.parameters()).device)
        try:
            return self(self.prepare(image), self.offers).shapes()
        except (AssertionError, RuntimeError, ValueError) as error:
            raise self._unfit(size, error) from error

    def forward(
        self, inputs: torch.Tensor, wants: Optional[Sequence[str]] = None
    ) -> Outputs:
        """Asks the teacher about images that :meth:`prepare` returned.

        Args:
            inputs (Tensor): (N, 3, H, W), normalised the teacher's way.
            wants (Sequence[str], optional): Names out of ``offers``. None is
                feature and, if there is a head, logits. Defaults to None.

        Returns:
            Outputs: Detached, in float32, what ``wants`` names; a UserError
            if the teacher does not offer it.
        """
        if wants is None:
            wants = [n for n in (FEATURE, LOGITS) if n in self.offers]
        for name in wants:
            if name not in self.offers:
                raise UserError(
                    f'teacher {self.name}: expected one of '
                    f'{", ".join(self.offers)}, got {name}.'
                )
        wants = tuple(name for name in self.offers if name in wants)
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
        """Asks about a view of a batch; None is its own or the student's."""
        own = TEACHER if TEACHER in batch.views else STUDENT
        images = self.prepare(batch.image(view or own), *batch.pixels)
        return self(images, wants)

    def holds(self, keys: torch.Tensor, wants: Sequence[str]) -> bool:
        """Whether a cache has it all; ``keys`` are (sample, view), (B, 2)."""
        return False

    def resume(
        self,
        x: torch.Tensor,
        after: int,
        grid: Optional[Tuple[int, int]] = None,
        until: Optional[int] = None,
    ) -> Outputs:
        """Runs the frozen rest of the network: :meth:`TimmTeacher.resume`."""
        raise self._no_middle()

    def middles(self, size: Tuple[int, int]) -> List[Shape]:
        """Returns what ``resume`` takes: :meth:`TimmTeacher.middles`."""
        raise self._no_middle()

    def _no_middle(self) -> UserError:
        wanted = 'a TimmTeacher of a ViT, EVA, BEiT or Swin, which can resume'
        got = type(self).__name__
        return UserError(f'teacher {self.name}: expected {wanted}, got {got}.')

    def standardized(self, output: Outputs) -> Outputs:
        """Applies in place what :meth:`standardize` was given, if it was."""
        if output.feature is not None and self.feature_mean is not None:
            values = (getattr(self, name) for name in STATISTICS)
            output.feature = standardize(output.feature, *values)
        return output

    def _only(self, output: Outputs, wants: Sequence[str]) -> Outputs:
        named = {
            path: value.float()
            for path, value in output.named_tensors().items()
            if path in wants or path.partition('.')[0] in wants
        }
        return from_named(named, output.grid if TOKENS in wants else None)

    def standardize(
        self,
        mean: torch.Tensor,
        std: torch.Tensor,
        basis: Optional[torch.Tensor] = None,
    ) -> None:
        """Makes :func:`.standardization.standardize` of f_t the feature.

        Every dimension is divided by a tenth of the mean deviation at least,
        so that noise does not become a target.

        Args:
            mean (Tensor): (D,) means of the feature over some images.
            std (Tensor): (D,) standard deviations over them.
            basis (Tensor, optional): (D, D) axes, a column each, along which
                ``std`` is. Defaults to None.

        Raises:
            UserError: If a shape or a value does not fit.
        """
        statistics = checked_statistics(
            self.name, self.feature_dim, mean, std, basis
        )
        device = next(self.parameters()).device
        for name, values in zip(STATISTICS, statistics):
            setattr(self, name, None if values is None else values.to(device))

    def prepare(
        self,
        inputs: torch.Tensor,
        mean: Optional[Sequence[float]] = None,
        std: Optional[Sequence[float]] = None,
        to_rgb: bool = True,
    ) -> torch.Tensor:
        """Prepares a batch; see :class:`.preparation.InputPreparation`."""
        return self.preparation(inputs, mean, std, to_rgb)

    def infer_dims(self, size: Tuple[int, int]) -> None:
        """Sets ``feature_dim``, ``num_classes``, ``dims`` from a dry run.

        It draws no random number and leaves every weight as it is; a
        UserError if it cannot run, or the feature is not one vector.

        Args:
            size (tuple[int, int]): Height and width of a black image.
        """
        statistics = {name: getattr(self, name) for name in STATISTICS}
        # Half-precision kernels may be missing on the CPU, where a teacher is
        # built; the way to float32 and back is exact.
        self.float()
        device = next(self.parameters(), torch.zeros(())).device
        try:
            with torch.no_grad(), torch.autocast(device.type, enabled=False):
                image = torch.zeros(1, 3, *size, device=device)
                output = self.encode(image, self.offers)
        except (AssertionError, RuntimeError, ValueError) as error:
            # Networks refuse a size, or much else, in the middle of a pass.
            raise self._unfit(size, error) from error
        self.to(self.dtype)
        self._buffers.update(statistics)
        shape = tuple(getattr(output.feature, 'shape', ()))
        if len(shape) != 2:
            raise UserError(
                f'teacher {self.name}: expected a feature (1, D) for one '
                f'image, got {shape or type(output.feature).__name__}.'
            )
        self.feature_dim = shape[1]
        more = [f'more.{name}' for name in output.more]
        known = [n for n in OUTPUTS if getattr(output, n) is not None]
        self.offers = (*known, *more)
        self.dims = {k: s.sizes for k, s in output.shapes().items()}
        (self.num_classes,) = self.dims.get(LOGITS, (None,))
        self._grid, self._inferred_at = output.grid, tuple(size)

    def _unfit(self, size: Tuple[int, int], error: Exception) -> UserError:
        return UserError(
            f'teacher {self.name}: does not run on an RGB image of {size[0]} '
            f'x {size[1]} pixels ({type(error).__name__}: {error}); give '
            'another input_size or other options.'
        )

    def describe(self) -> str:
        """Returns one line for the log: what it is, and the weights it has."""
        count = sum(p.numel() for p in self.parameters()) / 1e6
        dtype, classes = str(self.dtype)[len('torch.') :], self.num_classes
        return (
            f'{self.name}: {count:.2f} M parameters, input '
            f'{self.preparation}, {dtype}, feature {self.feature_dim}, '
            f'{f"{classes} classes" if classes else "no head"}, weights '
            f'{self.weights} (sha256 {self.digest()[:12]})'
        )
