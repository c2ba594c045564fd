"""The best discriminator is a density ratio: train D alone and look at its logit.

    D*(x) = p(x) / (p(x) + q(x)),   so that its logit is   l*(x) = log p(x) - log q(x)
    and its loss   ½ E_p[-log D*] + ½ E_q[-log(1 - D*)] = log 2 - JS(p, q)

    Goodfellow et al. 2014, proposition 1 and theorem 1.

G is held: p and q are Gaussians on the line, of different scale, so that l* is a parabola and D has to bend. D sees
samples of both and never a density. Claimed: the largest |l - l*| over the support that both share (without the outer
1 % of p and of q: where one of them sends no samples, D can only guess how few they are), and D's loss above its least
possible value, log 2 - JS; both by sums over a grid.

    python examples/08_optimal_discriminator.py    # eight seconds; look at runs/optimal-d/logit.png

Outside the shaded part the logit leaves the parabola: next to no sample comes from there, so the loss does not notice.
"""

import numpy as np

import minigan as mg
from minigan.claims import Claim, verdict
from minigan.gan.losses import minimax_d
from minigan.gan.networks import mlp
from minigan.nn import Tanh
from minigan.optim import Adam
from minigan.plot import BLUE, GREY, ORANGE, new_figure, save_figure
from minigan.run import Run, arguments, main

P, Q = (0.5, 0.7), (-0.5, 1.2)  # mean and scale of the data and of what G makes


def log_normal(x, mu, sigma):
    return -0.5 * ((x - mu) / sigma) ** 2 - np.log(sigma * np.sqrt(2 * np.pi))


def train(args):
    rng = np.random.default_rng(args.seed)
    D = mlp([1, 32, 32, 1], rng, Tanh)
    opt = Adam(D.parameters(), args.lr, betas=(0.9, 0.999))

    def draw_samples(mu, sigma):
        return mg.tensor((mu + sigma * rng.standard_normal((args.batch, 1))).astype(np.float32))

    with Run(args.out, args) as run:
        for t, step in run.progress(enumerate(range(args.steps), 1), total=args.steps):
            # To 0: with a constant step size D would wander around the optimum by more than the tolerance.
            opt.lr = args.lr * (1 - step / args.steps)
            loss = minimax_d(D(draw_samples(*P)), D(draw_samples(*Q)))
            opt.step(mg.grad(loss, D.parameters()))
            if t % 50 == 0:
                run.log(t, {"loss_D": loss})
        return judge(D, run.out)


def judge(D, out):
    """D's logit against log p - log q, and D's loss against log 2 - JS."""
    x, dx = np.linspace(-9, 9, 3601, retstep=True)
    log_p, log_q = log_normal(x, *P), log_normal(x, *Q)
    p, q = np.exp(log_p), np.exp(log_q)
    with mg.no_grad():
        logit = D(mg.tensor(x[:, None], dtype=np.float32)).numpy()[:, 0].astype(np.float64)
    support = np.all([(below > 0.005) & (below < 0.995) for below in (np.cumsum(p) * dx, np.cumsum(q) * dx)], axis=0)
    error = np.abs(logit - (log_p - log_q))[support].max()
    draw(out / "logit.png", x, p, q, logit, log_p - log_q, support)

    log_m = np.logaddexp(log_p, log_q) - np.log(2)
    js = 0.5 * (p * (log_p - log_m)).sum() * dx + 0.5 * (q * (log_q - log_m)).sum() * dx
    loss = 0.5 * (p * np.logaddexp(0, -logit)).sum() * dx + 0.5 * (q * np.logaddexp(0, logit)).sum() * dx
    excess = loss - (np.log(2) - js)
    claims = [
        Claim("largest |l - log p/q| on the shared support", "< 0.1", error, error < 0.1, "{:.3f}"),
        Claim(f"D's loss above log 2 - JS = {np.log(2) - js:.4f}", "< 5e-4", excess, abs(excess) < 5e-4, "{:.1e}"),
    ]
    return verdict(claims, out)


def draw(path, x, p, q, logit, best, support):
    """Densities and D(x) above, logits below; the support is shaded."""
    figure, (above, under) = new_figure(8, 6.5, rows=2, sharex=True)
    above.plot(x, p, color=BLUE, linewidth=2, label="p, data")
    above.plot(x, q, color=ORANGE, linewidth=2, label="q, generated")
    above.plot(x, 1 / (1 + np.exp(-logit)), color=GREY, linewidth=2, label="D(x)")
    under.plot(x, best, "--", color=GREY, linewidth=2, label="log p/q")
    under.plot(x, logit, color=BLUE, linewidth=2, label="D's logit")
    under.set(ylim=(best[support].min() - 3, best[support].max() + 1.5), xlabel="x", xlim=(-5, 4))
    for axes in (above, under):
        axes.axvspan(*x[support][[0, -1]], color="#f3f3f3", zorder=0)
        axes.legend(frameon=False)
    save_figure(path, figure)


if __name__ == "__main__":
    main(train, arguments(__doc__, steps=5000, out="runs/optimal-d", lr=5e-3, batch=512))
