"""Small folders of generated images, and what is asked of datasets."""

import gc

import numpy as np
import pytest
from PIL import Image

CLASSES = ('apple', 'Bike', 'cat')


@pytest.fixture
def write_image():
    """Returns a function that writes an image of noise."""

    def write(path, seed=0, size=(20, 16)):
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.RandomState(seed).randint(
            0, 256, (size[1], size[0], 3), dtype=np.uint8
        )
        Image.fromarray(pixels).save(path)

    return write


@pytest.fixture
def make_domain(tmp_path, write_image):
    """Writes a domain of PNGs below tmp_path / 'root'."""

    def make(domain, counts=None):
        counts = counts or dict.fromkeys(CLASSES, 4)
        root = tmp_path / 'root'
        for label, (name, count) in enumerate(counts.items()):
            (root / domain / name).mkdir(parents=True)
            for number in range(count):
                write_image(
                    root / domain / name / f'im {number}.png',
                    seed=100 * label + number,
                )
        return str(root)

    return make


@pytest.fixture
def two_domains(make_domain):
    """Returns a root with 'Art' (4 a class) and 'Real World' (5 a class)."""
    make_domain('Art')
    return make_domain('Real World', dict.fromkeys(CLASSES, 5))


@pytest.fixture
def touch():
    """Returns a function that makes empty files, and folders for them."""

    def make(root, *names):
        for name in names:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).touch()

    return make


@pytest.fixture(scope='session')
def rows():
    """Returns a function: path below a folder, and label, of each sample."""

    def find(dataset, folder=None):
        infos = [dataset.get_data_info(i) for i in range(len(dataset))]
        start = len(str(folder or dataset.data_root).rstrip('/')) + 1
        return [
            (one['img_path'][start:], one.get('gt_label')) for one in infos
        ]

    return find


@pytest.fixture(scope='session', autouse=True)
def frozen_heap():
    """Makes cheap the full collection that every new dataset asks for."""
    gc.freeze()
    yield
    gc.unfreeze()
