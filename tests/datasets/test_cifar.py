import gzip
import io
import pickle
import re
import struct
import tarfile
from collections import Counter

import mmpretrain.datasets
import numpy as np
import pytest

from mmkd_custom.datasets.cifar import CIFAR
from mmkd_custom.datasets.subset import digest, split_digest
from mmkd_custom.engine.config import load_config
from mmkd_custom.errors import UserError
from mmkd_custom.models import DistillDataPreprocessor

FINE = [f'fine_{number:02}' for number in range(100)]


def label_of(index: np.ndarray) -> np.ndarray:
    """A fixed sequence without any generator: 1 of each class in 100."""
    return (index * 7919 + index // 100) % 100


def images(count: int, seed: int = 0) -> np.ndarray:
    shape = (count, 3072)
    return np.random.RandomState(seed).randint(0, 256, shape, dtype=np.uint8)


def write(path, **content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, 2))


def write_cifar100(root, per_class=8):
    """The files of cifar-100-python, with fewer images."""
    folder = root / 'cifar-100-python'
    for number, (name, count) in enumerate(
        dict(train=100 * per_class, test=100).items()
    ):
        labels = label_of(np.arange(count)).tolist()
        write(folder / name, fine_labels=labels, data=images(count, number))
    write(folder / 'meta', fine_label_names=FINE)
    return root


def write_cifar10(root, per_batch=20):
    folder = root / 'cifar-10-batches-py'
    batches = [f'data_batch_{number}' for number in range(1, 6)]
    for number, name in enumerate([*batches, 'test_batch']):
        write(
            folder / name,
            labels=[(number + index) % 10 for index in range(per_batch)],
            data=images(per_batch, number),
        )
    names = [f'class_{number}' for number in range(10)]
    write(folder / 'batches.meta', label_names=names)
    return root


@pytest.fixture
def root(tmp_path):
    return write_cifar100(tmp_path / 'data')


@pytest.fixture
def archive(root):
    """The official archive in place of the folder."""
    folder = root / 'cifar-100-python'
    with tarfile.open(root / 'cifar-100-python.tar.gz', 'w:gz') as packed:
        packed.add(folder, arcname=folder.name)
    folder.rename(root / 'elsewhere')
    return root / 'cifar-100-python.tar.gz'


def infos(dataset):
    return [dataset.get_data_info(index) for index in range(len(dataset))]


def assert_same(ours, theirs):
    ours, theirs = infos(ours), infos(theirs)
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs):
        assert one['gt_label'] == other['gt_label']
        assert one['img'].shape == (32, 32, 3)
        assert one['img'].dtype == np.uint8
        assert (one['img'] == other['img']).all()


@pytest.mark.parametrize('split', ['train', 'test'])
@pytest.mark.parametrize('name', ['cifar10', 'cifar100'])
def test_as_mmpretrain_reads_the_same_files(
    tmp_path, monkeypatch, name, split
):
    """Order, channels, shape, labels; only its checksums are passed over."""
    dict(cifar10=write_cifar10, cifar100=write_cifar100)[name](tmp_path)
    reference = getattr(mmpretrain.datasets, name.upper())
    monkeypatch.setattr(reference, '_check_integrity', lambda self: True)
    theirs = reference(data_root=str(tmp_path), split=split, download=False)
    assert_same(CIFAR(str(tmp_path), name=name, split=split), theirs)


def test_folder_and_archive_are_the_same(root, request):
    below = CIFAR(str(root), 'cifar100')
    at = CIFAR(str(root / 'cifar-100-python'), 'cifar100')
    assert below.CLASSES == tuple(FINE) and at.origin == below.origin
    assert_same(at, below)
    path = request.getfixturevalue('archive')
    for place in (root, path):
        packed = CIFAR(str(place), 'cifar100')
        assert_same(packed, below)
        assert packed.CLASSES == below.CLASSES
        assert split_digest(packed) == split_digest(below)
    # Nothing was unpacked.
    assert {entry.name for entry in root.iterdir()} == {path.name, 'elsewhere'}


def test_the_400_labels(tmp_path):
    root = write_cifar100(tmp_path, per_class=20)
    chosen = CIFAR(str(root), 'cifar100', labels_per_class=4)
    counts = Counter(info['gt_label'] for info in infos(chosen))
    assert counts == dict.fromkeys(range(100), 4)
    # On every machine, with every Python and NumPy.
    assert digest(chosen.subset_indices) == (
        '62807996a678138791419fe6e401d32a8c091a8d85717a6186ff1afd75dcd455'
    )
    assert split_digest(chosen) == (
        '25873633e84f1e8db28433f2436ada746586d968693dcf23963bc2a00e7c3a80'
    )


def test_config_gives_student_and_teacher_red_green_blue(
    repo, root, monkeypatch
):
    """Channels after the preprocessor, of which to_rgb tells the teacher."""
    monkeypatch.setenv('DATA_ROOT', str(root))
    config = load_config(repo / 'configs/_base_/datasets/cifar100_400.py')
    options = dict(config.val_dataloader.dataset)
    options.pop('type')
    test = CIFAR(**options)
    item = test[5]
    normalise = DistillDataPreprocessor(**config.data_preprocessor)
    done = normalise(
        dict(inputs=item['inputs'][None], data_samples=[item['data_samples']])
    )['inputs'][0]
    mean, std = config.data_preprocessor.mean, config.data_preprocessor.std
    expected = (test.get_data_info(5)['img'] - np.array(mean)) / std
    assert np.abs(done.permute(1, 2, 0).numpy() - expected).max() < 1e-5
    assert normalise.to_rgb


@pytest.mark.parametrize(
    'options, named',
    [
        (dict(name='cifar-100'), "name: .*'cifar-100'.*'cifar100'"),
        (dict(split='val'), "split: .*'val'"),
        (dict(name='cifar10'), 'data_root: .*cifar-10-batches-py'),
        (dict(data_root=''), 'data_root: .*DATA_ROOT'),
        (dict(data_root='/no/such'), 'data_root: .*/no/such'),
        (dict(labels_per_class=9), "labels_per_class: .*'fine_00'.* 9"),
    ],
)
def test_options_refused(root, options, named):
    with pytest.raises(UserError, match=named):
        CIFAR(**{'data_root': str(root), 'name': 'cifar100', **options})


def test_missing_file_is_named(root, archive):
    (root / 'elsewhere' / 'train').unlink()
    with pytest.raises(UserError, match="elsewhere: .*'train'"):
        CIFAR(str(root / 'elsewhere'), 'cifar100')
    with pytest.raises(UserError, match="tar.gz: .*'batches.meta'"):
        CIFAR(str(archive), 'cifar10')


@pytest.mark.parametrize('share', [0.0, 0.001, 0.5, 0.999999])
def test_truncated_archive_is_named(archive, share):
    whole = archive.read_bytes()
    archive.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UserError, match=r'cifar-100-python\.tar\.gz'):
        CIFAR(str(archive), 'cifar100')


def test_damaged_archive_is_named(archive, tmp_path):
    """One bit of the pixels, which gzip's checksum tells; a short tar."""
    whole = bytearray(archive.read_bytes())
    short = gzip.compress(gzip.decompress(whole)[:-1_000_000], 1)
    whole[len(whole) // 2] ^= 1
    for content in (whole, short):
        archive.write_bytes(content)
        with pytest.raises(UserError, match='cifar-100-python.tar.gz'):
            CIFAR(str(archive), 'cifar100')


@pytest.mark.parametrize(
    'content, got',
    [
        (dict(fine_labels=[0]), 'data.*NoneType'),
        (dict(data=images(2)[:, 1:], fine_labels=[0, 1]), r'\(2, 3071\)'),
        (dict(data=images(2) + 0.5, fine_labels=[0, 1]), 'data'),
        (dict(data=images(2)), 'labels'),
        (dict(data=images(2), fine_labels=[0]), '2 labels.* 1'),
        (dict(data=images(2), fine_labels=[0, 100]), '99.*100'),
    ],
)
def test_wrong_content_is_named(root, content, got):
    write(root / 'cifar-100-python' / 'train', **content)
    with pytest.raises(UserError, match=f'train: .*{got}'):
        CIFAR(str(root), 'cifar100')


def python2(value) -> bytes:
    """What Python 2 wrote: the form of the official files."""
    if isinstance(value, dict):
        items = b''.join(python2(k) + python2(v) for k, v in value.items())
        return b'}(' + items + b'u'
    if isinstance(value, list):
        return b'](' + b''.join(map(python2, value)) + b'e'
    if isinstance(value, np.ndarray):
        return (
            b'cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n'
            b'(K\x00tU\x01btR(K\x01(K' + bytes([len(value)]) + b'M\x00\x0ct'
            b'cnumpy\ndtype\n(U\x02u1K\x00K\x01tR(K\x03U\x01|NNN'
            b'J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89'
            + python2(value.tobytes())
            + b'tb'
        )
    if isinstance(value, (str, bytes)):
        value = value.encode('latin1') if isinstance(value, str) else value
        return b'T' + struct.pack('<i', len(value)) + value
    return b'K' + bytes([value])


@pytest.mark.parametrize('protocol', ['python2', 0, 1, 2, 3, 4])
@pytest.mark.parametrize('core', ['numpy.core', 'numpy._core'])
def test_pickles_of_every_protocol_and_numpy(root, protocol, core):
    path = root / 'cifar-100-python' / 'test'
    content = dict(data=images(9), fine_labels=list(range(9)))
    written = b'\x80\x02' + python2(content) + b'.'
    if protocol != 'python2':
        written = pickle.dumps(content, protocol)
    if protocol != 4:
        # The other NumPy's name has the same place in the text.
        found, new = rb'numpy\._?core\.multi', f'{core}.multi'.encode()
        written = re.sub(found, new, written)
    path.write_bytes(written)
    found = infos(CIFAR(str(root), 'cifar100', 'test'))
    planes = np.stack([info['img'].transpose(2, 0, 1) for info in found])
    assert np.array_equal(planes.reshape(9, -1), content['data'])
    assert [info['gt_label'] for info in found] == content['fine_labels']


class Call:
    """Pickled as a call."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def test_harmful_pickle_is_refused_and_not_run(root, tmp_path):
    path, trace = root / 'cifar-100-python' / 'meta', tmp_path / 'ran'
    harmful = Call(eval, f'open({str(trace)!r}, "w")')
    for value, name in (
        (harmful, 'eval'),
        (exec, 'exec'),
        (Call(io.BytesIO, b''), 'BytesIO'),
        (Counter('a'), 'Counter'),
    ):
        write(path, fine_label_names=[value])
        with pytest.raises(UserError, match=rf'meta: .*\.{name}'):
            CIFAR(str(root), 'cifar100')
    assert not trace.exists()


def test_damaged_pickle_gives_one_sentence(root):
    path = root / 'cifar-100-python' / 'meta'
    whole = path.read_bytes()
    rng = np.random.RandomState(0)
    damaged = [whole[: rng.randint(len(whole))] for _ in range(40)]
    for _ in range(200):
        damaged.append(bytearray(whole))
        damaged[-1][rng.randint(len(whole))] = rng.randint(256)
    refused = 0
    for content in damaged:
        path.write_bytes(content)
        try:
            CIFAR(str(root), 'cifar100', lazy_init=True)
        except UserError as error:
            assert str(path.parent) in str(error)
            refused += 1
    assert refused >= 60
