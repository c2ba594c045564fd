"""WGAN-div: a slope is paid for, but none is asked for, so it does not matter where one looks.

    C minimises   E[C(G(z))] - E[C(x)] + k E[‖∇C(x̂)‖^p],   k = 2, p = 6
    G minimises   -E[C(G(z))]

    Wu et al. 2018 (Wasserstein divergence for GANs, 1712.01026), equation 9; k and p are its choice.

WGAN-GP wants slope 1 at x̂, which only stands for a Lipschitz bound if x̂ lies where sand is moved: between real and
generated samples. The Wasserstein divergence is a divergence for whatever smooth distribution x̂ has (the paper's
theorem 1), so here the places are swept: between real and generated, at both, at either alone, between two real ones,
between two generated ones. At every place the ring must come out whole: all eight modes, most samples within 3 sigma.

    python examples/11_wgan_div.py                      # half a minute; look at runs/wgan-div/places.png
    python examples/11_wgan_div.py --place real         # one place alone

The paper's four critic steps and its Adam with 2e-4 are for images; here the critic takes one step for each of G's, and
the step size falls to 0, or the points would go on dancing around the modes.
"""

from pathlib import Path

import numpy as np

import minigan as mg
from minigan.claims import Claim, verdict
from minigan.data import Batches, ring, ring_centers
from minigan.gan import algorithm1
from minigan.gan.losses import wasserstein_d, wasserstein_g
from minigan.gan.networks import mlp
from minigan.gan.penalties import PLACES, wasserstein_divergence_penalty
from minigan.metrics import mode_statistics
from minigan.nn import LeakyReLU
from minigan.optim import Adam
from minigan.plot import BLUE, ORANGE, new_figure, save_figure
from minigan.run import Run, arguments, main

LATENT, SIGMA = 2, 0.02


def train(args):
    samples = {place: train_at(place, args) for place in (PLACES if args.place == "all" else [args.place])}
    draw(Path(args.out) / "places.png", samples)
    return judge(samples, args.out)


def train_at(place, args):
    """A GAN whose penalty looks at one place → 2,500 samples."""
    rng = np.random.default_rng(args.seed)
    batches = Batches(lambda rng, n: ring(rng, n, sigma=SIGMA), args.batch, np.random.default_rng(args.seed + 1))
    widths = [args.width] * 3
    G, C = mlp([LATENT, *widths, 2], rng), mlp([2, *widths, 1], rng, lambda: LeakyReLU(0.2))
    opt_G, opt_C = (Adam(net.parameters(), args.lr, betas=(0.0, 0.9)) for net in (G, C))

    def noise(n):
        return mg.tensor(rng.standard_normal((n, LATENT), dtype=np.float32))

    def c_step(real):
        real, fake = mg.tensor(real), G(noise(len(real))).detach()
        penalty = wasserstein_divergence_penalty(C, PLACES[place](real, fake, rng), k=2, p=6)
        loss = wasserstein_d(C(real), C(fake))
        opt_C.step(mg.grad(loss + penalty, C.parameters()))
        return {"loss_C": loss.item(), "penalty": penalty.item()}

    def g_step():
        loss = wasserstein_g(C(G(noise(args.batch))))
        opt_G.step(mg.grad(loss, G.parameters()))
        return {"loss_G": loss.item()}

    parts = {"G": G, "C": C, "opt_G": opt_G, "opt_C": opt_C, "rng": rng, "batches": batches}
    out = Path(args.out) / place.replace(" ", "-")
    resume = args.resume and (out / "checkpoint.safetensors").exists()  # the places after the one that was stopped
    with Run(out, vars(args) | {"place": place}, resume=resume) as run:
        start = run.restore(**parts)
        run.checkpoint_on_exit(lambda: parts)
        steps = algorithm1(c_step, g_step, batches, start=start, steps=args.steps)
        for t, seen in run.progress(steps, total=args.steps, initial=start, batch_size=args.batch):
            opt_G.lr = opt_C.lr = args.lr * (1 - t / args.steps)
            if t % 10 == 0:
                run.log(t, seen)
        run.save(args.steps, **parts)
    with mg.no_grad():
        return G(noise(2500)).numpy()


def judge(samples, out):
    claims = []
    for place, points in samples.items():
        seen = mode_statistics(points, ring_centers(), SIGMA)
        claims += [
            Claim(f"{place}: modes covered", "8 of 8", seen.modes, seen.modes == 8, "{} of 8"),
            Claim(f"{place}: within 3 sigma", "> 70 %", seen.high_quality, seen.high_quality > 0.7, "{:.1%}"),
        ]
    return verdict(claims, out)


def draw(path, samples):
    """The samples of each place over the ring."""
    real = ring(np.random.default_rng(0), 500, sigma=SIGMA)
    columns = min(3, len(samples))
    rows = -(-len(samples) // columns)
    figure, all_axes = new_figure(3.6 * columns, 3.7 * rows, rows=rows, columns=columns)
    for axes, (place, points) in zip(all_axes, samples.items()):
        axes.scatter(*real.T, s=4, color=BLUE, linewidths=0)
        axes.scatter(*points[:1000].T, s=3, color=ORANGE, linewidths=0, alpha=0.6)
        axes.set(xlim=(-1.5, 1.5), ylim=(-1.5, 1.5), aspect="equal", title=f"slope measured: {place}")
        axes.set(xticks=(), yticks=())
    save_figure(path, figure)


if __name__ == "__main__":
    parser = arguments(__doc__, steps=1500, out="runs/wgan-div", lr=2e-3, batch=128, width=64)
    parser.add_argument("--place", choices=["all", *PLACES], default="all", help="where the slope is measured")
    main(train, parser)
