"""Exports the student of a run, to ONNX too."""

import argparse

from ..errors import UserError
from .shared.options import parse


def parse_args() -> argparse.Namespace:
    """Parses the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('work_dir', help='work directory of the run')
    parser.add_argument(
        '--checkpoint', help='default: the newest complete one of the run'
    )
    parser.add_argument('--out', help='default: WORK_DIR/student.pth')
    parser.add_argument('--onnx', help='write an ONNX file too')
    parser.add_argument(
        '--input-size',
        type=int,
        nargs='+',
        metavar='PIXELS',
        help='side, or height and width, of the ONNX images; default: as '
        'tested',
    )
    return parse(parser)


def main() -> None:
    """Exports."""
    args = parse_args()
    from ..export import export_onnx, input_shape, load_student
    from ..export.onnx import height_width, onnx_runtime
    from ..utils.files import check_output

    for option in ('out', 'onnx'):
        if getattr(args, option) is not None:
            check_output(f'--{option}', getattr(args, option))
    if args.input_size is not None:
        height_width(args.input_size)
    if args.onnx is not None:
        # Before anything is written.
        onnx_runtime()
    student = load_student(args.work_dir, args.checkpoint)
    if args.onnx is not None:
        shape = input_shape(student.config)
        size = args.input_size or (shape and shape[1:])
        if size is None:
            raise UserError(
                "--input-size: expected it, because the run's test pipeline "
                'does not tell the size of its images.'
            )
    print(f'Wrote {student.save(args.out)}')
    if args.onnx is None:
        return
    file = export_onnx(
        student.model,
        args.onnx,
        size,
        channels=shape[0] if shape else 3,
    )
    print(
        f'Wrote {args.onnx} (differs by {file.difference:.1e} from the '
        f'student; {" x ".join(map(str, size))} pixels)'
    )
    if file.batch is not None:
        print(
            f'It takes batches of {file.batch} only: exported for any batch '
            'size, this network gives other logits.'
        )
