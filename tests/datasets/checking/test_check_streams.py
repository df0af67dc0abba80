"""Datasets of a run, checked one against the others."""

import json

import numpy as np
import pytest
from mmpretrain.datasets import CustomDataset

from mmkd_custom.datasets.checking.check_streams import check_streams


class InMemory:
    """A dataset of arrays, as CIFAR is; each image is of one number."""

    def __init__(self, numbers, labels, classes=('a', 'b')):
        self.numbers, self.labels = numbers, labels
        self.metainfo = dict(classes=classes)

    def __len__(self):
        return len(self.numbers)

    def get_data_info(self, index):
        image = np.full((4, 6, 3), self.numbers[index], np.uint8)
        return dict(img=image, gt_label=self.labels[index])


@pytest.fixture
def folder(tmp_path, write_image):
    """Writes a folder dataset of the given seeds by class."""

    def make(name, **classes):
        for kind, seeds in classes.items():
            for number, seed in enumerate(seeds):
                write_image(tmp_path / name / kind / f'{number}.png', seed)
        return CustomDataset(data_root=str(tmp_path / name))

    return make


def test_domain_adaptation_is_no_problem(folder):
    source = folder('source', a=[1, 2], b=[3])
    target = folder('target', a=[4], b=[5, 6])
    report = check_streams(
        'it', dict(labelled=source, unlabelled=target, test=target), 1
    )
    assert report.counts == dict(labelled=3, unlabelled=3, test=3)
    assert report.problems() == [] and report.duplicates == []
    assert report.details['unlabelled_held_out'] == 3
    assert report.notes()[0].startswith('3 images')


@pytest.mark.parametrize('workers', [1, 2])
def test_labelled_images_in_the_test_set(folder, workers):
    report = check_streams(
        'it',
        dict(
            labelled=folder('source', a=[1, 2], b=[3]),
            # The same bytes under another name and class.
            test=folder('target', a=[4], b=[9, 2]),
        ),
        workers,
    )
    (duplicate,) = report.duplicates
    assert duplicate['kind'] == 'labelled and held out'
    (problem,) = json.loads(json.dumps(report.to_dict()))['problems']
    assert '1.png (labelled)' in problem and '1.png (test)' in problem


def test_semi_supervised_arrays():
    # Unlabelled includes labelled; one labelled image twice, once wrongly.
    report = check_streams(
        'it',
        dict(
            labelled=InMemory([1, 2, 2, 3, 3], [0, 1, 1, 0, 1]),
            unlabelled=InMemory([1, 2, 3, 4], [0, 0, 0, 0]),
            val=InMemory([8], [0]),
            test=InMemory([9], [1]),
        ),
    )
    assert {d['kind']: d['samples'] for d in report.duplicates} == {
        'repeated': [
            'image 1 (labelled)',
            'image 2 (labelled)',
            'image 1 (unlabelled)',
        ],
        'label conflict': [
            'image 3 (labelled)',
            'image 4 (labelled)',
            'image 2 (unlabelled)',
        ],
    }
    assert len(report.problems()) == len(report.notes()) == 1
    assert report.duplicates[0]['size'] == (6, 4)


def test_synthetic_images_are_without_labels_and_classes():
    report = check_streams(
        'it',
        dict(
            labelled=InMemory([1, 2], [0, 1]),
            synthetic=InMemory([1, 3], [1, 0], classes=('x',)),
            test=InMemory([3], [0]),
        ),
    )
    assert report.problems() == []
    assert report.details['unlabelled_held_out'] == 1


@pytest.mark.parametrize(
    'classes, labels, named',
    [
        (('a', 'c'), [0, 1], "class 'b' is in labelled only"),
        (('b', 'a'), [0, 1], "'a' in labelled and 'b' in test"),
        (('a', 'b'), [0, 0], "class 'b' has no labelled image"),
    ],
)
def test_classes_that_differ_or_are_empty(classes, labels, named):
    report = check_streams(
        'it',
        dict(
            labelled=InMemory([1, 2], labels),
            test=InMemory([3, 4], [0, 0], classes),
        ),
    )
    (problem,) = report.problems()
    assert named in problem


def test_unreadable_image_is_named(folder, tmp_path):
    source = folder('source', a=[1], b=[2])
    path = tmp_path / 'source' / 'a' / '0.png'
    path.write_bytes(b'nothing')
    report = check_streams('it', dict(labelled=source, test=source), 1)
    assert list(report.unreadable) == [str(path)]
    # The sound one is in both.
    assert [d['kind'] for d in report.duplicates] == ['labelled and held out']
