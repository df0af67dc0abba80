"""The public data protocols: what belongs to each and where it comes from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Tuple

from ...errors import UserError, nearest

ACCURACY = 'top-1 accuracy'
PER_CLASS = 'mean of the per-class accuracies'


@dataclass(frozen=True)
class Protocol:
    """One data protocol of the field.

    Args:
        name (str): What the tools call it.
        title (str): What papers call it.
        dataset (str): Type of the dataset that reads it: 'DomainFolder',
            'DomainList', 'CIFAR' or 'ImageNetSubset'.
        parts (tuple[str]): Names of its domains, or of its splits where it
            has no domains.
        num_classes (int): Number of classes.
        layout (str): What the user is to put into ``folder``.
        folder (str): Where the configs look for it without ``DATA_ROOT``.
        page (str): Its official page.
        metric (str): What is reported. Defaults to top-1 accuracy.
        optional (tuple[str]): Those of ``parts`` that may be missing.
            Defaults to ().
    """

    name: str
    title: str
    dataset: str
    parts: Tuple[str, ...]
    num_classes: int
    layout: str
    folder: str
    page: str
    metric: str = ACCURACY
    optional: Tuple[str, ...] = ()


_IN_CLASSES = '<domain>/<class>/ folders of images'

PROTOCOLS: Dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name='officehome',
            title='OfficeHome',
            dataset='DomainFolder',
            parts=('Art', 'Clipart', 'Product', 'Real World'),
            num_classes=65,
            layout=_IN_CLASSES,
            folder='data/OfficeHome',
            page='https://www.hemanthdv.org/officeHomeDataset.html',
        ),
        Protocol(
            name='domainnet',
            title='DomainNet',
            dataset='DomainList',
            parts=(
                'clipart',
                'infograph',
                'painting',
                'quickdraw',
                'real',
                'sketch',
            ),
            num_classes=345,
            layout=f'{_IN_CLASSES} (the cleaned version) and the lists '
            'image_list/<domain>_train.txt and image_list/<domain>_test.txt',
            folder='data/domainnet',
            page='http://ai.bu.edu/M3SDA/',
        ),
        Protocol(
            name='pacs',
            title='PACS',
            dataset='DomainFolder',
            parts=('art_painting', 'cartoon', 'photo', 'sketch'),
            num_classes=7,
            layout=_IN_CLASSES,
            folder='data/PACS',
            page='https://domaingeneralization.github.io/',
        ),
        Protocol(
            name='office31',
            title='Office-31',
            dataset='DomainFolder',
            parts=('amazon', 'dslr', 'webcam'),
            num_classes=31,
            layout='<domain>/images/<class>/ folders of images',
            folder='data/Office31',
            page='https://faculty.cc.gatech.edu/~judy/domainadapt/',
        ),
        Protocol(
            name='visda',
            title='VisDA-2017',
            dataset='DomainFolder',
            parts=('train', 'validation', 'test'),
            num_classes=12,
            layout='train/<class>/ and validation/<class>/ folders of images '
            '(and test/ with trunk folders and image_list.txt, if wanted)',
            folder='data/VisDA2017',
            page='http://ai.bu.edu/visda-2017/',
            metric=PER_CLASS,
            optional=('test',),
        ),
        Protocol(
            name='cifar10',
            title='CIFAR-10',
            dataset='CIFAR',
            parts=('train', 'test'),
            num_classes=10,
            layout='cifar-10-python.tar.gz, packed or unpacked,',
            folder='data/cifar10',
            page='https://www.cs.toronto.edu/~kriz/cifar.html',
        ),
        Protocol(
            name='cifar100',
            title='CIFAR-100',
            dataset='CIFAR',
            parts=('train', 'test'),
            num_classes=100,
            layout='cifar-100-python.tar.gz, packed or unpacked,',
            folder='data/cifar100',
            page='https://www.cs.toronto.edu/~kriz/cifar.html',
        ),
        Protocol(
            name='imagenet',
            title='ImageNet',
            dataset='ImageNetSubset',
            parts=('train', 'val'),
            num_classes=1000,
            layout='train/<wnid>/ folders of images, and val/<wnid>/ folders '
            'or val/ with meta/val.txt',
            folder='data/imagenet',
            page='https://www.image-net.org/',
        ),
    )
}


def find_protocol(name: str) -> Protocol:
    """Finds a protocol by its name or title.

    Args:
        name (str): Such as 'officehome' or 'Office-Home'; case and
            punctuation do not matter.

    Returns:
        Protocol: The protocol.

    Raises:
        UserError: If there is none of this name.
    """
    wanted = letters(name)
    for protocol in PROTOCOLS.values():
        if wanted in (protocol.name, letters(protocol.title)):
            return protocol
    raise UserError(
        f'NAME: no data protocol is called {name!r} '
        f'({nearest(name, PROTOCOLS)}); there are {", ".join(PROTOCOLS)}.'
    )


def letters(name: str) -> str:
    """Gives the letters and digits of a name, in lower case."""
    return ''.join(filter(str.isalnum, name)).casefold()
