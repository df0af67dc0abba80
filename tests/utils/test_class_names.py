"""Two lists of class names are compared by name and by order."""

import pytest

from mmkd_custom.utils.class_names import class_difference

PLACES = ('A', 'B')


@pytest.mark.parametrize(
    'ours, theirs, words',
    [
        (['a', 'b'], ['a'], ["'b'", 'A only']),
        (['a'], ['a', 'b'], ["'b'", 'B only']),
        (['a', 'b'], ['a', 'c'], ["'b' is in A only", "'c' is in B only"]),
        (['a', 'b'], ['b', 'a'], ["class 0 is 'a' in A and 'b' in B"]),
        (['a', 'b'], ['a', 'b', 'a'], ["class 2 is None in A and 'a' in B"]),
        (['a'], [], ["'a' is in A only"]),
        (['n00000001'], ['n00000002'], ["'n00000001' is in A only"]),
    ],
)
def test_what_differs_is_named(ours, theirs, words):
    difference = class_difference(ours, theirs, PLACES)
    assert all(word in difference for word in words)


@pytest.mark.parametrize(
    'ours, theirs',
    [
        (['a', 'b'], ('a', 'b')),
        # One letter, or a letter and an accent: one name on a disk.
        (['caf\u00e9'], ['cafe\u0301']),
        # ImageNet's folders, and what is in them.
        (['n01440764', 'n01443537'], ['tench', 'goldfish']),
    ],
)
def test_the_same(ours, theirs):
    assert class_difference(ours, theirs, PLACES) is None
