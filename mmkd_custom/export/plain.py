"""The student's config for MMPretrain, without a trace of this package."""

from __future__ import annotations

import copy
from typing import Any, Iterator, List, Optional, Sequence, Tuple

from mmengine.config import Config, ConfigDict

from ..datasets.wrappers import pipeline_of
from ..registry import MODELS, SCOPE, TRANSFORMS

#: What of a preprocessor is for training alone, or changes no number.
_OF_TRAINING = ('batch_augments', 'to_onehot', 'channels_last')
_HEADER = (
    '# A plain MMPretrain config of an exported student; see metadata.json.\n'
)


def test_dataset(config: Config) -> dict:
    """Returns the config of the images that a run's student is tested on.

    Args:
        config (Config): The run's.

    Returns:
        dict: Empty where the run is not tested.
    """
    for name in ('test_dataloader', 'val_dataloader'):
        found = (config.get(name) or {}).get('dataset')
        if found:
            return found
    return {}


def student_of(config: Config) -> dict:
    """Returns the config of a run's student, without its preprocessor."""
    model = config.model.get('student', config.model)
    return {
        key: _untaught(value)
        for key, value in model.items()
        if key not in ('data_preprocessor', 'train_cfg', 'init_cfg')
    }


def given_preprocessor(config: Config) -> Optional[dict]:
    """Returns what a run says of preprocessing, but for its student's."""
    own = config.model.get('data_preprocessor')
    return own or config.get('data_preprocessor')


def preprocessor_of(config: Config) -> dict:
    """Returns the config of what normalises the student's images."""
    student = config.model.get('student', config.model)
    given = given_preprocessor(config) or student.get('data_preprocessor')
    kept = {k: v for k, v in (given or {}).items() if k not in _OF_TRAINING}
    if str(kept.get('type')).endswith('DistillDataPreprocessor'):
        # The plain one does the same with labelled images.
        kept.pop('type')
    return kept


def plain_config(config: Config, classes: Sequence[str]) -> Config:
    """Makes the config that ships.

    It has the student as ``model``, what normalises an image and how a test
    sees it, on a folder of a subfolder a class; MMPretrain's inferencer and
    ``tools/test.py`` take it.

    Args:
        config (Config): The run's.
        classes (Sequence[str]): Names, in the order of the logits.

    Returns:
        Config: With ``custom_imports`` where the student or its pipeline is
        made of parts of this package, see :func:`own_parts`.
    """
    pipeline = list(pipeline_of(test_dataset(config)) or [])
    dataset = dict(
        type='CustomDataset',
        data_root='data/test',
        metainfo=dict(classes=list(classes)),
        pipeline=pipeline,
    )
    plain = dict(
        default_scope='mmpretrain',
        model=student_of(config),
        data_preprocessor=preprocessor_of(config),
        test_dataloader=dict(
            batch_size=32,
            num_workers=2,
            dataset=dataset,
            sampler=dict(type='DefaultSampler', shuffle=False),
        ),
        test_evaluator=dict(type='Accuracy', topk=1),
        test_cfg=dict(),
    )
    own = own_parts(plain)
    imports = config.get('custom_imports')
    if own:
        plain['default_scope'] = SCOPE
        imports = dict(imports=[SCOPE])
    else:
        plain = _unscoped(plain)
        # A user's own backbone is theirs to ship; what taught it is not.
        named = (imports or {}).get('imports') or []
        named = [named] if isinstance(named, str) else named
        needed = {module for module, _ in _parts(plain)}
        others = [n for n in named if n.partition('.')[0] in needed]
        imports = dict(imports=others) if others else None
    if imports:
        plain['custom_imports'] = imports
    return Config(copy.deepcopy(_builtin(plain)))


def text_of(config: Config) -> str:
    """Returns the text of a config file that ships."""
    return _HEADER + config.pretty_text


def own_parts(plain: dict) -> List[str]:
    """Names the types of this package that a config is made of."""
    return sorted({name for module, name in _parts(plain) if module == SCOPE})


def _parts(plain: dict) -> Iterator[Tuple[str, str]]:
    """Yields the top package and the name of each type in a config."""
    pipeline = plain['test_dataloader']['dataset']['pipeline']
    for node, registry in (
        (plain['model'], MODELS),
        (plain['data_preprocessor'], MODELS),
        (pipeline, TRANSFORMS),
    ):
        for name in _types(node):
            found: Optional[type] = (
                name if isinstance(name, type) else registry.get(name)
            )
            if found is not None:
                module = getattr(found, '__module__', '')
                yield module.partition('.')[0], found.__name__


def _types(node: Any) -> Iterator[Any]:
    if isinstance(node, dict):
        if 'type' in node:
            yield node['type']
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for value in node:
            yield from _types(value)


def _untaught(node: Any) -> Any:
    """Leaves where initial weights came from out: there are better ones."""
    if isinstance(node, dict):
        return {
            key: _untaught(value)
            for key, value in node.items()
            if key not in ('pretrained', 'init_cfg')
        }
    if isinstance(node, (list, tuple)):
        return type(node)(_untaught(value) for value in node)
    return node


def _unscoped(node: Any) -> Any:
    """Takes this package's scope off types that are MMPretrain's."""
    if isinstance(node, dict):
        return {key: _unscoped(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return type(node)(_unscoped(value) for value in node)
    if isinstance(node, str):
        return node.removeprefix(f'{SCOPE}.')
    return node


def _builtin(node: Any) -> Any:
    if isinstance(node, (dict, ConfigDict)):
        return {key: _builtin(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [_builtin(value) for value in node]
    return node
