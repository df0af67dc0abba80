"""Types resolve by bare name, by prefix and in every scope."""

import subprocess
import sys

import pytest
from mmengine import registry as mmengine_registry
from mmengine.registry import DefaultScope
from mmpretrain import registry as mmpretrain_registry

from mmkd_custom import datasets, engine, models, registry

# One registered class of each kind that the project has.
OWN = [
    ('MODELS', models, 'CustomKD'),
    ('MODELS', models, 'LinearConnector'),
    ('DATASETS', datasets, 'DomainFolder'),
    ('DATA_SAMPLERS', datasets, 'TwoStreamSampler'),
    ('HOOKS', engine, 'StageHook'),
    ('OPTIM_WRAPPERS', engine, 'StagedOptimWrapper'),
    ('OPTIM_WRAPPER_CONSTRUCTORS', engine, 'StagedOptimWrapperConstructor'),
]


@pytest.mark.parametrize('kind, package, name', OWN)
def test_names_resolve_in_every_scope(kind, package, name):
    cls = getattr(package, name)
    ours = getattr(registry, kind)
    theirs = getattr(mmpretrain_registry, kind)
    assert ours.get(name) is cls
    assert ours.get(f'mmkd_custom.{name}') is cls
    assert theirs.get(f'mmkd_custom.{name}') is cls
    assert theirs.get(name) is None


def test_every_registry_is_a_child_of_mmpretrains():
    for kind in dir(registry):
        if kind.isupper() and kind != 'SCOPE':
            assert getattr(registry, kind).scope == 'mmkd_custom'
            assert getattr(registry, kind).parent is getattr(
                mmpretrain_registry, kind
            )


@pytest.mark.parametrize(
    'kind, name',
    [
        ('MODELS', 'ImageClassifier'),
        ('DATASETS', 'ImageNet'),
        ('TRANSFORMS', 'PackInputs'),
        ('HOOKS', 'VisualizationHook'),
        ('OPTIMIZERS', 'Lamb'),
        ('METRICS', 'Accuracy'),
        ('VISUALIZERS', 'UniversalVisualizer'),
    ],
)
def test_default_scope_keeps_mmpretrains_names(kind, name):
    """As the runner looks them up: from MMEngine's root, by scope."""
    root = getattr(mmengine_registry, kind)
    with DefaultScope.overwrite_default_scope('mmkd_custom'):
        with root.switch_scope_and_registry(None) as found:
            cls = found.get(name)
    assert cls is not None and cls.__module__.startswith('mmpretrain')


def test_default_scope_makes_bare_names_ours():
    cfg = dict(type='LinearConnector', source=3, target=2)
    with pytest.raises(KeyError):
        mmengine_registry.MODELS.build(cfg)
    with DefaultScope.overwrite_default_scope('mmkd_custom'):
        built = mmengine_registry.MODELS.build(cfg)
        head = mmengine_registry.MODELS.build(
            dict(type='LinearClsHead', num_classes=2, in_channels=3)
        )
    assert type(built) is models.LinearConnector
    assert type(head).__module__.startswith('mmpretrain')


def test_prefix_finds_the_package_by_itself(repo):
    """An MMPretrain config needs no import of this package."""
    code = (
        'import sys\n'
        'from mmpretrain.registry import MODELS\n'
        "assert 'mmkd_custom' not in sys.modules\n"
        "print(MODELS.get('mmkd_custom.CustomKD').__module__)\n"
    )
    done = subprocess.run(
        [sys.executable, '-c', code],
        cwd=repo,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip().endswith(
        'mmkd_custom.models.distillers.customkd'
    )
