"""Class names as they stand in a sentence, for a text encoder."""

from __future__ import annotations

import re
from collections import Counter
from typing import List, Sequence

# Folders of the public datasets whose names, with blanks for underscores, are
# not what one writes. Keys are what the rules below make of them.
ODDITIES = {
    # OfficeHome
    'flipflops': 'flip-flops',
    'postit notes': 'post-it notes',
    'push pin': 'pushpin',
    'tooth brush': 'toothbrush',
    # Office-31
    'back pack': 'backpack',
    'punchers': 'hole puncher',
    # DomainNet
    'bottlecap': 'bottle cap',
    'flip flops': 'flip-flops',
    'rollerskates': 'roller skates',
    'see saw': 'seesaw',
    't shirt': 't-shirt',
    # VisDA-2017
    'aeroplane': 'airplane',
}


def prompt_names(classes: Sequence[str]) -> List[str]:
    """Makes class names ready for prompts such as 'a photo of a {}.'.

    Underscores and hyphens become blanks, ``CamelCase`` is split, a leading
    'The' is left out (the prompt has an article), letters are lower case as
    CLIP's tokenizer makes them, and the oddities of OfficeHome, Office-31,
    DomainNet and VisDA (:data:`ODDITIES`) are spelled as one writes them.
    Where that would give two classes one name they keep their own, blanks
    for underscores.

    Args:
        classes (Sequence[str]): C class names, such as names of folders.

    Returns:
        list[str]: C names, in the same order.
    """
    names = [_written(name) for name in classes]
    shared = {name for name, count in Counter(names).items() if count > 1}
    return [
        original.replace('_', ' ') if name in shared else name
        for original, name in zip(classes, names)
    ]


def _written(name: str) -> str:
    # 'AlarmClock' and 'TVStand', but neither 'TV' nor 'TVs'.
    name = re.sub(r'(?<=[a-z0-9])(?=[A-Z])', ' ', name)
    name = re.sub(r'(?<=[A-Z])(?=[A-Z][a-z]{2})', ' ', name)
    name = ' '.join(re.sub(r'[\s_-]+', ' ', name).split()).lower()
    name = re.sub(r'^the (?=.)', '', name)
    return ODDITIES.get(name, name)
