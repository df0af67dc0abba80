"""Which stream waits for which, and which way 'auto' keeps."""

import copy
from contextlib import contextmanager

import pytest
import torch

from mmkd_custom.errors import UserError
from mmkd_custom.models.distillers import overlap
from mmkd_custom.models.distillers.overlap import TIMED, WARM_UP, TeacherStream

CUDA = torch.device('cuda', 0)
STEPS = 2 * (WARM_UP + TIMED)


class FakeCuda:
    """What ``torch.cuda`` offers, noting every call, on a clock of its own."""

    def __init__(self):
        self.calls, self.clock = [], 0.0
        self.events, self.done, self.reads = 0, True, 0
        self.main = FakeStream(self, 'main')
        self.now, self.made = self.main, 0

    def current_stream(self, device):
        assert device == CUDA
        return self.now

    def Stream(self, device):  # noqa: N802
        assert device == CUDA
        self.made += 1
        return FakeStream(self, 'side')

    def Event(self, enable_timing):  # noqa: N802
        assert enable_timing
        return FakeEvent(self)

    @contextmanager
    def stream(self, stream):
        before, self.now = self.now, stream
        try:
            yield
        finally:
            self.now = before


class FakeStream:
    def __init__(self, cuda, name):
        self.cuda, self.name = cuda, name

    def wait_stream(self, other):
        self.cuda.calls.append(f'{self.name} waits for {other.name}')


class FakeEvent:
    def __init__(self, cuda):
        self.cuda = cuda

    def record(self, stream):
        assert stream is self.cuda.main
        self.cuda.events += 1
        self.time = self.cuda.clock

    def query(self):
        return self.cuda.done

    def elapsed_time(self, end):
        assert self.cuda.done, 'the host would wait here'
        self.cuda.reads += 1
        return end.time - self.time


class FakeTensor:
    def __init__(self, cuda):
        self.cuda = cuda

    def record_stream(self, stream):
        self.cuda.calls.append(f'recorded on {stream.name}')


@pytest.fixture
def cuda(monkeypatch):
    fake = FakeCuda()
    monkeypatch.setattr(overlap, 'cuda', fake)
    return fake


@pytest.fixture
def lines(monkeypatch):
    said = []
    monkeypatch.setattr(
        overlap, 'print_log', lambda line, logger: said.append(line)
    )
    return said


def step(stream, cuda, costs=(0.0, 0.0), device=CUDA):
    """One step; says whether the teacher ran beside the student."""
    with stream.teacher(device):
        beside = cuda.now is not cuda.main
        cuda.calls.append(f'teacher on {cuda.now.name}')
    cuda.calls.append(f'student on {cuda.now.name}')
    cuda.clock += costs[beside]
    stream.join([FakeTensor(cuda), FakeTensor(cuda)])
    return beside


def test_each_stream_waits_for_the_other_once(cuda):
    stream = TeacherStream(True)
    for _ in range(2):
        cuda.calls.clear()
        assert step(stream, cuda)
        assert cuda.calls == [
            'side waits for main',
            'teacher on side',
            'student on main',
            'main waits for side',
            'recorded on main',
            'recorded on main',
        ]
    assert cuda.made == 1 and cuda.events == 0


@pytest.mark.parametrize(
    'mode, device',
    [
        (False, CUDA),
        (True, torch.device('cpu')),
        ('auto', torch.device('cpu')),
    ],
)
def test_otherwise_nothing_happens(cuda, mode, device):
    stream = TeacherStream(mode)
    for _ in range(STEPS + 1):
        assert not step(stream, cuda, device=device)
    assert set(cuda.calls) == {'teacher on main', 'student on main'}
    assert cuda.made == cuda.events == 0


@pytest.mark.parametrize('costs, faster', [((5, 3), True), ((3, 5), False)])
def test_auto_keeps_the_faster(cuda, lines, costs, faster):
    stream = TeacherStream('auto')
    ways = []
    for i in range(STEPS):
        # Starting up is slow, and something else once takes the device.
        extra = 1000 if i < 2 * WARM_UP or i >= STEPS - 2 else 0
        ways.append(step(stream, cuda, [cost + extra for cost in costs]))
    assert ways == [False, True] * (STEPS // 2)
    assert stream.beside is faster
    assert cuda.events == 2 * 2 * TIMED
    (line,) = lines
    assert '5.00 ms' in line and '3.00 ms' in line
    assert line.index('one after') < line.index('side by side')
    assert line.endswith(
        'so side by side.' if faster else 'so one after the other.'
    )
    ways = [step(stream, cuda, costs) for _ in range(5)]
    assert ways == [faster] * 5
    assert cuda.events == 2 * 2 * TIMED and len(lines) == 1


def test_no_time_is_read_before_the_device_is_done(cuda, lines):
    stream = TeacherStream('auto')
    cuda.done = False
    ways = [step(stream, cuda, (2, 1)) for _ in range(STEPS + 7)]
    assert not any(ways[STEPS:]) and stream.beside is None
    assert cuda.reads == 0 and not lines
    events = cuda.events
    cuda.done = True
    step(stream, cuda, (2, 1))
    assert stream.beside is True and cuda.reads == 2 * TIMED
    assert cuda.events == events and len(lines) == 1


def test_a_step_that_broke_off_is_not_joined(cuda):
    stream = TeacherStream(True)
    with pytest.raises(RuntimeError), stream.teacher(CUDA):
        raise RuntimeError
    assert cuda.now is cuda.main
    cuda.calls.clear()
    stream.join([FakeTensor(cuda)])
    assert cuda.calls == []
    with stream.teacher(CUDA):
        pass
    with stream.teacher(torch.device('cpu')):
        pass
    cuda.calls.clear()
    stream.join([FakeTensor(cuda)])
    assert cuda.calls == []


def test_a_step_that_broke_off_is_not_timed(cuda, lines):
    stream = TeacherStream('auto')
    for _ in range(2 * WARM_UP):
        step(stream, cuda)
    with stream.teacher(CUDA):
        cuda.clock += 1000
    while stream.beside is None:
        step(stream, cuda, (2, 4))
    assert stream.beside is False
    assert '2.00 ms' in lines[0] and '4.00 ms' in lines[0]


def test_a_copy_is_the_same_stream():
    stream = TeacherStream('auto')
    assert copy.deepcopy(dict(s=stream))['s'] is stream


@pytest.mark.parametrize('mode', ['always', 1, None])
def test_other_modes_are_refused(mode):
    with pytest.raises(UserError, match=f'overlap_teacher={mode!r}'):
        TeacherStream(mode)


@pytest.mark.skipif(not torch.cuda.is_available(), reason='wants CUDA')
def test_results_are_those_of_one_stream():
    torch.manual_seed(0)
    teacher = torch.randn(2048, 2048, device='cuda') / 2048**0.5
    results = []
    for mode in (False, True):
        stream = TeacherStream(mode)
        images = torch.ones(512, 2048, device='cuda')
        for _ in range(50):
            with stream.teacher(images.device), torch.no_grad():
                output = images
                for _ in range(8):
                    output = torch.tanh(output @ teacher)
            student = torch.sin(images)
            stream.join([output])
            images = student + output
            del output, student
        results.append(images)
    assert torch.equal(*results)
