"""DCGAN: two convolutional networks that learn images.

    G : z ∈ R¹⁰⁰ → image        projected to a 4x4 image of many channels, doubled at every transposed convolution
    D : image → a logit l        halved at every strided convolution; D(x) = σ(l) is the probability that x is real

    D minimises   ½ E[-log D(x)] + ½ E[-log(1 - D(G(z)))]
    G minimises   E[-log D(G(z))]

    Radford, Metz and Chintala 2015 (networks, Adam 2e-4 with β₁ = 0.5, weights N(0, 0.02)); Goodfellow et al. 2014,
    Algorithm 1 and section 3 (losses).

    python examples/02_dcgan.py                                  # letters and digits, about three minutes on two cores
    python examples/02_dcgan.py --data fashion-mnist --size 28   # garments, under ten minutes
    python examples/02_dcgan.py --data folder:PATH --size 64     # your own images

Look at samples.gif and dashboard.png in the run's folder. Ctrl-C loses nothing: the same command with --resume goes on,
to the last bit as if it had never stopped.

Break it, and look at the dashboard: --break saturating, --break eps-0.8, --break no-detach. BREAK, below, says what
each does and shows; a broken run says it at its end.
"""

import numpy as np

import minigan as mg
from minigan.claims import Claim, verdict
from minigan.data import Batches, load
from minigan.gan import algorithm1
from minigan.gan.dashboard import dashboard
from minigan.gan.networks import dcgan_discriminator, dcgan_generator
from minigan.gan.watch import Watch
from minigan.metrics import pixel_frechet, spread
from minigan.nn import BatchNorm2d
from minigan.ops import mean, sigmoid, softplus
from minigan.optim import Adam
from minigan.run import Run, arguments, main

LATENT = 100
BREAK = {
    "saturating": "G minimises ½ E[log(1 - D(G(z)))], what D maximises. The dashboard shows |∇G| fall by decades while "
    "D's accuracy is 1, and the alarm 'D too strong' rings: the slope of softplus(l) is σ(l), 0 where D is sure.",
    "eps-0.8": "BatchNorm2d(channels, 0.8) meant a momentum and set eps. The dashboard shows |∇G| begin decades lower, "
    "spectral norms grow, and variety stay near 0: the variances are hundredths, so that √(variance + 0.8) makes every "
    "layer's signal smaller instead of bringing it to 1, and z is hardly seen in the image.",
    "no-detach": "D's step is not cut off from G. The dashboard shows nothing: every figure is the same to the last "
    "bit, because mg.grad was asked for D's parameters only. It costs memory: what G computed stays until D's step is "
    "over. loss.backward() would also take the time of G's gradient, and leave it in .grad, to be added to G's own.",
}


def train(args):
    rng = np.random.default_rng(args.seed)
    source = load(args.data, size=args.size)
    batches = Batches(source, args.batch, np.random.default_rng(args.seed + 1))
    channels = source.shape[-1]
    G = dcgan_generator(args.size, channels, rng, latent=LATENT, width=args.width).to(args.device)
    D = dcgan_discriminator(args.size, channels, rng, width=args.width).to(args.device)
    opt_G, opt_D = Adam(G.parameters(), args.lr, betas=(0.5, 0.999)), Adam(D.parameters(), args.lr, betas=(0.5, 0.999))
    watch = Watch(G=G, D=D, every=40)
    if args.fault == "eps-0.8":
        for layer in [*G, *D]:
            if isinstance(layer, BatchNorm2d):
                layer.eps = 0.8

    def noise(n):
        return mg.tensor(rng.standard_normal((n, LATENT), dtype=np.float32), device=args.device)

    def d_step(real):
        # detach(): to D, G's images are data. Without it this step would also compute, and throw away, the gradient of
        # everything that G did to make them.
        real, fake = mg.tensor(real, device=args.device), G(noise(len(real)))
        if args.fault != "no-detach":
            fake = fake.detach()
        # Two runs of D, not one over both halves: batch norm then sees real and generated images as separate batches.
        l_real, l_fake = D(real), D(fake)
        # softplus(-l) = -log σ(l) = -log D(x), and softplus(l) = -log(1 - D(x)): the cross-entropy of a logit, in which
        # no probability can round to 0 and no logarithm needs a + 1e-8.
        loss = 0.5 * mean(softplus(-l_real)) + 0.5 * mean(softplus(l_fake))
        watch.step(opt_D, loss, mg.grad(loss, D.parameters()))  # opt_D.step, measured
        watch.samples(real, fake, l_real, l_fake)
        return {"loss_D": loss.item(), "D(x)": mean(sigmoid(l_real)).item(), "D(G(z)) 1": mean(sigmoid(l_fake)).item()}

    def g_step():
        # D runs once more, because it has just learned: G wants the gradient of the D of now. Only G's parameters are
        # asked for, so that D's weight gradients are not computed at all.
        l_fake = D(G(noise(args.batch)))
        loss = -0.5 * mean(softplus(l_fake)) if args.fault == "saturating" else mean(softplus(-l_fake))
        watch.step(opt_G, loss, mg.grad(loss, G.parameters()))
        return {"loss_G": loss.item(), "D(G(z)) 2": mean(sigmoid(l_fake)).item()}

    fixed = noise(64)
    parts = {"G": G, "D": D, "opt_G": opt_G, "opt_D": opt_D, "rng": rng, "batches": batches, "watch": watch}
    with Run(args.out or f"runs/dcgan-{args.data.partition(':')[0]}", args, resume=args.resume) as run:
        start = run.restore(**parts)
        run.checkpoint_on_exit(lambda: parts)
        steps = algorithm1(d_step, g_step, batches, start=start, steps=args.steps)
        for t, seen in run.progress(steps, total=args.steps, initial=start, batch_size=args.batch):
            run.log(t, watch.look(t, seen))
            if t % args.every == 0 or t == args.steps:
                run.samples(t, generate(G, fixed))
                run.save(t, **parts)
        run.finish()
        dashboard(run.out)
    if args.fault:
        print(f"--break {args.fault}: {BREAK[args.fault]}")
    fake = np.concatenate([generate(G, noise(100)) for _ in range(10)])
    return judge(fake, source, args, run.out)


def generate(G, z):
    """Images of z, as an array. eval(): running statistics, so that an image depends on its own z alone."""
    with mg.no_grad():
        images = G.eval()(z).numpy()
    G.train()
    return images


def judge(fake, source, args, out):
    """1,000 generated images against real ones: means and covariances of their pixels, and how much they differ."""
    count = min(1000, args.judged, len(source) // 2 if hasattr(source, "take") else 1000)
    batches = Batches(source, count, np.random.default_rng(args.seed + 2))
    real, held_out = next(batches), next(batches)  # of a folder: no image is in both
    distance, floor = pixel_frechet(real, fake, held_out)
    ratio = spread(fake) / spread(real)
    claims = [
        Claim("Fréchet distance, pixel components", f"< 0.15 (real {floor:.3f})", distance, distance < 0.15, "{:.3f}"),
        Claim("spread of the images, real = 1", "0.8 to 1.2", ratio, 0.8 < ratio < 1.2, "{:.2f}"),
    ]
    return verdict(claims, out)


if __name__ == "__main__":
    parser = arguments(__doc__, steps=1800, out="", lr=2e-4, batch=64, width=64, every=100, judged=1000)
    parser.add_argument("--data", default="glyphs", help="glyphs, fashion-mnist or folder:PATH")
    parser.add_argument("--size", type=int, default=32, help="pixels along each side: 28, 32 or 64")
    parser.add_argument("--break", dest="fault", choices=BREAK, help="make a mistake on purpose")
    main(train, parser)
