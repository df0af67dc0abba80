"""Mixes pairs of images into new ones, for distillation without labels."""

import argparse

from .shared.options import parse


def parse_args() -> argparse.Namespace:
    """Parses the arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument('folder', help='images in it and below are mixed')
    parser.add_argument('out', help='folder that gets the mixed images')
    parser.add_argument(
        '--how',
        choices=['mixup', 'cutmix', 'diffusion'],
        default='mixup',
        help='blend, paste a box, or have a local diffusion model draw what '
        'lies between; the first two are stand-ins for the third',
    )
    parser.add_argument(
        '--count', type=int, default=1000, help='images in the end'
    )
    parser.add_argument(
        '--size', type=int, default=192, help='their height and width, pixels'
    )
    parser.add_argument(
        '--alpha',
        type=float,
        default=1.0,
        help='the share of an image is drawn from Beta(alpha, alpha)',
    )
    parser.add_argument('--seed', type=int, default=0, help='of all draws')
    group = parser.add_argument_group('diffusion, nothing is downloaded')
    group.add_argument(
        '--prior',
        help="folder of a diffusers pipeline that interpolates: Kandinsky's "
        'prior',
    )
    group.add_argument('--decoder', help='folder of the one that draws')
    group.add_argument(
        '--steps', type=int, default=25, help='denoising steps of each'
    )
    args = parse(parser)
    if (args.how == 'diffusion') != bool(args.prior and args.decoder):
        parser.error('--how diffusion and --prior with --decoder go together')
    return args


def main() -> None:
    """Mixes, and says where the images are."""
    args = parse_args()
    from ..datasets import mixed_images as mixing

    how = dict(how=args.how)
    if args.how == 'diffusion':
        from mmengine.device import get_device

        mixer = mixing.diffusion_mixer(
            args.prior, args.decoder, args.steps, get_device()
        )
        how.update(prior=args.prior, decoder=args.decoder, steps=args.steps)
    else:
        mixer = dict(mixup=mixing.mixup, cutmix=mixing.cutmix)[args.how]
    written = mixing.mix_images(
        args.folder,
        args.out,
        args.count,
        mixer,
        args.size,
        args.alpha,
        args.seed,
        how,
    )
    print(f'{args.how}: {written} of {args.count} images written, {args.out}')
