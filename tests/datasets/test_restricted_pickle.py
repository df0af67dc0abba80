"""The unpickler of CIFAR's files: all they hold, and nothing else."""

import io
import pickle
import struct
import tracemalloc
import zlib
from collections import OrderedDict

import numpy as np
import pytest

from mmkd_custom.datasets.restricted_pickle import load_pickle
from mmkd_custom.errors import UserError


def load(content: bytes) -> dict:
    return load_pickle(io.BytesIO(content), 'data/train')


def python2(value) -> bytes:
    """What Python 2 and its NumPy wrote: the form of the official files."""
    if isinstance(value, dict):
        items = b''.join(python2(k) + python2(v) for k, v in value.items())
        return b'}(' + items + b'u'
    if isinstance(value, list):
        return b'](' + b''.join(map(python2, value)) + b'e'
    if isinstance(value, tuple):
        return b'(' + b''.join(map(python2, value)) + b't'
    if isinstance(value, (str, bytes)):
        value = value.encode('latin1') if isinstance(value, str) else value
        return b'T' + struct.pack('<i', len(value)) + value
    if isinstance(value, int):
        return b'J' + struct.pack('<i', value)
    kind = b'cnumpy\ndtype\n' + python2((value.dtype.str[1:], 0, 1)) + b'R'
    kind += b'(' + python2(3) + python2(value.dtype.str[0]) + b'NNN'
    kind += python2(-1) + python2(-1) + python2(0) + b'tb'
    return (
        b'cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n'
        + python2((0,))
        + python2('b')
        + b'tR('
        + python2(1)
        + python2(value.shape)
        + kind
        + b'\x89'
        + python2(value.tobytes())
        + b'tb'
    )


@pytest.fixture
def content() -> dict:
    """Like the official files, with every byte among the pixels."""
    pixels = np.random.RandomState(0).randint(0, 256, (6, 256), np.uint8)
    pixels[0] = np.arange(256)
    return dict(
        data=pixels,
        fine_labels=[3, 1, 0, 99, 5, 2],
        filenames=[f'bos_taurus_s_{n:06}.png' for n in range(6)],
        batch_label='training batch 1 of 1',
    )


def assert_same(ours: dict, theirs: dict) -> None:
    assert list(ours) == list(theirs)
    for key, value in theirs.items():
        if isinstance(value, np.ndarray):
            assert ours[key].dtype == value.dtype
            assert ours[key].shape == value.shape
            assert (ours[key] == value).all()
        else:
            assert ours[key] == value


def test_the_form_of_the_official_files(content):
    written = b'\x80\x02' + python2(content) + b'.'
    # That it is such a form, Python's own unpickler tells.
    assert_same(pickle.loads(written, encoding='latin1'), content)
    assert_same(load(written), content)


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize('core', ['numpy.core', 'numpy._core'])
def test_every_protocol_and_numpy(content, protocol, core):
    content['more'] = np.arange(6, dtype='>i4').reshape(2, 3)
    content['columns'] = np.asfortranarray(content['data'][:2])
    content['real'] = np.float32([[1.5, -2]])
    written = pickle.dumps(content, protocol)
    if protocol < 4:
        # The other NumPy's name has the same place in the text.
        for name in ('numpy.core', 'numpy._core'):
            written = written.replace(f'c{name}.'.encode(), b'c@.')
        written = written.replace(b'c@.', f'c{core}.'.encode())
    assert_same(load(written), content)


class Calls:
    """Pickled as a call."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize('protocol', range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    'value, name',
    [
        (Calls(exec, 'raise SystemExit(3)'), r'\w*builtin\w*\.exec'),
        (Calls(zlib.decompress, b'x'), r'zlib\.decompress'),
        (OrderedDict(a=1), r'collections\.OrderedDict'),
        (np.float64(2), r'numpy\._?core\.multiarray\.scalar'),
        (exec, r'\w*builtin\w*\.exec'),
    ],
)
def test_any_other_name_is_refused_by_name(value, name, protocol):
    with pytest.raises(UserError, match=rf'data/train: .* asks for {name},'):
        load(pickle.dumps(dict(data=value), protocol))


def test_nothing_was_run(tmp_path):
    trace = tmp_path / 'ran'
    call = Calls(eval, f'open({str(trace)!r}, "w")')
    with pytest.raises(UserError, match='may be harmful'):
        load(pickle.dumps(dict(data=call)))
    assert not trace.exists()


@pytest.mark.parametrize(
    'array',
    [
        np.array([dict(), 'a'], dtype=object),
        np.array(['text']),
        np.zeros(2, dtype=[('a', 'u1')]),
        np.array('2020-01-01', dtype='M8[D]'),
    ],
)
@pytest.mark.parametrize('protocol', [2, 4, 5])
def test_arrays_of_anything_but_numbers_are_refused(array, protocol):
    with pytest.raises(UserError, match='data/train: this pickle cannot be'):
        load(pickle.dumps(dict(data=array), protocol))


def test_what_is_named_cannot_be_changed(content):
    """BUILD sets attributes; the unpickler's own parts must keep theirs."""
    for name in (b'c_codecs\nencode\n', b'cnumpy\ndtype\n'):
        for state in (b'}', b'(N}Vname\nVchanged\nst'):
            with pytest.raises(UserError, match='a function with a state'):
                load(b'\x80\x02}Va\n' + name + state + b'bs.')
    assert_same(load(pickle.dumps(content, 2)), content)


@pytest.mark.parametrize('protocol', [2, 4])
def test_truncated_anywhere_is_one_sentence(content, protocol):
    written = pickle.dumps(content, protocol)
    for length in [*range(0, len(written), 37), len(written) - 1]:
        with pytest.raises(UserError, match='data/train: .* truncated or'):
            load(written[:length])


def test_no_dictionary_and_unfinished_array():
    with pytest.raises(UserError, match='a dictionary is wanted .* list'):
        load(pickle.dumps([1]))
    # An array that is begun and never filled.
    begun = b'cnumpy.core.multiarray\n_reconstruct\n(tR'
    with pytest.raises(UserError, match='cannot be read'):
        load(b'\x80\x02}Va\n' + begun + b's.')


def test_a_few_bytes_never_take_much_memory():
    """LONG_BINPUT keeps a thing at any place of the memo: here 2 ** 25."""
    tracemalloc.start()
    try:
        assert load(b'\x80\x02}r\xff\xff\xff\x01.') == {}
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


def test_damaged_bytes_never_escape(content):
    """Flipped bytes give a dictionary or one sentence."""
    written = bytearray(pickle.dumps(content, 2))
    rng = np.random.RandomState(0)
    refused = 0
    for _ in range(2000):
        damaged = bytearray(written)
        # Away from the pixels, whose change nothing can notice.
        at = int(rng.choice([*range(200), *range(-600, 0)]))
        damaged[at] = int(rng.randint(256))
        try:
            assert isinstance(load(bytes(damaged)), dict)
        except UserError:
            refused += 1
    assert refused > 300
