"""What every registered network promises; a new one needs a case."""

import copy

import pytest
import torch

from mmkd_custom.export.checkpoint import student_state_dict
from mmkd_custom.models import Distiller
from mmkd_custom.models.networks import OwnedNetwork
from mmkd_custom.registry import MODELS
from tests.helpers import IMAGE_SIZE, digests, make_batch, student_config
from tests.models.networks.cases import (
    CASES,
    CLASSES,
    OF_NO_IMAGE,
    REACHING,
    TRAINED,
    UNUSED,
    labels_file,
    prepare,
)

TEACHER = dict(
    type='TimmTeacher',
    model_name='test_efficientnet',
    input_size=None,
    num_classes=CLASSES,
)


def test_every_registered_network_has_a_case():
    registered = {
        name
        for name, cls in MODELS.module_dict.items()
        if isinstance(cls, type) and issubclass(cls, OwnedNetwork)
    }
    assert registered - OF_NO_IMAGE == set(CASES)


@pytest.fixture(params=sorted(CASES))
def name(request):
    return request.param


@pytest.fixture
def model(name, tmp_path):
    options, terms = CASES[name]
    if 'file' in options:
        options = dict(options, file=labels_file(tmp_path))
    torch.manual_seed(0)
    model = Distiller(
        student_config(),
        dict(TEACHER),
        {f'term{i}': each for i, each in enumerate(terms)},
        networks=dict(net=dict(options, type=name)),
        input_size=IMAGE_SIZE,
        data_preprocessor=dict(num_classes=CLASSES),
    )
    prepare(model.networks['net'])
    return model.train()


def data_of(model, seed=0):
    data = model.data_preprocessor(make_batch([0, 1, None, None], seed), True)
    for index, sample in enumerate(data['data_samples']):
        sample.set_metainfo(dict(sample_idx=index))
    # As if the dataset made the view.
    return dict(data, views=dict(strong=data['inputs'].flip(3)))


def losses_of(model, seed=0):
    torch.manual_seed(seed)
    return model.loss(**data_of(model, seed))


def test_a_step_reaches_what_it_trains(model, name):
    losses = losses_of(model)
    terms = {k: v for k, v in losses.items() if k.startswith('loss_term')}
    assert len(terms) == len(CASES[name][1])
    assert all(value.isfinite() and value > 0 for value in terms.values())
    net = model.networks['net']
    assert all(
        bool(p.requires_grad) == (name in TRAINED) for p in net.parameters()
    )
    model.zero_grad()
    losses['loss_term0'].backward()
    reached = any(
        p.grad is not None and p.grad.abs().sum() > 0
        for p in model.student.backbone.parameters()
    )
    own = name not in TRAINED
    assert reached == (own or name in REACHING)
    model.zero_grad()
    losses = losses_of(model)
    sum(losses[key] for key in terms).backward()
    unused = {k for k, p in net.named_parameters() if p.grad is None}
    assert own or unused == UNUSED.get(name, set())


def test_what_it_says_has_the_shapes_that_it_tells(model):
    net = model.networks['net']
    batch = model.batch(**data_of(model))
    sources = [s for s in net.of if s.network != 'net']
    for source in sources:
        who = source.asked
        wants = [s.want for s in sources if s.asked == who]
        batch.outputs[who] = model.network(source.network).ask(batch, wants)
    wants = [k for k in net.shapes if not k.startswith('maps.')]
    said = net.ask(
        batch, [*wants, 'maps'] if 'maps.0' in net.shapes else wants
    )
    assert net.shapes
    for path, shape in net.shapes.items():
        assert said.get(path).shape == (4, *shape.sizes), path


def test_it_goes_on_from_a_checkpoint(model, name):
    other = copy.deepcopy(model)
    for parameter in other.networks.parameters():
        parameter.data.add_(1.0)
    other.load_state_dict(model.state_dict())
    assert digests(other) == digests(model)
    assert torch.equal(
        losses_of(model)['loss_term0'], losses_of(other)['loss_term0']
    )
    # Nor is it in what is exported.
    exported = student_state_dict(model.state_dict())
    assert set(exported) == set(model.student.state_dict())
    copied = copy.deepcopy(model.eval())
    assert torch.equal(
        losses_of(model)['loss_term0'], losses_of(copied)['loss_term0']
    )


def test_what_is_said_of_mixed_images_is_mixed_once(model, name):
    model.eval().mixup = 1.0
    net, alike = model.networks['net'], []
    ask = net.ask

    def asked(batch, wants, view):
        said = ask(batch, wants, view)
        seen.append((batch, view, said.map(torch.clone)))
        return said

    net.ask = asked
    for seed in range(4):
        seen = []
        losses_of(model, seed)
        for batch, view, said in seen:
            final = batch.outputs[f'net@{view}' if view else 'net']
            pairs = zip(
                said.named_tensors().values(), final.named_tensors().values()
            )
            alike.append(all(torch.equal(*pair) for pair in pairs))
    # What looked at images as they are is mixed afterwards.
    assert all(alike) == (name in TRAINED - {'LinearProbe'})
