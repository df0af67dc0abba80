import pytest
import torch
from mmengine.registry import DefaultScope
from mmpretrain.registry import MODELS as MMPRETRAIN
from torch.nn.modules.batchnorm import _BatchNorm

from mmkd_custom.errors import UserError
from mmkd_custom.models import Student
from mmkd_custom.models.backbones import WideResNet
from mmkd_custom.registry import MODELS


def count(depth, k, classes):
    """Parameters of WRN-depth-k with a linear head, by the paper's table."""
    total = 3 * 16 * 9
    inputs = 16
    for width in (16 * k, 32 * k, 64 * k):
        for _ in range((depth - 4) // 6):
            total += 2 * inputs + 9 * inputs * width
            total += 2 * width + 9 * width * width
            if inputs != width:
                total += inputs * width
            inputs = width
    return total + 2 * inputs + inputs * classes + classes


def classifier(classes=100, **options):
    """Built by name, as configs do."""
    options = dict(depth=10, widen_factor=1, **options)
    with DefaultScope.overwrite_default_scope('mmkd_custom'):
        return MODELS.build(
            dict(
                type='ImageClassifier',
                backbone=dict(type='WideResNet', **options),
                neck=dict(type='GlobalAveragePooling'),
                head=dict(
                    type='LinearClsHead', num_classes=classes, in_channels=64
                ),
            )
        )


def parameters(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    'depth, k, classes, millions',
    [
        (28, 2, 10, 1.47),
        (28, 2, 100, 1.47),
        (28, 8, 100, 23.4),
        (28, 10, 10, 36.5),
        (16, 8, 10, 11.0),
        (40, 4, 10, 8.9),
        (40, 1, 10, 0.6),
    ],
)
def test_number_of_parameters(depth, k, classes, millions):
    """Against the formula, and the millions of the paper's table 4."""
    with torch.device('meta'):
        network = WideResNet(depth=depth, widen_factor=k)
        head = torch.nn.Linear(64 * k, classes)
    total = parameters(network) + parameters(head)
    assert total == count(depth, k, classes)
    # 28-2 of 100 classes is no row of the table: 64k * 90 more.
    slack = 0.06 if classes == 10 or k == 8 else 0.02
    assert abs(total / 1e6 - millions) < slack


def test_number_of_convolutions_is_the_depth():
    with torch.device('meta'):
        network = WideResNet(depth=28, widen_factor=2)
    kernels = [
        module.kernel_size
        for module in network.modules()
        if isinstance(module, torch.nn.Conv2d)
    ]
    # Those of 3x3 and the classifier; the 3 of 1x1 are shortcuts.
    assert kernels.count((3, 3)) + 3 == 28
    assert kernels.count((1, 1)) == 3


def test_shapes_of_the_outputs():
    network = WideResNet(10, 2, out_indices=(0, 1, 2)).eval()
    shapes = [tuple(out.shape) for out in network(torch.rand(2, 3, 32, 32))]
    assert shapes == [(2, 32, 32, 32), (2, 64, 16, 16), (2, 128, 8, 8)]
    assert network.out_channels == 128
    (last,) = WideResNet(10, 2).eval()(torch.rand(2, 3, 32, 32))
    assert last.shape == (2, 128, 8, 8) and last.min() >= 0


def reference(network, x):
    """The paper's network from the weights alone (figure 1a, 1c)."""
    from torch.nn.functional import batch_norm, conv2d, relu

    weights = network.state_dict()

    def norm(x, name):
        return batch_norm(
            x,
            weights[f'{name}.running_mean'],
            weights[f'{name}.running_var'],
            weights[f'{name}.weight'],
            weights[f'{name}.bias'],
        )

    x = conv2d(x, weights['conv1.weight'], padding=1)
    for group in (1, 2, 3):
        number = 0
        while f'layer{group}.{number}.conv1.weight' in weights:
            name = f'layer{group}.{number}'
            stride = 2 if group > 1 and number == 0 else 1
            first = relu(norm(x, f'{name}.norm1'))
            y = conv2d(first, weights[f'{name}.conv1.weight'], None, stride, 1)
            y = relu(norm(y, f'{name}.norm2'))
            y = conv2d(y, weights[f'{name}.conv2.weight'], padding=1)
            shortcut = weights.get(f'{name}.shortcut.weight')
            if shortcut is not None:
                x = conv2d(first, shortcut, None, stride)
            x = x + y
            number += 1
    return relu(norm(x, 'norm'))


def test_forward_is_the_papers():
    network = WideResNet(16, 2).double()
    for name, tensor in network.state_dict().items():
        if 'norm' in name and tensor.dtype.is_floating_point:
            tensor.uniform_(0.5, 1.5)
    network.eval()
    image = torch.randn(2, 3, 16, 16, dtype=torch.float64)
    with torch.no_grad():
        ours, theirs = network(image)[0], reference(network, image)
    assert torch.allclose(ours, theirs, rtol=1e-12, atol=1e-12)
    assert theirs.abs().max() > 0


def test_gradient_reaches_every_parameter():
    model = classifier(drop_rate=0.3)
    model.init_weights()
    logits = model(torch.randn(4, 3, 32, 32), mode='tensor')
    logits.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_initial_weights():
    network = WideResNet(16, 4)
    network.init_weights()
    weight = network.layer3[1].conv2.weight
    expected = (2 / (9 * weight.shape[0])) ** 0.5
    assert abs(float(weight.detach().std()) / expected - 1) < 0.02
    assert (network.norm.weight == 1).all() and (network.norm.bias == 0).all()


def test_dropout_is_between_the_convolutions():
    torch.manual_seed(0)
    network = WideResNet(10, 1, drop_rate=0.5)
    image = torch.randn(2, 3, 16, 16)
    network.train()
    assert not torch.equal(network(image)[0], network(image)[0])
    network.eval()
    assert torch.equal(network(image)[0], network(image)[0])
    kept = network.layer1[0].dropout(torch.ones(5))
    assert (kept == 1).all()


def test_norm_eval_keeps_the_statistics():
    for norm_eval in (False, True):
        network = WideResNet(10, 1, norm_eval=norm_eval).train()
        before = network.norm.running_mean.clone()
        network(torch.randn(4, 3, 16, 16))
        assert torch.equal(before, network.norm.running_mean) is norm_eval
        assert network.training and network.layer1[0].dropout.training
        assert all(p.requires_grad for p in network.parameters())


@pytest.mark.parametrize('stages', [-1, 0, 1, 2, 3])
def test_frozen_stages_do_not_change(stages):
    network = WideResNet(10, 1, frozen_stages=stages)
    network.train(False)
    network.train()
    frozen = [
        ('conv1', stages >= 0),
        ('layer1', stages >= 1),
        ('layer2', stages >= 2),
        ('layer3', stages >= 3),
        ('norm.', stages >= 3),
    ]
    before = {k: v.clone() for k, v in network.state_dict().items()}
    network(torch.randn(4, 3, 16, 16))
    after = network.state_dict()
    for part, still in frozen:
        for name, parameter in network.named_parameters():
            if name.startswith(part):
                assert parameter.requires_grad is not still, name
        for name in after:
            if name.startswith(part) and 'running_mean' in name:
                assert torch.equal(before[name], after[name]) is still, name


def test_student_is_split_at_the_linear_layer():
    student = Student(classifier(classes=7), input_size=32)
    assert student.split.classifier == 'head.fc'
    assert (student.feature_dim, student.num_classes) == (64, 7)
    output = student.run(torch.randn(3, 3, 32, 32))
    feature, logits = output.feature, output.logits
    assert feature.shape == (3, 64) and logits.shape == (3, 7)
    assert torch.equal(student.classify(feature), logits)


@pytest.mark.parametrize('norm', ['SyncBN', 'GN'])
def test_other_normalisation(norm):
    norm_cfg = dict(type=norm)
    if norm == 'GN':
        norm_cfg['num_groups'] = 4
    network = WideResNet(10, 1, norm_cfg=norm_cfg)
    layers = [type(module).__name__ for module in network.modules()]
    assert sum('BatchNorm' in name for name in layers) == 7 * (norm != 'GN')
    if norm == 'GN':
        assert not any(isinstance(m, _BatchNorm) for m in network.modules())
        assert network(torch.randn(1, 3, 16, 16))[0].shape == (1, 64, 4, 4)


def test_found_by_name():
    assert MODELS.get('WideResNet') is WideResNet
    assert MMPRETRAIN.get('mmkd_custom.WideResNet') is WideResNet
    assert MMPRETRAIN.get('WideResNet') is None


@pytest.mark.parametrize(
    'options, message',
    [
        (dict(depth=27), 'depth is 6n . 4, .* got 27'),
        (dict(depth=4), 'depth .* got 4'),
        (dict(depth='28'), "depth .* got '28'"),
        (dict(widen_factor=0), 'widen_factor .* got 0'),
        (dict(widen_factor=1.5), 'widen_factor .* got 1.5'),
        (dict(drop_rate=1), r'drop_rate is in \[0, 1\), but got 1'),
        (dict(drop_rate='0'), "drop_rate .* got '0'"),
        (dict(out_indices=2), 'out_indices .* got 2'),
        (dict(out_indices=()), r'out_indices .* got \(\)'),
        (dict(out_indices=(3,)), r'out_indices .* got \(3,\)'),
        (dict(frozen_stages=4), 'frozen_stages .* got 4'),
    ],
)
def test_refused_options(options, message):
    with pytest.raises(UserError, match=f'WideResNet: {message}'):
        WideResNet(**options)
