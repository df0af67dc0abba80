"""Whether weights are on this machine, or can be fetched."""

from __future__ import annotations

import urllib.request
from pathlib import Path
from typing import Optional
from urllib.parse import urlsplit

import torch
from huggingface_hub import (
    get_hf_file_metadata,
    hf_hub_url,
    try_to_load_from_cache,
)

#: Seconds that a server has for its first answer.
PATIENCE = 5.0
KEPT, FETCHED = 'already on this machine', 'fetched'


def hub_file(repository: str, *names: str) -> Optional[str]:
    """Tells how a file of the Hugging Face hub can be had.

    Args:
        repository (str): Such as ``timm/vit_small_patch14_dinov2.lvd142m``.
        *names (str): Files any of which will do.

    Returns:
        str | None: :data:`KEPT`, :data:`FETCHED`, or None if it cannot.
    """
    if is_kept(repository, *names):
        return KEPT
    for name in names:
        try:
            get_hf_file_metadata(
                hf_hub_url(repository, name), timeout=PATIENCE
            )
            return FETCHED
        # Its clients fail with errors of all kinds.
        except Exception:
            continue
    return None


def is_kept(repository: str, *names: str) -> bool:
    """Tells whether any of these files is on this machine; asks no server."""
    return any(
        isinstance(try_to_load_from_cache(repository, name), str)
        for name in names
    )


def web_file(url: str) -> Optional[str]:
    """Tells the same of a checkpoint that MMEngine downloads.

    Args:
        url (str): Of the file; torch's hub folder keeps it by its name.
    """
    name = urlsplit(url).path.rpartition('/')[2]
    if Path(torch.hub.get_dir(), 'checkpoints', name).is_file():
        return KEPT
    try:
        request = urllib.request.Request(url, method='HEAD')
        with urllib.request.urlopen(request, timeout=PATIENCE):
            return FETCHED
    except (OSError, ValueError):
        return None
