"""What DCGAN's discriminator has learnt without a label: features from which a straight line can tell garments apart.

D was only asked whether an image is real. Take what its convolutions make of an image, each layer max-pooled to a 7x7
grid, and train a linear classifier on a few thousand labels; train the same classifier on the pixels, and on the
features of a D that saw no image, its weights as they were drawn.

    p(y | x) = softmax(f(x) W + b)       minimise -log p(y | x) + λ ‖W‖², λ chosen on labelled images kept aside

    Radford, Metz and Chintala 2015, DCGAN (1511.06434), section 5.1: the features of all layers, max-pooled to 4x4 (no
    layer here divides by 4), and a linear L2-SVM on top: 82.8 % on CIFAR-10, where the best baseline of clustered
    patches has 80.6 %. Its D was trained on ImageNet; this one on the images of Fashion-MNIST, so only the order of
    features and pixels can be compared.

The same run says how good its G is, seen by a classifier of the project's own: the Fréchet distance of its features,
which is not the papers' FID, must be under half that of a Gaussian with the pixels' mean and covariance, the best that
a linear G could do; and the entropy of the classes that it draws over 0.9 of its largest, log 10.

    python examples/18_dcgan_features.py          # a few minutes on one core
"""

import numpy as np

import minigan as mg
from minigan.claims import Claim, verdict
from minigan.data import Batches, fashion_mnist
from minigan.gan import algorithm1
from minigan.gan.losses import minimax_d, nonsaturating_g
from minigan.gan.networks import dcgan_discriminator, dcgan_generator
from minigan.metrics import class_entropy, classifier_frechet, own_classifier
from minigan.nn import LeakyReLU, Linear
from minigan.ops import log_softmax, mean, sigmoid, sum
from minigan.optim import Adam
from minigan.run import Run, arguments, main

LATENT, SIZE, GRID, CLASSES = 100, 28, 7, 10
DECAYS = 0.0, 1e-3, 1e-2  # λ, of which the best on the images kept aside is taken


def train(args):
    if args.smoke:
        args.labels, args.judged = 200, 200
    rng = np.random.default_rng(args.seed)
    source = fashion_mnist()
    batches = Batches(source, args.batch, np.random.default_rng(args.seed + 1))
    G = dcgan_generator(SIZE, 1, rng, latent=LATENT, width=args.width).to(args.device)
    D = dcgan_discriminator(SIZE, 1, rng, width=args.width).to(args.device)
    opt_G, opt_D = (Adam(module.parameters(), args.lr, betas=(0.5, 0.999)) for module in (G, D))

    def noise(n):
        return mg.tensor(rng.standard_normal((n, LATENT), dtype=np.float32), device=args.device)

    def d_step(real):
        l_real, l_fake = D(mg.tensor(real, device=args.device)), D(G(noise(len(real))).detach())
        loss = minimax_d(l_real, l_fake)
        opt_D.step(mg.grad(loss, D.parameters()))
        return {"loss_D": loss, "D(x)": mean(sigmoid(l_real)), "D(G(z))": mean(sigmoid(l_fake))}

    def g_step():
        loss = nonsaturating_g(D(G(noise(args.batch))))
        opt_G.step(mg.grad(loss, G.parameters()))
        return {"loss_G": loss}

    fixed = noise(64)
    parts = {"G": G, "D": D, "opt_G": opt_G, "opt_D": opt_D, "rng": rng, "batches": batches}
    with Run(args.out or "runs/dcgan-features", args, resume=args.resume) as run:
        start = run.restore(**parts)
        run.checkpoint_on_exit(lambda: parts)
        steps = algorithm1(d_step, g_step, batches, start=start, steps=args.steps)
        for t, seen in run.progress(steps, total=args.steps, initial=start, batch_size=args.batch):
            run.log(t, seen)
            if t % args.every == 0 or t == args.steps:
                run.samples(t, generate(G, fixed))
                run.save(t, **parts)
        run.finish()
    fake = np.concatenate([generate(G, noise(part)) for part in sizes(args.judged)])
    return judge(D, fake, source, args, run.out)


def generate(G, z):
    """Images of z, as an array, by running statistics."""
    with mg.no_grad():
        images = G.eval()(z).numpy()
    G.train()
    return images


def sizes(n, most=500):
    """n cut into parts of at most `most`."""
    return [min(most, n - i) for i in range(0, n, most)]


def features(D, images):
    """What every convolution of D makes of images (N, 28, 28, 1), max-pooled to 7x7 → (N, 49 · all its channels)."""
    D.eval()
    rows, start = [], 0
    with mg.no_grad():
        for n in sizes(len(images)):
            x, maps = mg.tensor(images[start : start + n]), []
            for layer in D.layers[:-2]:  # but for the last convolution, which makes the logit
                x = layer(x)
                if isinstance(layer, LeakyReLU):
                    maps.append(pooled(x.numpy()))
            rows.append(np.concatenate(maps, axis=1))
            start += n
    return np.concatenate(rows)


def pooled(maps):
    """Maps (N, H, W, C), H and W multiples of 7 → the largest value in each cell of the grid, (N, 49 C)."""
    n, h, w, c = maps.shape
    return maps.reshape(n, GRID, h // GRID, GRID, w // GRID, c).max(axis=(2, 4)).reshape(n, -1)


def probe(x, y, x_test, y_test, steps=300):
    """Train a linear classifier on four fifths of (x, y), λ chosen on the rest → its accuracy on the test images."""
    shift, scale, cut = x.mean(axis=0), x.std(axis=0) + 1e-3, len(x) * 4 // 5
    x, x_test = (x - shift) / scale, (x_test - shift) / scale
    lines = [fit(x[:cut], y[:cut], decay, steps) for decay in DECAYS]
    best = max(lines, key=lambda line: accuracy(line, x[cut:], y[cut:]))
    return accuracy(best, x_test, y_test)


def fit(x, y, decay, steps, lr=1e-3):
    """Softmax regression by Adam on all of x (N, F) at once, y (N,) whole numbers; its rate falls to 0 along a line."""
    line = Linear(x.shape[1], CLASSES)
    for part in line.parameters():
        part.data[...] = 0
    x, optimiser = mg.tensor(x), Adam(line.parameters(), lr)
    for step in range(steps):
        loss = -mean(log_softmax(line(x))[np.arange(len(y)), y]) + decay * sum(line.weight**2)
        optimiser.lr = lr * (1 - step / steps)
        optimiser.step(mg.grad(loss, line.parameters()))
    return line


def accuracy(line, x, y):
    with mg.no_grad():
        return float(np.mean(line(mg.tensor(x)).numpy().argmax(axis=1) == y))


def judge(D, fake, source, args, out):
    """The probe on features against the probe on pixels, and G's images in the eyes of the own classifier."""
    drawn = dcgan_discriminator(SIZE, 1, np.random.default_rng(args.seed + 3), width=args.width)
    order = np.random.default_rng(args.seed + 2).permutation(len(source))[: args.labels]
    (x, y), (x_test, y_test) = source.take(order, labels=True), fashion_mnist("test").take(slice(None), labels=True)
    D.to("cpu")
    views = {"pixels": lambda images: images.reshape(len(images), -1),
             "untrained": lambda images: features(drawn, images), "D": lambda images: features(D, images)}  # fmt: skip
    right = {name: probe(view(x), y, view(x_test), y_test) for name, view in views.items()}
    classifier, n = own_classifier("fashion-mnist", SIZE, steps=20 if args.smoke else None), len(fake)
    others = fake, x_test[n : 2 * n], gaussian(x, n, np.random.default_rng(args.seed + 4))
    distance, floor, linear = (classifier_frechet(x_test[:n], other, classifier) for other in others)
    entropy, most = class_entropy(fake, classifier), np.log(CLASSES)
    pixels, untrained = right["pixels"], right["untrained"]
    claims = [
        Claim("linear probe on D's features, against pixels", f"> {pixels:.1%}", right["D"], right["D"] > pixels,
              "{:.1%}", "82.8 % (CIFAR-10)"),
        Claim("... against those of an untrained D", f"> {untrained:.1%}", right["D"], right["D"] > untrained,
              "{:.1%}"),
        Claim("Fréchet distance, own classifier", f"< {linear / 2:.1f} (half a Gaussian's; real {floor:.1f})", distance,
              distance < linear / 2, "{:.1f}"),
        Claim("entropy of the classes drawn, nats", f"> {0.9 * most:.2f} (0.9 log 10)", entropy.marginal,
              entropy.marginal > 0.9 * most, "{:.2f}"),
    ]  # fmt: skip
    return verdict(claims, out)


def gaussian(real, n, rng):
    """n images drawn from the Gaussian of the real pixels' mean and covariance: what a linear G could do at best."""
    flat = real.reshape(len(real), -1)
    drawn = rng.multivariate_normal(flat.mean(0), np.cov(flat, rowvar=False), n, check_valid="ignore", method="eigh")
    return np.clip(drawn, -1, 1).astype(np.float32).reshape(n, *real.shape[1:])


if __name__ == "__main__":
    parser = arguments(__doc__, steps=3000, out="", lr=2e-4, batch=64, width=32, every=300, labels=4000, judged=2000)
    main(train, parser)
