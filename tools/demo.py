"""Trains a labelled-only and a distilled student on solar cells, compares."""

import argparse
import subprocess
import sys
from pathlib import Path

from rich.console import Console

from mmkd_custom.errors import UserError, run_cli
from mmkd_custom.evaluation import comparison_table, plot_curves, read_results

ROOT = Path(__file__).resolve().parents[1]
METHODS = {
    'labelled only': 'baselines/source_only_mbv3_elpv.py',
    'CustomKD': 'customkd_mbv3_elpv.py',
}


def train(name: str, work_dir: Path) -> None:
    """Trains one method, or leaves a finished run as it is."""
    if read_results(work_dir) is not None:
        print(f'{name}: reusing {work_dir}', flush=True)
        return
    print(f'{name}: training, log in {work_dir / "train.log"}', flush=True)
    work_dir.mkdir(parents=True, exist_ok=True)
    with open(work_dir / 'train.log', 'a') as log:
        code = subprocess.call(
            [
                sys.executable,
                ROOT / 'tools' / 'train.py',
                ROOT / 'configs' / METHODS[name],
                '--work-dir',
                work_dir,
                '--resume',
                'auto',
            ],
            stdout=log,
        )
    if code:
        raise UserError(
            f'{name}: training ended with exit code {code}; its '
            f'log is {work_dir / "train.log"}.'
        )


def main() -> None:
    """Runs the demo."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--work-dir', type=Path, default=Path('work_dirs/demo')
    )
    args = parser.parse_args()
    runs = {
        name: args.work_dir / name.replace(' ', '_').lower()
        for name in METHODS
    }
    for name, work_dir in runs.items():
        train(name, work_dir)
    Console(width=100).print(comparison_table(runs))
    picture = plot_curves(runs, args.work_dir / 'curves.png')
    print(f'curves: {picture}')
    print(f'the model to ship: {runs["CustomKD"] / "student.pth"}')


if __name__ == '__main__':
    run_cli(main)
