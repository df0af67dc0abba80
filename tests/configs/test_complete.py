"""Each part of a method is explained, and a config shows how it is used."""

import re

from mmkd_custom.models.connectors import Connector
from mmkd_custom.models.distillers import BaseDistiller
from mmkd_custom.models.losses import Loss
from mmkd_custom.models.networks import OwnedNetwork
from mmkd_custom.models.teachers import EnsembleTeacher
from mmkd_custom.models.teachers.wrappers.base import WrappedTeacher
from mmkd_custom.registry import MODELS
from tests.configs.shipped import CONFIGS, ROOT, TRIED

PARTS = {
    part.__name__
    for part in MODELS.module_dict.values()
    if isinstance(part, type)
    and issubclass(part, (Loss, Connector, OwnedNetwork, BaseDistiller))
    and part.__module__.startswith('mmkd_custom.')
}
#: Teachers made of others, which docs/teachers.md has.
WRAPPERS = {
    part.__name__
    for part in MODELS.module_dict.values()
    if isinstance(part, type)
    and issubclass(part, (WrappedTeacher, EnsembleTeacher))
}


def test_every_part_has_a_place_in_the_page(repo):
    page = (repo / 'docs' / 'methods.md').read_text()
    assert PARTS - {*re.findall(r'`(\w+)[`(]', page)} == set()


def test_every_part_is_in_a_config():
    files = ROOT.rglob('*.py')
    text = ''.join(path.read_text() for path in files)
    assert (PARTS | WRAPPERS) - {*re.findall(r"type='(\w+)'", text)} == set()


def test_every_method_has_its_configs(repo):
    page = (repo / 'docs' / 'methods.md').read_text()
    bases = [
        path
        for kind in ('methods', 'baselines')
        for path in (ROOT / '_base_' / kind).glob('*.py')
        # They have no folder.
        if path.stem not in ('customkd', 'propagated')
    ]
    for path in bases:
        named = f'/_base_/{path.parent.name}/{path.name}'
        users = [n for n in CONFIGS if named in (ROOT / n).read_text()]
        folders = {n.split('/')[0] for n in users} - {'benchmark'}
        # The page says when to use it.
        assert any(f'`{name}/`' in page for name in folders), path.name


def test_every_run_is_tried():
    tried = ''.join((ROOT / name).read_text() for name in TRIED)
    for path in (ROOT / '_base_' / 'runs').glob('*.py'):
        assert f'/runs/{path.name}' in tried
