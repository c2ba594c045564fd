"""f-GAN: one Gaussian fitted to two modes, and how the divergence decides what is given up.

    P = 0.33 N(-1, 0.255²) + 0.67 N(2, 2)          Q : x = μ + σz, a generator of two parameters

    V minimises   -E_P[g(V(x))] + E_Q[f*(g(V(x)))]      minus a lower bound of the divergence D_f(P ‖ Q)
    Q minimises   -E_Q[f*(g(V(x)))]                     the bound itself, as far as it depends on Q

    Nowozin, Cseke and Tomioka 2016 (f-GAN, 1606.00709), section 2 (the bound, g and f*) and its experiment with one
    Gaussian for a mixture; V is a tanh network of two layers of 64 as there.

Q cannot be P, so every divergence has an optimum of its own. Minimising over μ and σ by quadrature gives it without any
game: that is what the game has to find. Pearson's χ² and KL(P ‖ Q) punish a Q that misses samples and spread it over
both modes; KL(Q ‖ P) punishes a Q that invents some and draws it to the broad mode; the others lie between.

Of the paper's table the optima are claimed ("paper"), quoted from memory. Its mixture is not: this one was found as the
one of which quadrature gives those optima. That it does so for all of them at once is the first claim. The learned mean
and scale may be off by 0.05, a fifth of the least gap between the means of the paper's table.

    python examples/12_f_gan.py                                # five divergences, half a minute; runs/f-gan/fits.png
    python examples/12_f_gan.py --divergence total-variation   # FAILs: V's tanh is soon at its ends, and Q stands still
"""

import numpy as np

import minigan as mg
from minigan.claims import Claim, verdict
from minigan.gan.divergences import DIVERGENCES
from minigan.gan.losses import game
from minigan.gan.networks import mlp
from minigan.nn import Module, Tanh
from minigan.nn.init import parameter
from minigan.optim import Adam
from minigan.plot import BLUE, GREEN, GREY, ORANGE, PURPLE, new_figure, save_figure
from minigan.run import Run, arguments, main

WEIGHTS, MEANS, SCALES = np.array([0.33, 0.67]), np.array([-1.0, 2.0]), np.array([0.255, 2**0.5])
X, DX = np.linspace(-9, 12, 2101, retstep=True)
PAPER = {"pearson": (0.5737, 1.9274), "kl": (1.0100, 1.8308), "jensen-shannon": (1.3070, 1.7542),
         "reverse-kl": (1.5782, 1.6319)}  # fmt: skip
COLOURS = {"pearson": PURPLE, "kl": BLUE, "jensen-shannon": GREEN, "squared-hellinger": GREY, "reverse-kl": ORANGE}


class Gaussian(Module):
    """G: z ↦ μ + σz."""

    def __init__(self):
        self.mu, self.sigma = parameter([0.0]), parameter([1.0])

    def forward(self, z):
        return self.mu + self.sigma * z


def mixture(rng, n):
    mode = rng.choice(2, n, p=WEIGHTS)
    return mg.tensor((MEANS[mode] + SCALES[mode] * rng.standard_normal(n))[:, None], dtype=np.float32)


def density(mu, sigma):
    """Of N(μ, σ²) on the grid; μ and σ may be arrays (..., 1)."""
    return np.exp(-0.5 * ((X - mu) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))


def target():
    return sum(w * density(m, s) for w, m, s in zip(WEIGHTS, MEANS, SCALES))


def divergence(name, mu, sigma):
    """D_f(P ‖ N(μ, σ²)) = ∫ q f(p/q) dx."""
    q = density(mu, sigma)
    return (q * DIVERGENCES[name].f(mg.tensor(target() / q)).numpy()).sum(-1) * DX


def optimum(name):
    """(μ, σ) of least divergence: grids, each around the best point of the one before."""
    best, width = np.array([1.0, 1.5]), np.array([2.0, 0.9])
    for _ in range(16):
        mu, sigma = (best[:, None] + width[:, None] * np.linspace(-1, 1, 11))[:, :, None]
        values = divergence(name, mu[:, None], sigma[None])
        i, j = np.unravel_index(values.argmin(), values.shape)
        best, width = np.array([mu[i, 0], sigma[j, 0]]), width / 2
    return best


def fit(name, args):
    """Play the game of a divergence; yields (step, G) after each step."""
    rng = np.random.default_rng(args.seed)
    V, G = mlp([1, 64, 64, 1], rng, Tanh), Gaussian()
    opt_V, opt_G = (Adam(network.parameters(), args.lr, betas=(0.5, 0.999)) for network in (V, G))
    d_loss, g_loss = game(f"f-gan:{name}")

    def noise():
        return mg.tensor(rng.standard_normal((args.batch, 1), dtype=np.float32))

    for t in range(1, args.steps + 1):
        opt_V.lr = opt_G.lr = args.lr * (1 - (t - 1) / args.steps)  # to 0, or the players circle for ever
        opt_V.step(mg.grad(d_loss(V(mixture(rng, args.batch)), V(G(noise()).detach())), V.parameters()))
        opt_G.step(mg.grad(g_loss(V(G(noise()))), G.parameters()))
        yield t, G


def train(args):
    names = list(COLOURS) if args.divergence == "all" else [args.divergence]
    with Run(args.out, args) as run:
        best, found = {name: optimum(name) for name in names}, {}
        steps = ((name, t, G) for name in names for t, G in fit(name, args))
        for name, t, G in run.progress(steps, total=len(names) * args.steps):
            found[name] = G.mu.item(), abs(G.sigma.item())
            if t % 50 == 0:
                run.log(t, {f"mean, {name}": found[name][0], f"scale, {name}": found[name][1]})
        draw(run.out / "fits.png", found, best)
        return verdict(claims(best, found), run.out)


def claims(best, found):
    printed = [name for name in best if name in PAPER]
    if printed:
        off = max(abs(best[name] - PAPER[name]).max() for name in printed)
        yield Claim("optima by quadrature less the paper's, at most", "< 0.002", off, off < 0.002, "{:.4f}")
    for name in best:
        paper = [f"{number:.4f}" for number in PAPER[name]] if name in PAPER else ["", ""]
        for what, learned, exact, printed in zip(("mean", "scale"), found[name], best[name], paper):
            near = abs(learned - exact) < 0.05
            yield Claim(f"{what}, {name}", f"{exact:.3f} ± 0.05", learned, near, "{:.3f}", printed)
    if len(found) > 1:
        order = [name for name in COLOURS if name in found and name in PAPER]
        means, scales = np.array([found[name] for name in order]).T
        kept = int((np.diff(means) > 0).sum() + (np.diff(scales) < 0).sum())
        yield Claim("Pearson, KL, JS, reverse KL: further right, narrower", "6 of 6", kept, kept == 6, "{} of 6")


def draw(path, found, best):
    """The target's density, each fitted Gaussian, and dotted the optimum that it should be."""
    figure, (axes,) = new_figure(9, 5)
    axes.fill_between(X, target(), color="#e6e6e6", label="P, the target")
    for name, (mu, sigma) in found.items():
        colour = COLOURS.get(name, BLUE)
        axes.plot(X, density(mu, sigma), color=colour, linewidth=2, label=f"{name}: {mu:.2f}, {sigma:.2f}")
        axes.plot(X, density(*best[name]), ":", color="black", linewidth=1)
    axes.set(xlim=(-5, 7), ylim=(0, None), xlabel="x", ylabel="density")
    axes.legend(frameon=False, title="learned mean, scale (dotted: the optimum)")
    save_figure(path, figure)


if __name__ == "__main__":
    parser = arguments(__doc__, steps=2500, out="runs/f-gan", lr=5e-3, batch=256)
    choices = ["all", *DIVERGENCES]
    parser.add_argument("--divergence", choices=choices, default="all", help="one of the rows; all: those drawn")
    main(train, parser)
