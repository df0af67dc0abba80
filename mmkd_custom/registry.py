"""Registries of the plugin: children of MMPretrain's, scope ``mmkd_custom``.

A bare name resolves here first, then in MMPretrain, then in MMEngine, when
``default_scope = 'mmkd_custom'``; inside an MMPretrain config the same classes
are ``mmkd_custom.<Name>``.
"""

from mmengine.registry import Registry
from mmpretrain import registry as mmpretrain

SCOPE = 'mmkd_custom'


def _child(name: str, parent: Registry, location: str) -> Registry:
    return Registry(
        name, parent=parent, scope=SCOPE, locations=[f'mmkd_custom.{location}'])


MODELS = _child('model', mmpretrain.MODELS, 'models')
DATASETS = _child('dataset', mmpretrain.DATASETS, 'datasets')
DATA_SAMPLERS = _child('data sampler', mmpretrain.DATA_SAMPLERS, 'datasets')
TRANSFORMS = _child('transform', mmpretrain.TRANSFORMS, 'datasets')
HOOKS = _child('hook', mmpretrain.HOOKS, 'engine')
LOOPS = _child('loop', mmpretrain.LOOPS, 'engine')
OPTIM_WRAPPERS = _child('optim wrapper', mmpretrain.OPTIM_WRAPPERS, 'engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child('optim wrapper constructor',
                                    mmpretrain.OPTIM_WRAPPER_CONSTRUCTORS,
                                    'engine')
METRICS = _child('metric', mmpretrain.METRICS, 'evaluation')
