"""Four figures of the GAN textbook, each drawn from the code that trains and each with a number that must come out.

    costs.png      what G minimises on a sample that D gives D(G(z)) = σ(l'), by the loss functions themselves:
                   ½ log(1 - D) has no slope left where D is sure, -log D has, -½ D/(1 - D) has nearly all of its at 1
    fits.png       one Gaussian q for a two-mode density p: the q of least KL(p‖q) covers both modes, with p's mean and
                   variance (exactly), the q of least KL(q‖p) sits on one
    distances.png  two uniform densities of width 1, shifted: once they are disjoint, the Jensen-Shannon divergence is
                   log 2 at every gap and tells G nothing; W1 goes on falling with the gap
    game.png       V(x, y) = xy, x descends and y ascends: simultaneous steps of size η multiply the distance from the
                   equilibrium by sqrt(1 + η²), every time; steps in turn keep x² + y² - ηxy; neither ever arrives

    Goodfellow 2016 (NIPS tutorial, 1701.00160), figures 16 and 14 and section 8.2; Arjovsky et al. 2017 (WGAN,
    1701.07875), example 1; no network is trained. The tolerances are those of float64 and of the fit by Adam.

    python examples/07_textbook_figures.py         # three seconds; runs/textbook/
"""

import numpy as np

import minigan as mg
from minigan.claims import Claim, verdict
from minigan.gan.losses import maximum_likelihood_g, minimax_g, nonsaturating_g
from minigan.ops import exp, sum
from minigan.optim import Adam
from minigan.plot import BLUE, GREEN, GREY, ORANGE, new_figure, save_figure
from minigan.run import Run, arguments, main

COSTS = {"minimax": (minimax_g, BLUE), "non-saturating": (nonsaturating_g, ORANGE),
         "maximum likelihood": (maximum_likelihood_g, GREEN)}  # fmt: skip


def costs(path):
    """The three costs of one generated sample, over D's probability and over D's logit."""
    logits = mg.tensor(np.linspace(-6, 4, 401))
    D = 1 / (1 + np.exp(-logits.data))
    figure, (left, right) = new_figure(10, 4.2, columns=2, sharey=True)
    slopes = {}
    for name, (loss, colour) in COSTS.items():
        values = [loss(logit).item() for logit in logits]
        left.plot(D, values, color=colour, linewidth=2, label=name)
        right.plot(logits.data, values, color=colour, linewidth=2)
        unsure, fooled = (mg.tensor(np.array(np.log(d / (1 - d))), requires_grad=True) for d in (0.001, 0.999))
        slopes[name] = [mg.grad(loss(logit), [logit])[0].item() for logit in (unsure, fooled)]
    left.set(xlabel="D(G(z))", ylabel="G's cost", ylim=(-8, 6.3))
    right.set(xlabel="D's logit on G(z)")
    left.legend(frameon=False)
    save_figure(path, figure)
    sure = [slopes[name][0] for name in COSTS]
    share = slopes["maximum likelihood"][0] / slopes["maximum likelihood"][1]
    return [
        Claim("minimax: slope at D(G(z)) = 0.001", "-D/2 = -0.0005", sure[0], abs(sure[0] + 0.0005) < 1e-9, "{:.6f}"),
        Claim("non-saturating: slope there", "D - 1 = -0.999", sure[1], abs(sure[1] + 0.999) < 1e-9, "{:.6f}"),
        Claim("maximum likelihood: slope there / at 0.999", "1e-6", share, abs(share / 1e-6 - 1) < 0.01, "{:.2e}"),
    ]


def normal(x, mu, sigma):
    return np.exp(-0.5 * ((x - mu) / sigma) ** 2) / (sigma * np.sqrt(2 * np.pi))


def fit(kl, starts, steps):
    """The mean and scale of the Gaussian q of least kl(mu, log sigma): the best of Adam's fits from these means."""
    found = []
    for start in starts:
        q = mu, log_sigma = [mg.tensor(np.array(v), requires_grad=True) for v in (start, 0.0)]
        opt = Adam(q, 0.05)
        for t in range(steps):
            opt.lr = 0.05 * (1 - t / steps)
            opt.step(mg.grad(kl(mu, log_sigma), q))
        found.append((kl(mu, log_sigma).item(), mu.item(), float(np.exp(log_sigma.item()))))
    return min(found)[1:]


def fits(path, rng, steps=600):
    """Both directions of KL, as sums over a fine grid of p = ½ N(-2, 0.6²) + ½ N(2, 0.6²)."""
    x, dx = np.linspace(-9, 9, 1201, retstep=True)
    centres, scale = (-2.0, 2.0), 0.6
    p = 0.5 * normal(x, centres[0], scale) + 0.5 * normal(x, centres[1], scale)
    log_p = np.log(p)

    def log_q(mu, log_sigma):
        return -0.5 * ((x - mu) / exp(log_sigma)) ** 2 - log_sigma - 0.5 * np.log(2 * np.pi)

    def forward(mu, log_sigma):
        return sum(p * (log_p - log_q(mu, log_sigma))) * dx

    def reverse(mu, log_sigma):
        log_density = log_q(mu, log_sigma)
        return sum(exp(log_density) * (log_density - log_p)) * dx

    # From a start in the middle KL(q‖p) finds a broad q, which is a minimum among its neighbours and no more.
    starts = np.array([-2.0, 0.0, 2.0]) + rng.uniform(-0.5, 0.5, 3)
    covers, picks = fit(forward, starts[:1], steps), fit(reverse, starts, steps)
    figure, (axes,) = new_figure(8, 4)
    axes.fill_between(x, p, color="#d5e3f0", label="p")
    axes.plot(x, normal(x, *covers), color=BLUE, linewidth=2, label="q of least KL(p‖q)")
    axes.plot(x, normal(x, *picks), color=ORANGE, linewidth=2, label="q of least KL(q‖p)")
    axes.set(xlim=(-7, 7), ylim=(0, None), xlabel="x", ylabel="density")
    axes.legend(frameon=False)
    save_figure(path, figure)
    off = max(abs(covers[0]), abs(covers[1] - np.hypot(centres[1], scale)))
    near = min(abs(picks[0] - c) for c in centres)
    return [
        Claim("KL(p‖q): mean and scale less p's own", "< 1e-3", off, off < 1e-3, "{:.1e}"),
        Claim("KL(q‖p): mean less the nearest mode's", "< 0.01", near, near < 0.01, "{:.1e}"),
        Claim("KL(q‖p): scale, the mode's 0.6", "0.59 to 0.61", picks[1], abs(picks[1] - 0.6) < 0.01, "{:.4f}"),
    ]


def distances(path):
    """Jensen-Shannon and W1 between the uniform densities on [0, 1] and [s, 1 + s], by sums over cells."""
    cells = 200
    h = 1 / cells
    shifts = np.arange(0, 3 * cells + 1, 20)

    def box(start):
        density = np.zeros(4 * cells)
        density[start : start + cells] = 1
        return density

    def kl(a, b):
        return (a * np.log(a / b, out=np.zeros_like(a), where=a > 0)).sum() * h

    def both(p, q):
        m = (p + q) / 2
        return 0.5 * kl(p, m) + 0.5 * kl(q, m), np.abs(np.cumsum(p - q) * h).sum() * h

    with np.errstate(divide="ignore", invalid="ignore"):
        js, w1 = np.array([both(box(0), box(s)) for s in shifts]).T
    figure, (axes,) = new_figure(8, 4)
    axes.axvspan(1, 3, color="#f3f3f3", zorder=0)
    axes.text(2.95, 0.1, "no overlap", color=GREY, ha="right")
    axes.plot(shifts * h, js, "o-", color=ORANGE, markersize=4, label="Jensen-Shannon divergence")
    axes.plot(shifts * h, w1, "o-", color=BLUE, markersize=4, label="W1")
    axes.axhline(np.log(2), color=GREY, linewidth=0.8, linestyle=":")
    axes.set(xlim=(0, 3), ylim=(0, 3), xlabel="shift", ylabel="nats, length")
    axes.legend(frameon=False, loc="upper left")
    save_figure(path, figure)
    flat = np.abs(js[shifts >= cells] - np.log(2)).max()
    falls = np.abs(w1 - shifts * h).max()
    return [
        Claim("disjoint: JS less log 2, at most", "< 1e-6", flat, flat < 1e-6, "{:.1e}"),
        Claim("W1 less the shift, at most", "< 1e-6", falls, falls < 1e-6, "{:.1e}"),
    ]


def play(in_turn, eta, steps):
    """Gradient steps on V(x, y) = xy, at once or in turn → (steps + 1, 2) positions."""
    x, y = (mg.tensor(np.array(v), requires_grad=True) for v in (0.8, 0.6))
    path = [(x.item(), y.item())]
    for _ in range(steps):
        dx, dy = mg.grad(x * y, [x, y])
        x.data = x.data - eta * dx.data
        if in_turn:
            (dy,) = mg.grad(x * y, [y])
        y.data = y.data + eta * dy.data
        path.append((x.item(), y.item()))
    return np.array(path)


def game(path, eta, steps):
    """The two players' paths around the equilibrium, and the growth of their distance from it."""
    at_once, in_turn = play(False, eta, steps), play(True, eta, steps)
    figure, (axes,) = new_figure(6.2, 6)
    axes.plot(*at_once.T, "-", color=ORANGE, linewidth=1.5, label="at once")
    axes.plot(*in_turn.T, ".", color=BLUE, markersize=4, label="in turn")
    axes.plot(0, 0, "+", color=GREY, markersize=12)
    axes.set(xlabel="x, who minimises xy", ylabel="y, who maximises xy", aspect="equal")
    axes.legend(frameon=False, loc="upper right")
    save_figure(path, figure)
    radius = np.linalg.norm(at_once, axis=1)
    growth = np.abs(radius / (1 + eta**2) ** (np.arange(steps + 1) / 2) - 1).max()
    x, y = in_turn.T
    held = x**2 + y**2 - eta * x * y
    drift = np.abs(held / held[0] - 1).max()
    closest = np.linalg.norm(in_turn, axis=1).min()
    return [
        Claim("at once: r / (1 + η²)^(t/2), off by", "< 1e-9", growth, growth < 1e-9, "{:.1e}"),
        Claim("in turn: x² + y² - ηxy, off by", "< 1e-9", drift, drift < 1e-9, "{:.1e}"),
        Claim("in turn: nearest to the equilibrium", "> 0.9", closest, closest > 0.9, "{:.3f}"),
    ]


def draw(args):
    rng = np.random.default_rng(args.seed)
    with Run(args.out, args) as run:
        claims = costs(run.out / "costs.png") + fits(run.out / "fits.png", rng)
        claims += distances(run.out / "distances.png") + game(run.out / "game.png", args.eta, args.steps)
    return verdict(claims, run.out)


if __name__ == "__main__":
    main(draw, arguments(__doc__, steps=200, out="runs/textbook", eta=0.1))
