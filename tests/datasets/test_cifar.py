import gzip
import io
import pickle
import tarfile
from collections import Counter

import mmpretrain.datasets
import numpy as np
import pytest

from mmkd_custom.datasets.cifar import CIFAR
from mmkd_custom.datasets.subset import digest, split_digest, stratified_subset
from mmkd_custom.datasets.two_stream.dataset import TwoStreamDataset
from mmkd_custom.engine.config import load_config
from mmkd_custom.errors import UserError
from mmkd_custom.models import DistillDataPreprocessor

PIPELINE = [dict(type='PackInputs')]
FINE = [f'fine_{number:02}' for number in range(100)]


def label_of(index: np.ndarray) -> np.ndarray:
    """A fixed sequence without any generator: 1 of each class in 100."""
    return (index * 7919 + index // 100) % 100


def images(count: int, seed: int) -> np.ndarray:
    rng = np.random.RandomState(seed)
    return rng.randint(0, 256, (count, 3072), dtype=np.uint8)


def write(path, **content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content, 2))


def write_cifar100(root, per_class=8):
    """The files of cifar-100-python, with fewer images."""
    folder = root / 'cifar-100-python'
    for number, (name, count) in enumerate(
        dict(train=100 * per_class, test=100).items()
    ):
        labels = label_of(np.arange(count))
        write(
            folder / name,
            filenames=[f'{index}.png' for index in range(count)],
            batch_label=f'{name} batch 1 of 1',
            fine_labels=labels.tolist(),
            coarse_labels=(labels // 5).tolist(),
            data=images(count, number),
        )
    coarse = [f'coarse_{number}' for number in range(20)]
    write(folder / 'meta', fine_label_names=FINE, coarse_label_names=coarse)
    return root


def write_cifar10(root, per_batch=20):
    folder = root / 'cifar-10-batches-py'
    batches = [f'data_batch_{number}' for number in range(1, 6)]
    for number, name in enumerate([*batches, 'test_batch']):
        write(
            folder / name,
            batch_label=name,
            labels=[(number + index) % 10 for index in range(per_batch)],
            data=images(per_batch, number),
            filenames=['x.png'] * per_batch,
        )
    names = [f'class_{number}' for number in range(10)]
    write(
        folder / 'batches.meta',
        label_names=names,
        num_cases_per_batch=per_batch,
        num_vis=3072,
    )
    return root


def pack(root, folder, archive):
    """Packs the folder as the official archive and takes it away."""
    with tarfile.open(root / archive, 'w:gz') as packed:
        packed.add(root / folder, arcname=folder)
    (root / folder).rename(root / 'unpacked elsewhere')
    return root / archive


@pytest.fixture
def root(tmp_path):
    return write_cifar100(tmp_path / 'data')


@pytest.fixture
def archive(root):
    return pack(root, 'cifar-100-python', 'cifar-100-python.tar.gz')


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
    make = dict(cifar10=write_cifar10, cifar100=write_cifar100)[name]
    make(tmp_path)
    reference = getattr(mmpretrain.datasets, name.upper())
    monkeypatch.setattr(reference, '_check_integrity', lambda self: True)
    theirs = reference(data_root=str(tmp_path), split=split, download=False)
    ours = CIFAR(str(tmp_path), name=name, split=split)
    assert_same(ours, theirs)
    assert len(ours.CLASSES) == len(theirs.CLASSES)


def test_channels_are_red_green_blue(tmp_path):
    """The file holds all of red, then green, then blue."""
    write_cifar10(tmp_path, per_batch=1)
    planes = np.repeat(np.uint8([[200, 100, 50]]), 1024, axis=1)
    write(
        tmp_path / 'cifar-10-batches-py' / 'test_batch',
        labels=[0],
        data=planes,
    )
    pixels = CIFAR(str(tmp_path), split='test').get_data_info(0)['img']
    assert (pixels == [200, 100, 50]).all()


def test_classes_are_those_of_the_meta_file(root, tmp_path):
    assert CIFAR(str(root), 'cifar100').CLASSES == tuple(FINE)
    lazy = CIFAR(str(root), 'cifar100', lazy_init=True)
    assert lazy.CLASSES == tuple(FINE)


def test_every_place_of_the_files_gives_the_same(root):
    below = CIFAR(str(root), 'cifar100')
    at = CIFAR(str(root / 'cifar-100-python'), 'cifar100')
    assert_same(at, below)
    assert at.origin == below.origin
    path = pack(root, 'cifar-100-python', 'cifar-100-python.tar.gz')
    for place in (root, path):
        packed = CIFAR(str(place), 'cifar100')
        assert_same(packed, below)
        assert packed.CLASSES == below.CLASSES
        assert split_digest(packed) == split_digest(below)
    # Nothing was unpacked.
    assert sorted(entry.name for entry in root.iterdir()) == [
        'cifar-100-python.tar.gz',
        'unpacked elsewhere',
    ]


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
    # 500 a class, as the real training images.
    labels = label_of(np.arange(50_000))
    drawn = stratified_subset(labels, labels_per_class=4, seed=0)
    assert Counter(labels[drawn].tolist()) == dict.fromkeys(range(100), 4)
    assert digest(drawn) == (
        '458996fb987d80a93bbf9cc428aeaecdb2d4d3ced41ab8b7b0eb8e683c458d4f'
    )
    other = CIFAR(str(root), 'cifar100', labels_per_class=4, seed=1)
    assert digest(other.subset_indices) != digest(chosen.subset_indices)


def test_subset_and_complement_partition(root):
    whole = CIFAR(str(root), 'cifar100')
    options = dict(data_root=str(root), name='cifar100', fraction=0.5)
    kept, rest = CIFAR(**options), CIFAR(complement=True, **options)
    assert whole.subset_indices is None
    assert sorted([*kept.subset_indices, *rest.subset_indices]) == list(
        range(len(whole))
    )
    for index, info in zip(kept.subset_indices, infos(kept)):
        theirs = whole.get_data_info(int(index))
        assert (info['img'] == theirs['img']).all()
        assert info['gt_label'] == theirs['gt_label']
    assert kept.origin == whole.origin
    assert kept.origin != CIFAR(str(root), 'cifar100', split='test').origin


def test_images_may_be_written_to(root):
    """Pipelines write into what they get; the next one gets it anew."""
    for options in (dict(), dict(serialize_data=False)):
        dataset = CIFAR(str(root), 'cifar100', **options)
        before = dataset.get_data_info(3)['img'].copy()
        dataset.get_data_info(3)['img'][:] = 0
        assert (dataset.get_data_info(3)['img'] == before).all()


def test_unlabelled_stream_has_no_label(root):
    def part(**options):
        return dict(
            type='mmkd_custom.CIFAR',
            data_root=str(root),
            name='cifar100',
            pipeline=PIPELINE,
            **options,
        )

    joined = TwoStreamDataset(part(labels_per_class=4), part())
    assert (joined.num_labelled, joined.num_unlabelled) == (400, 800)
    assert 'gt_label' in joined[0]['data_samples']
    seen = set()
    for index in range(400, 1200):
        item = joined[index]
        sample = item['data_samples']
        assert not sample.keys()
        for key in sample.metainfo_keys():
            assert 'label' not in key and not key.startswith('gt_')
            assert key != 'img'
        seen.add(item['inputs'].numpy().tobytes())
    # All images are among them, in another order than the file's.
    stored = [info['img'] for info in infos(CIFAR(str(root), 'cifar100'))]
    assert seen == {img.transpose(2, 0, 1).tobytes() for img in stored}
    first = joined[400]['inputs'].numpy().transpose(1, 2, 0)
    assert (first != stored[0]).any()


def test_config_gives_student_and_teacher_red_green_blue(
    repo, root, monkeypatch
):
    """Channels after the preprocessor, of which to_rgb tells the teacher."""
    monkeypatch.setenv('DATA_ROOT', str(root))
    config = load_config(repo / 'configs/_base_/datasets/cifar100_400.py')
    assert config.data_preprocessor.num_classes == 100
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


def test_config_streams(repo, root, monkeypatch):
    monkeypatch.setenv('DATA_ROOT', str(root))
    config = load_config(repo / 'configs/_base_/datasets/cifar100_400.py')
    options = dict(config.train_dataloader.dataset)
    options.pop('type')
    joined = TwoStreamDataset(**options)
    assert (joined.num_labelled, joined.num_unlabelled) == (400, 800)
    assert joined[0]['inputs'].shape == (3, 32, 32)
    sampler = config.train_dataloader.sampler
    assert config.train_dataloader.batch_size == (
        sampler.labelled + sampler.unlabelled
    )


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(name='cifar-100'), "name: .* 'cifar-100' .*nearest: 'cifar100'"),
        (dict(split='val'), "split: one of 'train', 'test' .* 'val'"),
        (dict(name='cifar10'), 'holds neither cifar-10-batches-py/ nor cifar'),
        (dict(data_root=''), 'data_root: no folder was given; set DATA_ROOT'),
        (dict(data_root='/no/such'), 'data_root: /no/such does not exist'),
        (dict(labels_per_class=9), "class 'fine_00' holds 8 images, but 9"),
        (dict(labels_per_class=4, fraction=0.5), 'exactly one is wanted'),
        (dict(complement=True), 'complement=True'),
    ],
)
def test_refused_options(root, options, message):
    options = {'data_root': str(root), 'name': 'cifar100', **options}
    with pytest.raises(UserError, match=message):
        CIFAR(**options)


def test_missing_file(root, archive):
    elsewhere = root / 'unpacked elsewhere'
    (elsewhere / 'train').unlink()
    with pytest.raises(UserError, match="'train' of cifar-100-python/ is mis"):
        CIFAR(str(elsewhere), 'cifar100')
    with pytest.raises(UserError, match="tar.gz: 'batches.meta' of cifar-10-"):
        CIFAR(str(archive), 'cifar10')


@pytest.mark.parametrize('share', [0.0, 0.001, 0.5, 0.99, 0.999999])
def test_truncated_archive(archive, share):
    whole = archive.read_bytes()
    archive.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UserError, match=r'tar\.gz.* anew\.') as caught:
        CIFAR(str(archive), 'cifar100')
    assert '\n' not in str(caught.value)


def test_damaged_archive(archive):
    """One bit of the pixels: gzip's checksum tells."""
    whole = bytearray(archive.read_bytes())
    whole[len(whole) // 2] ^= 1
    archive.write_bytes(whole)
    with pytest.raises(UserError, match='tar.gz.* anew'):
        CIFAR(str(archive), 'cifar100')


def test_truncated_member_of_a_sound_gzip(root, tmp_path):
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode='w') as packed:
        packed.add(root / 'cifar-100-python', arcname='cifar-100-python')
    short = tmp_path / 'cifar-100-python.tar.gz'
    with gzip.open(short, 'wb', compresslevel=1) as file:
        file.write(plain.getvalue()[:-1_000_000])
    with pytest.raises(UserError, match='anew'):
        CIFAR(str(short), 'cifar100')


def test_truncated_pickle(root):
    path = root / 'cifar-100-python' / 'train'
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(UserError, match='python/train: .* truncated'):
        CIFAR(str(root), 'cifar100')


def test_harmful_pickle(root):
    (root / 'cifar-100-python' / 'meta').write_bytes(
        b"cos\nsystem\n(S'exit 1'\ntR."
    )
    with pytest.raises(UserError, match='meta: .* asks for os.system'):
        CIFAR(str(root), 'cifar100')


@pytest.mark.parametrize(
    'content, message',
    [
        (dict(fine_labels=[0]), "train: images are wanted as 'data'"),
        (
            dict(data=images(2, 0)[:, 1:], fine_labels=[0, 1]),
            r'shape \(N, 3072\), but there is \(2, 3071\)',
        ),
        (
            dict(data=images(2, 0) + 0.5, fine_labels=[0, 1]),
            'an array of bytes',
        ),
        (dict(data=images(2, 0)), "as 'fine_labels', but there is no list"),
        (
            dict(data=images(2, 0), fine_labels=[0]),
            '2 labels, one an image, .* there is 1',
        ),
        (
            dict(data=images(2, 0), fine_labels=[0, 100]),
            'label 100 of image 1 is no whole number from 0 to 99',
        ),
    ],
)
def test_wrong_content(root, content, message):
    write(root / 'cifar-100-python' / 'train', **content)
    with pytest.raises(UserError, match=message):
        CIFAR(str(root), 'cifar100')


def test_meta_without_names(root):
    write(root / 'cifar-100-python' / 'meta', label_names=['a'])
    with pytest.raises(UserError, match="class names .* 'fine_label_names'"):
        CIFAR(str(root), 'cifar100')
