"""First and second derivatives beside PyTorch's, in float64: a judge that shares nothing with this library.

For y = f(xs) and random v and u: the gradients of <v, y>, and then of <u, these gradients>. Skipped without PyTorch.
Images are (N, H, W, C) here and (N, C, H, W) there, weights (kh, kw, C, K) and (K, C, kh, kw).
"""

import numpy as np
import pytest

import minigan as mg
from minigan import ops

torch = pytest.importorskip("torch")
F = torch.nn.functional


def images(x):
    return x.permute(0, 3, 1, 2)


def back(y):
    return y.permute(0, 2, 3, 1)


def conv(x, w, b, **options):
    return back(F.conv2d(images(x), w.permute(3, 2, 0, 1), b, **options))


def conv_transpose(x, w, **options):
    return back(F.conv_transpose2d(images(x), w.permute(3, 2, 0, 1), **options))


def batch_norm(x, gamma, beta, slope=1.0):
    return F.leaky_relu(back(F.batch_norm(images(x), None, None, gamma, beta, training=True, eps=1e-3)), slope)


def instance_norm(x, gamma, beta):
    return back(F.instance_norm(images(x), weight=gamma, bias=beta, eps=1e-3))


def bce(logits, t):
    """Cross-entropy of logits against the label t, the two halves of a GAN's loss."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, t))


def penalty(grad, sum_, D, x):
    """(|∇D(x)| - 1)², averaged: WGAN-GP, Gulrajani et al. 2017, equation 3."""
    gx = grad(sum_(D(x)), x)
    return (((gx * gx).sum((1, 2, 3)) ** 0.5 - 1) ** 2).mean()


def our_penalty(x, w):
    D = lambda x: ops.tanh(ops.conv2d(x, w, stride=2, padding=1))
    return penalty(lambda y, x: mg.grad(y, [x], create_graph=True)[0], ops.sum, D, x)


def their_penalty(x, w):
    D = lambda x: torch.tanh(conv(x, w, None, stride=2, padding=1))
    return penalty(lambda y, x: torch.autograd.grad(y, x, create_graph=True)[0], torch.sum, D, x)


LOGITS, NORM = [(6,)], [(3, 4, 4, 2), (2,), (2,)]
CASES = {  # name: (ours, theirs, shapes)
    "conv2d": (
        lambda x, w, b: ops.conv2d(x, w, stride=2, padding=1) + b,
        lambda x, w, b: conv(x, w, b, stride=2, padding=1),
        [(2, 8, 8, 3), (4, 4, 3, 5), (5,)],
    ),
    "conv2d, rows left over": (
        lambda x, w: ops.conv2d(x, w, stride=(3, 2), padding=(0, 1)),
        lambda x, w: conv(x, w, None, stride=(3, 2), padding=(0, 1)),
        [(2, 6, 5, 2), (2, 3, 2, 3)],
    ),
    "conv_transpose2d": (
        lambda x, w: ops.conv_transpose2d(x, w, stride=2, padding=1),
        lambda x, w: conv_transpose(x, w, stride=2, padding=1),
        [(2, 4, 4, 5), (4, 4, 3, 5)],
    ),
    "conv_transpose2d, output padding": (
        lambda x, w: ops.conv_transpose2d(x, w, stride=(2, 3), padding=(1, 0), output_padding=(1, 2)),
        lambda x, w: conv_transpose(x, w, stride=(2, 3), padding=(1, 0), output_padding=(1, 2)),
        [(2, 3, 2, 3), (3, 2, 2, 3)],
    ),
    "batch_norm": (lambda x, c, b: ops.batch_norm(x, c, b, eps=1e-3), batch_norm, NORM),
    "batch_norm, leaky": (
        lambda x, c, b: ops.batch_norm(x, c, b, eps=1e-3, slope=0.2),
        lambda x, c, b: batch_norm(x, c, b, 0.2),
        NORM,
    ),
    "layer_norm": (
        lambda x, c, b: ops.layer_norm(x, c, b, eps=1e-3),
        lambda x, c, b: F.layer_norm(x, (5,), c, b, eps=1e-3),
        [(3, 2, 5), (5,), (5,)],
    ),
    "instance_norm": (lambda x, c, b: ops.instance_norm(x, c, b, eps=1e-3), instance_norm, NORM),
    "-E log D(x)": (lambda r: ops.mean(ops.softplus(-r)), lambda r: bce(r, 1.0), LOGITS),
    "-E log(1 - D(x))": (lambda f: ops.mean(ops.softplus(f)), lambda f: bce(f, 0.0), LOGITS),
    "D's loss": (
        lambda r, f: 0.5 * ops.mean(ops.softplus(-r)) + 0.5 * ops.mean(ops.softplus(f)),
        lambda r, f: 0.5 * bce(r, 1.0) + 0.5 * bce(f, 0.0),
        LOGITS * 2,
    ),
    "cross-entropy of classes": (
        lambda x: -ops.mean(ops.log_softmax(x)[np.arange(4), np.array([0, 2, 1, 2])]),
        lambda x: F.cross_entropy(x, torch.tensor([0, 2, 1, 2])),
        [(4, 3)],
    ),
    "gradient penalty": (our_penalty, their_penalty, [(3, 4, 4, 2), (4, 4, 2, 3)]),
}


def sweep(y, xs, draw, grad, wrap):
    """y, its gradients against a random v, and the gradients of these against random u."""
    v = wrap(draw(y.shape))
    first = grad(y, xs, v)
    total = sum(((g * wrap(draw(g.shape))).sum() for g in first), start=0)
    return [y, *first, *grad(total, xs, None)]


def theirs_grad(y, xs, v):
    found = torch.autograd.grad(y, xs, v, create_graph=True, allow_unused=True)
    return [torch.zeros_like(x) if g is None else g for g, x in zip(found, xs)]


@pytest.mark.parametrize("ours, theirs, shapes", CASES.values(), ids=CASES)
@pytest.mark.parametrize("seed", [0, 1])
def test_first_and_second_derivatives_are_pytorchs(ours, theirs, shapes, seed):
    rng = np.random.default_rng(seed)
    arrays = [rng.normal(size=shape) for shape in shapes]
    mine = [mg.tensor(a, requires_grad=True) for a in arrays]
    other = [torch.tensor(a, requires_grad=True) for a in arrays]
    draws = [np.random.default_rng((seed, 1)) for _ in range(2)]
    a = sweep(ours(*mine), mine, lambda s: draws[0].normal(size=s),
              lambda y, xs, v: mg.grad(y, xs, v, create_graph=True), mg.tensor)  # fmt: skip
    b = sweep(theirs(*other), other, lambda s: draws[1].normal(size=tuple(s)), theirs_grad, torch.tensor)
    assert len(a) == len(b) == 1 + 2 * len(shapes)
    for got, want in zip(a, b):
        want = want.detach().numpy()
        assert np.abs(got.data - want).max() <= 1e-10 * max(1, np.abs(want).max())


def test_a_first_derivative_that_is_not_recorded_is_pytorchs_too():
    """The hand-written one of batch norm and leaky ReLU."""
    ours, theirs, shapes = CASES["batch_norm, leaky"]
    rng = np.random.default_rng(5)
    arrays = [rng.normal(size=shape) for shape in shapes]
    v = rng.normal(size=shapes[0])
    mine = [mg.tensor(a, requires_grad=True) for a in arrays]
    other = [torch.tensor(a, requires_grad=True) for a in arrays]
    for got, want in zip(mg.grad(ours(*mine), mine, v), theirs_grad(theirs(*other), other, torch.tensor(v))):
        np.testing.assert_allclose(got.data, want.detach().numpy(), rtol=1e-10, atol=1e-10)
