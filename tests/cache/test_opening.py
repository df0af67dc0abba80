"""Opening a cache: refusals, and several ranks."""

import json

import numpy as np
import pytest

from mmkd_custom.cache import opening as module
from mmkd_custom.cache.opening import by_rank_0, open_cache, together
from mmkd_custom.errors import UserError
from tests.two_ranks import TwoRanks


def test_a_place_where_nothing_can_be_written(small_runner, monkeypatch):
    runner = small_runner('first')
    runner.train()
    store = runner.model.teacher.store
    assert store.count_missing() > 0
    real = np.memmap.__new__

    def read_only(cls, path, kind, mode, **options):
        # As root, permissions forbid nothing.
        if mode != 'r':
            raise PermissionError(13, 'Permission denied', str(path))
        return real(cls, path, kind, mode, **options)

    monkeypatch.setattr(np.memmap, '__new__', read_only)
    with pytest.raises(
        UserError,
        match=f'{store.count_missing()} of 72 entries are missing, but it '
        'cannot be written',
    ):
        open_cache(small_runner('first'))
    # A finished one needs nothing written.
    store._checksums[:] = 1
    assert not open_cache(small_runner('first')).writable


def test_a_folder_that_cannot_be_made(small_runner, tmp_path):
    (tmp_path / 'file').touch()
    runner = small_runner(
        **{'model.teacher.cache_dir': str(tmp_path / 'file' / 'cache')}
    )
    with pytest.raises(UserError, match='file/cache: cannot be made'):
        open_cache(runner)


def test_a_dataset_that_is_no_two_stream_dataset(small_runner):
    def edit(config):
        loader = config.train_dataloader
        loader.dataset = loader.dataset.labelled
        loader.sampler = dict(type='DefaultSampler', shuffle=True)
        loader.pop('batch_sampler')

    with pytest.raises(UserError, match='TwoStreamDataset is wanted'):
        open_cache(small_runner(edit=edit))


@pytest.mark.parametrize('error', [OSError('gone'), KeyError('x')])
def test_a_defect_stays_what_it_is(error):
    def action():
        raise error

    with pytest.raises(type(error)) as raised:
        together(action)
    assert raised.value is error


@pytest.mark.parametrize('own', [None, OSError('disk'), UserError('b.')])
@pytest.mark.parametrize(
    'other, kind, words',
    [
        ((True, 'rank 1 is wrong.'), UserError, 'rank 1 is wrong'),
        ((False, "KeyError('x')"), RuntimeError, 'rank 1 failed: KeyError'),
        (None, None, ''),
    ],
)
def test_whatever_a_rank_meets_the_others_go_on(
    monkeypatch, own, other, kind, words
):
    monkeypatch.setattr(
        module, 'all_gather_object', lambda mine: [mine, other]
    )

    def action():
        if own is not None:
            raise own
        return 'fine'

    if own is None and kind is None:
        assert together(action) == 'fine'
        return
    if kind is not UserError and own is not None:
        kind, words = type(own), str(own)
    elif isinstance(own, UserError):
        words = 'b.'
    with pytest.raises(kind, match=words):
        together(action)


def test_described_before_any_image_is_made(small_runner, monkeypatch):
    order = []
    runner = small_runner(**{'model.teacher.outputs': ['feature', 'tokens']})
    for name in ('cache_manifest', '_shapes'):
        usual = getattr(module, name)

        def noted(*args, usual=usual, name=name):
            order.append(name)
            return usual(*args)

        monkeypatch.setattr(module, name, noted)
    assert open_cache(runner).manifest['grid'] == [3, 3]
    assert order == ['cache_manifest', '_shapes']


@pytest.mark.slow
class TestRanks(TwoRanks):
    """Runs each test in two gloo processes."""

    def test_a_mistake_of_one_rank_is_every_ranks(self):
        self.join_group()

        def action():
            if self.rank == 1:
                raise UserError('rank 1 has no disk.')
            return 'fine'

        with pytest.raises(UserError, match='rank 1 has no disk'):
            together(action)
        assert together(lambda: self.rank) == self.rank
        assert by_rank_0(lambda: f'of {self.rank}') == 'of 0'


def test_its_manifest_is_whole(small_runner, tmp_path):
    open_cache(small_runner('first'))
    manifest = json.loads(
        (tmp_path / 'first' / 'teacher_cache' / 'manifest.json').read_text()
    )
    assert {
        'format',
        'samples',
        'views',
        'dtype',
        'shapes',
        'teacher',
        'teacher_sha256',
        'teacher_options',
        'teacher_layers',
        'teacher_input',
        'student_input',
        'pipelines',
        'dataset_sha256',
        'seed',
        'made_with',
    } == set(manifest)
