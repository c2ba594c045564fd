"""Any game on a ring or a grid of Gaussians: to change the game is to change its name.

    G : z ∈ R² → R²            D : R² → a logit l, or a critic's value

    --game  minimax, non-saturating, maximum-likelihood      Goodfellow et al. 2014; Goodfellow 2016 (NIPS tutorial)
            least-squares                                    Mao et al. 2017
            hinge                                            Lim and Ye 2017
            f-gan:kl, f-gan:kl:non-saturating, ...           Nowozin et al. 2016
            wasserstein   its slope held by clipped weights  Arjovsky et al. 2017
            wgan-gp       ... by 0.1 E[(‖∇C(x̂)‖ - 1)²]       Gulrajani et al. 2017
            wgan-div      ... by 2 E[‖∇C(x̂)‖⁶]               Wu et al. 2018

The formulas are lines of minigan/gan/losses.py, divergences.py and penalties.py. Data, samples and figures are PacGAN's
(Lin et al. 2018, section 4.1): 2,500 samples; a mode counts when one of them is within 3 sigma of it. Its GAN reaches

    ring    modes 6.3 ± 0.5 of 8     high quality 98.2 %    reverse KL 0.45
    grid    modes 17.3 ± 0.8 of 25   high quality 94.8 %    reverse KL 0.70

with G 4 x 400 and batch norm, D 3 x 200 maxout of 5, Adam 1e-4 (0.8, 0.999), 400,000 steps of batch 100. Ours has half
a minute of one core: 3 x 128 both, no batch norm, leaky ReLU in D (piecewise linear too, at a third of the price), and
10,000 steps of D at ten times the rate, which falls to 0 over the last half; no momentum. A game passes with the modes
and the reverse KL of that row or better, and 70 % of high quality. For the maximum-likelihood game the claim is what
theory says of it: few samples carry nearly all of G's gradient (Goodfellow 2016, figure 16).

    python examples/05_games.py --game hinge --data grid       # 25 s on one core; runs/games-hinge-grid/samples.gif
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

import minigan as mg
from minigan.claims import Claim, verdict
from minigan.data import Batches, grid, grid_centers, ring, ring_centers
from minigan.gan import algorithm1
from minigan.gan.losses import GAMES, game, minimax_d
from minigan.gan.networks import mlp
from minigan.gan.penalties import between, clip_weights, gradient_penalty
from minigan.gan.penalties import wasserstein_divergence_penalty as divergence_penalty
from minigan.metrics import mode_statistics
from minigan.nn import LeakyReLU
from minigan.ops import sigmoid
from minigan.optim import Adam, RMSprop
from minigan.plot import scatter_field
from minigan.run import Run, arguments, main, read_metrics

LATENT = 2
WIDTHS = [128, 128, 128]  # G's and D's


class Data(NamedTuple):
    draw: Callable
    centers: np.ndarray
    sigma: float
    edge: float  # of the pictures
    paper: tuple  # PacGAN's table 1, GAN: modes, high quality, reverse KL
    modes: int  # ... and what passes here
    reverse_kl: float


DATA = {
    "ring": Data(ring, ring_centers(), 0.01, 1.6, ("6.3 ± 0.5", "98.2 %", "0.45"), 6, 0.45),
    "grid": Data(grid, grid_centers(), 0.05, 5.0, ("17.3 ± 0.8", "94.8 %", "0.70"), 17, 0.70),
}


class Play(NamedTuple):
    """How a game is played: most as these defaults say."""

    losses: str = ""  # the name in losses.py, where it is another
    optimiser: Callable = partial(Adam, betas=(0.0, 0.99))
    rate: float = 1e-3
    k: int = 1  # steps of D for one of G
    penalty: Callable | None = None  # on C, real, fake and a random generator; added to D's loss
    bound: float | None = None  # of D's weights


# A critic is kept nearer its best: five steps of it for one of G in the papers. The penalised ones do with two, at
# twice the rate. The clipped one learns by RMSprop, as in its paper, where momentum did harm; with k = 2 it learns
# faster, but for some seeds it runs in circles.
PLAYS = {
    "wasserstein": Play(k=5, optimiser=RMSprop, rate=5e-4, bound=0.03),
    "wgan-gp": Play("wasserstein", k=2, rate=2e-3, penalty=lambda *at: 0.1 * gradient_penalty(*at)),
    "wgan-div": Play("wasserstein", k=2, rate=2e-3, penalty=lambda C, *at: divergence_penalty(C, between(*at))),
}


def train(args):
    data, play = DATA[args.data], PLAYS.get(args.game, Play())
    loss = game(play.losses or args.game)
    rng = np.random.default_rng(args.seed)
    batches = Batches(
        lambda rng, n: data.draw(rng, n, sigma=data.sigma), args.batch, np.random.default_rng(args.seed + 1)
    )
    G, D = mlp([LATENT, *WIDTHS, 2], rng), mlp([2, *WIDTHS, 1], rng, lambda: LeakyReLU(0.2))
    opt_G, opt_D = play.optimiser(G.parameters(), play.rate), play.optimiser(D.parameters(), play.rate)
    steps, every = args.steps // play.k, max(1, args.every // play.k)

    def noise(n):
        return mg.tensor(rng.standard_normal((n, LATENT), dtype=np.float32))

    def d_step(real):
        real, fake = mg.tensor(real), G(noise(args.batch)).detach()
        loss_D = loss.d(D(real), D(fake))
        if play.penalty:
            loss_D = loss_D + play.penalty(D, real, fake, rng)
        opt_D.step(mg.grad(loss_D, D.parameters()))
        if play.bound:
            clip_weights(D, play.bound)
        return {"loss_D": loss_D.item()}

    def g_step():
        logits = D(G(noise(args.batch)))
        loss_G = loss.g(logits)
        slopes, *grads = mg.grad(loss_G, [logits, *G.parameters()])
        opt_G.step(grads)
        return {"loss_G": loss_G.item(), "carriers": carriers(slopes.numpy())}

    def cool(t):
        opt_G.lr = opt_D.lr = play.rate * min(1.0, 2 * (1 - t / steps))

    fixed, show = noise(1000), data.draw(np.random.default_rng(0), 1000, sigma=data.sigma)
    parts = {"G": G, "D": D, "opt_G": opt_G, "opt_D": opt_D, "rng": rng, "batches": batches}
    with Run(args.out or f"runs/games-{args.game.replace(':', '-')}-{args.data}", args, resume=args.resume) as run:
        start = run.restore(**parts)
        run.checkpoint_on_exit(lambda: parts)
        loop = algorithm1(d_step, g_step, batches, start=start, steps=steps, k=play.k)
        for t, seen in run.progress(loop, total=steps, initial=start, batch_size=args.batch):
            run.log(t, seen)
            cool(t)
            if t % every == 0 or t == steps:
                picture(run.sample_path(t), G(fixed), show, D, loss, data.edge, f"step {t}, {args.game}")
                run.save(t, **parts)
        run.finish()
    with mg.no_grad():
        samples = G(noise(2500)).numpy()
    if args.game == "maximum-likelihood":
        return judge_steepness(samples, data, run.out)
    return judge(samples, data, run.out)


def carriers(slopes):
    """The share of a batch that carries G's gradient: (Σ|s|)² / n Σs², s the slope of G's loss in each logit."""
    slopes = np.abs(slopes, dtype=np.float64)
    return slopes.sum() ** 2 / max(slopes.size * (slopes**2).sum(), np.finfo(float).tiny)


def picture(path, samples, real, D, loss, edge, title):
    """Samples of both over D's probability, or over a critic's value."""

    def field(points):
        value = D(mg.tensor(points))
        return (sigmoid(value) if loss.d is minimax_d else value).numpy()[:, 0]

    with mg.no_grad():
        scatter_field(path, samples, real, field, (-edge, edge, -edge, edge), title)


def judge(samples, data, out):
    """2,500 samples against the modes."""
    seen = mode_statistics(samples, data.centers, data.sigma)
    all_modes = len(data.centers)
    claims = [
        Claim("modes covered", f">= {data.modes} of {all_modes}", seen.modes, seen.modes >= data.modes,
              f"{{}} of {all_modes}", data.paper[0]),
        Claim("samples within 3 sigma of a mode", "> 70 %", seen.high_quality, seen.high_quality > 0.7,
              "{:.1%}", data.paper[1]),
        Claim("KL(modes ‖ uniform), nats", f"<= {data.reverse_kl:.2f}", seen.reverse_kl,
              seen.reverse_kl <= data.reverse_kl, "{:.3f}", data.paper[2]),
    ]  # fmt: skip
    return verdict(claims, out)


def judge_steepness(samples, data, out):
    """e^l' is so steep that few samples carry G's gradient: this is claimed of the game, and no number of modes."""
    seen = mode_statistics(samples, data.centers, data.sigma)
    print(f"{seen.modes} of {len(data.centers)} modes, {seen.high_quality:.1%} of high quality; none are claimed")
    shares = np.array([row["carriers"] for row in read_metrics(out / "metrics.jsonl")])
    share = np.median(shares[shares > 0]) if shares.any() else np.nan
    print(f"in {(shares == 0).mean():.0%} of the steps every e^l' rounds to 0, and G has no gradient at all")
    claim = "share of a batch that carries G's gradient, median where there is one"
    return verdict([Claim(claim, "< 10 %", share, share < 0.1, "{:.1%}", "few samples")], out)


if __name__ == "__main__":
    parser = arguments(__doc__, steps=10_000, out="", batch=100, every=1000)
    games = sorted({*GAMES, *PLAYS})
    parser.add_argument("--game", choices=games, metavar="GAME", default="non-saturating", help=", ".join(games))
    parser.add_argument("--data", choices=DATA, default="ring", help="a mixture of 8 or of 25 Gaussians")
    main(train, parser)
