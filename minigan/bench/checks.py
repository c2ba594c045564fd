"""Every kernel against kernels/reference.py in float64, at full size, before anything is timed.

A check returns pairs (what, ratio): the largest error, in units of what rounding explains,

    bound = 4 ε √q · s        q the length of the reduction, s the root of the sum of its squared terms

so that a ratio of 1 is suspicious and a forgotten tap of a window gives a ratio of hundreds.

The definition is too slow for DCGAN's layers, but one output channel of it is not. A convolution y of operands a, b is
linear in b, so with random signs v over the output channels y·v must be the convolution of a and b·v: each number of y
takes part, and a wrong one shows whatever its sign. Source: Freivalds 1977, Probabilistic machines can use less
running time.

Stands on kernels/reference.py and ours.py. Read worker.py next.
"""

import numpy as np

import minigan as mg
from minigan import kernels
from minigan.kernels import reference

from . import ours
from .sizes import ADAM, EPS, SLOPE

BATCH = 4  # of the steps that are compared in float64
EPSILON = np.finfo(np.float32).eps


def check(library, case):
    """The list of (what, ratio) of a case; above 1, or not a number, is wrong."""
    return [(what, float(ratio)) for what, ratio in CHECKS[case.kind](library, *case.arguments)]


def engine(library):
    y, gx = library.engine()()
    exact = np.full(8, library.sizes.chain), np.arange(8)
    return [("value", _ratio(y.data, exact[0], 1, 1)), ("gradient", _ratio(gx.data, exact[1], 1, 1))]


def conv2d(library, layer):
    x, w, _ = ours.triangle(layer)
    y = library.conv2d(layer)()
    return _bilinear("conv2d", y, _options(layer), x, w, axis=3, terms=layer.taps * layer.c)


def conv_transpose2d(library, layer):
    _, w, g = ours.triangle(layer)
    y = library.conv_transpose2d(layer)()
    options = _options(layer) | {"size": (layer.size, layer.size)}
    return _bilinear("conv_transpose2d", y, options, g, w, axis=2, terms=layer.taps * layer.k)


def conv2d_weight(library, layer):
    x, _, g = ours.triangle(layer)
    y = library.conv2d_weight(layer)()
    options = _options(layer) | {"kernel_size": (layer.window, layer.window)}
    return _bilinear("conv2d_weight", y, options, x, g, axis=3, terms=layer.n * layer.out**2)


def _options(layer):
    return {"stride": (layer.stride,) * 2, "padding": (layer.padding,) * 2}


def _bilinear(kernel, y, options, a, b, *, axis, terms):
    """Compare y·v with the definition on a and b·v; `axis` of b is y's last."""
    define = getattr(reference, kernel)
    a, b = a.astype(np.float64), b.astype(np.float64)
    signs = np.random.default_rng(1).choice([-1.0, 1.0], y.shape[-1])
    along = signs.reshape([-1 if i == axis else 1 for i in range(4)])
    exact = define(a, (b * along).sum(axis, keepdims=True), **options)[..., 0]
    squares = define(a * a, (b * b).sum(axis, keepdims=True), **options)[..., 0]
    return [(kernel, _ratio((y * signs).sum(-1), exact, terms, np.sqrt(squares)))]


def batch_norm(library, norm):
    x, gamma, beta, _ = _double(ours.normal(norm))
    exact = reference.batch_norm(
        x, gamma, beta, eps=EPS, slope=SLOPE, moments=reference.batch_norm_moments(x)
    )
    return [("batch_norm", _ratio(library.batch_norm(norm)(), exact, x.size // norm.c, 1 + abs(exact)))]


def batch_norm_backward(library, norm):
    """The incoming gradient is made zero where the activation's kink is closer than rounding can tell."""
    x, gamma, beta, gy = ours.normal(norm)
    wide = _double((x, gamma, beta))
    moments = reference.batch_norm_moments(wide[0])
    gy *= abs(reference.batch_norm(*wide, eps=EPS, slope=1.0, moments=moments)) > 1e-3
    options = {"eps": EPS, "slope": SLOPE}
    exact = reference.batch_norm_backward(gy.astype(np.float64), *wide, moments=moments, **options)
    found = kernels.batch_norm_backward(gy, x, gamma, beta, moments=kernels.batch_norm_moments(x), **options)
    terms = x.size // norm.c
    scales = (abs(exact[0]).max(), np.sqrt(terms), np.sqrt(terms))
    return [(f"batch_norm_backward {part}", _ratio(f, e, terms, scale))
            for part, f, e, scale in zip(("gx", "gγ", "gβ"), found, exact, scales)]  # fmt: skip


def dcgan_step(library, size, channels):
    batch = min(BATCH, library.sizes.batch)
    G, D, real, noise = library.dcgan(size, channels, batch)
    return _adam(G) + _gradients(G, D, real, noise(), terms=batch * size * size)


def ring_step(library):
    batch = library.sizes.ring_batch
    G, D, real, noise = library.ring(batch)
    return _adam(G) + _gradients(G, D, real, noise(), terms=batch)


def dcgan_critic_step(library, size, channels):
    batch = min(BATCH, library.sizes.batch)
    return _penalised(*library.dcgan_critic(size, channels, batch)[:3], terms=batch * size * size)


def critic_step(library):
    batch = library.sizes.ring_batch
    return _penalised(*library.critic(batch)[:3], terms=batch)


def _adam(G):
    """Two steps of the optimiser's kernel on arrays of the generator's shapes."""
    rng = np.random.default_rng(1)
    shapes = [p.shape for p in G.parameters()]
    params, grads = ([rng.standard_normal(s, np.float32) for s in shapes] for _ in range(2))
    exact = _double(params)
    settings = {"lr": ADAM["lr"], "beta1": ADAM["betas"][0], "beta2": ADAM["betas"][1], "eps": 1e-8}
    for run, p, g in ((kernels.adam, params, grads), (reference.adam, exact, _double(grads))):
        ms, vs = ([np.zeros_like(a) for a in p] for _ in range(2))
        for step in (1, 2):
            run(p, g, ms, vs, step=step, **settings)
    return [("adam", max(_ratio(p, e, 1, abs(e) + 2 * ADAM["lr"]) for p, e in zip(params, exact)))]


def _gradients(G, D, real, z, terms):
    """Losses and gradients of a step beside the same step in float64.

    The gradients' bound is wider than rounding: an activation within rounding of its kink may fall to either side, and
    a fraction p of such flips moves a gradient by √p in the 2-norm; p is of the order of ε √q.
    """
    single = _losses_and_gradients(G, D, real, z)
    for network in (G, D):
        network.to(dtype=np.float64)
    double = _losses_and_gradients(G, D, real.to(dtype=np.float64), z.to(dtype=np.float64))
    return [pair for player in "DG" for pair in _compared(player, single[player], double[player], terms)]


def _penalised(C, real, fake, terms):
    """The critic's loss, its penalty in it, and the gradient, beside the same in float64 at the same points."""
    found = []
    for dtype in (np.float32, np.float64):
        C.to(dtype=dtype)
        loss = ours.loss_C(C, real.to(dtype=dtype), fake.to(dtype=dtype), np.random.default_rng(ours.SEED))
        found.append((loss.data, [g.data for g in mg.grad(loss, C.parameters())]))
    return _compared("C", *found, terms)


def _compared(player, single, double, terms):
    (loss, grads), (exact, exact_grads) = single, double
    flips = 4 * np.sqrt(EPSILON * np.sqrt(terms))
    largest = max(_norm(e) for e in exact_grads)  # for one that is exactly 0: a critic's last bias
    away = [_norm(g - e) / (_norm(e) or largest) / flips for g, e in zip(grads, exact_grads)]
    return [(f"loss of {player}", _ratio(loss, exact, terms, abs(exact))), (f"gradient of {player}", np.max(away))]


def _losses_and_gradients(G, D, real, z):
    fake = G(z)
    losses = {"D": (ours.loss_D(D(real), D(fake.detach())), D), "G": (ours.loss_G(D(fake)), G)}
    return {player: (loss.data, [g.data for g in mg.grad(loss, network.parameters())])
            for player, (loss, network) in losses.items()}  # fmt: skip


def _norm(x):
    return np.sqrt((x * x).sum())


def _double(arrays):
    return [a.astype(np.float64) for a in arrays]


def _ratio(found, exact, terms, scale):
    """The largest of |found - exact| / (4 ε √terms · scale), ε that of float32."""
    bound = 4 * EPSILON * np.sqrt(terms) * scale + np.finfo(np.float64).tiny
    return np.max(abs(found - exact) / bound)


_all = (
    engine, conv2d, conv_transpose2d, conv2d_weight, batch_norm, batch_norm_backward, dcgan_step, dcgan_critic_step,
    ring_step, critic_step,
)  # fmt: skip
CHECKS = {f.__name__: f for f in _all} | {"dcgan_step_equal_work": dcgan_step}
