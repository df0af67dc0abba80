"""A process without this package."""

import numpy as np
import pytest

from mmkd_custom.errors import UserError
from mmkd_custom.export import elsewhere


def check(folder):
    elsewhere.check_elsewhere(folder, ['a'], lambda path: np.ones(1))


def test_modules_of_the_current_folder_are_found(tmp_path, monkeypatch):
    (tmp_path / 'my_net.py').write_text('SCORE = 1.0')
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend('.')
    said = '{"scores": [%s], "named": "a"}'
    for score, right in (('1.0', True), ('NaN', False)):
        code = f'import my_net; print({said % score!r})'
        monkeypatch.setattr(elsewhere, '_CODE', code)
        if right:
            check(tmp_path)
            continue
        with pytest.raises(UserError, match='MMPretrain'):
            check(tmp_path)


def test_damaged_config_is_refused_in_a_sentence(tmp_path):
    (tmp_path / 'config.py').write_text('model = (')
    with pytest.raises(UserError, match='config.py'):
        check(tmp_path)
