"""What a better discriminator does to the generator's gradient: with one loss it vanishes, with the other it explodes.

Train a DCGAN, keep its G after 1, 10 and 25 epochs. Against each of the three, held fixed, train a new D from scratch,
and while D gets better measure the gradient that G would be given, without taking the step:

    ‖∇_θ E log(1 - D(G(z)))‖     the minimax loss         (paper, figure 2: falls, at best by 5 decades in 4,000 steps)
    ‖∇_θ E[-log D(G(z))]‖        the non-saturating loss  (paper, figure 3: grows, and grows noisier)

With D = σ(l) the derivatives by the logit l are -σ(l) and -σ(-l): once D is sure of a fake, l ≪ 0, one is -e^l and the
other -1. They are formed from l in logarithms, so that a D of 1e-30 still leaves a gradient in float32.

    Arjovsky and Bottou 2017, Towards Principled Methods for Training Generative Adversarial Networks (1701.04862),
    sections 2.2.1 and 2.2.2, figures 2 and 3. Its networks saw larger images. Here an epoch is `--epoch` batches, a
    part of Fashion-MNIST, so that 25 of them are minutes.

Expected: by the least-squares line through log10 of each curve, all three fall, all three grow, and so does the noise,
which is how far the gradients of single batches lie from their mean. The deepest of the falls is over two decades.

    python examples/13_vanishing_gradients.py                   # about five minutes on one core
    python examples/13_vanishing_gradients.py --data glyphs

Look at gradients.png in the run's folder.
"""

import numpy as np

import minigan as mg
from minigan import checkpoint
from minigan.claims import Claim, verdict
from minigan.data import Batches, load
from minigan.gan import algorithm1, losses
from minigan.gan.networks import dcgan_discriminator, dcgan_generator
from minigan.optim import Adam
from minigan.plot import curves
from minigan.run import Run, arguments, main

AGES = 1, 10, 25  # epochs after which G is kept
LATENT, SIZE = 100, 28
BATCHES = 4  # of z, the same ones always: what the gradient's mean and its noise are taken over
CURVES = {"minimax": "‖∇ log(1 - D)‖", "non-saturating": "‖∇ -log D‖", "noise": "noise of ∇ -log D"}


def train(args):
    if args.smoke:
        args.epoch, args.d_steps, args.every = 1, 20, 5
    rng = np.random.default_rng(args.seed)
    source = load(args.data, size=SIZE)
    batches = Batches(source, args.batch, np.random.default_rng(args.seed + 1))
    G, D, opt_G, opt_D = players(source, rng, args)

    def d_step(real):
        fake = G(noise(rng, len(real), args)).detach()
        loss = losses.minimax_d(D(mg.tensor(real, device=args.device)), D(fake))
        opt_D.step(mg.grad(loss, D.parameters()))
        return {"loss_D": loss}

    def g_step():
        loss = losses.nonsaturating_g(D(G(noise(rng, args.batch, args))))
        opt_G.step(mg.grad(loss, G.parameters()))
        return {"loss_G": loss}

    fixed = noise(rng, 64, args)
    parts = {"G": G, "D": D, "opt_G": opt_G, "opt_D": opt_D, "rng": rng, "batches": batches}
    with Run(args.out or f"runs/vanishing-{args.data.partition(':')[0]}", args, resume=args.resume) as run:
        start = run.restore(**parts)
        run.checkpoint_on_exit(lambda: parts)
        steps = algorithm1(d_step, g_step, batches, start=start, steps=args.steps)
        for t, seen in run.progress(steps, total=args.steps, initial=start, batch_size=args.batch):
            run.log(t, seen)
            if t % args.epoch == 0:
                if t // args.epoch in AGES:
                    checkpoint.save_weights(kept(run.out, t // args.epoch), G)
                    with mg.no_grad():
                        run.samples(t, G(fixed))
                run.save(t, **parts)
        run.finish()
    norms = {}
    for age in AGES:
        if age * args.epoch <= args.steps:
            norms[age] = rows = against_new_discriminator(kept(run.out, age), source, age, args)
            ends = (f"{label} {rows[name][0]:.1e} → {rows[name][-1]:.1e}" for name, label in CURVES.items())
            print(f"G of epoch {age}", *ends, sep=",  ", flush=True)
    draw(run.out / "gradients.png", norms)
    return judge(norms, run.out)


def players(source, rng, args):
    """G, D and their Adams, as DCGAN has them but narrow."""
    channels = source.shape[-1]
    G = dcgan_generator(SIZE, channels, rng, latent=LATENT, width=args.width).to(args.device)
    D = dcgan_discriminator(SIZE, channels, rng, width=args.width).to(args.device)
    return G, D, *(Adam(module.parameters(), args.lr, betas=(0.5, 0.999)) for module in (G, D))


def noise(rng, n, args):
    return mg.tensor(rng.standard_normal((n, LATENT), dtype=np.float32), device=args.device)


def kept(out, age):
    return out / f"G-epoch-{age:02d}.safetensors"


def against_new_discriminator(weights, source, age, args):
    """Train a new D against a G that stays as it is → {"steps": D's steps, and each name of CURVES: (M,) values}."""
    rng = np.random.default_rng([args.seed, age])
    batches = Batches(source, args.batch, rng)
    G, _, _, _ = players(source, rng, args)
    checkpoint.load_weights(weights, G)
    D = dcgan_discriminator(SIZE, source.shape[-1], rng, width=args.d_width).to(args.device)
    opt_D = Adam(D.parameters(), args.lr, betas=(0.5, 0.999))
    fixed = [noise(rng, args.batch, args) for _ in range(BATCHES)]
    rows = [(0, *gradients(G, D, fixed))]
    for t in range(1, args.d_steps + 1):
        with mg.no_grad():
            fake = G(noise(rng, args.batch, args))
        loss = losses.minimax_d(D(mg.tensor(next(batches), device=args.device)), D(fake))
        opt_D.step(mg.grad(loss, D.parameters()))
        if t % args.every == 0:
            rows.append((t, *gradients(G, D, fixed)))
    return dict(zip(["steps", *CURVES], np.array(rows).T))


def gradients(G, D, fixed):
    """What G would be given by this D: the norms of the mean gradients by θ, all of G's parameters, and the noise.

    fixed   batches of z
    →       ‖∇_θ E log(1 - D)‖, ‖∇_θ E[-log D]‖, and the root mean square distance of the latter's batches to their mean
    """
    minimax, nonsaturating = [], []
    for z in fixed:
        logits = D(G(z))  # batch norms as in training
        for rows, loss in (
            (minimax, 2 * losses.minimax_g(logits)),  # the paper has no ½
            (nonsaturating, losses.nonsaturating_g(logits)),
        ):
            parts = mg.grad(loss, G.parameters())
            rows.append(np.concatenate([g.numpy().ravel() for g in parts]).astype(np.float64))
    off = np.array(nonsaturating) - np.mean(nonsaturating, axis=0)
    norms = (np.linalg.norm(np.mean(rows, axis=0)) for rows in (minimax, nonsaturating))
    return *norms, np.sqrt((off**2).sum(axis=1).mean())


def draw(path, norms):
    """Both figures of the paper, and the noise, one above the other."""
    curves(path, {f"log₁₀ {label}": {f"G of epoch {age}": (rows["steps"], np.log10(rows[name]))
                                     for age, rows in norms.items()} for name, label in CURVES.items()})  # fmt: skip


def judge(norms, out):
    """The signs of the slopes on the log scale, and the decades of the fall."""
    claims = []
    for name, label in CURVES.items():
        sign, expected, paper = (-1, "< 0", "falls") if name == "minimax" else (1, "> 0", "grows")
        for age, rows in norms.items():
            slope = 1000 * np.polyfit(rows["steps"], np.log10(rows[name]), 1)[0]
            claim = f"{label}, epoch {age}: decades per 1,000 steps"
            claims.append(Claim(claim, expected, slope, sign * slope > 0, "{:+.2f}", paper))
    fall = max(np.log10(curve.max() / np.median(curve[-max(1, len(curve) // 20):]))
               for curve in (rows["minimax"] for rows in norms.values()))  # fmt: skip
    claims.append(Claim("the deepest fall, from peak to end, decades", "> 2", fall, fall > 2, "{:.1f}", "5"))
    return verdict(claims, out)


if __name__ == "__main__":
    parser = arguments(__doc__, steps=5000, out="", lr=2e-4, batch=64, width=16,
                       epoch=200, d_width=32, d_steps=4000, every=20)
    parser.add_argument("--data", default="fashion-mnist", help="fashion-mnist, glyphs or folder:PATH")
    main(train, parser)
