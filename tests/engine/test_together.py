"""What ranks do together ends alike on all of them."""

import pytest

from mmkd_custom.engine import together as module
from mmkd_custom.engine.together import by_rank_0, together
from mmkd_custom.errors import UserError
from tests.two_ranks import TwoRanks


@pytest.mark.parametrize('own', [None, KeyError('disk'), UserError('b.')])
@pytest.mark.parametrize(
    'other, kind, word',
    [
        ((True, 'rank 1 is wrong.'), UserError, 'rank 1'),
        ((False, "KeyError('x')"), RuntimeError, 'rank 1'),
        (None, None, ''),
    ],
)
def test_whatever_a_rank_meets_the_others_go_on(
    monkeypatch, own, other, kind, word
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
        kind, word = type(own), str(own)
    elif isinstance(own, UserError):
        word = 'b.'
    with pytest.raises(kind, match=word):
        together(action)


@pytest.mark.slow
class TestRanks(TwoRanks):
    """Runs each test in two gloo processes."""

    def test_a_mistake_of_one_rank_is_every_ranks(self):
        self.join_group()

        def action():
            if self.rank == 1:
                raise UserError('rank 1 has no disk.')
            return 'fine'

        with pytest.raises(UserError, match='rank 1'):
            together(action)
        assert together(lambda: self.rank) == self.rank
        assert by_rank_0(lambda: f'of {self.rank}') == 'of 0'
