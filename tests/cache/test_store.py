"""An entry of the store is right or missing, whatever happened."""

import errno
import itertools
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import numpy as np
import pytest
import torch

from mmkd_custom.cache import store as feature_store
from mmkd_custom.cache.store import FeatureStore
from mmkd_custom.cache.store_files import (
    CHECKSUMS_FILE,
    MANIFEST_FILE,
    entry_bytes,
    holds_entries,
)
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
    pairs = torch.tensor(pairs)
    return pairs[:, 0], pairs[:, 1]


@pytest.mark.parametrize('dtype', ['float16', 'float32'])
def test_what_is_written_is_read(tmp_path, dtype):
    store = make(tmp_path / 'cache', dtype)
    assert store.created
    some = keys((3, 1), (0, 0))
    store.write(*some, values(*some))
    # Another process, or a later run.
    other = make(tmp_path / 'cache', dtype)
    assert not other.created
    wanted = keys((0, 0), (1, 0), (3, 1), (3, 0))
    outputs, right = other.read(*wanted)
    assert right.tolist() == [True, False, True, False]
    assert other.present(*wanted).tolist() == right.tolist()
    for name, expected in values(*wanted).items():
        assert outputs[name].dtype == torch.float32
        assert torch.equal(outputs[name][right], expected[right])
    assert sorted(map(tuple, other.missing().tolist())) == sorted(
        (s, v)
        for s in range(5)
        for v in range(2)
        if (s, v) not in {(3, 1), (0, 0)}
    )


def test_half_precision_rounds_to_the_nearest(tmp_path):
    store = make(tmp_path / 'cache', 'float16')
    some = keys((2, 1))
    exact = {n: torch.randn(1, *shape) for n, shape in SHAPES.items()}
    store.write(*some, exact)
    outputs, _ = store.read(*some)
    for name, value in exact.items():
        assert torch.equal(outputs[name], value.half().float())
    with pytest.raises(UserError, match="in float16; set cache_dtype='float3"):
        store.write(*some, dict(exact, logits=torch.full((1, 3), 1e5)))
    nan = torch.full((1, 3), float('nan'))
    with pytest.raises(UserError, match='logits .* look at the teacher'):
        store.write(*some, dict(exact, logits=nan))
    # What was refused changed nothing.
    outputs, right = store.read(*some)
    assert right.all() and torch.equal(
        outputs['logits'], exact['logits'].half().float()
    )


@pytest.mark.parametrize('dtype', ['float16', 'float32'])
def test_subnormal_largest_and_signed_zero(tmp_path, dtype):
    store = make(tmp_path / 'cache', dtype)
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


@pytest.mark.parametrize('dtype', ['float16', 'float32'])
def test_outputs_that_are_laid_out_otherwise(tmp_path, dtype):
    store = make(tmp_path / 'cache', dtype)
    some = keys((3, 1), (0, 0))
    # As the tokens of a convolutional network come.
    turned = {n: v.t().contiguous().t() for n, v in values(*some).items()}
    assert not turned['feature'].is_contiguous()
    stored = store.write(*some, turned)
    outputs, right = store.read(*some)
    assert right.all()
    for name, expected in values(*some).items():
        assert torch.equal(outputs[name], expected)
        assert torch.equal(stored[name], expected)


@pytest.mark.parametrize('name', ['feature.f32', 'logits.f32'])
def test_damaged_bytes_are_missing(tmp_path, name):
    store = make(tmp_path / 'cache')
    every = keys(*((s, v) for s in range(5) for v in range(2)))
    store.write(*every, values(*every))
    store.flush()
    path = tmp_path / 'cache' / name
    content = bytearray(path.read_bytes())
    # A byte of the entry (sample 2, view 1), the sixth of ten.
    content[len(content) // 10 * 5 + 3] ^= 1
    path.write_bytes(content)
    outputs, right = make(tmp_path / 'cache').read(*every)
    assert right.tolist() == [i != 5 for i in range(10)]


def test_two_writers_whose_bits_differ(tmp_path):
    store = make(tmp_path / 'cache')
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


@pytest.mark.parametrize(
    'change, words',
    [
        (dict(teacher_sha256='b' * 64), "teacher_sha256='aaa.*'bbb"),
        (dict(seed=3), 'seed=0, but this run has 3'),
        (dict(pipeline='x'), "pipeline=nothing, but this run has 'x'"),
        (dict(dtype='float16'), "dtype='float32'.*'float16'"),
        (dict(samples=6), 'samples=5, but this run has 6'),
        (dict(views=1), 'views=2, but this run has 1'),
    ],
)
def test_another_manifest_is_refused(tmp_path, change, words):
    make(tmp_path / 'cache')
    with pytest.raises(UserError, match=words):
        make(tmp_path / 'cache', **change)


def test_a_store_of_an_older_format(tmp_path, monkeypatch):
    make(tmp_path / 'cache')
    monkeypatch.setattr(feature_store, 'FORMAT', 2)
    with pytest.raises(UserError, match='format=1, but this run has 2; give'):
        make(tmp_path / 'cache')


def test_a_path_through_links_and_from_home(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'disk').mkdir()
    # To an empty folder, and to none.
    for number, target in enumerate(('disk', 'later')):
        (tmp_path / f'link{number}').symlink_to(tmp_path / target)
        assert make(f'link{number}').created
        assert (tmp_path / target / MANIFEST_FILE).is_file()
        assert (tmp_path / f'link{number}').is_symlink()
        assert not make(f'~/link{number}').created


def test_a_folder_that_nothing_can_be_moved_over(tmp_path, monkeypatch):
    monkeypatch.setattr(os.path, 'ismount', lambda path: True)
    (tmp_path / 'cache').mkdir()
    with pytest.raises(UserError, match='mount point.*try .*/teacher_cache i'):
        make(tmp_path / 'cache')
    assert [path.name for path in tmp_path.iterdir()] == ['cache']
    monkeypatch.undo()

    def denied(**_):
        raise PermissionError(errno.EACCES, 'Permission denied')

    monkeypatch.setattr(tempfile, 'mkdtemp', denied)
    with pytest.raises(UserError, match='Permission denied.; try .*inside'):
        make(tmp_path / 'cache')
    with pytest.raises(UserError, match=r'denied\)\.$'):
        make(tmp_path / 'new')


def test_files_that_are_no_store(tmp_path):
    make(tmp_path / 'cache')
    path = tmp_path / 'cache' / 'feature.f32'
    os.truncate(path, 17)
    with pytest.raises(UserError, match='has 17 bytes, but 320 are wanted'):
        make(tmp_path / 'cache')
    path.unlink()
    with pytest.raises(UserError, match='feature.f32: is missing'):
        make(tmp_path / 'cache')
    (tmp_path / 'cache' / MANIFEST_FILE).write_text('{"half')
    with pytest.raises(UserError, match='is no manifest'):
        make(tmp_path / 'cache')
    (tmp_path / 'mine').mkdir()
    (tmp_path / 'mine' / 'thesis.txt').touch()
    with pytest.raises(UserError, match='holds files but no manifest'):
        make(tmp_path / 'mine')
    assert [p.name for p in (tmp_path / 'mine').iterdir()] == ['thesis.txt']
    (tmp_path / 'file').touch()
    for path in (tmp_path / 'file', tmp_path / 'file' / 'cache'):
        with pytest.raises(UserError, match=f'{path}: cannot be made'):
            make(path)


def test_a_disk_that_is_too_small(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage)
    with pytest.raises(UserError, match='GB, but 0.00 GB of the disk'):
        make(tmp_path / 'cache')
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    monkeypatch.setattr(os, 'rename', killed)
    monkeypatch.setattr(shutil, 'rmtree', lambda *_, **__: None)
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path / 'cache')
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: usage)
    (left,) = tmp_path.iterdir()
    with pytest.raises(UserError, match=f'killed run left: {left.name}.$'):
        make(tmp_path / 'cache')


def killed(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize('size', [0, 3, 17])
def test_whether_it_holds_anything(tmp_path, size):
    folder = tmp_path / 'cache'
    assert not holds_entries(folder)
    store = make(folder)
    assert not holds_entries(folder)
    some = keys((0, 0))
    store.write(*some, values(*some))
    store.flush()
    assert holds_entries(folder)
    # Truncated: 17 bytes are no whole number of checksums.
    os.truncate(folder / CHECKSUMS_FILE, size)
    assert holds_entries(folder) == (size > 0)


def test_its_size_is_what_was_said(tmp_path):
    store = make(tmp_path / 'cache')
    found = sum(
        path.stat().st_size
        for path in (tmp_path / 'cache').iterdir()
        if path.name != MANIFEST_FILE
    )
    assert found == store.nbytes == 10 * entry_bytes(SHAPES, 'float32')
    manifest = json.loads((tmp_path / 'cache' / MANIFEST_FILE).read_text())
    assert manifest['teacher_sha256'] == 'a' * 64


_WRITER = """
import sys, torch
sys.path.insert(0, sys.argv[2])
from tests.cache.test_store import make, values, keys
store = make(sys.argv[1], samples=400, views=2)
print('ready', flush=True)
while True:
    for start in range(0, 400, 16):
        some = keys(*((s, v) for s in range(start, start + 16)
                      for v in range(2)))
        store.write(*some, values(*some))
    store._checksums[:] = 0
"""


@pytest.mark.slow
def test_killed_at_any_instant(tmp_path, repo):
    folder = tmp_path / 'cache'
    every = keys(*((s, v) for s in range(400) for v in range(2)))
    expected = values(*every)
    seen = set()
    for attempt in range(6):
        writer = subprocess.Popen(
            [sys.executable, '-c', _WRITER, folder, str(repo)],
            stdout=subprocess.PIPE,
        )
        assert writer.stdout.readline()
        time.sleep(0.02 * attempt)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        outputs, right = make(folder, samples=400).read(*every)
        seen.add(int(right.sum()))
        for name, value in expected.items():
            assert torch.equal(outputs[name][right], value[right])
    assert max(seen) > 0


def _make_at_once(folder, barrier, results):
    barrier.wait(600)
    results.put(make(folder).created)


@pytest.mark.slow
def test_processes_that_make_it_at_once_share_one(tmp_path):
    context = multiprocessing.get_context('fork')
    barrier, results = context.Barrier(4), context.Queue()
    folder = tmp_path / 'cache'
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
    assert [path.name for path in tmp_path.iterdir()] == ['cache']


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


def test_opening_a_million_takes_neither_time_nor_memory(tmp_path):
    FeatureStore(tmp_path / 'cache', {}, 1_000_000, 1, {'feature': (1024,)})
    out = subprocess.run(
        [sys.executable, '-c', _OPENER, tmp_path / 'cache'],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    seconds, opened, read = map(float, out.split())
    assert seconds < 1
    # Megabytes.
    assert opened < 20 and read < 40
    assert (tmp_path / 'cache' / CHECKSUMS_FILE).stat().st_size == 4_000_000


def test_a_nested_difference_is_named(tmp_path):
    old = [dict(type='Crop', scale=96), dict(type='Flip')]
    make(tmp_path / 'cache', pipelines=dict(labelled=old))
    new = [dict(type='Crop', scale=128), dict(type='Flip')]
    with pytest.raises(
        UserError,
        match='with pipelines.labelled.0.scale=96, but this run has 128;',
    ):
        make(tmp_path / 'cache', pipelines=dict(labelled=new))
    with pytest.raises(UserError, match='labelled.1=.*Flip.*run has nothing'):
        make(tmp_path / 'cache', pipelines=dict(labelled=old[:1]))


def test_who_made_it_does_not_matter(tmp_path):
    make(tmp_path / 'cache', made_with=dict(torch='1'))
    assert not make(tmp_path / 'cache', made_with=dict(torch='2')).created


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    store = make(tmp_path / 'cache')
    every = keys(*((s, v) for s in range(5) for v in range(2)))
    store.write(*every, values(*every))
    store.flush()
    real = np.memmap.__new__

    def read_only(cls, path, kind, mode, **options):
        # As root, permissions forbid nothing.
        if mode != 'r':
            raise PermissionError(13, 'Permission denied', str(path))
        return real(cls, path, kind, mode, **options)

    monkeypatch.setattr(np.memmap, '__new__', read_only)
    store = make(tmp_path / 'cache')
    outputs, right = store.read(*every)
    assert right.all() and not store.writable
    store.flush()
    with pytest.raises(UserError, match='cannot be written to'):
        store.write(*every, values(*every))


def test_images_of_another_size(tmp_path):
    store = make(tmp_path / 'cache')
    some = keys((0, 0))
    wrong = dict(values(*some), feature=torch.zeros(1, 9))
    with pytest.raises(UserError, match=r'feature.*\(9,\), but \(8,\)'):
        store.write(*some, wrong)


@pytest.mark.parametrize('name', ['feature.f32', 'checksums.u32'])
def test_what_a_link_leads_to_is_not_written_over(tmp_path, name):
    make(tmp_path / 'cache')
    place, other = tmp_path / 'cache' / name, tmp_path / 'other'
    other.write_bytes(bytes(place.stat().st_size))
    place.unlink()
    place.symlink_to(other)
    with pytest.raises(UserError, match=f'{name}: is a link'):
        make(tmp_path / 'cache')
    assert not any(other.read_bytes())
