"""The report of a teacher counts what is counted by hand."""

import json

import pytest
import torch
import torch.nn as nn

from mmkd_custom.cache.teacher import CachedTeacher
from mmkd_custom.models.outputs import Outputs
from mmkd_custom.models.teachers import (
    EnsembleTeacher,
    FrozenTeacher,
    ProbedTeacher,
    TimmTeacher,
)
from mmkd_custom.models.teachers.report import report_text, teacher_report
from mmkd_custom.models.teachers.wrappers.probed import Probe


class Tiny(FrozenTeacher):
    """Torch's own attention over pixels, and a head."""

    def __init__(self, **options):
        super().__init__(mean=(0, 0, 0), std=(1, 1, 1), **options)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.head = nn.Linear(6, 5)
        self.calls = 0
        self.infer_dims((2, 2))

    def encode(self, inputs, wants):
        self.calls += 1
        # (N, 3, H, W) -> (N, HW, 6)
        tokens = inputs.flatten(2).mT.repeat(1, 1, 2)
        tokens = self.attention(tokens, tokens, tokens, need_weights=False)[0]
        feature = tokens.mean(1)
        return Outputs(
            feature, self.head(feature) if 'logits' in wants else None
        )


def block_operations(tokens, width, hidden):
    """Floating-point operations of a transformer block, two a product."""
    linears = width * 3 * width + width * width + 2 * width * hidden
    attention = 2 * tokens * width
    return 2 * tokens * (linears + attention)


def test_operations_of_a_vit_are_those_of_its_formula():
    teacher = TimmTeacher('test_vit', num_classes=0, input_size=None)
    model = teacher.model
    width, patch = model.embed_dim, 16
    patches = (96 // patch) * (64 // patch)
    expected = 2 * patches * width * 3 * patch**2
    for block in model.blocks:
        hidden = block.mlp.fc1.out_features
        expected += block_operations(patches + 1, width, hidden)
    report = teacher_report(teacher, (96, 64))
    assert report['gflops'] == pytest.approx(expected / 1e9, rel=1e-9)
    assert report['input_size'] == (96, 64)
    assert report['dims']['feature'] == (width,)


def test_operations_of_torch_attention_and_of_what_is_asked():
    teacher = Tiny()
    tokens, width = 16, 6
    linears = width * 3 * width + width * width
    attention = 2 * tokens * tokens * width
    feature = 2 * (tokens * linears + attention)
    report = teacher_report(teacher, 4, ('feature',))
    assert report['gflops'] == pytest.approx(feature / 1e9, rel=1e-9)
    report = teacher_report(teacher, 4)
    assert report['wants'] == ['feature', 'logits']
    assert report['gflops'] == pytest.approx((feature + 60) / 1e9, rel=1e-9)
    assert report['dims'] == dict(feature=(6,), logits=(5,))


def test_report_describes_the_teacher():
    teacher = TimmTeacher('test_efficientnet', input_size=None)
    report = teacher_report(teacher, 64)
    count = sum(p.numel() for p in teacher.model.parameters())
    assert report['parameters'] == count
    assert report['sha256'] == teacher.digest()
    assert json.loads(json.dumps(report))['input_size'] == [64, 64]
    text = report_text(report)
    for fact in (
        'test_efficientnet',
        f'{count / 1e6:.2f} M',
        '64x64 bicubic',
        'float32',
        'feature, logits',
        'logits 1000',
        f'random (sha256 {teacher.digest()[:12]})',
    ):
        assert fact in text, fact


@pytest.mark.parametrize('size, seen', [(None, (48, 48)), ((32, 64),) * 2])
def test_input_and_dims_are_what_the_network_sees(size, seen):
    teacher = TimmTeacher('test_vit', input_size=size)
    # None: the nearest multiple of the patch.
    report = teacher_report(teacher, 52)
    assert report['input_size'] == seen
    output = teacher(torch.randn(1, 3, *seen), teacher.offers)
    assert report['dims'] == {k: s.sizes for k, s in output.shapes().items()}


def test_nothing_is_changed_by_it():
    teacher = Tiny()
    teacher.standardize(torch.randn(6), torch.rand(6) + 0.5)
    digest, mean = teacher.digest(), teacher.feature_mean.clone()
    state = torch.get_rng_state()
    teacher_report(teacher, 4)
    assert teacher.digest() == digest
    assert torch.equal(teacher.feature_mean, mean)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.backends.mha.get_fastpath_enabled()
    assert torch.backends.cuda.flash_sdp_enabled()


def test_a_compiled_teacher_is_not_compiled_for_it():
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    teacher = Tiny(compile=True, max_batch=3)
    report = teacher_report(teacher, 4)
    assert report['compile'] is True and report['max_batch'] == 3
    assert report['gflops'] == teacher_report(Tiny(), 4)['gflops']
    assert not torch._dynamo.utils.counters['frames']['total']
    text = report_text(report)
    assert '3 images' in text and 'yes' in text


def test_a_dtype_that_the_device_lacks_leaves_the_operations_out(monkeypatch):
    teacher = Tiny(dtype='float16')

    def encode(inputs, wants):
        raise RuntimeError('"conv" not implemented for \'Half\'')

    monkeypatch.setattr(teacher, '_encode', encode)
    report = teacher_report(teacher, 4)
    assert report['gflops'] is None
    assert report['dims'] == teacher.dims
    assert 'not counted' in report_text(report)

    def fail(inputs, wants):
        raise RuntimeError('something else')

    monkeypatch.setattr(teacher, '_encode', fail)
    with pytest.raises(RuntimeError, match='something else'):
        teacher_report(teacher, 4)


def test_a_probed_ensemble_reports_each_of_its_teachers(tmp_path):
    members = [Tiny(input_size=4), Tiny(max_batch=3)]
    ensemble = EnsembleTeacher(members, mode='features')
    Probe(
        tensors=dict(weight=torch.zeros(2, 12), bias=torch.zeros(2)),
        normalization='none',
        classes=['cat', 'dog'],
        teacher=ensemble.name,
        teacher_sha256=ensemble.digest(),
        feature=ensemble.feature,
        input='',
    ).save(tmp_path / 'p')
    probed = ProbedTeacher(ensemble, str(tmp_path / 'p'))
    report = teacher_report(probed, 2, ('logits',))
    # Each is asked for its feature only, of which the probe makes logits.
    assert report['teachers'] == [
        teacher_report(member, 2, ('feature',)) for member in members
    ]
    total = sum(part['gflops'] for part in report['teachers'])
    assert report['gflops'] == pytest.approx(total + 2 * 12 * 2 / 1e9)
    assert '3 images' in report_text(report)
    # A cache changes nothing of it.
    again = teacher_report(CachedTeacher(probed), 2, ('logits',))
    assert again['teachers'] == report['teachers']
