import numpy as np
import pytest

from mmkd_custom.datasets.samples_digest import SPOT_CHECKS, samples_digest


class Listed:
    """A dataset of image files, or of pixels."""

    def __init__(self, root, infos):
        self.data_root, self.infos = root, infos

    def get_data_info(self, position):
        return dict(self.infos[position])


@pytest.fixture
def files(tmp_path):
    def make(folder='data', count=100, change=None):
        root = tmp_path / folder
        root.mkdir(exist_ok=True)
        infos = []
        for number in range(count):
            path = root / f'{number}.jpg'
            path.write_bytes(b'%d' % (-1 if number == change else number))
            infos.append(dict(img_path=str(path), gt_label=number % 3))
        return Listed(str(root), infos)

    return make


def digest(*streams):
    return samples_digest(
        (name, dataset, np.asarray(positions))
        for name, dataset, positions in streams
    )


def test_which_images_in_which_order(files):
    data, every = files(), range(100)
    known = digest(('labelled', data, every))
    assert len(known) == 64
    assert digest(('labelled', data, every)) == known
    assert digest(('labelled', files('elsewhere'), every)) == known
    others = [
        digest(('unlabelled', data, every)),
        digest(('labelled', data, range(99))),
        digest(('labelled', data, [1, 0, *range(2, 100)])),
        digest(('labelled', data, range(50)), ('x', data, range(50, 100))),
    ]
    assert len({known, *others}) == 5


def test_labels_do_not_count(files):
    data = files()
    known = digest(('labelled', data, range(100)))
    for info in data.infos:
        info['gt_label'] = 7
    assert digest(('labelled', data, range(100))) == known


def test_images_made_anew_under_their_old_names(files):
    known = digest(('labelled', files(), range(100)))
    for first_or_last in (0, 99):
        changed = files(change=first_or_last)
        assert digest(('labelled', changed, range(100))) != known
    # Not all are read.
    assert SPOT_CHECKS < 100
    noticed = sum(
        digest(('labelled', files(change=number), range(100))) != known
        for number in range(100)
    )
    assert noticed == SPOT_CHECKS


def test_images_in_memory_count_with_their_pixels():
    data = Listed(None, [dict(img=np.full((2, 2), n)) for n in range(3)])
    known = digest(('labelled', data, range(3)))
    data.infos[1]['img'][0, 0] = 9
    assert digest(('labelled', data, range(3))) != known


def test_an_empty_stream():
    assert digest(('labelled', Listed(None, []), [])) != digest()


def test_equal_names_in_other_folders(tmp_path, files):
    first, second = files('a', 3), files('b', 3)
    first.data_root = second.data_root = ''
    assert digest(('labelled', first, range(3))) != digest(
        ('labelled', second, range(3))
    )
