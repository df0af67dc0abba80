"""A student's last layer is fitted to the labelled images before step one."""

import numpy as np
import pytest
import torch
from mmengine.dataset import default_collate
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from mmkd_custom.cache.opening import open_caches
from mmkd_custom.datasets import SampleKey
from mmkd_custom.errors import UserError
from mmkd_custom.fitting import RefitHeadHook

LABELLED = 9


@pytest.fixture
def runner(small_runner):
    runner = small_runner('work')
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    open_caches(runner)
    return runner


def weights(runner):
    return {k: v.clone() for k, v in runner.model.state_dict().items()}


def test_only_the_last_layer_changes_and_is_a_logistic_regression(
    runner, monkeypatch
):
    view = runner.model.student_view
    torch.manual_seed(0)
    targets = torch.arange(LABELLED) % 3
    features = torch.randn(LABELLED, view.feature_dim)
    features[:, :3] += 3 * torch.eye(3)[targets]
    monkeypatch.setattr(
        RefitHeadHook, '_labelled', lambda *_: (features, targets)
    )
    before = weights(runner)
    RefitHeadHook().before_train(runner)
    after = weights(runner)
    layer = f'student.{view.split.classifier}'
    changed = {k for k in after if not torch.equal(after[k], before[k])}
    assert changed == {f'{layer}.weight', f'{layer}.bias'}
    x = StandardScaler().fit_transform(features.double().numpy())
    said = view.classify(features).detach().softmax(1).numpy()
    gaps = [
        np.abs(
            LogisticRegression(C=c, max_iter=1000)
            .fit(x, targets)
            .predict_proba(x)
            - said
        ).max()
        for c in 10.0 ** np.arange(-5, 1)
    ]
    assert min(gaps) < 1e-4


def test_features_are_those_of_the_first_view_without_dropout(runner):
    model = runner.model.train()
    features, targets = RefitHeadHook(4)._labelled(runner, model)
    assert model.student.training
    dataset = runner.train_dataloader.dataset
    items = [dataset[SampleKey(i, 0, ('student',))] for i in range(LABELLED)]
    data = model.data_preprocessor(default_collate(items), True)
    model.student.eval()
    with torch.no_grad():
        said = model.student_view.run(data['inputs']).feature
    torch.testing.assert_close(features, said)
    assert targets.tolist() == [
        item['data_samples'].gt_label.item() for item in items
    ]


def test_a_resumed_run_is_left_as_it_is(runner):
    before = weights(runner)
    runner.train_loop._iter = 5
    RefitHeadHook().before_train(runner)
    after = weights(runner)
    assert all(torch.equal(after[k], before[k]) for k in after)


def test_nothing_to_choose_the_strength_by_is_refused(small_runner):
    def one_each(config):
        config.train_dataloader.dataset.labelled.labels_per_class = 1

    runner = small_runner('work', edit=one_each)
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    with pytest.raises(UserError, match='RefitHeadHook'):
        RefitHeadHook().before_train(runner)
