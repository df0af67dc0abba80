import pytest

from mmkd_custom.datasets.checking.protocols import (
    PER_CLASS,
    PROTOCOLS,
    find_protocol,
)
from mmkd_custom.errors import UserError
from mmkd_custom.registry import DATASETS


@pytest.mark.parametrize(
    'name, classes, parts',
    [
        ('officehome', 65, 4),
        ('domainnet', 345, 6),
        ('pacs', 7, 4),
        ('office31', 31, 3),
        ('visda', 12, 3),
        ('cifar10', 10, 2),
        ('cifar100', 100, 2),
        ('imagenet', 1000, 2),
    ],
)
def test_table(name, classes, parts):
    protocol = find_protocol(name)
    assert (protocol.num_classes, len(protocol.parts)) == (classes, parts)
    assert set(protocol.optional) <= set(protocol.parts)
    assert (protocol.metric == PER_CLASS) == (name == 'visda')


def test_dataset_types_exist():
    for module in ('cifar', 'domain_folder', 'image_list', 'imagenet'):
        __import__(f'mmkd_custom.datasets.{module}')
    for protocol in PROTOCOLS.values():
        assert protocol.dataset in DATASETS.module_dict


def test_names():
    assert find_protocol('Office-Home').name == 'officehome'
    assert find_protocol('VisDA-2017').name == 'visda'
    with pytest.raises(UserError, match="'ofice'.*nearest: 'office31'"):
        find_protocol('ofice')


@pytest.mark.parametrize(
    'name, config',
    [
        ('officehome', 'officehome_224'),
        ('domainnet', 'domainnet_224'),
        ('cifar100', 'cifar100_400'),
        ('imagenet', 'imagenet_1pct'),
    ],
)
def test_folder_is_where_the_config_looks(repo, name, config):
    text = (repo / f'configs/_base_/datasets/{config}.py').read_text()
    assert '{{$DATA_ROOT:' + find_protocol(name).folder + '}}' in text
