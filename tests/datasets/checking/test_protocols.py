import pytest

from mmkd_custom.datasets.checking.protocols import PROTOCOLS, find_protocol
from mmkd_custom.errors import UserError
from mmkd_custom.registry import DATASETS


@pytest.mark.parametrize(
    'name, classes, parts, config',
    [
        ('officehome', 65, 4, 'officehome_224'),
        ('domainnet', 345, 6, 'domainnet_224'),
        ('pacs', 7, 4, None),
        ('office31', 31, 3, None),
        ('visda', 12, 3, None),
        ('cifar10', 10, 2, None),
        ('cifar100', 100, 2, 'cifar100_400'),
        ('imagenet', 1000, 2, 'imagenet_1pct'),
    ],
)
def test_table(repo, name, classes, parts, config):
    protocol = find_protocol(name)
    assert (protocol.num_classes, len(protocol.parts)) == (classes, parts)
    assert set(protocol.optional) <= set(protocol.parts)
    assert ('per-class' in protocol.metric) == (name == 'visda')
    assert protocol.dataset in DATASETS.module_dict
    if config:
        path = repo / 'configs' / '_base_' / 'datasets' / f'{config}.py'
        # Where the configs look.
        assert f'{{{{$DATA_ROOT:{protocol.folder}}}}}' in path.read_text()


def test_names():
    assert len(PROTOCOLS) == 8
    assert find_protocol('Office-Home').name == 'officehome'
    assert find_protocol('VisDA-2017').name == 'visda'
    with pytest.raises(UserError, match="NAME: .*'ofice'.*'office31'"):
        find_protocol('ofice')
