"""An entry of the store is right or missing, whatever happened."""

import itertools
import multiprocessing
import subprocess
import sys
import time

import pytest
import torch

from mmkd_custom.cache import store as module
from mmkd_custom.cache.files import (
    CHECKSUMS_FILE,
    MANIFEST_FILE,
    entry_bytes,
)
from mmkd_custom.cache.store import FeatureStore
from mmkd_custom.errors import UserError

SHAPES = dict(feature=(8,), logits=(3,))
MANIFEST = dict(teacher_sha256='a' * 64, seed=0)


def make(folder, dtype='float32', samples=5, views=2, **changes):
    return FeatureStore(
        folder, {**MANIFEST, **changes}, samples, views, SHAPES, dtype
    )


def values(samples, views):
    """What entry (sample, view) holds."""
    base = (samples * 10 + views).float()[:, None]
    return dict(
        feature=base + torch.arange(8) / 16, logits=-base + torch.arange(3)
    )


def keys(*pairs):
    return torch.tensor(pairs).unbind(1)


def every(samples=5):
    return keys(*itertools.product(range(samples), range(2)))


@pytest.mark.parametrize('dtype', ['float16', 'float32'])
def test_what_is_written_is_read(folder, dtype):
    store = make(folder, dtype)
    assert store.created and store.count_missing() == 10
    some = keys((3, 1), (0, 0))
    # As the tokens of a convolutional network are laid out.
    turned = {n: v.t().contiguous().t() for n, v in values(*some).items()}
    assert not turned['feature'].is_contiguous()
    stored = store.write(*some, turned)
    # Another process, or a later run.
    other = make(folder, dtype)
    assert not other.created
    wanted = keys((0, 0), (1, 0), (3, 1), (3, 0))
    outputs, right = other.read(*wanted)
    assert right.tolist() == [True, False, True, False]
    assert other.present(*wanted).tolist() == right.tolist()
    for name, expected in values(*wanted).items():
        assert outputs[name].dtype == torch.float32
        assert torch.equal(outputs[name][right], expected[right])
        assert torch.equal(stored[name], values(*some)[name])
    missing = set(map(tuple, other.missing().tolist()))
    assert len(missing) == other.count_missing() == 8
    assert missing.isdisjoint([(3, 1), (0, 0)])
    size = sum(
        path.stat().st_size
        for path in folder.iterdir()
        if path.name != MANIFEST_FILE
    )
    assert size == store.nbytes == 10 * entry_bytes(SHAPES, dtype)


def test_half_precision_rounds_to_the_nearest(folder):
    store = make(folder, 'float16')
    some = keys((2, 1))
    exact = {n: torch.randn(1, *shape) for n, shape in SHAPES.items()}
    store.write(*some, exact)
    for logits, word in ((1e5, 'cache_dtype'), (float('nan'), 'dtype')):
        with pytest.raises(UserError, match=f'logits.*{word}'):
            store.write(*some, dict(exact, logits=torch.full((1, 3), logits)))
    wrong = dict(exact, feature=torch.zeros(1, 9))
    with pytest.raises(UserError, match=r'feature.*\(8,\).*\(9,\)'):
        store.write(*some, wrong)
    # What was refused changed nothing.
    outputs, right = store.read(*some)
    assert right.all()
    for name, value in exact.items():
        assert torch.equal(outputs[name], value.half().float())


@pytest.mark.parametrize('dtype', ['float16', 'float32'])
def test_subnormal_largest_and_signed_zero(folder, dtype):
    store = make(folder, dtype)
    some = keys((2, 1))
    numbers = torch.tensor(
        [[2.0**-24, -(2.0**-20), 65504.0, -65504.0, -0.0, 0.0, 1.0, 2**-14]]
    )
    written = dict(feature=numbers, logits=torch.zeros(1, 3))
    stored = store.write(*some, written)
    outputs, right = store.read(*some)
    assert right.all()
    for found in (stored, outputs):
        assert found['feature'].numpy().tobytes() == numbers.numpy().tobytes()


@pytest.mark.parametrize('name', ['feature.f32', 'logits.f32'])
def test_damaged_bytes_are_missing(folder, name):
    store = make(folder)
    store.write(*every(), values(*every()))
    store.flush()
    content = bytearray((folder / name).read_bytes())
    # A byte of the entry (sample 2, view 1), the sixth of ten.
    content[len(content) // 10 * 5 + 3] ^= 1
    (folder / name).write_bytes(content)
    _, right = make(folder).read(*every())
    assert right.tolist() == [i != 5 for i in range(10)]


def test_two_writers_whose_bits_differ(folder):
    store = make(folder)
    some = keys((2, 1))
    states = []
    for bit in (0.0, 2.0**-18):
        # As another batch size makes them differ.
        store.write(*some, {n: v + bit for n, v in values(*some).items()})
        states.append(
            {n: a[2, 1].copy() for n, a in store._arrays.items()}
            | dict(checksum=store._checksums[2, 1].copy())
        )
    for name in states[0]:
        assert states[0][name].tobytes() != states[1][name].tobytes()
    # Whose bytes are there when both are done, or one was killed.
    for feature, logits, checksum in itertools.product(states, repeat=3):
        store._arrays['feature'][2, 1] = feature['feature']
        store._arrays['logits'][2, 1] = logits['logits']
        store._checksums[2, 1] = checksum['checksum']
        assert store.present(*some).all()
        outputs, right = store.read(*some)
        assert right.all() == (feature is logits is checksum)
        # It heals: whoever finds it missing writes it again.
        stored = store.write(*some, values(*some))
        outputs, right = store.read(*some)
        assert right.all()
        assert all(torch.equal(outputs[n], stored[n]) for n in stored)
    # Torn within one output.
    store._arrays['feature'][2, 1, 4:] = states[1]['feature'][4:]
    assert not store.read(*some)[1].any()


STEPS = [dict(type='Crop', scale=96), dict(type='Flip')]


@pytest.mark.parametrize(
    'change, words',
    [
        (dict(teacher_sha256='b' * 64), ['teacher_sha256', 'aaa', 'bbb']),
        (dict(seed=3), ['seed=3', '0']),
        (dict(seed=False), ['seed=False', '0']),
        (dict(grid=[1, 1]), ['grid.0=1', 'nothing']),
        (dict(dtype='float16'), ['dtype', 'float32', 'float16']),
        (dict(samples=6), ['samples=6', '5']),
        (dict(views=1), ['views=1', '2']),
        (dict(steps=[dict(STEPS[0], scale=128)]), ['steps.0.scale=128', '96']),
        (dict(steps=STEPS[:1]), ['steps.1.type=nothing', 'Flip']),
    ],
)
def test_another_manifest_is_refused(folder, change, words):
    make(folder, steps=STEPS, made_with=dict(torch='1'))
    # Who made it does not matter.
    assert not make(folder, steps=STEPS, made_with=dict(torch='2')).created
    with pytest.raises(UserError) as error:
        make(folder, **{'steps': STEPS, **change})
    assert all(word in str(error.value) for word in words)


def test_a_store_of_an_older_format_is_refused(folder, monkeypatch):
    make(folder)
    monkeypatch.setattr(module, 'FORMAT', module.FORMAT + 1)
    with pytest.raises(UserError, match='format'):
        make(folder)


def _write_for_ever(folder, ready):
    store = make(folder, samples=400)
    ready.set()
    while True:
        for start in range(0, 400, 16):
            some = keys(*itertools.product(range(start, start + 16), range(2)))
            store.write(*some, values(*some))
        store._checksums[:] = 0


def test_killed_at_any_instant(folder):
    context = multiprocessing.get_context('fork')
    expected = values(*every(400))
    seen = set()
    for attempt in range(6):
        ready = context.Event()
        writer = context.Process(
            target=_write_for_ever, args=(folder, ready), daemon=True
        )
        writer.start()
        assert ready.wait(600)
        time.sleep(0.02 * attempt)
        writer.kill()
        writer.join()
        outputs, right = make(folder, samples=400).read(*every(400))
        seen.add(int(right.sum()))
        for name, value in expected.items():
            assert torch.equal(outputs[name][right], value[right])
    assert max(seen) > 0


def _make_at_once(folder, barrier, results):
    barrier.wait(600)
    results.put(make(folder).created)


@pytest.mark.slow
def test_processes_that_make_it_at_once_share_one(folder):
    context = multiprocessing.get_context('fork')
    barrier, results = context.Barrier(4), context.Queue()
    arguments = (folder, barrier, results)
    workers = [
        context.Process(target=_make_at_once, args=arguments, daemon=True)
        for _ in range(4)
    ]
    for worker in workers:
        worker.start()
    created = [results.get(timeout=600) for _ in workers]
    for worker in workers:
        worker.join()
    assert created.count(True) == 1
    assert list(folder.parent.iterdir()) == [folder]


_OPENER = """
import sys, time, numpy as np, torch
from mmkd_custom.cache.store import FeatureStore

def resident():
    for line in open('/proc/self/status'):
        if line.startswith('VmRSS'):
            return int(line.split()[1]) / 1e3

before = resident()
start = time.process_time()
store = FeatureStore(sys.argv[1], {}, 1_000_000, 1, {'feature': (1024,)})
seconds = time.process_time() - start
opened = resident()
some = torch.randint(1_000_000, (64,))
values, right = store.read(some, torch.zeros_like(some))
assert values['feature'].shape == (64, 1024) and not right.any()
print(seconds, opened - before, resident() - before)
"""


def test_opening_a_million_takes_neither_time_nor_memory(folder):
    FeatureStore(folder, {}, 1_000_000, 1, {'feature': (1024,)})
    out = subprocess.run(
        [sys.executable, '-c', _OPENER, folder],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    seconds, opened, read = map(float, out.split())
    assert seconds < 1
    # Megabytes.
    assert opened < 20 and read < 40
    assert (folder / CHECKSUMS_FILE).stat().st_size == 4_000_000
