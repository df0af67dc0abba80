"""Labels are propagated before the first step, once, for every rank."""

from pathlib import Path

import pytest
import torch

from mmkd_custom.cache.opening import open_caches
from mmkd_custom.datasets import SampleKey
from mmkd_custom.engine.teacher_pass import teacher_features
from mmkd_custom.errors import UserError
from mmkd_custom.fitting import PropagateLabelsHook, hook
from mmkd_custom.fitting.propagation import propagate_labels

OPTIONS = dict(neighbours=3, alpha=0.5, steps=4, exponent=2.0)
LABELLED, UNLABELLED = 9, 9


@pytest.fixture
def runner_with(small_runner):
    """Builds a runner whose model has propagated labels."""

    def make(work_dir='work', edit=lambda config: None, **options):
        def change(config):
            config.model.networks = dict(
                propagated=dict(
                    type='PropagatedLabels', **{**OPTIONS, **options}
                )
            )
            edit(config)

        runner = small_runner(work_dir, edit=change)
        runner._train_loop = runner.build_train_loop(runner._train_loop)
        open_caches(runner)
        return runner

    return make


def filled(runner):
    PropagateLabelsHook(batch_size=8).before_train(runner)
    return runner.model.networks['propagated']._tables


def expected(runner, groups):
    features = teacher_features(runner, runner.model)
    dataset = runner.train_dataloader.dataset
    targets = torch.full((len(dataset),), -1)
    for index in range(LABELLED):
        sample = dataset[SampleKey(index, 0, ())]['data_samples']
        targets[index] = sample.gt_label
    return propagate_labels(features, targets, groups, 3, **OPTIONS)


STREAMS = torch.tensor([0] * LABELLED + [1] * UNLABELLED)


@pytest.mark.parametrize(
    ('standardize', 'groups'),
    [('auto', STREAMS), ('stream', STREAMS), ('all', 0 * STREAMS)],
)
def test_the_tables_are_those_of_the_teachers_features(
    runner_with, standardize, groups
):
    runner = runner_with(standardize=standardize)
    tables = filled(runner)
    found = expected(runner, groups)
    torch.testing.assert_close(tables['logits'].exp(), found.labels)
    torch.testing.assert_close(tables['more.probe'].exp(), found.probe)
    assert Path(runner.work_dir, 'propagated_labels.safetensors').is_file()


def test_labelled_images_among_the_unlabelled_are_one_group(runner_with):
    def same_domain(config):
        dataset = config.train_dataloader.dataset
        dataset.labelled.labels_per_class = 2
        dataset.unlabelled = dict(
            dataset.labelled, labels_per_class=None, classes_from=None
        )

    runner = runner_with(edit=same_domain)
    dataset = runner.train_dataloader.dataset
    assert hook._groups(dataset, 'auto').unique().tolist() == [0]
    assert hook._groups(dataset, 'stream').unique().tolist() == [0, 1]
    # And have their classes' shares: two images of each of three.
    tables = filled(runner)
    mean = tables['more.probe'].exp()[dataset.num_labelled :].mean(0)
    torch.testing.assert_close(
        mean, torch.full((3,), 1 / 3), atol=1e-3, rtol=0
    )
    other = filled(runner_with('other', edit=same_domain, class_mass=False))
    assert not torch.equal(tables['logits'], other['logits'])


def test_a_second_start_reads_what_the_first_has_propagated(
    runner_with, monkeypatch
):
    first = filled(runner_with())
    monkeypatch.setattr(hook, 'propagate_labels', None)
    second = filled(runner_with())
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_other_options_are_propagated_anew_unless_the_file_was_named(
    runner_with, tmp_path
):
    first = filled(runner_with())
    other = filled(runner_with(alpha=0.0))
    assert not torch.equal(first['logits'], other['logits'])
    file = str(tmp_path / 'labels.safetensors')
    filled(runner_with('named', file=file))
    shared = filled(runner_with('another', file=file))
    assert torch.equal(first['logits'], shared['logits'])
    with pytest.raises(UserError, match='labels.safetensors'):
        filled(runner_with('other', file=file, alpha=0.0))

    def smaller(config):
        config.model.teacher.teacher.input_size = 32

    # As many images by the same weights: other features all the same.
    with pytest.raises(UserError, match='labels.safetensors'):
        filled(runner_with('small', edit=smaller, file=file))
    with open(file, 'wb') as opened:
        opened.write(b'damaged')
    with pytest.raises(UserError, match='labels.safetensors'):
        filled(runner_with('damaged', file=file))


@pytest.mark.parametrize(
    'probe, kappa, weight',
    # None where nothing could be held out.
    [(0.3, 0.2, 2.0), (0.3, 0.4, 0.0), (None, 0.4, 2.0)],
)
def test_terms_are_told_what_the_probe_is_worth(
    runner_with, monkeypatch, probe, kappa, weight
):
    def propagate(*args, **options):
        found = propagate_labels(*args, **options)
        found.report['probe_kappa'] = probe
        return found

    monkeypatch.setattr(hook, 'propagate_labels', propagate)

    def edit(config):
        trusted = dict(type='TrustedWeight', weight=2.0, kappa=kappa)
        config.model.prediction = dict(type='KLDivergence')
        config.model.prediction_weight = trusted

    runner = runner_with(edit=edit)
    found = runner.model.terms()['prediction'].weight
    for _ in 'propagated, then read':
        found.found = None
        filled(runner)
        assert found(0.0) == weight
        said = float('nan') if probe is None else probe
        assert found.found == pytest.approx(said, nan_ok=True)


def test_a_wrong_batch_size_is_named():
    with pytest.raises(UserError, match='PropagateLabelsHook.batch_size'):
        PropagateLabelsHook(0)


def test_other_models_are_left_alone(small_runner):
    # Nor is what they train on looked at.
    mixing = dict(augments=dict(type='Mixup', alpha=1.0))
    runner = small_runner(**{'data_preprocessor.batch_augments': mixing})
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    PropagateLabelsHook().before_train(runner)
    assert not runner.model.networks
