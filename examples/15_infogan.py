"""InfoGAN: part of the noise is a code, and G is made to keep it readable in the image. Nobody says what it stands for.

    G : z, c → image                  c = (k, u₁, u₂): k one of ten, evenly; u₁ and u₂ uniform in [-1, 1]
    D : image → a logit l             D and Q are two heads of one body
    Q : image → a guess at c          ten logits for k; the mean of a Gaussian of variance 1 for each u

    D, Q and body minimise   ½ E[-log D(x)] + ½ E[-log(1 - D(G(z, c)))] + λ L        Adam 2e-4, β₁ = 0.5
    G minimises              E[-log D(G(z, c))]                         + λ L        Adam 1e-3, β₁ = 0.5
    L = E[-log Q(c | G(z, c))] = cross-entropy of k + ½ E‖u - Q's mean‖² + a constant

    Chen et al. 2016, InfoGAN: Interpretable Representation Learning by Information Maximizing GANs (1606.03657),
    equations 5 and 6: H(c) - L is at most the mutual information of c and G(z, c). Section 7 and appendix C.1 for the
    networks (here a quarter as wide), λ = 1 and both rates; who minimises what as the authors have it in their program.
    Theirs has 62 noise variables beside the code. So has this one for garments; but the digits below vary in nothing
    that a code could not hold, and with 62 variables to spare some of it goes there, so theirs are 4.

On real images that no code made, Q is a classifier that never saw a label: give each k the class that most of its
images have, and count the others. The paper: 5 % error on MNIST. Here digits of one typeface stand in for it, with what
MNIST hides: how far a real image slants, how bold it is drawn. A u that has found a factor is in order with it: their
rank correlation is near 1 or -1. It is taken within each digit and without its sign, for nothing asks that a u which
leans the 7 to the right should do so with the 8; but one u must be slant in all of them, and the other weight.

Nor does anything in L ask for that: turn or bend the square of u onto itself and L is the same, so that whether u₁ and
u₂ lie along slant and weight is left to chance: to the first weights, and even to the last bits of the arithmetic, for
the same seed did it (0.99) before an op was rounded better, and after it does not (0.76). Then the same two factors are
in u, but along lines that bend and differ from digit to digit, and the claims of rank correlation FAIL. What L does ask
for is that the factors are in u at all: images near in u are then alike in slant and weight, however the lines run, and
the mean of the five nearest tells.

    python examples/15_infogan.py                          # digits, about two minutes on one core
    python examples/15_infogan.py --data fashion-mnist --steps 5000     # garments: the error of k alone

Look at samples/: in the upper rows k runs from 0 to 9, then u₁, then u₂ from -2 to 2, all else fixed in a row.
"""

import functools

import numpy as np

import minigan as mg
from minigan.claims import Claim, verdict
from minigan.data import Batches, Glyphs, fashion_mnist
from minigan.gan import algorithm1, losses
from minigan.nn import BatchNorm2d, Conv2d, ConvTranspose2d, LeakyReLU, Linear, Module, ReLU, Reshape, Sequential, Tanh
from minigan.nn import init as weights
from minigan.ops import concatenate, log_softmax, mean, sum
from minigan.optim import Adam
from minigan.run import Run, arguments, main

NOISE = {"glyphs": 4, "fashion-mnist": 62}
CLASSES, UNIFORM, SIZE = 10, 2, 28


@functools.cache
def glyphs():
    """The digits, of which slant and weight vary and nothing else."""
    return Glyphs(SIZE, "0123456789", {"scale": (0.72, 0.72), "position": (0, 0), "weight": (-0.02, 0.05)})


def digits(rng, n):
    """n digits of one typeface, and what they are → GlyphSample."""
    return glyphs().sample(rng, n, face="DejaVuSans")


def generator(noise, width, rng):
    """z and c (N, noise + 10 + 2) → images (N, 28, 28, 1)."""
    wide, small = 16 * width, (SIZE // 4, SIZE // 4, 2 * width)
    flat = int(np.prod(small))
    layers = [Linear(noise + CLASSES + UNIFORM, wide, bias=False), BatchNorm2d(wide), ReLU()]
    layers += [Linear(wide, flat, bias=False), BatchNorm2d(flat), ReLU(), Reshape(*small)]
    layers += [ConvTranspose2d(2 * width, width, 4, stride=2, padding=1, bias=False), BatchNorm2d(width), ReLU()]
    layers += [ConvTranspose2d(width, 1, 4, stride=2, padding=1), Tanh()]
    return weights.dcgan(Sequential(*layers), rng)


class DiscriminatorQ(Module):
    """Images (N, 28, 28, 1) → D's logits (N, 1), Q's logits of k (N, 10), Q's means of u (N, 2)."""

    def __init__(self, width, rng):
        wide, flat = 16 * width, (SIZE // 4) ** 2 * 2 * width
        layers = [Conv2d(1, width, 4, stride=2, padding=1), LeakyReLU(0.1)]
        layers += [Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=False), BatchNorm2d(2 * width), LeakyReLU(0.1)]
        layers += [Reshape(flat), Linear(flat, wide, bias=False), BatchNorm2d(wide), LeakyReLU(0.1)]
        self.body = Sequential(*layers)
        self.d = Linear(wide, 1)
        layers = [Linear(wide, 128, bias=False), BatchNorm2d(128), LeakyReLU(0.1), Linear(128, CLASSES + UNIFORM)]
        self.q = Sequential(*layers)
        weights.dcgan(self, rng)

    def forward(self, images):
        features = self.body(images)
        guess = self.q(features)
        return self.d(features), guess[:, :CLASSES], guess[:, CLASSES:]


def information_loss(k, u, logits, means):
    """E[-log Q(c | G(z, c))] but for a constant.   k (N, 10) one-hot, u (N, 2); what Q said of them."""
    return -mean(sum(k * log_softmax(logits), axis=1)) + 0.5 * mean(sum((u - means) ** 2, axis=1))


def train(args):
    rng = np.random.default_rng(args.seed)
    source = (lambda rng, n: digits(rng, n).images) if args.data == "glyphs" else fashion_mnist()
    batches = Batches(source, args.batch, np.random.default_rng(args.seed + 1))
    G, D = generator(NOISE[args.data], args.width, rng).to(args.device), DiscriminatorQ(args.width, rng).to(args.device)
    opt_G, opt_D = (Adam(part.parameters(), lr, betas=(0.5, 0.999)) for part, lr in ((G, args.lr_g), (D, args.lr_d)))

    def draw_code(n):
        """n rows of noise, of one-hot k, of u."""
        k = np.eye(CLASSES)[rng.integers(CLASSES, size=n)]
        drawn = rng.uniform(-1, 1, (n, NOISE[args.data])), k, rng.uniform(-1, 1, (n, UNIFORM))
        return [mg.tensor(part, dtype=np.float32, device=args.device) for part in drawn]

    def d_step(real):
        z, k, u = draw_code(len(real))
        l_real, _, _ = D(mg.tensor(real, device=args.device))
        l_fake, logits, means = D(generate(G, z, k, u).detach())
        information = information_loss(k, u, logits, means)
        loss = losses.minimax_d(l_real, l_fake)
        opt_D.step(mg.grad(loss + args.information * information, D.parameters()))
        return {"loss_D": loss}

    def g_step():
        z, k, u = draw_code(args.batch)
        l_fake, logits, means = D(generate(G, z, k, u))
        information = information_loss(k, u, logits, means)
        loss = losses.nonsaturating_g(l_fake)
        opt_G.step(mg.grad(loss + args.information * information, G.parameters()))
        return {"loss_G": loss, "loss_Q": information}

    show = sweeps(draw_code, args.device)
    parts = {"G": G, "D": D, "opt_G": opt_G, "opt_D": opt_D, "rng": rng, "batches": batches}
    with Run(args.out or f"runs/infogan-{args.data}", args, resume=args.resume) as run:
        start = run.restore(**parts)
        run.checkpoint_on_exit(lambda: parts)
        steps = algorithm1(d_step, g_step, batches, start=start, steps=args.steps)
        for t, seen in run.progress(steps, total=args.steps, initial=start, batch_size=args.batch):
            run.log(t, seen)
            if t % args.every == 0 or t == args.steps:
                with mg.no_grad():
                    run.samples(t, generate(G.eval(), *show), columns=10)
                G.train()
                run.save(t, **parts)
        run.finish()
    return judge(D, args, run.out)


def generate(G, z, k, u):
    return G(concatenate([z, k, u], axis=1))


def sweeps(draw_code, device, rows=3, columns=10):
    """Codes of a picture of 3·rows rows: k runs along the first rows, u₁ along the next, u₂ along the last."""
    z, k, u = (np.repeat(part.numpy(), columns, axis=0) for part in draw_code(rows))  # fixed in a row
    blocks = []
    for swept in range(1 + UNIFORM):
        k_here, u_here = k.copy(), u.copy()
        if swept == 0:
            k_here[:] = np.tile(np.eye(CLASSES), (rows, 1))
        else:
            u_here[:, swept - 1] = np.tile(np.linspace(-2, 2, columns), rows)
        blocks.append((z, k_here, u_here))
    return [mg.tensor(np.concatenate(part), device=device) for part in zip(*blocks)]


def judge(D, args, out):
    """Q on real images that training never saw, against what they are."""
    rng = np.random.default_rng(args.seed + 2)
    if args.data == "glyphs":
        real = digits(rng, 4000)
        images, classes, factors = real.images, real.character, {"slant": real.slant, "weight": real.weight}
    else:
        images, classes = fashion_mnist("test").batch(rng, 4000, labels=True)
    with mg.no_grad():
        guesses = [D.eval()(mg.tensor(part, device=args.device)) for part in np.split(images, 8)]
    k, u = (np.concatenate([guess[i].numpy() for guess in guesses]) for i in (1, 2))
    error = code_error(k.argmax(axis=1), classes)
    limit = {"glyphs": 0.3, "fashion-mnist": 0.6}[args.data]
    claims = [Claim("error of k as a classifier (chance 90 %)", f"< {limit:.0%}", error, error < limit, "{:.1%}",
                    "5 % (MNIST)")]  # fmt: skip
    if args.data == "glyphs":
        found = np.array([[order(u[:, i], factor, classes) for i in range(UNIFORM)] for factor in factors.values()])
        slant = found[0].argmax()
        for name, value in zip(factors, (found[0, slant], found[1, 1 - slant])):
            claims.append(Claim(f"|rank correlation| of one u and {name}", "> 0.9", value, value > 0.9, "{:.3f}"))
        for name, factor in factors.items():
            value = readable(u, factor, classes)
            claims.append(Claim(f"rank correlation of {name} and its guess", "> 0.7", value, value > 0.7, "{:.3f}"))
    return verdict(claims, out)


def code_error(codes, classes):
    """Give each code the class that most of its images in the first half have; its errors in the second half."""
    half = len(codes) // 2
    table = np.zeros((CLASSES, CLASSES), int)
    np.add.at(table, (codes[:half], classes[:half]), 1)
    return np.mean(table.argmax(axis=1)[codes[half:]] != classes[half:])


def order(u, factor, classes):
    """How well u and a factor are in order: the mean over the classes of their |rank correlation| within it."""
    return np.mean([abs(rank_correlation(u[classes == c], factor[classes == c])) for c in range(CLASSES)])


def readable(u, factor, classes, nearest=5):
    """How well both codes together tell a factor: its guess is the mean of the nearest in u among half of a class."""
    found = []
    for c in range(CLASSES):
        of_class = np.flatnonzero(classes == c)
        known, asked = of_class[::2], of_class[1::2]
        distance = ((u[asked, None] - u[known]) ** 2).sum(axis=-1)
        guess = factor[known][distance.argsort(axis=1)[:, :nearest]].mean(axis=1)
        found.append(rank_correlation(guess, factor[asked]))
    return np.mean(found)


def rank_correlation(a, b):
    """Spearman's: the correlation of the places that values take in order."""
    return np.corrcoef(*(np.argsort(np.argsort(x)) for x in (a, b)))[0, 1]


if __name__ == "__main__":
    parser = arguments(__doc__, steps=2500, out="", lr_d=2e-4, lr_g=1e-3, batch=64, width=16,
                       every=250, information=1.0)
    parser.add_argument("--data", choices=["glyphs", "fashion-mnist"], default="glyphs")
    main(train, parser)
