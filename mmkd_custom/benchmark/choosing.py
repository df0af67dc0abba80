"""Which row is chosen without a label of the target."""

from __future__ import annotations

from typing import List, Optional, Sequence

from ..engine.hooks.selection import SELECTION
from .tables import MEAN, MetricTable

#: What decides, and what does where that is equal, each the mean over tasks
#: and seeds, to the two decimals that a table shows.
CRITERIA = ('agreement', 'held_out/accuracy/top1')


def chosen_row(tables: Sequence[MetricTable]) -> Optional[str]:
    """Chooses a row by the rule of docs/methods.md, Choosing a recipe.

    Args:
        tables (Sequence[MetricTable]): From
            :func:`~mmkd_custom.benchmark.tables.metric_tables`.

    Returns:
        str | None: The row of the highest mean agreement over tasks and
        seeds; of several such, that of the highest held-out accuracy, then
        the first. None if no row has all its runs measured.
    """
    best: Optional[List[str]] = None
    for criterion in CRITERIA:
        scores = {
            row: round(found[MEAN].mean, 2)
            for table in tables
            if (table.metric, table.kind) == (criterion, SELECTION)
            for row, found in table.rows.items()
            if MEAN in found and (best is None or row in best)
        }
        if scores:
            best = [r for r, s in scores.items() if s == max(scores.values())]
        elif best is None:
            return None
    return best[0]
