"""Classifies images on a device: onnxruntime, numpy and Pillow, no more.

    python classify.py FOLDER|FILE.onnx IMAGE...

FOLDER is what `tools/export_student.py RUN --onnx --fold --int8` writes. Its
folded file takes the pixels of an image of any size; resizing, normalising
and probabilities are in the file itself.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

#: The smaller one first. Both take pixels.
FILES = ('student_int8_uint8.onnx', 'student_uint8.onnx')


class Mistake(Exception):
    """The user's input is wrong."""


class Student:
    """A folded ONNX file, and the names of its classes.

    Args:
        where (Path): The file, or the folder that it lies in.
        threads (int): Of a run. Defaults to 1.
    """

    def __init__(self, where, threads=1):
        file = where
        if where.is_dir():
            found = [where / name for name in FILES if (where / name).exists()]
            if not found:
                raise Mistake(f'{where}: expected {" or ".join(FILES)}')
            file = found[0]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(
            str(file), options, providers=['CPUExecutionProvider']
        )
        self.input = self.session.get_inputs()[0]
        if self.input.type != 'tensor(uint8)':
            raise Mistake(
                f'{file}: expected a file that takes pixels, as --fold '
                f'writes it, got one that takes {self.input.type}'
            )
        metadata = file.parent / 'metadata.json'
        try:
            text = metadata.read_text(encoding='utf-8')
            self.classes = json.loads(text)['classes']
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise Mistake(
                f'{metadata}: expected the names of the classes, got {error!r}'
            ) from error

    def __call__(self, pixels):
        """Returns the probability of each class for an image's pixels."""
        feed = {self.input.name: pixels[None]}
        (scores,) = self.session.run(['probabilities'], feed)
        if scores.shape[1] != len(self.classes):
            raise Mistake(
                f'metadata.json: expected {scores.shape[1]} classes, as the '
                f'student answers, got {len(self.classes)}'
            )
        return dict(zip(self.classes, scores[0].tolist()))


def read_pixels(path):
    """Returns an image file as (H, W, 3) uint8, RGB, upright."""
    with Image.open(path) as image:
        # Cameras note how they were held.
        return np.asarray(ImageOps.exif_transpose(image).convert('RGB'))


def main():
    """Prints the most probable classes of each image."""
    parser = argparse.ArgumentParser(
        description='Classifies images with an exported student.'
    )
    parser.add_argument('student', type=Path, help='folder, or *.onnx in one')
    parser.add_argument('images', type=Path, nargs='+', metavar='IMAGE')
    parser.add_argument('--top', type=int, default=3, help='default: 3')
    parser.add_argument('--threads', type=int, default=1, help='default: 1')
    args = parser.parse_args()
    student = Student(args.student, args.threads)
    broken = 0
    for path in args.images:
        start = time.perf_counter()
        try:
            pixels = read_pixels(path)
        # Decoders raise nearly any exception on damaged input.
        except Exception as error:
            print(f'{path}: {error}', file=sys.stderr)
            broken += 1
            continue
        scores = student(pixels)
        spent = 1000 * (time.perf_counter() - start)
        best = sorted(scores, key=scores.get, reverse=True)[: args.top]
        said = ', '.join(f'{name} {scores[name]:.1%}' for name in best)
        print(f'{path}: {said} ({spent:.1f} ms)')
    return 2 if broken else 0


if __name__ == '__main__':
    try:
        sys.exit(main())
    except Mistake as error:
        print(f'error: {error}', file=sys.stderr)
        sys.exit(2)
