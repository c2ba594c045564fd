"""Every kernel against kernels/reference.py in float64, at full size, before anything is timed.

A check returns pairs (what, ratio): the largest error, in units of what rounding explains (bounds.py).

Stands on kernels/reference.py, bounds.py and ours.py. Read worker.py next; for a GPU, gpu/checks.py.
"""

import numpy as np

import minigan as mg
from minigan import kernels
from minigan.kernels import reference
from minigan.kernels.rounding import real

from . import ours
from .bounds import SINGLE, Bilinear, ratio
from .place import Host
from .sizes import ADAM, EPS, SLOPE

BATCH = 4  # of the steps that are compared in float64
OPTIMISERS = {  # kernel: its settings, and how many states it keeps
    "adam": ({"lr": ADAM["lr"], "beta1": ADAM["betas"][0], "beta2": ADAM["betas"][1], "eps": 1e-8}, 2),
    "rmsprop": ({"lr": 1e-3, "alpha": 0.99, "eps": 1e-8}, 1),
    "sgd": ({"lr": 1e-2, "momentum_rate": 0.9}, 1),
}


def check(library, case):
    """The list of (what, ratio) of a case; above 1, or not a number, is wrong."""
    return [(what, float(error)) for what, error in CHECKS[case.kind](library, *case.arguments)]


def engine(library):
    y, gx = library.engine()()
    exact = np.full(8, library.sizes.chain), np.arange(8)
    return [("value", ratio(y.data, exact[0], 1, 1)), ("gradient", ratio(gx.data, exact[1], 1, 1))]


def conv2d(library, layer):
    return [("conv2d", definition("conv2d", layer)[1].error(library.conv2d(layer)()))]


def conv_transpose2d(library, layer):
    return [("conv_transpose2d", definition("conv_transpose2d", layer)[1].error(library.conv_transpose2d(layer)()))]


def conv2d_weight(library, layer):
    return [("conv2d_weight", definition("conv2d_weight", layer)[1].error(library.conv2d_weight(layer)()))]


def definition(kernel, layer):
    """(the two operands of one side of the conv triangle, what their convolution must be)."""
    x, w, g = ours.triangle(layer)
    options = {"stride": (layer.stride,) * 2, "padding": (layer.padding,) * 2}
    operands, axis, terms, more = {
        "conv2d": ((x, w), 3, layer.taps * layer.c, {}),
        "conv_transpose2d": ((g, w), 2, layer.taps * layer.k, {"size": (layer.size,) * 2}),
        "conv2d_weight": ((x, g), 3, layer.n * layer.out**2, {"kernel_size": (layer.window,) * 2}),
    }[kernel]
    return operands, Bilinear(kernel, *operands, axis, terms, **options, **more)


def batch_norm(library, norm, rounding=SINGLE):
    place, (x, gamma, beta, _) = library.place, _as_it_lies(ours.normal(norm), rounding)
    wide = _double((x, gamma, beta))
    exact = reference.batch_norm(*wide, eps=EPS, slope=SLOPE, moments=reference.batch_norm_moments(wide[0]))
    arrays = [place.put(a) for a in (x, gamma, beta)]
    found = place.host(kernels.batch_norm(*arrays, eps=EPS, slope=SLOPE))
    return [("batch_norm", ratio(found, exact, x.size // norm.c, 1 + abs(exact), rounding))]


def batch_norm_backward(library, norm, rounding=SINGLE):
    """The incoming gradient is made zero where the activation's kink is closer than rounding can tell."""
    place, (x, gamma, beta, gy) = library.place, _as_it_lies(ours.normal(norm), rounding)
    wide = _double((x, gamma, beta))
    moments = reference.batch_norm_moments(wide[0])
    gy[abs(reference.batch_norm(*wide, eps=EPS, slope=1.0, moments=moments)) <= 1e-3] = 0
    options = {"eps": EPS, "slope": SLOPE}
    exact = reference.batch_norm_backward(gy.astype(np.float64), *wide, moments=moments, **options)
    arrays = [place.put(a) for a in (gy, x, gamma, beta)]
    found = kernels.batch_norm_backward(*arrays, moments=kernels.batch_norm_moments(arrays[1]), **options)
    terms = x.size // norm.c
    scales = (abs(exact[0]).max(), np.sqrt(terms), np.sqrt(terms))
    return [(f"batch_norm_backward {part}", ratio(place.host(f), e, terms, scale, rounding))
            for part, f, e, scale in zip(("gx", "gγ", "gβ"), found, exact, scales)]  # fmt: skip


def _as_it_lies(arrays, rounding):
    """x, γ, β, gy in the dtypes that a kernel takes: what belongs to a channel is never bf16."""
    x, gamma, beta, gy = arrays
    dtype = np.dtype(rounding.dtype)
    return x.astype(dtype), gamma.astype(real(dtype)), beta.astype(real(dtype)), gy.astype(dtype)


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
    return optimiser("adam", [p.shape for p in G.parameters()], Host)


def optimiser(kernel, shapes, place, rounding=SINGLE):
    """Two steps of an optimiser's kernel on arrays of these shapes."""
    rng, (settings, states) = np.random.default_rng(1), OPTIMISERS[kernel]
    params, grads = ([rng.standard_normal(s, np.float32) for s in shapes] for _ in range(2))
    exact, fast = _double(params), [[place.put(a.astype(rounding.dtype)) for a in of] for of in (params, grads)]
    for define, (p, g) in ((reference, (exact, _double(grads))), (kernels, fast)):
        zeros = [[np.zeros_like(a) for a in p] for _ in range(states)]
        for step in (1, 2):
            count = {"step": step} if kernel == "adam" else {}
            getattr(define, kernel)(p, g, *zeros, **settings, **count)
    scales = [abs(e) + abs(e - p).max() for p, e in zip(params, exact)]
    found = [place.host(p) for p in fast[0]]
    return [(kernel, max(ratio(f, e, 1, s, rounding) for f, e, s in zip(found, exact, scales)))]


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
        found.append((loss.numpy(), [g.numpy() for g in mg.grad(loss, C.parameters())]))
    return _compared("C", *found, terms)


def _compared(player, single, double, terms):
    (loss, grads), (exact, exact_grads) = single, double
    flips = 4 * np.sqrt(np.finfo(np.float32).eps * np.sqrt(terms))
    largest = max(_norm(e) for e in exact_grads)  # for one that is exactly 0: a critic's last bias
    away = [_norm(g - e) / (_norm(e) or largest) / flips for g, e in zip(grads, exact_grads)]
    return [(f"loss of {player}", ratio(loss, exact, terms, abs(exact))), (f"gradient of {player}", np.max(away))]


def _losses_and_gradients(G, D, real, z):
    fake = G(z)
    losses = {"D": (ours.loss_D(D(real), D(fake.detach())), D), "G": (ours.loss_G(D(fake)), G)}
    return {player: (loss.numpy(), [g.numpy() for g in mg.grad(loss, network.parameters())])
            for player, (loss, network) in losses.items()}  # fmt: skip


def _norm(x):
    return np.sqrt((x * x).sum())


def _double(arrays):
    return [a.astype(np.float64) for a in arrays]


_all = (
    engine, conv2d, conv_transpose2d, conv2d_weight, batch_norm, batch_norm_backward, dcgan_step, dcgan_critic_step,
    ring_step, critic_step,
)  # fmt: skip
CHECKS = {f.__name__: f for f in _all} | {"dcgan_step_equal_work": dcgan_step}
