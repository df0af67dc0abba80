"""What the ranks of a run do together, whatever goes wrong on one of them."""

from __future__ import annotations

from typing import Any, Callable

from mmengine.dist import (
    all_gather_object,
    broadcast_object_list,
    is_main_process,
)

from ..errors import UserError


def together(action: Callable[[], Any]) -> Any:
    """Does something on every rank; what goes wrong on one, goes on all.

    Args:
        action (Callable): Without collective calls.

    Returns:
        Any: What it returned on this rank.

    Raises:
        UserError: The first that it raised on any rank.
        RuntimeError: If it raised anything else on another rank.
    """
    result = failure = None
    try:
        result = action()
    # Whatever it is: the other ranks must not wait for this one.
    except Exception as error:
        failure = error
    mistake = isinstance(failure, UserError)
    text = str(failure) if mistake else repr(failure)
    found = all_gather_object(None if failure is None else (mistake, text))
    for other in filter(None, found):
        if other[0]:
            raise UserError(other[1])
    if failure is not None:
        raise failure
    for rank, other in enumerate(found):
        if other is not None:
            raise RuntimeError(f'rank {rank} failed: {other[1]}')
    return result


def by_rank_0(action: Callable[[], Any]) -> Any:
    """Does something on rank 0 alone, see :func:`together`.

    Args:
        action (Callable): Without collective calls.

    Returns:
        Any: What it returned there, on every rank.
    """
    results = [together(lambda: action() if is_main_process() else None)]
    broadcast_object_list(results)
    return results[0]
