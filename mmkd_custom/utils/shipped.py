"""Where configs and scripts lie, in a clone and in an installed package."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

#: Before the name of a config that comes with the package.
PREFIX = 'mmkd_custom::'
PACKAGE = Path(__file__).resolve().parents[1]


def shipped(name: str) -> Path:
    """Finds a folder that comes with the package.

    Args:
        name (str): 'configs' or 'tools'.

    Returns:
        Path: The folder of the clone that the package is part of, else what
        the wheel has in ``mmkd_custom/.mim``, as all of OpenMMLab's have.
    """
    clone = PACKAGE.parent
    # Not any folder of that name beside installed packages.
    if (clone / 'setup.py').is_file() and (clone / name).is_dir():
        return clone / name
    return PACKAGE / '.mim' / name


def shipped_config(name: str) -> Optional[Path]:
    """Finds a config that comes with the package.

    Args:
        name (str): Such as ``mmkd_custom::customkd_mbv3_elpv.py``.

    Returns:
        Path: The file, which need not exist; None if the name is of another
        form.
    """
    if not name.startswith(PREFIX):
        return None
    return shipped('configs') / name[len(PREFIX) :]
