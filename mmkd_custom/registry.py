"""Registries of the plugin: children of MMPretrain's, scope ``mmkd_custom``.

A bare name resolves here first, then in MMPretrain, then in MMEngine, when
``default_scope = 'mmkd_custom'``; inside an MMPretrain config the same classes
are ``mmkd_custom.<Name>``. Every registry of MMPretrain has a child, also
those the plugin adds nothing to: MMEngine looks a default scope up in each.
"""

from mmengine.registry import Registry
from mmpretrain import registry as mmpretrain

from .utils.compat import allow_training_state

# MMEngine imports this file before it builds anything of the package, and so
# before it reads a checkpoint.
allow_training_state()

SCOPE = 'mmkd_custom'


def _child(parent: Registry, *locations: str) -> Registry:
    return Registry(
        parent.name,
        parent=parent,
        scope=SCOPE,
        # MMEngine imports only the locations of the registry that is asked,
        # not its parents': a bare name of MMPretrain would not be found.
        locations=[
            *parent._locations,
            *(f'mmkd_custom.{location}' for location in locations),
        ],
    )


RUNNERS = _child(mmpretrain.RUNNERS, 'engine', 'expand')
RUNNER_CONSTRUCTORS = _child(mmpretrain.RUNNER_CONSTRUCTORS, 'engine')
LOOPS = _child(mmpretrain.LOOPS, 'engine')
HOOKS = _child(
    mmpretrain.HOOKS, 'engine', 'cache', 'fitting', 'texts', 'analysis'
)
LOG_PROCESSORS = _child(mmpretrain.LOG_PROCESSORS, 'engine')
OPTIMIZERS = _child(mmpretrain.OPTIMIZERS, 'engine')
OPTIM_WRAPPERS = _child(mmpretrain.OPTIM_WRAPPERS, 'engine')
OPTIM_WRAPPER_CONSTRUCTORS = _child(
    mmpretrain.OPTIM_WRAPPER_CONSTRUCTORS, 'engine'
)
PARAM_SCHEDULERS = _child(mmpretrain.PARAM_SCHEDULERS, 'engine')
DATASETS = _child(mmpretrain.DATASETS, 'datasets')
DATA_SAMPLERS = _child(mmpretrain.DATA_SAMPLERS, 'datasets')
TRANSFORMS = _child(mmpretrain.TRANSFORMS, 'datasets')
MODELS = _child(mmpretrain.MODELS, 'models', 'cache')
MODEL_WRAPPERS = _child(mmpretrain.MODEL_WRAPPERS, 'models')
WEIGHT_INITIALIZERS = _child(mmpretrain.WEIGHT_INITIALIZERS, 'models')
BATCH_AUGMENTS = _child(mmpretrain.BATCH_AUGMENTS, 'models')
TASK_UTILS = _child(mmpretrain.TASK_UTILS, 'models')
METRICS = _child(mmpretrain.METRICS, 'evaluation')
EVALUATORS = _child(mmpretrain.EVALUATORS, 'evaluation')
VISUALIZERS = _child(mmpretrain.VISUALIZERS, 'evaluation')
VISBACKENDS = _child(mmpretrain.VISBACKENDS, 'evaluation')
