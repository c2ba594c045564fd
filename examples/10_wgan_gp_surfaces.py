"""What a critic learns when its weights are clipped, and when its slope is penalised: six surfaces.

    clipping   C minimises  E[C(G)] - E[C(x)],  every weight cut to [-c, c], c = 0.01             WGAN
    penalty    C minimises  E[C(G)] - E[C(x)] + λ E[(‖∇C(x̂)‖ - 1)²],  x̂ = εx + (1-ε)G, λ = 10     WGAN-GP

    Gulrajani et al. 2017 (WGAN-GP, 1704.00028), figure 1: 8 Gaussians, 25 Gaussians and the swiss roll in the paper's
    sizes; the "generator" is held at the data plus unit Gaussian noise, and C alone is trained.

The paper shows what clipping costs; here it is counted. Clipped weights, which start anywhere in [-c, c], end at ±c,
and C is little more than one cone. With the penalty ∇C has length 1 around x and G, no weight is at a special place,
and C follows the modes. Its gap over its steepest slope, which for every C is at most W1, comes out larger: it has used
more of the shape of the data.

    python examples/10_wgan_gp_surfaces.py                      # half a minute; look at runs/surfaces/surfaces.png
    python examples/10_wgan_gp_surfaces.py --break batch-norm   # batch norm in the critic: its gap turns negative

The batch of 256 and Adam with (0, 0.9) are the paper's. For time its 1e-4 is larger here and falls to 0, the network
is narrower. Clipping is WGAN's, with RMSprop at 5e-5.
"""

import numpy as np

import minigan as mg
from minigan.claims import Claim, verdict
from minigan.data import grid, ring, swiss_roll
from minigan.gan.losses import wasserstein_d
from minigan.gan.networks import mlp
from minigan.gan.penalties import between, clip_weights, gradient_penalty
from minigan.nn import BatchNorm1d, LeakyReLU, Linear, Sequential
from minigan.ops import sum
from minigan.optim import Adam, RMSprop
from minigan.plot import BLUE, GREY, field_colours, new_figure, save_figure
from minigan.run import Run, arguments, main

DATA = {  # all with a standard deviation of about 1
    "8 Gaussians": lambda rng, n: ring(rng, n, radius=2 / 2**0.5, sigma=0.02 / 2**0.5),
    "25 Gaussians": lambda rng, n: grid(rng, n, spacing=2 / 8**0.5, sigma=0.05 / 8**0.5),
    "swiss roll": swiss_roll,
}
LAMBDA, BOUND = 10.0, 0.01
WHY = """Batch norm: the penalty asks for a slope at each point, but C's value at a point now depends on its whole
batch, so that the gradient of ΣC is no point's own slope; and real, generated and in-between batches are each
normalised by statistics of their own, which moves them onto one another. WGAN-GP, section 4: layer norm, or none."""


def noisy(rng, x):
    """The "generator": data plus unit Gaussian noise."""
    return x + rng.standard_normal(x.shape, dtype=np.float32)


def critic(args, rng, batch_norm=False):
    """Three hidden layers; leaky, because a ReLU that clipping has switched off for every sample never comes back."""
    if not batch_norm:
        return mlp([2, args.width, args.width, args.width, 1], rng, lambda: LeakyReLU(0.2))
    layers = []
    for inputs in (2, args.width, args.width):
        layers += [Linear(inputs, args.width, rng=rng), BatchNorm1d(args.width), LeakyReLU(0.2)]
    return Sequential(*layers, Linear(args.width, 1, rng=rng))


def clipped(draw, args, rng):
    C = critic(args, rng)
    for w in C.parameters():  # start evenly within [-c, c]: cut off, most would be at the ends before they learn
        w.data *= BOUND / np.abs(w.data).max()
    opt = RMSprop(C.parameters(), 5e-5)
    for _ in range(args.steps // 2):  # as near to its end as the other: it has less to find
        x = draw(rng, args.batch)
        loss = wasserstein_d(C(mg.tensor(x)), C(mg.tensor(noisy(rng, x))))
        opt.step(mg.grad(loss, C.parameters()))
        clip_weights(C, BOUND)
    return C


def penalised(draw, args, rng, batch_norm=False):
    C = critic(args, rng, batch_norm)
    opt = Adam(C.parameters(), args.lr, betas=(0.0, 0.9))
    for t in range(args.steps):
        opt.lr = args.lr * (1 - t / args.steps)
        x = draw(rng, args.batch)
        real, fake = mg.tensor(x), mg.tensor(noisy(rng, x))
        # λ rises to its value from a hundredth of it. Under all of it at once a slope of the wrong sign stays wrong,
        # because it would have to cross 0; and C finds the cone before it finds the modes, and then keeps it.
        penalty = LAMBDA * 0.01 ** max(0, 1 - 1.1 * t / args.steps) * gradient_penalty(C, real, fake, rng)
        loss = wasserstein_d(C(real), C(fake)) + penalty
        opt.step(mg.grad(loss, C.parameters()))
    return C.eval()


def slopes(C, points):
    """‖∇C‖ at each point (N, 2) → (N,)."""
    points = mg.tensor(points, requires_grad=True)
    (gradient,) = mg.grad(sum(C(points)), [points])
    return np.linalg.norm(gradient.numpy(), axis=1)


def at_the_edge(C):
    """Share of C's weights within 1 % of the largest of them: clipped ones gather at ±c."""
    weights = np.concatenate([np.abs(w.data).ravel() for w in C.parameters() if w.ndim == 2])
    return (weights >= 0.99 * weights.max()).mean()


def measure(C, draw, rng, n=4000):
    """{figure: value} of a trained critic, on fresh samples."""
    x = draw(rng, n)
    fake = noisy(rng, x)
    with mg.no_grad():
        gap = -wasserstein_d(C(mg.tensor(x)), C(mg.tensor(fake))).item()
    slope = slopes(C, np.concatenate([x, fake, between(x, fake, rng).numpy()]))
    return {"gap": gap, "slope": np.median(slope), "gap / steepest": gap / slope.max(), "at the edge": at_the_edge(C)}


def train(args):
    rng = np.random.default_rng(args.seed)
    surfaces, rows = {}, {}
    with Run(args.out, args) as run:
        cases = [(kind, name) for kind in ("clipping", "penalty") for name in DATA]
        for t, (kind, name) in run.progress(enumerate(cases), total=len(cases)):
            if kind == "clipping":
                C = clipped(DATA[name], args, rng)
            else:
                C = penalised(DATA[name], args, rng, args.break_ == "batch-norm")
            rows[kind, name] = measure(C, DATA[name], rng)
            surfaces[kind, name] = C
            run.log(t, rows[kind, name])
    draw(run.out / "surfaces.png", surfaces, rng)
    return judge(rows, run.out, args.break_)


def judge(rows, out, broken):
    for (kind, name), row in rows.items():
        print(f"{kind:9}{name:13}", "  ".join(f"{figure} {value:.3g}" for figure, value in row.items()))
    if broken:
        print(WHY)
    slope = max((rows["penalty", name]["slope"] for name in DATA), key=lambda s: abs(s - 1))
    more = min(rows["penalty", name]["gap / steepest"] / rows["clipping", name]["gap / steepest"] for name in DATA)
    edge = min(rows["clipping", name]["at the edge"] for name in DATA)
    inside = max(rows["penalty", name]["at the edge"] for name in DATA)
    claims = [
        Claim("penalty: median slope, farthest from 1", "0.9 to 1.1", slope, abs(slope - 1) < 0.1, "{:.3f}"),
        Claim("gap / steepest slope, over clipping's, least", "> 1", more, more > 1, "{:.2f}"),
        Claim("clipping: weights within 1 % of ±c, least", "> 80 %", edge, edge > 0.8, "{:.1%}"),
        Claim("penalty: weights within 1 % of the largest", "< 1 %", inside, inside < 0.01, "{:.1%}"),
    ]
    return verdict(claims, out)


def draw(path, surfaces, rng):
    """Level lines of each critic's value and the data: clipping above, the penalty below."""
    edge, pixels = 2.6, 120
    line = np.linspace(-edge, edge, pixels, dtype=np.float32)
    grid_points = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    figure, all_axes = new_figure(10.5, 7.2, rows=2, columns=3)
    for axes, ((kind, name), C) in zip(all_axes, surfaces.items()):
        with mg.no_grad():
            value = C(mg.tensor(grid_points)).numpy().reshape(pixels, pixels)
        axes.contourf(line, line, value, levels=20, cmap=field_colours())
        axes.contour(line, line, value, levels=20, colors=GREY, linewidths=0.6, linestyles="-")
        axes.scatter(*DATA[name](rng, 800).T, s=3, color=BLUE, linewidths=0)
        axes.set(title=f"{name}, {kind}", aspect="equal", xticks=(), yticks=())
    save_figure(path, figure)


if __name__ == "__main__":
    parser = arguments(__doc__, steps=2500, out="runs/surfaces", lr=1e-2, batch=256, width=64)
    parser.add_argument("--break", dest="break_", choices=["batch-norm"], help="see what a wrong critic does")
    main(train, parser)
