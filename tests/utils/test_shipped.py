"""Where configs and scripts lie."""

from mmkd_custom.utils import shipped as module
from mmkd_custom.utils.shipped import shipped, shipped_config
from tests.cli import REPOSITORY


def test_a_clone_has_them_beside_the_package(tmp_path, monkeypatch):
    assert shipped('configs') == REPOSITORY / 'configs'
    # An installed package has neighbours of any name.
    package = tmp_path / 'mmkd_custom'
    (tmp_path / 'tools').mkdir()
    monkeypatch.setattr(module, 'PACKAGE', package)
    assert shipped('tools') == package / '.mim' / 'tools'


def test_names_of_configs():
    found = shipped_config('mmkd_custom::dkd/dkd_mbv3_officehome.py')
    assert found.is_file() and found.parent.name == 'dkd'
    assert shipped_config('mmpretrain::resnet/resnet18_8xb32_in1k.py') is None
    assert shipped_config('configs/mine.py') is None
