"""Makes the pictures of ``docs/images``.

``python -m tests.pictures console OUT.svg CONFIG [OPTION=VALUE...]`` draws
the console of a training: it runs on a pseudo-terminal, is interrupted after
some evaluations, and what stands there then becomes the picture.
``python -m tests.pictures small IN.png OUT.png`` makes a picture, such as the
demo's, as small as a repository likes it.
"""

import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.text import Text

from tests.cli import command, environment
from tests.terminal import plain, screen

COLUMNS, LINES = 100, 14
#: Pixels; a README is about 830 wide.
WIDTH = 996
#: Where a picture may stop: within an epoch after two evaluations.
ENOUGH = re.compile(
    r'Epoch\(val\).*Epoch\(val\).*6/28 .*loss .*6/28', re.DOTALL
)


def written(arguments):
    """Runs a training on a terminal; returns what it has written."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        command('train.py', *arguments),
        env=environment(COLUMNS=str(COLUMNS), TERM='xterm-256color'),
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    text = ''
    try:
        while not ENOUGH.search(plain(text)):
            text += os.read(master, 1 << 16).decode(errors='replace')
    except OSError:
        # It has ended before.
        pass
    os.killpg(process.pid, signal.SIGINT)
    process.wait()
    return text


def console(out, config, *options):
    """Writes the picture of a console."""
    name = Path(config).name
    work_dir = Path('work_dirs', 'console_picture')
    arguments = [config, '--work-dir', work_dir, '--overwrite']
    text = written(
        [*arguments, *(['--cfg-options'] if options else []), *options]
    )
    # The frame that stood there before it was taken away for a line.
    frame = text.rpartition('\r\x1b[2K')[0]
    drawn = Console(width=COLUMNS, record=True, file=open(os.devnull, 'w'))
    for line in screen(frame)[-LINES:]:
        drawn.print(Text.from_ansi(line), soft_wrap=False)
    drawn.save_svg(out, title=f'python tools/train.py {name}')


def small(picture, out):
    """Writes a picture of fewer pixels and colours."""
    with Image.open(picture) as image:
        size = WIDTH, round(image.height * WIDTH / image.width)
        image = image.convert('RGB').resize(size, Image.Resampling.LANCZOS)
        # Greys would take all colours otherwise.
        method = Image.Quantize.MAXCOVERAGE
        image.quantize(128, method).save(out, optimize=True)


if __name__ == '__main__':
    dict(console=console, small=small)[sys.argv[1]](*sys.argv[2:])
