"""tools/mix_images.py, as a user runs it."""

from tests.cli import call_tool
from tests.helpers import make_domains


def test_it_mixes_and_refuses_half_a_diffusion_model(tmp_path, capsys):
    root, out = make_domains(tmp_path / 'data', per_class=1), tmp_path / 'out'
    small = ('--count', 3, '--size', 8)
    assert call_tool('mix_images.py', root, out, *small) == 0
    assert len([*out.glob('*.jpg')]) == 3
    assert call_tool('mix_images.py', root, out, '--how', 'diffusion') == 2
    assert '--prior' in capsys.readouterr().err
