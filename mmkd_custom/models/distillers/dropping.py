"""Which teachers count in this step? The worst, and some of the others."""

from __future__ import annotations

from typing import Dict, Sequence

import torch

from ...errors import UserError, nearest
from ..options import checked_weight


class TermDropping:
    """Drops each of some terms but the largest, with one probability.

    UNIC (arXiv 2408.05088) so has no teacher be learnt at the expense of the
    one that is matched worst. Ours: terms are compared as they are weighted,
    of one process's batch, and a term is dropped of the whole batch. Drawn on
    the host, from the state that ``EpochSeedHook`` sets.

    Args:
        terms (Sequence[str]): Names of terms, at least two.
        probability (float): Of being dropped. Defaults to 0.5.

    Raises:
        UserError: If there are too few names, or it is no probability.
    """

    def __init__(self, terms: Sequence[str], probability: float = 0.5) -> None:
        if not isinstance(terms, (list, tuple)) or len(set(terms)) < 2:
            raise UserError(
                'dropping.terms: expected the names of two terms or more, got '
                f'{terms!r}.'
            )
        self.terms = tuple(terms)
        self.probability = checked_weight(
            'dropping.probability', probability, most=1
        )

    def check(self, known: Sequence[str]) -> None:
        """Refuses names that no term has."""
        for name in self.terms:
            if name not in known:
                raise UserError(
                    f'dropping.terms: expected some of {", ".join(known)}, '
                    f'got {name!r} ({nearest(name, known)}).'
                )

    def __call__(self, losses: Dict[str, torch.Tensor]) -> None:
        """Multiplies by zero what is dropped, in place.

        What each term was is added as ``undropped_<name>``, so that a log
        shows it also where the term is dropped.

        Args:
            losses (dict[str, Tensor]): With ``loss_<name>`` of the terms; one
                that has no images in a batch is not there.
        """
        names = [f'loss_{n}' for n in self.terms if f'loss_{n}' in losses]
        if len(names) < 2:
            return
        values = torch.stack([losses[name].detach() for name in names])
        kept = torch.rand(len(names)) >= self.probability
        # No index on the host: that would wait for the device.
        worst = torch.arange(len(names), device=values.device)
        worst = worst == values.argmax()
        keep = (kept.to(values.device) | worst).to(values.dtype)
        for name, factor in zip(names, keep):
            # MMEngine sums each key with "loss" in it.
            term = name.partition('loss_')[2]
            if 'loss' not in term:
                losses[f'undropped_{term}'] = losses[name].detach()
            # Multiplied: each parameter has a gradient in each process.
            losses[name] = losses[name] * factor
