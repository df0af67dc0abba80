"""What an export has written, as a table for people."""

from __future__ import annotations

from typing import Any, Dict, List

_HEAD = ('file', 'bytes', 'top-1', 'same class', 'largest difference')


def report(facts: Dict[str, Any]) -> str:
    """Formats what ``metadata.json`` holds.

    Args:
        facts (dict): From :func:`~.folder.export_folder`.

    Returns:
        str: A line for each file, and what there is to know besides.
    """
    rows: List[tuple] = [_HEAD]
    lines = []
    for name, file in facts['files'].items():
        rows.append((name, f'{file["bytes"]:,}', *_parity(file)))
        if file.get('batch') == 1 and name.endswith('.onnx'):
            lines.append(
                f'{name} takes one image at a time: exported for any number, '
                'this network fails or gives other logits.'
            )
    widths = [max(len(row[i]) for row in rows) for i in range(len(_HEAD))]
    table = [
        '  '.join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in rows
    ]
    compared = next((f for f in facts['files'].values() if _asked(f)), None)
    if compared and compared['top1_of_student'] is not None:
        lines.append(
            f'The student itself: top-1 {compared["top1_of_student"]:.2f} on '
            f'{compared["test_images"]} test images.'
        )
    for name, file in facts['files'].items():
        lost = _lost(file)
        if lost > 1:
            lines.append(
                f'WARNING: {name} loses {lost:.2f} points of top-1'
                + (
                    '; quantize=dict(epochs=8) in the config of the run '
                    'trains with int8 in sight.'
                    if 'int8' in name
                    else '.'
                )
            )
    if compared and facts['not_compared']:
        lines.append(
            f'Compared on noise alone, because {facts["not_compared"]}.'
        )
    if facts['needs']:
        lines.append(
            f'config.py needs this package for {", ".join(facts["needs"])}.'
        )
    if not facts['checked_with_mmpretrain']:
        lines.append(
            'config.py and student.pth were not tried with MMPretrain.'
        )
    return '\n'.join([*table, *lines])


def _asked(file: Dict[str, Any]) -> bool:
    return 'test_images' in file


def _lost(file: Dict[str, Any]) -> float:
    if file.get('top1') is None:
        return 0.0
    return file['top1_of_student'] - file['top1']


def _parity(file: Dict[str, Any]) -> tuple:
    if not _asked(file):
        return ('', '', '')
    top1 = file['top1']
    return (
        '' if top1 is None else f'{top1:.2f}',
        f'{file["same_top1"]}/{file["test_images"]}',
        f'{file["max_logit_difference"]:.1e}',
    )
