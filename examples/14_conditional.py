"""Conditional GAN: both players are told the class, so that G draws what it is asked for.

    G : (z, y) → image                y, a class, enters as a one-hot vector beside z
    D : (image, y) → a logit l         and as one-hot planes beside the image; D(x, y) = σ(l)

    D minimises   ½ E[-log D(x, y)] + ½ E[-log(1 - D(G(z, y), y))]
    G minimises   E[-log D(G(z, y), y)]

A good image of another class than y is as false to D as a bad image: this alone makes G listen to y.

Mirza and Osindero 2014, equation 2. Their own figure, a Parzen window's log-likelihood of MNIST (132 ± 1.8 nats), does
not see whether G obeys. Measured here instead, with a classifier that was trained on real images and names a share a of
held-out ones rightly: it must see the requested class in at least 0.9 a of the samples. One picture learnt by heart for
each class would pass that, so the images of a class must also differ as much as real ones do: within 0.8 to 1.2.

    python examples/14_conditional.py                     # garments, about three minutes on one core
    python examples/14_conditional.py --data glyphs       # 36 characters

Look at the last of the samples: a row is a class, and a column one z. What a column has in common is what G
learnt to express without being told: how bold, how slanted, how wide.
"""

import numpy as np

import minigan as mg
from minigan.claims import Claim, verdict
from minigan.data import Batches, load
from minigan.gan import algorithm1
from minigan.gan.conditional import ConditionalDiscriminator, ConditionalGenerator
from minigan.gan.losses import minimax_d, nonsaturating_g
from minigan.metrics import own_classifier, spread
from minigan.ops import mean, sigmoid
from minigan.optim import Adam
from minigan.run import Run, arguments, main

LATENT = 100
CLASSES = {"fashion-mnist": 10, "glyphs": 36}


def train(args):
    rng = np.random.default_rng(args.seed)
    K = CLASSES[args.data]
    source = load(args.data, size=args.size)
    batches = Batches(source, args.batch, np.random.default_rng(args.seed + 1), labels=True)
    G = ConditionalGenerator(args.size, 1, K, rng, latent=LATENT, width=args.width).to(args.device)
    D = ConditionalDiscriminator(args.size, 1, K, rng, width=args.width).to(args.device)
    opt_G, opt_D = Adam(G.parameters(), args.lr, betas=(0.5, 0.999)), Adam(D.parameters(), args.lr, betas=(0.5, 0.999))

    def noise(n):
        return mg.tensor(rng.standard_normal((n, LATENT), dtype=np.float32), device=args.device)

    def d_step(batch):
        images, y = batch
        # The same labels on both sides: were they distributed otherwise, D could tell by the label alone.
        real, fake = mg.tensor(images, device=args.device), G(noise(len(y)), y).detach()
        l_real, l_fake = D(real, y), D(fake, y)
        loss = minimax_d(l_real, l_fake)
        opt_D.step(mg.grad(loss, D.parameters()))
        return {"loss_D": loss, "D(x)": mean(sigmoid(l_real)), "D(G(z))": mean(sigmoid(l_fake))}

    def g_step():
        y = rng.integers(K, size=args.batch)
        loss = nonsaturating_g(D(G(noise(args.batch), y), y))
        opt_G.step(mg.grad(loss, G.parameters()))
        return {"loss_G": loss}

    columns = noise(10)
    parts = {"G": G, "D": D, "opt_G": opt_G, "opt_D": opt_D, "rng": rng, "batches": batches}
    with Run(args.out or f"runs/conditional-{args.data}", args, resume=args.resume) as run:
        start = run.restore(**parts)
        run.checkpoint_on_exit(lambda: parts)
        steps = algorithm1(d_step, g_step, batches, start=start, steps=args.steps)
        for t, seen in run.progress(steps, total=args.steps, initial=start, batch_size=args.batch):
            run.log(t, seen)
            if t % args.every == 0 or t == args.steps:
                run.samples(t, np.concatenate([generate(G, columns, y) for y in range(K)]), columns=10)
                run.save(t, **parts)
        run.finish()
    fake = [generate(G, noise(args.judged), y) for y in range(K)]
    return judge(fake, args, run.out)


def generate(G, z, y):
    """Images of z, all of class y, as an array. eval(): running statistics, so that none depends on its neighbours."""
    with mg.no_grad():
        images = G.eval()(z, np.full(len(z), y)).numpy()
    G.train()
    return images


def judge(fake, args, out):
    """Images of each class, [(n, H, W, C)] in the order of the classes: are they of their class, and do they differ?"""
    classifier = own_classifier(args.data, args.size, steps=20 if args.smoke else None)
    obeyed = np.mean([classifier.probabilities(images).argmax(1) == y for y, images in enumerate(fake)])
    least = 0.9 * classifier.accuracy
    held_out, count = load(args.data, size=args.size, split="test"), 100 * len(fake)  # about 100 of each class
    images, labels = held_out.batch(np.random.default_rng(args.seed + 2), count, labels=True)
    real = [images[labels == y] for y in range(len(fake))]
    ratio = np.mean([spread(f) / spread(r) for f, r in zip(fake, real)])
    wanted = f">= {least:.1%} (0.9 of real's {classifier.accuracy:.1%})"
    claims = [
        Claim("samples of the requested class", wanted, obeyed, obeyed >= least, "{:.1%}"),
        Claim("spread within a class, real = 1", "0.8 to 1.2", ratio, 0.8 <= ratio <= 1.2, "{:.2f}"),
    ]
    return verdict(claims, out)


if __name__ == "__main__":
    parser = arguments(__doc__, steps=4700, out="", lr=2e-4, batch=64, width=32, every=470, judged=100)
    parser.add_argument("--data", choices=CLASSES, default="fashion-mnist", help="what has classes")
    parser.add_argument("--size", type=int, default=28, help="pixels along each side: 28, 32 or 64")
    main(train, parser)
