"""What an exported folder is to hold beside the plain student."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional, Tuple

from ..errors import UserError
from .onnx import onnx_runtime
from .runtimes import RUNTIMES


@dataclass(frozen=True)
class Wanted:
    """What a folder is to hold beside checkpoint, config and metadata.

    Attributes:
        onnx (bool): ``student.onnx``; any other makes it needed. Defaults to
            False.
        fold (bool): ONNX files that take images as they are read. Defaults to
            False.
        int8 (bool): ``student_int8.onnx``. Defaults to False.
        calibrate (str, optional): Folder of images that int8 ranges come
            from. Defaults to None, the run's unlabelled images.
        runtimes (tuple[str]): Options out of
            :data:`~.runtimes.RUNTIMES`. Defaults to none.
        input_size (tuple[int, int], optional): Height and width of the
            images. Defaults to None, as tested.
    """

    onnx: bool = False
    fold: bool = False
    int8: bool = False
    calibrate: Optional[str] = None
    runtimes: Tuple[str, ...] = ()
    input_size: Optional[Tuple[int, int]] = None

    @property
    def networks(self) -> bool:
        """bool: Whether an ONNX file is needed."""
        return bool(self.onnx or self.fold or self.int8 or self.runtimes)

    def check(self) -> None:
        """Refuses what cannot be written here.

        Raises:
            UserError: If a package is missing, or an option idle.
        """
        if self.networks:
            onnx_runtime()
        for option in self.runtimes:
            RUNTIMES[option].check()
        if self.calibrate and not self.int8:
            raise UserError(
                '--calibrate: expected --int8 too, whose ranges come from '
                'these images, got none.'
            )
