"""Reads pickles of plain data and NumPy arrays; nothing else can come out.

A pickle is a program: whoever wrote it decides which functions the reader
calls. The archives of CIFAR are pickles, so they are read here by an unpickler
that knows the few names such files hold. Even these are not NumPy's own: they
stand for small objects that only note what an array is made of, and the array
is made when all of it has been checked.
"""

from __future__ import annotations

import pickle
import re
from typing import Any, BinaryIO, Optional

import numpy as np

from ..errors import UserError

# Whole and real numbers of a fixed width: no objects, texts or records.
_NUMBERS = re.compile(r'[<>|=]?(b1|[iu][1248]|f[248])')
_BYTE_ORDERS = ('<', '>', '|', '=')


class _DType:
    """What a pickle says of an array's type."""

    __slots__ = ('dtype',)

    def __init__(self, name: Any, *_: Any) -> None:
        if not isinstance(name, str) or not _NUMBERS.fullmatch(name):
            raise pickle.UnpicklingError(f'an array of type {name!r}')
        self.dtype = np.dtype(name)

    def __setstate__(self, state: Any) -> None:
        # Version, byte order, then what records and nested arrays have.
        order, *nested = state[1:5]
        if order not in _BYTE_ORDERS or any(nested):
            raise pickle.UnpicklingError(f'an array type with {state!r}')
        self.dtype = self.dtype.newbyteorder(order)


class _Array:
    """What a pickle says of an array; then the array."""

    __slots__ = ('array',)

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, fortran, data = state
        self.fill(data, kind, shape, 'F' if fortran else 'C')

    def fill(self, data: Any, kind: _DType, shape: Any, order: str) -> None:
        if isinstance(data, str):
            # The bytes of a Python 2 pickle.
            data = data.encode('latin1')
        flat = np.frombuffer(data, dtype=kind.dtype)
        self.array = flat.reshape(shape, order=order)


class _Stand:
    """A function that a pickle may name.

    Pickles can also write attributes of what they name, so there is none.
    """

    __slots__ = ()

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError('a function with a state')


class _NDArray(_Stand):
    """Stands for ``numpy.ndarray``, which is only ever an argument."""

    __slots__ = ()


class _MakeDType(_Stand):
    """Stands for ``numpy.dtype``."""

    __slots__ = ()

    def __call__(self, *args: Any) -> _DType:
        return _DType(*args)


class _Reconstruct(_Stand):
    """Stands for the function that begins an array in protocols 0 to 4."""

    __slots__ = ()

    def __call__(self, *args: Any) -> _Array:
        return _Array()


class _FromBuffer(_Stand):
    """Stands for the function that makes an array in protocol 5."""

    __slots__ = ()

    def __call__(
        self,
        data: Any,
        kind: _DType,
        shape: Any,
        order: str,
        axes: Optional[Any] = None,
    ) -> _Array:
        made = _Array()
        made.fill(data, kind, shape, order)
        return made


class _Encode(_Stand):
    """Stands for how Python 3 writes bytes in protocols 0 to 2."""

    __slots__ = ()

    def __call__(self, text: str, encoding: str) -> bytes:
        if encoding not in ('latin1', 'latin-1'):
            raise pickle.UnpicklingError(f'bytes in {encoding!r}')
        return text.encode('latin1')


_ALLOWED = {
    ('numpy', 'ndarray'): _NDArray(),
    ('numpy', 'dtype'): _MakeDType(),
    ('_codecs', 'encode'): _Encode(),
}
# NumPy 2 moved its core.
for _core in ('numpy.core', 'numpy._core'):
    _ALLOWED[f'{_core}.multiarray', '_reconstruct'] = _Reconstruct()
    _ALLOWED[f'{_core}.numeric', '_frombuffer'] = _FromBuffer()


class _Whole:
    """A file of which nothing short of what was asked for is read."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file

    def read(self, size: int) -> bytes:
        data = self.file.read(size)
        if len(data) < size:
            raise EOFError('it ends early')
        return data

    def readline(self) -> bytes:
        line = self.file.readline()
        if not line.endswith(b'\n'):
            raise EOFError('it ends early')
        return line


# The one in Python: a few bytes of a file make the one in C reserve any amount
# of memory for what may be referred to later.
class _Unpickler(pickle._Unpickler):
    def __init__(self, file: BinaryIO, name: str) -> None:
        super().__init__(_Whole(file), encoding='latin1')
        self.name = name

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise UserError(
                f'{self.name}: this pickle asks for {module}.{name}, but '
                'plain data and NumPy arrays of numbers alone are wanted; it '
                'may be harmful and was not loaded.'
            ) from None


def load_pickle(file: BinaryIO, name: str) -> dict:
    """Reads a dictionary of plain data and arrays, without running anything.

    Args:
        file (BinaryIO): The pickle, of any protocol. Texts of Python 2 are
            read as Latin-1.
        name (str): What error messages call it.

    Returns:
        dict: Its content. Arrays are its values, never nested deeper, and
        read-only.

    Raises:
        UserError: If the pickle is truncated or damaged, holds no dictionary,
            or names anything but dictionaries, lists, tuples, texts, bytes,
            numbers and NumPy arrays of numbers.
    """
    try:
        content = _Unpickler(file, name).load()
        if isinstance(content, dict):
            return {
                key: value.array if isinstance(value, _Array) else value
                for key, value in content.items()
            }
    except UserError:
        raise
    # Damaged pickles raise nearly any exception.
    except Exception as error:
        raise UserError(
            f'{name}: this pickle cannot be read ({type(error).__name__}: '
            f'{error}); it is truncated or damaged, fetch it anew.'
        ) from error
    raise UserError(
        f'{name}: a dictionary is wanted in this pickle, but it holds '
        f'{type(content).__name__}.'
    )
