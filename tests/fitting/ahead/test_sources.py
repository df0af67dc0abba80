"""Sources weighted by how well they suit the labelled images."""

import pytest
import torch
from scipy.stats import pearsonr, rankdata

from mmkd_custom.cache.opening import open_caches
from mmkd_custom.errors import UserError
from mmkd_custom.fitting import WeighSourcesHook
from mmkd_custom.fitting.ahead.sources import parc
from mmkd_custom.models.distillers import SourceWeight


def test_parc_against_its_definition():
    torch.manual_seed(0)
    features, labels = torch.randn(7, 5), torch.tensor([0, 1, 2, 0, 1, 2, 2])
    hot = torch.eye(3)[labels]
    far, other = [], []
    for i in range(7):
        for j in range(i):
            far.append(1 - pearsonr(features[i], features[j]).statistic)
            other.append(1 - pearsonr(hot[i], hot[j]).statistic)
    expected = pearsonr(
        rankdata([round(x, 9) for x in far]),
        rankdata([round(x, 9) for x in other]),
    ).statistic
    assert parc(features, labels) == pytest.approx(expected, abs=1e-6)


def test_parc_tells_a_feature_that_knows_the_classes():
    torch.manual_seed(0)
    labels = torch.arange(30) % 3
    noise = torch.randn(30, 8)
    good = noise + 5 * torch.nn.functional.one_hot(labels, 8)
    assert parc(good, labels) > 0.5 > abs(parc(noise, labels))
    assert parc(torch.ones(30, 8), labels) == 0
    assert parc(good, torch.zeros(30, dtype=torch.long)) == 0


def teacher(seed, **options):
    return dict(
        type='TimmTeacher',
        model_name='test_efficientnet',
        input_size=None,
        num_classes=3 + seed,
        **options,
    )


@pytest.fixture
def runner_with(small_runner):
    def make(weight, right='{}.logits'):
        def edit(config):
            names = ('near', 'far')
            config.model = dict(
                type='Distiller',
                student=config.model.student,
                teachers={n: teacher(i) for i, n in enumerate(names)},
                input_size=config.model.input_size,
                networks={
                    f'{n}_head': dict(type='StudentHead', like=f'{n}.logits')
                    for n in names
                },
                terms={
                    n: dict(
                        loss=dict(type='KLDivergence', temperature=1.0),
                        on=(f'{n}_head.logits', right.format(n)),
                        weight=weight,
                    )
                    for n in names
                },
            )

        torch.manual_seed(0)
        runner = small_runner(edit=edit)
        runner._train_loop = runner.build_train_loop(runner._train_loop)
        open_caches(runner)
        return runner

    return make


def test_terms_get_the_shares_of_their_teachers(runner_with):
    runner = runner_with(dict(type='SourceWeight', weight=0.6))
    terms = runner.model.terms()
    with pytest.raises(UserError, match='WeighSourcesHook'):
        terms['near'].weight(0.0)
    WeighSourcesHook(power=2.0, images=7, batch_size=3).before_train(runner)
    shares = [terms[name].weight.share for name in ('near', 'far')]
    assert sum(shares) == pytest.approx(1) and min(shares) >= 0
    assert terms['far'].weight(0.7) == pytest.approx(0.6 * shares[1])
    WeighSourcesHook(power=2.0, images=7).before_train(runner)
    assert shares == [terms[n].weight.share for n in ('near', 'far')]


def test_terms_that_cannot_be_weighed_are_named(runner_with):
    with pytest.raises(UserError, match='SourceWeight'):
        WeighSourcesHook().before_train(runner_with(1.0))
    runner = runner_with(dict(type='SourceWeight'), right='{}_head.logits')
    with pytest.raises(UserError, match='terms.near.weight'):
        WeighSourcesHook().before_train(runner)
    for options, word in (
        (dict(power=0), 'WeighSourcesHook.power'),
        (dict(images=0), 'WeighSourcesHook.images'),
    ):
        with pytest.raises(UserError, match=word):
            WeighSourcesHook(**options)
    with pytest.raises(UserError, match='SourceWeight.weight'):
        SourceWeight(-1.0)
