"""Images that a CSV names, with a label each or without."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any, List, NamedTuple, Optional, Sequence

from ..errors import UserError, naming_files, nearest
from ..registry import DATASETS
from .base import LabelledDataset, check_choice

PATH, LABEL = 'path', 'label'
#: Which rows a dataset takes.
KINDS = ('labelled', 'unlabelled', 'all')


class Row(NamedTuple):
    """A row: its line in the file, the image and its label, '' if none."""

    line: int
    path: str
    label: str


def read_rows(file: Path) -> List[Row]:
    """Reads the columns ``path`` and ``label``; others are not looked at.

    Args:
        file (Path): With a header. Tabs separate the columns of a ``.tsv``,
            commas those of any other.

    Returns:
        list[Row]: ``label`` is '' in all of a file without that column.

    Raises:
        UserError: If it cannot be read, has no column ``path``, no rows, or
            a row without a path.
    """
    delimiter = '\t' if file.suffix.lower() == '.tsv' else ','
    try:
        with naming_files(), open(file, encoding='utf-8-sig') as opened:
            reader = csv.DictReader(opened, delimiter=delimiter)
            columns = reader.fieldnames or []
            rows = [
                Row(
                    reader.line_num,
                    (row.get(PATH) or '').strip(),
                    (row.get(LABEL) or '').strip(),
                )
                for row in reader
            ]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f'{file}: expected a CSV, got {error}.') from error
    if PATH not in columns:
        raise UserError(
            f'{file}: expected the columns path and label in its first line, '
            f'got {", ".join(map(repr, columns)) or "an empty file"}.'
        )
    for row in rows:
        if not row.path:
            raise UserError(f'{file}, line {row.line}: expected a path.')
    if not rows:
        raise UserError(f'{file}: expected rows of images, got none.')
    return rows


@DATASETS.register_module()
class ImageCSV(LabelledDataset):
    """Images of a CSV with the columns ``path`` and ``label``.

    Classes are the sorted labels of the file; samples are in its order.

    Args:
        csv_file (str): The file; ``~`` is expanded.
        data_root (str, optional): What paths are relative to. Defaults to
            None, the folder that holds the file.
        rows (str): 'labelled' takes those with a label; 'unlabelled' those
            without one; 'all' takes every row and reads no label. The last
            two make a dataset without classes. Defaults to 'labelled'.
        classes (Sequence[str], optional): Classes in order, of which the file
            need not have all. Defaults to None.
        **kwargs: Arguments of :class:`LabelledDataset`.

    Raises:
        UserError: As :func:`read_rows`, and if there are no such rows or
            a label is none of ``classes``.
    """

    def __init__(
        self,
        csv_file: str,
        data_root: Optional[str] = None,
        rows: str = 'labelled',
        classes: Optional[Sequence[str]] = None,
        **kwargs: Any,
    ) -> None:
        file = Path(csv_file).expanduser()
        root = Path(data_root).expanduser() if data_root else file.parent
        check_choice('ImageCSV.rows', rows, KINDS)
        labelled = rows == 'labelled'
        found = read_rows(file)
        self.rows = [
            row
            for row in found
            if rows == 'all' or bool(row.label) == labelled
        ]
        if not self.rows:
            kind = 'a label' if labelled else 'an empty label'
            raise UserError(
                f'{file}: expected rows with {kind}, got none of {len(found)}.'
            )
        if labelled and classes is None:
            classes = sorted({row.label for row in self.rows})
        for row in self.rows if labelled else ():
            if row.label not in classes:
                raise UserError(
                    f'{file}, line {row.line}: expected one of the '
                    f'{len(classes)} classes, got {row.label!r} '
                    f'({nearest(row.label, classes)}).'
                )
        self.labelled = labelled
        self.origin = (str(file.resolve()),)
        super().__init__(
            ann_file='',
            data_root=str(root),
            metainfo=dict(classes=tuple(classes)) if labelled else None,
            **kwargs,
        )

    def load_data_list(self) -> List[dict]:
        """Lists ``img_path`` and, of labelled ones, ``gt_label``."""
        # An absolute path stays one.
        root = self.data_root
        samples = [
            dict(img_path=str(Path(root, row.path))) for row in self.rows
        ]
        if not self.labelled:
            return samples
        known = {name: label for label, name in enumerate(self.CLASSES)}
        labels = [known[row.label] for row in self.rows]
        for sample, label in zip(samples, labels):
            sample['gt_label'] = label
        kept = self.keep(self.origin[0], labels)
        return [samples[index] for index in kept]
