"""Trains a labelled-only and a distilled student on solar cells, compares."""

import argparse
import subprocess
import sys
from pathlib import Path

import _interrupt  # noqa: F401
from rich.console import Console

from mmkd_custom.analysis.curves import draw_curves
from mmkd_custom.analysis.runs import read_runs
from mmkd_custom.analysis.style import drawing, save
from mmkd_custom.engine.config import load_config
from mmkd_custom.engine.identity import identity
from mmkd_custom.errors import EXIT_USER_ERROR, UserError, run_cli
from mmkd_custom.evaluation.report import comparison_table
from mmkd_custom.evaluation.results import read_results
from mmkd_custom.utils.files import load_checkpoint
from mmkd_custom.utils.runs import differing, latest_checkpoint, run_of

ROOT = Path(__file__).resolve().parents[1]
RUNS = {
    'labelled only': 'labelled_only/labelled_only_mbv3_elpv.py',
    'CustomKD': 'customkd_mbv3_elpv.py',
}


def is_finished(name: str, work_dir: Path) -> bool:
    """Whether a folder holds the run that would be trained now.

    Args:
        name (str): The method.
        work_dir (Path): Its folder.

    Returns:
        bool: False when no run has finished there.

    Raises:
        UserError: If the run there, finished or interrupted, is another.
    """
    results = read_results(work_dir)
    newest = None if results else latest_checkpoint(work_dir)
    run = results or (run_of(load_checkpoint(newest)) if newest else {})
    if not run:
        return False
    config = load_config(ROOT / 'configs' / RUNS[name])
    other = differing(
        run,
        identity(config, seed=config.randomness.seed, task=config.task),
        length=results is not None,
    )
    if other is not None:
        raise UserError(
            f'{work_dir}: holds another run: {other}; choose another '
            '--work-dir or delete this folder.'
        )
    return results is not None


def train(name: str, work_dir: Path) -> int:
    """Trains one method; returns the exit code of the training."""
    log_file = work_dir / 'train.log'
    print(f'{name}: training, log in {log_file}', flush=True)
    work_dir.mkdir(parents=True, exist_ok=True)
    with open(log_file, 'a') as log:
        code = subprocess.call(
            [
                sys.executable,
                ROOT / 'tools' / 'train.py',
                ROOT / 'configs' / RUNS[name],
                '--work-dir',
                work_dir,
                '--resume',
                'auto',
            ],
            stdout=log,
        )
    # Killed by a signal: the code that a shell gives.
    code = code if code >= 0 else 128 - code
    # A mistake of the user's was said by the training itself.
    if code not in (0, EXIT_USER_ERROR):
        print(
            f'{name}: training ended with exit code {code}, log in {log_file}',
            file=sys.stderr,
        )
    return code


def main() -> int:
    """Runs the demo.

    Returns:
        int: The exit code: that of a training that failed, else 0.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--work-dir', type=Path, default=Path('work_dirs/demo')
    )
    args = parser.parse_args()
    runs = {
        name: args.work_dir / name.replace(' ', '_').lower() for name in RUNS
    }
    # All are looked at before the first is trained.
    finished = {name: is_finished(name, runs[name]) for name in runs}
    for name, work_dir in runs.items():
        if finished[name]:
            print(f'{name}: reusing {work_dir}', flush=True)
            continue
        code = train(name, work_dir)
        if code:
            return code
    Console(width=100).print(comparison_table(runs))
    with drawing() as pyplot:
        curves = draw_curves(pyplot, read_runs([*runs.values()], [*runs]))
        picture = save(curves, args.work_dir, 'curves')
    print(f'curves: {picture}')
    print(f'the model to ship: {runs["CustomKD"] / "student.pth"}')
    return 0


if __name__ == '__main__':
    run_cli(main)
