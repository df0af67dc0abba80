"""The official layouts of the protocols' data, with a few images each."""

from __future__ import annotations

import io
import pickle
import tarfile
from pathlib import Path
from typing import Callable, Dict, List, Sequence

import numpy as np
from mmpretrain.datasets.categories import CIFAR100_CATEGORIES
from PIL import Image
from timm.data import ImageNetInfo

OFFICEHOME = (
    'Alarm_Clock Backpack Batteries Bed Bike Bottle Bucket Calculator '
    'Calendar Candles Chair Clipboards Computer Couch Curtains Desk_Lamp '
    'Drill Eraser Exit_Sign Fan File_Cabinet Flipflops Flowers Folder Fork '
    'Glasses Hammer Helmet Kettle Keyboard Knives Lamp_Shade Laptop Marker '
    'Monitor Mop Mouse Mug Notebook Oven Pan Paper_Clip Pen Pencil '
    'Postit_Notes Printer Push_Pin Radio Refrigerator Ruler Scissors '
    'Screwdriver Shelf Sink Sneakers Soda Speaker Spoon TV Table Telephone '
    'ToothBrush Toys Trash_Can Webcam'
).split()

DOMAINNET = (
    'aircraft_carrier airplane alarm_clock ambulance angel animal_migration '
    'ant anvil apple arm asparagus axe backpack banana bandage barn baseball '
    'baseball_bat basket basketball bat bathtub beach bear beard bed bee belt '
    'bench bicycle binoculars bird birthday_cake blackberry blueberry book '
    'boomerang bottlecap bowtie bracelet brain bread bridge broccoli broom '
    'bucket bulldozer bus bush butterfly cactus cake calculator calendar '
    'camel camera camouflage campfire candle cannon canoe car carrot castle '
    'cat ceiling_fan cello cell_phone chair chandelier church circle clarinet '
    'clock cloud coffee_cup compass computer cookie cooler couch cow crab '
    'crayon crocodile crown cruise_ship cup diamond dishwasher diving_board '
    'dog dolphin donut door dragon dresser drill drums duck dumbbell ear '
    'elbow elephant envelope eraser eye eyeglasses face fan feather fence '
    'finger fire_hydrant fireplace firetruck fish flamingo flashlight '
    'flip_flops floor_lamp flower flying_saucer foot fork frog frying_pan '
    'garden garden_hose giraffe goatee golf_club grapes grass guitar '
    'hamburger hammer hand harp hat headphones hedgehog helicopter helmet '
    'hexagon hockey_puck hockey_stick horse hospital hot_air_balloon hot_dog '
    'hot_tub hourglass house house_plant hurricane ice_cream jacket jail '
    'kangaroo key keyboard knee knife ladder lantern laptop leaf leg '
    'light_bulb lighter lighthouse lightning line lion lipstick lobster '
    'lollipop mailbox map marker matches megaphone mermaid microphone '
    'microwave monkey moon mosquito motorbike mountain mouse moustache mouth '
    'mug mushroom nail necklace nose ocean octagon octopus onion oven owl '
    'paintbrush paint_can palm_tree panda pants paper_clip parachute parrot '
    'passport peanut pear peas pencil penguin piano pickup_truck '
    'picture_frame pig pillow pineapple pizza pliers police_car pond pool '
    'popsicle postcard potato power_outlet purse rabbit raccoon radio rain '
    'rainbow rake remote_control rhinoceros rifle river roller_coaster '
    'rollerskates sailboat sandwich saw saxophone school_bus scissors '
    'scorpion screwdriver sea_turtle see_saw shark sheep shoe shorts shovel '
    'sink skateboard skull skyscraper sleeping_bag smiley_face snail snake '
    'snorkel snowflake snowman soccer_ball sock speedboat spider spoon '
    'spreadsheet square squiggle squirrel stairs star steak stereo '
    'stethoscope stitches stop_sign stove strawberry streetlight string_bean '
    'submarine suitcase sun swan sweater swing_set sword syringe table teapot '
    'teddy-bear telephone television tennis_racquet tent The_Eiffel_Tower '
    'The_Great_Wall_of_China The_Mona_Lisa tiger toaster toe toilet tooth '
    'toothbrush toothpaste tornado tractor traffic_light train tree triangle '
    'trombone truck trumpet t-shirt umbrella underwear van vase violin '
    'washing_machine watermelon waterslide whale wheel windmill wine_bottle '
    'wine_glass wristwatch yoga zebra zigzag'
).split()

WNIDS = sorted(ImageNetInfo('imagenet-1k').label_names())


def write_image(path: Path, number: int, size: int = 40) -> None:
    """Writes a small image of its own colour, a PNG or a JPEG by its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    colour = tuple(number * step % 256 for step in (37, 101, 59))
    Image.new('RGB', (size, size - 4), colour).save(path)


def officehome(root: Path) -> Path:
    """Art and ``Real World``, two images of each of the 65 classes."""
    number = 0
    for domain in ('Art', 'Real World'):
        for name in OFFICEHOME:
            for index in range(1, 3):
                number += 1
                write_image(root / domain / name / f'{index:05d}.jpg', number)
    return root


def domainnet(root: Path) -> Path:
    """Real and clipart with their lists, an image a list and class."""
    number = 0
    for domain in ('real', 'clipart'):
        lines: Dict[str, List[str]] = dict(train=[], test=[])
        for label, name in enumerate(DOMAINNET):
            for split in lines:
                number += 1
                file = f'{domain}_{label + 1:03d}_{number:06d}.jpg'
                path = f'{domain}/{name}/{file}'
                write_image(root / path, number)
                lines[split].append(f'{path} {label}')
        (root / 'image_list').mkdir(exist_ok=True)
        for split, rows in lines.items():
            path = root / 'image_list' / f'{domain}_{split}.txt'
            path.write_text('\n'.join(rows) + '\n')
    return root


def cifar100(root: Path, per_class: int = 6) -> Path:
    """``cifar-100-python.tar.gz`` with fewer images than the real one."""

    def batch(count: int, seed: int) -> dict:
        rng = np.random.RandomState(seed)
        labels = [i % 100 for i in range(count)]
        return {
            'filenames': ['%06d.png' % i for i in range(count)],
            'batch_label': 'batch',
            'fine_labels': labels,
            'coarse_labels': [label // 5 for label in labels],
            'data': rng.randint(0, 256, (count, 3072)).astype(np.uint8),
        }

    meta = dict(
        fine_label_names=list(CIFAR100_CATEGORIES),
        coarse_label_names=[f'coarse {i}' for i in range(20)],
    )
    files = dict(
        train=batch(100 * per_class, 0), test=batch(100, 1), meta=meta
    )
    root.mkdir(parents=True, exist_ok=True)
    with tarfile.open(root / 'cifar-100-python.tar.gz', 'w:gz') as archive:
        for name, content in files.items():
            data = pickle.dumps(content, protocol=2)
            info = tarfile.TarInfo(f'cifar-100-python/{name}')
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return root


def imagenet(root: Path) -> Path:
    """All 1000 classes, two training images and one for validation each.

    With SimCLR's lists: one image of each class in the one, all in the other.
    """
    listed: List[str] = []
    for number, wnid in enumerate(WNIDS):
        for index in range(2):
            name = f'{wnid}_{index + 10}.JPEG'
            write_image(root / 'train' / wnid / name, 2 * number + index)
            listed.append(name)
        name = f'ILSVRC2012_val_{number + 1:08d}.JPEG'
        write_image(root / 'val' / wnid / name, number)
    (root / 'meta').mkdir()
    for name, names in {
        '1percent.txt': listed[::2],
        '10percent.txt': listed,
    }.items():
        (root / 'meta' / name).write_text('\n'.join(names) + '\n')
    return root


def folders(root: Path, classes: Sequence[str] = ('a', 'b')) -> Path:
    """Any two domains in class folders, JPEG and PNG."""
    number = 0
    for domain in ('art', 'photo'):
        for name in classes:
            for kind in ('jpg', 'png', 'jpg'):
                number += 1
                path = root / domain / name / f'{number:03d}.{kind}'
                write_image(path, number)
    return root


LAYOUTS: Dict[str, Callable[[Path], Path]] = dict(
    officehome=officehome,
    domainnet=domainnet,
    cifar100=cifar100,
    imagenet=imagenet,
    domain_folder=folders,
)

#: The two of each that its maker makes: source and target.
DOMAINS = dict(
    officehome=('Art', 'Real_World'),
    domainnet=('real', 'clipart'),
    domain_folder=('art', 'photo'),
)
