"""Mode collapse, on purpose: the alarm rings, and the twin that differs in one setting trains in silence.

Both are the non-saturating GAN on the ring of examples/01_gan_ring.py, from the same weights, the same noise and the
same batches. What differs is the memory of Adam (Kingma and Ba 2015), which is set for a loss that stands still:

    healthy      β₁ = 0,    β₂ = 0.9
    collapsing   β₁ = 0.9,  β₂ = 0.999    Adam's usual

D learns to mistrust the place where G's samples are, G moves them to where D last saw too few; and with β₁ = 0.9 both
go on in the direction of ten steps ago. So they chase each other around the plane: at any time G's samples are a thread
through one mode or two, and none is held.

The alarm. Every 50th step compares a batch of G with one of data; near is nearer than a sixth of the median distance
between two real samples. A batch is worth m different samples when two draws from it are near each other with a
probability of about 1/m (Leinster and Cobbold 2012, order 2); it reaches a real sample when it has a fifth of the
samples near it that there ought to be. The alarm rings when G's batch is worth less than a third of what the data's is
worth, or reaches less than a third of the data, four times in a row.

    python examples/17_collapse.py            # about half a minute on one core; no paper's number: a claim of our own

Look at runs/collapse/collapsing/dashboard.png beside healthy/dashboard.png: the third panel, and the samples.
"""

from pathlib import Path

import numpy as np

import minigan as mg
from minigan.claims import Claim, verdict
from minigan.data import Batches, ring, ring_centers
from minigan.gan import algorithm1
from minigan.gan.dashboard import dashboard
from minigan.gan.losses import minimax_d, nonsaturating_g
from minigan.gan.networks import mlp
from minigan.gan.watch import Watch
from minigan.metrics import mode_statistics
from minigan.nn import LeakyReLU
from minigan.ops import mean, sigmoid
from minigan.optim import Adam
from minigan.plot import scatter_field
from minigan.run import Run, arguments, main

SIGMA = 0.02
BETAS = {"healthy": (0.0, 0.9), "collapsing": (0.9, 0.999)}


def train(args):
    out = Path(args.out)
    runs = {name: play(out / name, betas, args) for name, betas in BETAS.items()}
    return judge(runs, out)


def play(out, betas, args):
    """Train one of the twins → (its Watch, 2,500 samples of G)."""
    rng = np.random.default_rng(args.seed)
    batches = Batches(lambda rng, n: ring(rng, n, sigma=SIGMA), args.batch, np.random.default_rng(args.seed + 1))
    G, D = mlp([2, 128, 128, 128, 2], rng), mlp([2, 128, 128, 128, 1], rng, lambda: LeakyReLU(0.2))
    opt_G, opt_D = Adam(G.parameters(), args.lr, betas), Adam(D.parameters(), args.lr, betas)
    watch = Watch(G=G, D=D, every=50)

    def noise(n):
        return mg.tensor(rng.standard_normal((n, 2), dtype=np.float32))

    def d_step(real):
        real, fake = mg.tensor(real), G(noise(len(real))).detach()
        l_real, l_fake = D(real), D(fake)
        loss = minimax_d(l_real, l_fake)
        watch.step(opt_D, loss, mg.grad(loss, D.parameters()))
        watch.samples(real, fake, l_real, l_fake)
        return {"loss_D": loss.item(), "D(x)": mean(sigmoid(l_real)).item(), "D(G(z))": mean(sigmoid(l_fake)).item()}

    def g_step():
        loss = nonsaturating_g(D(G(noise(args.batch))))
        watch.step(opt_G, loss, mg.grad(loss, G.parameters()))
        return {"loss_G": loss.item()}

    fixed, show = noise(1000), ring(np.random.default_rng(0), 1000, sigma=SIGMA)
    parts = {"G": G, "D": D, "opt_G": opt_G, "opt_D": opt_D, "rng": rng, "batches": batches, "watch": watch}
    with Run(out, args, resume=args.resume and out.exists()) as run:  # stopped in one twin, the other may not exist
        start = run.restore(**parts)
        run.checkpoint_on_exit(lambda: parts)
        steps = algorithm1(d_step, g_step, batches, start=start, steps=args.steps)
        for t, seen in run.progress(steps, total=args.steps, initial=start, batch_size=args.batch):
            run.log(t, watch.look(t, seen))
            if t % args.every == 0 or t == args.steps:
                draw(run.sample_path(t), G, D, fixed, show, f"{out.name}, step {t}")
                run.save(t, **parts)
        run.finish()
        dashboard(out)
    with mg.no_grad():
        return watch, G(noise(2500)).numpy()


def draw(path, G, D, z, real, title):
    def field(points):
        return sigmoid(D(mg.tensor(points, dtype=np.float32))).numpy()[:, 0]

    with mg.no_grad():
        scatter_field(path, G(z), real, field, (-1.6, 1.6, -1.6, 1.6), title)


def judge(runs, out):
    """Which alarms rang; and, from the centres that no alarm knows, how many of the modes were held at the end."""
    watches = {name: watch for name, (watch, _) in runs.items()}
    modes = {name: mode_statistics(samples, ring_centers(), SIGMA).modes for name, (_, samples) in runs.items()}
    rang = [step for step, name, _ in watches["collapsing"].alarms.raised if name == "mode collapse"]
    false = len(watches["healthy"].alarms.raised)
    first = rang[0] if rang else "never"
    claims = [
        Claim("collapsing: first step of the alarm 'mode collapse'", "any", first, bool(rang), "{}"),
        Claim("collapsing: modes held at the end", "4 of 8 or fewer", modes["collapsing"], modes["collapsing"] <= 4),
        Claim("healthy: alarms", "none", false, false == 0),
        Claim("healthy: modes held at the end", "8 of 8", modes["healthy"], modes["healthy"] == 8),
    ]
    return verdict(claims, out)


if __name__ == "__main__":
    main(train, arguments(__doc__, steps=1800, out="runs/collapse", lr=5e-4, batch=256, every=250))
