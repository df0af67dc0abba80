"""Trains a labelled-only and a distilled student on solar cells, compares."""

import argparse
import os
import re
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import _interrupt  # noqa: F401

ROOT = Path(__file__).resolve().parents[1]
ALONE, TAUGHT = 'labelled only', 'distilled'
RUNS = {
    ALONE: 'labelled_only/labelled_only_mbv3_elpv.py',
    TAUGHT: 'customkd_mbv3_elpv_cached.py',
}
#: Both train at once; the one with a teacher takes longer and gets what cores
#: there are left to load its images.
CORES = os.cpu_count() or 1
OPTIONS = {
    ALONE: {
        'train_cfg.max_epochs': 10,
        'train_cfg.val_interval': 5,
        'default_hooks.checkpoint.interval': 4,
        'train_dataloader.num_workers': 0,
        'val_dataloader.num_workers': 0,
    },
    # Every second epoch trains the student.
    TAUGHT: {
        'train_cfg.max_epochs': 20,
        'train_cfg.val_interval': 10,
        'default_hooks.checkpoint.interval': 4,
        'train_dataloader.num_workers': 1 if CORES < 4 else 2,
        'val_dataloader.num_workers': 1,
    },
}
#: What a line of a training's log says of how far it is.
TRAINED = re.compile(
    r'Epoch\(train\)\s+\[(\d+)\]\[\s*(\d+)/(\d+)\].*? loss: (\S+)'
)
ASKED = re.compile(r'^(\w[\w ]*: \d+/\d+ images.*)')


def is_finished(name, work_dir):
    """Whether a folder holds the run that would be trained now.

    Args:
        name (str): The method.
        work_dir (Path): Its folder.

    Returns:
        tuple[bool, int]: False when no run has finished there; the epochs.

    Raises:
        UserError: If the run there, finished or interrupted, is another.
    """
    from mmkd_custom.engine.config import load_config
    from mmkd_custom.engine.identity import identity
    from mmkd_custom.errors import UserError
    from mmkd_custom.evaluation.results import read_results
    from mmkd_custom.utils.files import load_checkpoint
    from mmkd_custom.utils.runs import differing, latest_checkpoint, run_of

    config = load_config(ROOT / 'configs' / RUNS[name], OPTIONS[name])
    epochs = config.train_cfg.max_epochs
    results = read_results(work_dir)
    newest = None if results else latest_checkpoint(work_dir)
    run = results or (run_of(load_checkpoint(newest)) if newest else {})
    if not run:
        return False, epochs
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
    return results is not None, epochs


class Training:
    """A training in a process of its own.

    Args:
        name (str): The method.
        work_dir (Path): Its folder.
        epochs (int): How many it has.
    """

    def __init__(self, name, work_dir, epochs):
        self.name, self.epochs = name, epochs
        self.log = work_dir / 'train.log'
        work_dir.mkdir(parents=True, exist_ok=True)
        threads = str(max(1, CORES // 2))
        with open(self.log, 'ab') as log:
            # What earlier attempts wrote is none of this one's.
            self.start = log.tell()
            self.process = subprocess.Popen(
                [
                    *(sys.executable, ROOT / 'tools' / 'train.py'),
                    ROOT / 'configs' / RUNS[name],
                    *('--work-dir', work_dir, '--resume', 'auto'),
                    '--cfg-options',
                    *(f'{k}={v}' for k, v in OPTIONS[name].items()),
                ],
                stdout=log,
                stderr=subprocess.STDOUT,
                env={'OMP_NUM_THREADS': threads, **os.environ},
            )

    def lines(self, size=1 << 20):
        """Returns the last lines that it wrote, the newest first."""
        with open(self.log, 'rb') as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(self.start, end - size))
            return log.read().decode(errors='replace').splitlines()[::-1]

    def look(self):
        """Returns iterations done, of how many, and a note."""
        for line in self.lines(8192):
            found = TRAINED.search(line)
            if found:
                epoch, done, length = map(int, found.groups()[:3])
                note = f'epoch {epoch}, loss {found[4]}'
                total = self.epochs * length
                return (epoch - 1) * length + done, total, note
            found = ASKED.search(line)
            if found:
                return 0, None, found[1]
        return 0, None, ''

    def failure(self):
        """Returns the exit code, if it is not 0, after saying why."""
        code = self.process.returncode
        # Killed by a signal: the code that a shell gives.
        code = code if code >= 0 else 128 - code
        said = [line for line in self.lines() if line.startswith('error: ')]
        if code == 2 and said:
            print(said[0], file=sys.stderr)
        elif code:
            print(
                f'{self.name}: training ended with exit code {code}, log in '
                f'{self.log}',
                file=sys.stderr,
            )
        return code


def train(wanted):
    """Trains what is wanted at once, and shows how far it is.

    Args:
        wanted (dict[str, tuple[Path, int]]): Method to folder and epochs.

    Returns:
        int: The first exit code that is not 0.
    """
    from mmkd_custom.utils.progress import progress

    trainings = [Training(n, *what) for n, what in wanted.items()]
    failed = None
    try:
        with ExitStack() as stack:
            bars = {
                one: stack.enter_context(progress(one.name))
                for one in trainings
            }
            running = list(trainings)
            while running and failed is None:
                time.sleep(0.3)
                for one in list(running):
                    _show(one, bars[one])
                    if one.process.poll() is not None:
                        running.remove(one)
                        if one.process.returncode:
                            failed = one
        return 0 if failed is None else failed.failure()
    finally:
        # Whatever ended it, an interruption too.
        for one in trainings:
            if one.process.poll() is None:
                one.process.terminate()
            one.process.wait()


def _show(one, bar):
    bar.done, bar.total, bar.note = one.look()
    bar.refresh()


def main():
    """Runs the demo.

    Returns:
        int: The exit code: that of a training that failed, else 0.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        '--work-dir', type=Path, default=Path('work_dirs/demo')
    )
    folder = parser.parse_args().work_dir
    runs = {name: folder / name.replace(' ', '_') for name in RUNS}
    wanted = {}
    # All are looked at before the first is trained.
    for name, work_dir in runs.items():
        finished, epochs = is_finished(name, work_dir)
        print(
            f'{name}: reusing {work_dir}'
            if finished
            else f'{name}: training, log in {work_dir / "train.log"}',
            flush=True,
        )
        if not finished:
            wanted[name] = work_dir, epochs
    code = train(wanted)
    if code:
        return code

    from mmengine.logging import MMLogger
    from rich.console import Console

    from mmkd_custom.analysis.story import tell_story
    from mmkd_custom.evaluation.report import comparison_table

    # What it says of teacher and images is in the logs of the runs.
    MMLogger.get_current_instance().setLevel('WARNING')
    picture = tell_story(runs, folder, 'demo')
    Console().print(comparison_table(runs))
    print(
        f"""\
The picture: {picture} (images: elpv-dataset, CC BY-NC-SA 4.0)
The model to ship: {runs[TAUGHT] / 'student.pth'}

Next:
  your images   python tools/distill.py --labelled DIR --unlabelled DIR
  your config   add distill = dict(teacher='timm/…', unlabelled='DIR') to it,
                python tools/train.py CONFIG (docs/one_key.md)
  to a device   python tools/export_student.py {runs[TAUGHT]} --onnx"""
    )
    return 0


def quietly():
    """Runs the demo without what is known of other packages' warnings."""
    from mmkd_custom.cli.shared.quiet import quiet

    with quiet():
        return main()


if __name__ == '__main__':
    from mmkd_custom.errors import run_cli

    run_cli(quietly)
