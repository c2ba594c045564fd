"""A GAN on eight points of a ring: the smallest system in which everything that GANs do can be seen.

    G : z ∈ R² → R²            D : R² → a logit l;  D(x) = σ(l) is the probability that x is real

    D minimises   ½ E[-log D(x)] + ½ E[-log(1 - D(G(z)))]
    G minimises   ½ E[ log(1 - D(G(z)))]     --game minimax          what D maximises, halved as above
               or   E[-log D(G(z))]          --game non-saturating   the same fixed point, stronger gradients

    Goodfellow et al. 2014, equation 1, Algorithm 1 and section 3.

All losses take logits: -log σ(l) is softplus(-l) and -log(1 - σ(l)) is softplus(l), and no probability is ever formed
that could round to 0.

    python examples/01_gan_ring.py                 # about half a minute on two cores
    python examples/01_gan_ring.py --game minimax  # the loss of the paper's equation 1
    python examples/01_gan_ring.py --beta1 0.9 --beta2 0.999    # mode collapse

Look at runs/ring/samples.gif: orange points (G) flow to the blue ones (data) over D's opinion of the plane.
"""

import numpy as np

import minigan as mg
from minigan.claims import Claim, verdict
from minigan.data import Batches, ring, ring_centers
from minigan.gan import algorithm1
from minigan.gan.dashboard import dashboard
from minigan.gan.networks import mlp
from minigan.gan.watch import Watch
from minigan.metrics import mode_statistics
from minigan.nn import LeakyReLU
from minigan.ops import mean, sigmoid, softplus
from minigan.optim import Adam
from minigan.plot import scatter_field
from minigan.run import Run, arguments, main

LATENT, SIGMA = 2, 0.02
WIDTHS = [2, 128, 128, 128]  # G's and D's, but for the last

GAMES = {
    "minimax": lambda fake: -0.5 * mean(softplus(fake)),
    "non-saturating": lambda fake: mean(softplus(-fake)),
}


def train(args):
    rng = np.random.default_rng(args.seed)
    batches = Batches(lambda rng, n: ring(rng, n, sigma=SIGMA), args.batch, np.random.default_rng(args.seed + 1))
    G, D = mlp([*WIDTHS, 2], rng), mlp([*WIDTHS, 1], rng, lambda: LeakyReLU(0.2))
    # The other player moves at every step, so that old gradients point to where it was: no momentum (β₁ = 0), and a
    # short memory of gradients' sizes (β₂ = 0.9). With Adam's usual (0.9, 0.999) this G falls onto one or two modes.
    betas = (args.beta1, args.beta2)
    opt_G, opt_D = Adam(G.parameters(), args.lr, betas), Adam(D.parameters(), args.lr, betas)
    g_loss = GAMES[args.game]
    watch = Watch(G=G, D=D, every=100)  # looks at every 100th step, and raises the alarm when G collapses

    def noise(n):
        return mg.tensor(rng.standard_normal((n, LATENT), dtype=np.float32))

    def d_step(real):
        # G's samples are data to D here: detach() ends the graph at them, so that this step costs G nothing.
        real, fake = mg.tensor(real), G(noise(len(real))).detach()
        l_real, l_fake = D(real), D(fake)
        loss = 0.5 * mean(softplus(-l_real)) + 0.5 * mean(softplus(l_fake))
        watch.step(opt_D, loss, mg.grad(loss, D.parameters()))  # opt_D.step, measured
        watch.samples(real, fake, l_real, l_fake)
        return {"loss_D": loss.item(), "D(x)": mean(sigmoid(l_real)).item(), "D(G(z))": mean(sigmoid(l_fake)).item()}

    def g_step():
        # D runs again because it has just changed. The gradient flows through D into G, but only G's parameters are
        # asked for, so that D's weight gradients are never formed.
        loss = g_loss(D(G(noise(args.batch))))
        watch.step(opt_G, loss, mg.grad(loss, G.parameters()))
        return {"loss_G": loss.item()}

    fixed = noise(1000)
    show = ring(np.random.default_rng(0), 1000, sigma=SIGMA)
    parts = {"G": G, "D": D, "opt_G": opt_G, "opt_D": opt_D, "rng": rng, "batches": batches, "watch": watch}
    with Run(args.out, args, resume=args.resume) as run:
        start = run.restore(**parts)
        run.checkpoint_on_exit(lambda: parts)
        steps = algorithm1(d_step, g_step, batches, start=start, steps=args.steps)
        for t, seen in run.progress(steps, total=args.steps, initial=start, batch_size=args.batch):
            run.log(t, watch.look(t, seen))
            if t % args.every == 0 or t == args.steps:
                draw(run.sample_path(t), G, D, fixed, show, f"step {t}, {args.game}")
                run.save(t, **parts)
        run.finish()
        dashboard(run.out)
    with mg.no_grad():
        return judge(G(noise(2500)).numpy(), run.out)


def draw(path, G, D, z, real, title):
    """Samples of both over D's decision field."""

    def field(points):
        return sigmoid(D(mg.tensor(points, dtype=np.float32))).numpy()[:, 0]

    with mg.no_grad():
        scatter_field(path, G(z), real, field, (-1.6, 1.6, -1.6, 1.6), title)


def judge(samples, out):
    """2,500 samples against the ring: modes covered, and samples within three sigma of one."""
    seen = mode_statistics(samples, ring_centers(), SIGMA)
    claims = [
        Claim("modes covered", "8 of 8", seen.modes, seen.modes == 8, "{} of 8"),
        Claim("samples within 3 sigma of a mode", "> 80 %", seen.high_quality, seen.high_quality > 0.8, "{:.1%}"),
        Claim("KL(modes ‖ uniform), nats", "< 0.1", seen.reverse_kl, seen.reverse_kl < 0.1, "{:.3f}"),
    ]
    return verdict(claims, out)


if __name__ == "__main__":
    parser = arguments(__doc__, steps=5000, out="runs/ring", lr=5e-4, beta1=0.0, beta2=0.9, batch=256, every=250)
    parser.add_argument("--game", choices=GAMES, default="non-saturating", help="what G minimises")
    main(train, parser)
