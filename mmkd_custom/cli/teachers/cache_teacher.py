"""Fills the cache of a config's teacher."""

import argparse

from ..shared.options import add_cfg_options, add_config, add_launcher, parse


def parse_args() -> argparse.Namespace:
    """Parses the arguments."""
    parser = argparse.ArgumentParser(
        description="Computes the outputs of a config's CachedTeacher for "
        'every view of every training image that its cache does not hold.'
    )
    add_config(parser)
    parser.add_argument(
        '--work-dir',
        help="the run's work directory: the cache is in its teacher_cache/ "
        'unless the config names a cache_dir',
    )
    parser.add_argument(
        '--cache-dir',
        help="in place of the config's model.teacher.cache_dir, or of its "
        'distill.cache',
    )
    parser.add_argument(
        '--batch-size',
        type=int,
        default=64,
        help='images the teacher sees at once (default: 64)',
    )
    parser.add_argument(
        '--verify',
        type=int,
        nargs='?',
        const=256,
        default=0,
        metavar='N',
        help='afterwards compute N entries anew, drawn at random, and '
        'compare (default of N: 256)',
    )
    add_cfg_options(parser)
    add_launcher(parser)
    return parse(parser)


def main() -> None:
    """Fills, verifies if asked, and says what is there."""
    args = parse_args()
    from mmengine.dist import is_main_process

    from ...cache.fill import fill_cache
    from ...engine.config import has_key, load_config, prepare

    options = dict(args.cfg_options or {})
    if args.cache_dir:
        keyed = has_key(args.config, options)
        option = 'distill.cache' if keyed else 'model.teacher.cache_dir'
        options[option] = args.cache_dir
    config = prepare(
        load_config(args.config, options),
        config_path=args.config,
        work_dir=args.work_dir,
        launcher=args.launcher,
        validate=False,
        trains=False,
    )
    reports = fill_cache(config, args.batch_size, args.verify)
    for report in reports if is_main_process() else ():
        _tell(report, bool(args.verify))


def _tell(report: dict, verified: bool) -> None:
    print(
        f'{report["folder"]}: {report["entries"]} entries of '
        f'{report["entry_bytes"]} bytes, {report["bytes"] / 1e6:.1f} MB; '
        f'{report["computed"]} computed in {report["seconds"]:.0f} s'
    )
    if verified:
        print(
            f'{report["verified"]} entries computed anew: largest error '
            f'{report["largest_error"]:.2g} of the largest value of an entry '
            f'({report["tolerance"]:.2g} allowed)'
        )
        if report['damaged']:
            print(
                f'{report["damaged"]} of those drawn are damaged; they are '
                'computed anew when they are wanted'
            )
