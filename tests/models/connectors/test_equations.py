"""Equations of connectors, against the same written out in float64."""

import math

import pytest
import torch
import torch.nn.functional as F

from mmkd_custom.errors import UserError
from mmkd_custom.models.connectors import (
    CrossAttentionConnector,
    MLPConnector,
    OrthogonalConnector,
    PrototypeConnector,
    QueryConnector,
    ResidualConnector,
)
from mmkd_custom.models.outputs import Shape

MAP, TOKENS = Shape((3, 2, 3)), Shape((4, 6), (2, 2))


def rows(x):
    """(N, C, h, w) -> (N, L, C); tokens stay."""
    return x.flatten(2).transpose(1, 2) if x.dim() == 4 else x


@pytest.mark.parametrize('width', [3, 5, 8])
def test_orthogonal_stays_so_while_it_learns(width):
    torch.manual_seed(0)
    connector = OrthogonalConnector(5, width)
    step = torch.optim.SGD(connector.parameters(), lr=1.0)
    x = torch.randn(7, 5)
    first = connector(x).detach()
    for _ in range(3):
        step.zero_grad()
        connector(x).square()[:, :2].mean().backward()
        step.step()
    z, w = connector(x), connector.fc.weight.T
    assert not torch.allclose(z, first, atol=1e-3)
    product = w @ w.T if width >= 5 else w.T @ w
    torch.testing.assert_close(
        product, torch.eye(min(width, 5)), atol=1e-5, rtol=0
    )
    if width >= 5:
        torch.testing.assert_close(z @ z.T, x @ x.T)


def test_residual_is_nothing_at_first():
    torch.manual_seed(0)
    connector = ResidualConnector(6, 6, scale=0.5).double()
    x = torch.randn(4, 6, dtype=torch.float64)
    assert torch.equal(connector(x), x)
    torch.nn.init.normal_(connector.layers[2].weight)
    first, _, second = connector.layers
    hidden = x @ first.weight.T + first.bias
    hidden = hidden * (1 + torch.erf(hidden / math.sqrt(2))) / 2
    torch.testing.assert_close(
        connector(x), x + 0.5 * hidden @ second.weight.T
    )


@pytest.mark.parametrize('source', [MAP, Shape((6, 3), (2, 3))])
@pytest.mark.parametrize('target', [TOKENS, Shape((6, 2, 2))])
def test_queries_gather_values_by_the_teachers_keys(source, target):
    torch.manual_seed(0)
    connector = QueryConnector(source, target).double()
    s = torch.randn(2, *source.sizes, dtype=torch.float64)
    t = torch.randn(2, *target.sizes, dtype=torch.float64)
    q, v = rows(connector.query(s)), rows(connector.value(s))
    weights = (q @ rows(t).transpose(1, 2) / math.sqrt(6)).softmax(2)
    torch.testing.assert_close(rows(connector(s, t)), weights @ v)


def test_one_query_knows_nothing_of_the_teacher():
    connector = QueryConnector(MAP, Shape((1, 6), (1, 1)))
    s, t = torch.randn(2, 3, 2, 3), torch.randn(2, 1, 6)
    assert torch.equal(connector(s, t), connector(s, -9 * t))
    torch.testing.assert_close(connector(s, t), connector.value(s))


@pytest.mark.parametrize('given', [False, True])
def test_cross_attention(given):
    torch.manual_seed(0)
    connector = CrossAttentionConnector(MAP, TOKENS, num_heads=3, scale=5.0)
    connector = connector.double().eval()
    s = torch.randn(2, 3, 2, 3, dtype=torch.float64)
    queries = torch.randn(2, 4, 6, dtype=torch.float64)
    own = connector.queries.weight
    assert own.shape == (4, 6)
    x = connector.student[0](s) / math.sqrt(1 + 1e-5)
    x = rows(x.clamp_min(0) + connector.position)
    q = queries if given else own.expand(2, 4, 6)
    q = connector.query(F.relu(connector.before_query[0](q)))
    k, v = connector.key(x), connector.value(x)
    parts = []
    for head in range(3):
        c = slice(2 * head, 2 * head + 2)
        likeness = q[..., c] @ k[..., c].transpose(1, 2)
        parts.append((5 / math.sqrt(2) * likeness).softmax(2) @ v[..., c])
    y = F.layer_norm(connector.out(torch.cat(parts, 2)), (6,))
    first, second = (
        m for m in connector.ffn.modules() if isinstance(m, torch.nn.Linear)
    )
    assert first.out_features == 24
    expected = y + second(F.relu(first(y)))
    found = connector(s, queries) if given else connector(s)
    torch.testing.assert_close(found, expected)


def test_cross_attention_from_queries_that_are_given_alone():
    connector = CrossAttentionConnector(
        Shape((6, 3), (2, 3)), Shape((6, 2, 2)), self_query=False
    )
    assert connector.queries is None
    found = connector(torch.randn(2, 6, 3), torch.randn(2, 4, 6))
    assert found.shape == (2, 6, 2, 2)
    with pytest.raises(UserError, match='CrossAttentionConnector.self_query'):
        connector(torch.randn(2, 6, 3))
    with pytest.raises(UserError, match='num_heads'):
        CrossAttentionConnector(MAP, TOKENS, num_heads=4)


def test_prototypes():
    torch.manual_seed(0)
    connector = PrototypeConnector(5, 6, 3, temperature=0.5).double()
    x = torch.randn(4, 5, dtype=torch.float64)
    g, p = connector.fc(x), connector.prototypes
    weights = (g @ p.T / 0.5).exp()
    expected = g + weights / weights.sum(1, keepdim=True) @ p
    torch.testing.assert_close(connector(x), expected)


def test_one_prototype_adds_a_constant():
    connector = PrototypeConnector(5, 6, 1)
    x = torch.randn(4, 5)
    added = connector(x) - connector.fc(x)
    torch.testing.assert_close(added, connector.prototypes.expand(4, 6))


def test_projector_of_rsd():
    torch.manual_seed(0)
    connector = MLPConnector(
        4, 7, expansion=2, norm_cfg=dict(type='BN1d'), bias=False
    )
    kinds = [type(layer).__name__ for layer in connector.layers]
    assert kinds == ['Linear', 'BatchNorm1d', 'GELU', 'Linear']
    first, norm, _, second = connector.layers
    assert first.weight.shape == (8, 4) and second.weight.shape == (7, 8)
    assert first.bias is None and second.bias is None
    x = torch.randn(9, 4)
    hidden = first(x)
    hidden = (hidden - hidden.mean(0)) / (hidden.var(0, False) + 1e-5).sqrt()
    torch.testing.assert_close(connector(x), second(F.gelu(hidden)))
    with pytest.raises(UserError, match='expansion'):
        MLPConnector(4, 7, 3, expansion=2)
