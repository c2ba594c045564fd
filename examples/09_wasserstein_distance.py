"""A critic measures a distance: its gap against the exact Wasserstein distance, on a line, where that can be computed.

    W1(p, q) = max over C of slope at most 1 of   E_p[C(x)] - E_q[C(x)]           Kantorovich and Rubinstein

    penalty    C minimises  E_q[C] - E_p[C] + λ E[(|C'(x̂)| - 1)²],  λ = 10        WGAN-GP, Gulrajani et al. 2017
    clipping   C minimises  E_q[C] - E_p[C],  every weight cut to [-0.01, 0.01]    WGAN, Arjovsky et al. 2017

p has two modes, q is a Gaussian that starts in their middle and moves away; at each place of q a critic of each kind is
trained from fresh weights. With the penalty the gap is W1 itself and a little more: a slope s on a straight stretch
earns s W1 and pays λ (s - 1)², so that the best s is 1 + W1/2λ, and the gap W1 + W1²/2λ. Clipping bounds the slope too,
but by a number that only the network's shape decides: the gap is W1 times some factor (WGAN, section 3), and says which
of two distances is the larger. The factor is smallest where W1 wants C to bend, with q in the middle.

    python examples/09_wasserstein_distance.py     # twenty seconds; look at runs/wasserstein/gaps.png

RMSprop at 5e-5 and the bound 0.01 are WGAN's own, Adam with (0, 0.9) is WGAN-GP's; its step of 1e-4 is larger here, and
falls to 0, because a critic of this size can bear it.
"""

import numpy as np

import minigan as mg
from minigan.claims import Claim, verdict
from minigan.gan.losses import wasserstein_d
from minigan.gan.networks import mlp
from minigan.gan.penalties import clip_weights, gradient_penalty
from minigan.metrics import wasserstein_1d
from minigan.nn import LeakyReLU
from minigan.optim import Adam, RMSprop
from minigan.plot import BLUE, GREY, ORANGE, new_figure, save_figure
from minigan.run import Run, arguments, main

PLACES = (0.0, 1.0, 1.5, 2.0, 3.0)  # q's mean; p's modes are at -1 and 1
LAMBDA, BOUND = 10.0, 0.01


def p(rng, n):
    return (rng.choice([-1.0, 1.0], (n, 1)) + 0.25 * rng.standard_normal((n, 1))).astype(np.float32)


def q(rng, n, place):
    return (place + 0.5 * rng.standard_normal((n, 1))).astype(np.float32)


def critic(args, rng):
    # Leaky: a ReLU that clipping has switched off for every sample never comes back, and the gap is then one of luck.
    return mlp([1, args.width, args.width, 1], rng, lambda: LeakyReLU(0.2))


def gap(C, real, fake):
    with mg.no_grad():
        return -wasserstein_d(C(mg.tensor(real)), C(mg.tensor(fake))).item()


def penalised(place, args, rng):
    """A critic whose slope is drawn to 1."""
    C = critic(args, rng)
    opt = Adam(C.parameters(), args.lr, betas=(0.0, 0.9))
    for t in range(args.steps):
        opt.lr = args.lr * (1 - t / args.steps)
        real, fake = mg.tensor(p(rng, args.batch)), mg.tensor(q(rng, args.batch, place))
        # λ rises: under all of it from the start, a slope of the wrong sign stays, for it would have to cross 0.
        penalty = LAMBDA * min(1, 2 * t / args.steps) * gradient_penalty(C, real, fake, rng)
        loss = wasserstein_d(C(real), C(fake)) + penalty
        opt.step(mg.grad(loss, C.parameters()))
    return C


def clipped(place, args, rng):
    """A critic whose weights are cut off."""
    C = critic(args, rng)
    opt = RMSprop(C.parameters(), 5e-5)
    for _ in range(args.steps):
        loss = wasserstein_d(C(mg.tensor(p(rng, args.batch))), C(mg.tensor(q(rng, args.batch, place))))
        opt.step(mg.grad(loss, C.parameters()))
        clip_weights(C, BOUND)
    return C


def train(args):
    rng = np.random.default_rng(args.seed)
    rows = []
    with Run(args.out, args) as run:
        for t, place in run.progress(enumerate(PLACES), total=len(PLACES)):
            real, fake = p(rng, 100_000), q(rng, 100_000, place)
            row = {"W1": wasserstein_1d(real[:, 0], fake[:, 0])}
            row |= {kind.__name__: gap(kind(place, args, rng), real, fake) for kind in (penalised, clipped)}
            run.log(t, row)
            rows.append(row)
    w1, with_penalty, with_clipping = (np.array([row[name] for row in rows]) for name in ("W1", "penalised", "clipped"))
    draw(run.out / "gaps.png", w1, with_penalty, with_clipping)
    return judge(w1, with_penalty, with_clipping, run.out)


def judge(w1, with_penalty, with_clipping, out):
    factor = with_clipping / w1
    print("q's mean   W1      gap, penalty      gap, clipping   gap / W1")
    for place, w, a, b, f in zip(PLACES, w1, with_penalty, with_clipping, factor):
        print(f"{place:8.1f}   {w:.3f}   {a:.3f} ({a / w - 1:+6.1%})   {b:.3e}       {f:.2e}")
    error = np.abs(with_penalty / w1 - 1).max()
    explained = np.abs(with_penalty / (w1 + w1**2 / (2 * LAMBDA)) - 1).max()
    rises = int((np.diff(with_clipping[np.argsort(w1)]) > 0).sum())
    pairs = len(w1) - 1
    claims = [
        Claim("penalty: |gap / W1 - 1|, at most", "< 20 %", error, error < 0.2, "{:.1%}"),
        Claim("the same, of W1 + W1²/2λ", "< 3 %", explained, explained < 0.03, "{:.1%}"),
        Claim("clipping: rises with W1", f"{pairs} of {pairs}", rises, rises == pairs, f"{{}} of {pairs}"),
        Claim("clipping: largest gap / W1", "< 0.1: no distance", factor.max(), factor.max() < 0.1, "{:.4f}"),
    ]
    return verdict(claims, out)


def draw(path, w1, with_penalty, with_clipping):
    """Both gaps over W1, the clipped one on an axis of its own."""
    figure, (left, right) = new_figure(10, 4.6, columns=2)
    left.plot([0, w1.max()], [0, w1.max()], color=GREY, linestyle="--", label="W1")
    left.plot(w1, w1 + w1**2 / (2 * LAMBDA), color=GREY, linestyle=":", label="W1 + W1²/2λ")
    left.plot(w1, with_penalty, "o", color=BLUE, label="gap with the penalty")
    right.plot(w1, with_clipping, "o-", color=ORANGE, label="gap with clipping")
    for axes in (left, right):
        axes.set(xlabel="exact W1", xlim=(0, None), ylim=(0, None))
        axes.legend(frameon=False)
    save_figure(path, figure)


if __name__ == "__main__":
    main(train, arguments(__doc__, steps=1000, out="runs/wasserstein", lr=2e-3, batch=256, width=64))
