"""The hook says how alike features are, and the run does not notice it."""

import numpy as np
import pytest
import torch

from mmkd_custom.analysis import FeatureSimilarityHook
from mmkd_custom.analysis.asking import features_of
from mmkd_custom.analysis.similarity import linear_cka
from mmkd_custom.cache import TeacherCacheHook
from mmkd_custom.errors import UserError


def watched(config):
    config.custom_hooks.append(dict(type='FeatureSimilarityHook', samples=7))


def own_view(config):
    """With images for the teacher alone, which is not cached."""
    watched(config)
    config.model.teacher = config.model.teacher.teacher
    dataset = config.train_dataloader.dataset
    load, crop, flip, *_, pack = dataset.labelled.pipeline
    dataset.pipelines = dict(teacher=[load, dict(crop, scale=64), flip, pack])


def scalar(runner, name):
    return runner.message_hub.get_scalar(f'val/{name}').data[0]


@pytest.mark.slow
def test_the_run_is_the_same_bit_for_bit(small_runner):
    runs = []
    for edit in (watched, lambda config: None):
        runner = small_runner(
            edit.__name__,
            edit=edit,
            validate=True,
            **{'train_dataloader.sampler.epoch_length': 2},
        )
        runner.train()
        runs.append(runner)
    ours, theirs = (run.model.state_dict() for run in runs)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    stores = [run.model.teacher.store for run in runs]
    arrays = [store._arrays['feature'] for store in stores]
    np.testing.assert_array_equal(*arrays)
    assert len(scalar(runs[0], 'cka_customized')) == 1
    known = runs[1].message_hub.log_scalars
    assert not [name for name in known if 'cka' in name]


@pytest.mark.parametrize('edit', [watched, own_view])
def test_the_scalars_are_those_of_the_features(small_runner, edit):
    runner = small_runner('work', edit=edit)
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    model, dataset = runner.model, runner.train_dataloader.dataset
    hook = FeatureSimilarityHook(samples=7)
    for each in (TeacherCacheHook(), hook):
        each.before_train(runner)
    # Both streams, 9 images each.
    assert len(hook._indices) == 7
    assert hook._indices.min() < 9 <= hook._indices.max()
    hook.after_val_epoch(runner)
    store = getattr(model.teacher, 'store', None)
    # What the cache lacks is computed and not added.
    assert store is None or store.count_missing() == 72
    model.eval()
    items = [dataset[(int(index), 0)] for index in hook._indices]
    data = model.data_preprocessor(
        runner.train_dataloader.collate_fn(items), False
    )
    batch = model.batch(**data)
    with torch.no_grad():
        student = model.student_view.ask(batch, ('feature',)).feature
        taught = model.teacher.ask(batch, ('feature',)).feature
        customized = model.teacher_projection(taught)
    for name, feature in dict(
        cka_teacher=taught, cka_customized=customized
    ).items():
        value = float(linear_cka(student, feature))
        assert scalar(runner, name)[-1] == pytest.approx(value, abs=1e-3)
    # Now it is held, and read.
    indices, taught = hook._indices, taught.cpu()
    said = features_of(dataset, model, indices, ['teacher'], 5)['teacher']
    exact = store is not None
    assert torch.equal(said, taught) or not exact
    torch.testing.assert_close(said, taught, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_nothing_for_a_model_without_teacher(finished):
    (scalars,) = (finished / 'plain').glob('*/vis_data/scalars.json')
    assert 'f1-score' in scalars.read_text()
    assert 'cka' not in scalars.read_text()
    (scalars,) = (finished / 'distilled').glob('*/vis_data/scalars.json')
    assert scalars.read_text().count('cka_customized') == 1


@pytest.mark.parametrize(
    'option, value', [('samples', 2), ('seed', -1), ('batch_size', 0.5)]
)
def test_options_out_of_range_are_refused(option, value):
    with pytest.raises(UserError, match=f'{option}.*{value}'):
        FeatureSimilarityHook(**{option: value})
