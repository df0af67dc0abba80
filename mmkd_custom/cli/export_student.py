"""Exports the student of a run: plain MMPretrain, ONNX, int8 and others."""

import argparse

from .shared.options import parse

#: As in ``mmkd_custom/export/runtimes``, which tests compare.
RUNTIMES = {
    '--executorch': 'ExecuTorch (.pte)',
    '--litert': 'LiteRT (.tflite)',
    '--openvino': 'OpenVINO (.xml, .bin)',
    '--ncnn': 'ncnn (.param, .bin)',
}


def parse_args() -> argparse.Namespace:
    """Parses the arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('work_dir', help='work directory of a finished run')
    parser.add_argument('--out', help='folder; default: WORK_DIR/export')
    parser.add_argument(
        '--checkpoint', help="default: the finished run's student.pth"
    )
    parser.add_argument('--onnx', action='store_true', help='student.onnx')
    parser.add_argument(
        '--fold',
        action='store_true',
        help='ONNX files that take uint8 RGB images of any size',
    )
    parser.add_argument(
        '--int8',
        action='store_true',
        help='student_int8.onnx, quantised statically',
    )
    parser.add_argument(
        '--calibrate',
        metavar='FOLDER',
        help="images that int8 ranges come from; default: the run's "
        'unlabelled ones',
    )
    for option, what in RUNTIMES.items():
        parser.add_argument(option, action='store_true', help=what)
    parser.add_argument(
        '--input-size',
        type=int,
        nargs='+',
        metavar='PIXELS',
        help='side, or height and width, of the images; default: as tested',
    )
    return parse(parser)


def main() -> None:
    """Exports."""
    args = parse_args()
    from ..export import Wanted, export_folder
    from ..export.onnx import height_width
    from ..export.report import report
    from ..utils.files import check_output

    if args.out is not None:
        check_output('--out', f'{args.out}/student.pth', folder_made=True)
    runtimes = [option[2:] for option in RUNTIMES]
    wanted = Wanted(
        onnx=args.onnx,
        fold=args.fold,
        int8=args.int8,
        calibrate=args.calibrate,
        runtimes=tuple(name for name in runtimes if getattr(args, name)),
        input_size=args.input_size and height_width(args.input_size),
    )
    facts = export_folder(args.work_dir, args.out, args.checkpoint, wanted)
    print(report(facts))
