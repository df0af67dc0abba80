from urllib.error import URLError

import pytest
from mmengine.config import Config

from mmkd_custom.errors import UserError
from mmkd_custom.quickstart import rehearsal


@pytest.mark.parametrize(
    ('error', 'said'),
    [
        (URLError('no way'), r'no way.* a\.pth from https://'),
        (FileNotFoundError(2, 'none', 'b.pth'), r'b\.pth: cannot be read'),
        (ValueError('odd'), r'cannot be built \(ValueError.*odd'),
    ],
)
def test_mistakes_are_named_as_those_of_a_training(
    monkeypatch, tmp_path, error, said
):
    def fail(*_):
        raise error

    monkeypatch.setattr(rehearsal, 'build_runner', fail)
    config = Config(
        dict(
            model=dict(checkpoint='https://nowhere.invalid/a.pth'),
            default_hooks={},
            custom_hooks=[],
        )
    )
    with pytest.raises(UserError, match=said):
        rehearsal.rehearse(config, tmp_path)
