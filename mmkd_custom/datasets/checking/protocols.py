"""The public data protocols: what belongs to each and where it comes from.

See docs/protocols.md, What each prescribes.
"""

from __future__ import annotations

from typing import Dict, NamedTuple, Tuple

from ...errors import UserError, nearest


class Protocol(NamedTuple):
    """One data protocol of the field.

    Args:
        name (str): What the tools call it.
        title (str): What papers call it.
        num_classes (int): Number of classes.
        parts (tuple[str]): Names of its domains, or of its splits where it
            has no domains.
        page (str): Its official page.
        folder (str): Where the configs look for it without ``DATA_ROOT``.
        layout (str): What the user is to put into ``folder``. Defaults to
            domains in class folders.
        dataset (str): Type of the dataset that reads it: 'DomainFolder',
            'DomainList', 'CIFAR' or 'ImageNetSubset'. Defaults to
            'DomainFolder'.
        metric (str): What is reported. Defaults to 'top-1 accuracy'.
        optional (tuple[str]): Those of ``parts`` that may be missing.
            Defaults to ().
    """

    name: str
    title: str
    num_classes: int
    parts: Tuple[str, ...]
    page: str
    folder: str
    layout: str = '<domain>/<class>/ folders of images'
    dataset: str = 'DomainFolder'
    metric: str = 'top-1 accuracy'
    optional: Tuple[str, ...] = ()


_CIFAR = dict(
    parts=('train', 'test'),
    page='https://www.cs.toronto.edu/~kriz/cifar.html',
    dataset='CIFAR',
)
_TABLE = (
    Protocol(
        name='officehome',
        title='OfficeHome',
        num_classes=65,
        parts=('Art', 'Clipart', 'Product', 'Real World'),
        page='https://www.hemanthdv.org/officeHomeDataset.html',
        folder='data/OfficeHome',
    ),
    Protocol(
        name='domainnet',
        title='DomainNet',
        num_classes=345,
        parts=tuple(
            'clipart infograph painting quickdraw real sketch'.split()
        ),
        page='http://ai.bu.edu/M3SDA/',
        folder='data/domainnet',
        layout='<domain>/<class>/ folders of images (the cleaned version) and '
        'the lists image_list/<domain>_train.txt and '
        'image_list/<domain>_test.txt',
        dataset='DomainList',
    ),
    Protocol(
        name='pacs',
        title='PACS',
        num_classes=7,
        parts=('art_painting', 'cartoon', 'photo', 'sketch'),
        page='https://domaingeneralization.github.io/',
        folder='data/PACS',
    ),
    Protocol(
        name='office31',
        title='Office-31',
        num_classes=31,
        parts=('amazon', 'dslr', 'webcam'),
        page='https://faculty.cc.gatech.edu/~judy/domainadapt/',
        folder='data/Office31',
        layout='<domain>/images/<class>/ folders of images',
    ),
    Protocol(
        name='visda',
        title='VisDA-2017',
        num_classes=12,
        parts=('train', 'validation', 'test'),
        page='http://ai.bu.edu/visda-2017/',
        folder='data/VisDA2017',
        layout='train/<class>/ and validation/<class>/ folders of images (and '
        'test/ with trunk folders and image_list.txt, if wanted)',
        metric='mean of the per-class accuracies',
        optional=('test',),
    ),
    *(
        Protocol(
            name=f'cifar{classes}',
            title=f'CIFAR-{classes}',
            num_classes=classes,
            folder=f'data/cifar{classes}',
            layout=f'cifar-{classes}-python.tar.gz, packed or unpacked,',
            **_CIFAR,
        )
        for classes in (10, 100)
    ),
    Protocol(
        name='imagenet',
        title='ImageNet',
        num_classes=1000,
        parts=('train', 'val'),
        page='https://www.image-net.org/',
        folder='data/imagenet',
        layout='train/<wnid>/ folders of images, and val/<wnid>/ folders or '
        'val/ with meta/val.txt',
        dataset='ImageNetSubset',
    ),
)
PROTOCOLS: Dict[str, Protocol] = {one.name: one for one in _TABLE}


def find_protocol(name: str) -> Protocol:
    """Finds a protocol by its name or title, 'officehome' or 'Office-Home'.

    Raises:
        UserError: If there is none of this name.
    """
    plain = letters(name)
    for protocol in PROTOCOLS.values():
        if plain in (protocol.name, letters(protocol.title)):
            return protocol
    raise UserError(
        f'NAME: expected one of {", ".join(PROTOCOLS)}, got {name!r} '
        f'({nearest(name, PROTOCOLS)}).'
    )


def letters(name: str) -> str:
    """Returns the letters and digits of a name, in lower case."""
    return ''.join(filter(str.isalnum, name)).casefold()
