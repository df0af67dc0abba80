"""A frozen network: what is held, run and never trained."""

from __future__ import annotations

import hashlib
from typing import Any, Optional, Sequence

import torch
import torch.nn as nn

from ...errors import UserError
from ..outputs import Outputs

DTYPES = {
    'float32': torch.float32,
    'bfloat16': torch.bfloat16,
    'float16': torch.float16,
}

#: Options of how a teacher runs, whatever it is.
EXECUTION = ('dtype', 'channels_last', 'max_batch', 'compile')


class FrozenNetwork(nn.Module):
    """A network that no training can move.

    Any network assigned to an attribute is frozen on the spot: in ``eval()``
    whatever ``train()`` is told, no parameter requires grad, in its own dtype
    and memory layout. A deep copy is the network itself.

    Args:
        dtype (str): 'float32', 'bfloat16' or 'float16', of weights and
            computation. Defaults to 'float32'.
        channels_last (bool): Whether weights and images are laid out (N, H,
            W, C) in memory. Defaults to True.
        max_batch (int, optional): Most images that go through the network at
            once; a larger batch is cut. None never cuts. Defaults to None.
        compile (bool): Whether ``torch.compile`` compiles the network at its
            first use. Defaults to False.
        **unknown: None is taken.

    Raises:
        UserError: If there is no such option, or it has no such value.
    """

    def __init__(
        self,
        dtype: str = 'float32',
        channels_last: bool = True,
        max_batch: Optional[int] = None,
        compile: bool = False,
        **unknown: Any,
    ) -> None:
        super().__init__()
        self.eval()
        self.name = type(self).__name__
        if unknown:
            raise UserError(
                f'{self.name} has no option {", ".join(map(repr, unknown))}.'
            )
        if dtype not in DTYPES:
            raise UserError(
                f'teacher: expected dtype out of {", ".join(DTYPES)}, got '
                f'{dtype!r}.'
            )
        if max_batch is not None and (
            type(max_batch) is not int or max_batch < 1
        ):
            raise UserError(
                'teacher: expected max_batch to be a positive integer or '
                f'None, got {max_batch!r}.'
            )
        self.max_batch = max_batch
        self._encode = (
            torch.compile(self.encode, dynamic=False)
            if compile
            else self.encode
        )
        self.dtype = DTYPES[dtype]
        self.memory_format = (
            torch.channels_last if channels_last else torch.contiguous_format
        )

    def encode(self, inputs: torch.Tensor, wants: Sequence[str]) -> Outputs:
        """Runs the network; each kind of teacher implements it.

        Args:
            inputs (Tensor): RGB images (N, 3, H, W), normalised with the
                teacher's mean and std, in the teacher's dtype.
            wants (Sequence[str]): Names out of ``offers``. What costs extra
                and is not among them is not computed.

        Returns:
            Outputs: In any dtype; at least what ``wants`` names.
        """
        raise NotImplementedError

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        # At assignment, so that no subclass can forget it.
        if isinstance(value, nn.Module):
            value.requires_grad_(False)
            value.to(dtype=self.dtype, memory_format=self.memory_format)
            value.eval()

    def __deepcopy__(self, memo: dict) -> FrozenNetwork:
        return self

    def train(self, mode: bool = True) -> FrozenNetwork:
        """Stays in evaluation mode, whatever ``mode`` is."""
        return super().train(False)

    def digest(self) -> str:
        """Returns the SHA-256 of names, dtypes, shapes and bytes, in order.

        64 hexadecimal digits, equal if and only if weights and buffers are.
        """
        sha = hashlib.sha256()
        for name, tensor in self.state_dict().items():
            sha.update(
                f'{name} {tensor.dtype} {tuple(tensor.shape)}\n'.encode()
            )
            flat = tensor.detach().cpu().contiguous().reshape(-1)
            sha.update(memoryview(flat.view(torch.uint8).numpy()))
        return sha.hexdigest()
