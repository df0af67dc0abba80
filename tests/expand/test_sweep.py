"""MMPretrain's own configs with the key: five here, all when there is time."""

import re

import pytest
import torch

from tests.cli import REPOSITORY
from tests.expand.sweep import SIZES, attempt

QUICK = (
    'mobilenet_v3/mobilenet-v3-small_8xb128_in1k',
    'resnet/resnet18_8xb16_cifar10',
    'deit/deit-tiny_4xb256_in1k',
    'resnet/resnet50_8xb256-rsb-a1-600e_in1k',
    'simclr/simclr_resnet50_16xb256-coslr-200e_in1k',
)
#: Its precision is mixed, which MMEngine does not do on a CPU.
MIXED = 'resnet/resnet50_8xb32-fp16_in1k'
PAGE = (REPOSITORY / 'docs' / 'one_key.md').read_text()
OWN = PAGE.partition("## MMPretrain's own configs")[2]
TABLE = dict(re.findall(r'^\| `([\w/.-]+)` \| (.*) \|$', OWN, re.M))


@pytest.mark.parametrize(
    'name',
    [
        pytest.param(name, marks=() if name in QUICK else pytest.mark.slow)
        for name in sorted(SIZES)
    ],
)
def test_it_does_what_the_page_says(root, tmp_path, name):
    if name == MIXED and torch.cuda.is_available():
        pytest.skip('the page is of a CPU')
    said = attempt(name, root, tmp_path) or 'trains'
    # What other packages say stands in brackets.
    assert said.partition(' (')[0] == TABLE[name].partition(' (')[0]


def test_the_page_has_them_all():
    assert TABLE.keys() == SIZES.keys()
    assert sum(said == 'trains' for said in TABLE.values()) >= 25
