"""Semi-supervised GAN: 100 labels, many images without one, and a generator that makes them useful.

    D : image → features f(x) → K logits l₁ ... l_K, one for each class and none for "generated"

    p(y | x) = softmax(l)_y        D(x) = Z / (Z + 1),  Z = Σ exp(l_k)

    D minimises   E[-log p(y | x)]                                 on the labelled images
                  + ½ E[-log D(x)] + ½ E[-log(1 - D(G(z)))]        on all images and on G's
    G minimises   ‖E f(x) - E f(G(z))‖²                            feature matching

log Z = logsumexp(l) is then simply the logit of D(x) = σ(log Z), and the second line the usual loss of the usual game.
To win it D needs features of what real images look like, and has to place the classes' borders where there are none.

Salimans et al. 2016, sections 3.1 and 5. Paper, MNIST with 100 labels: 93 ± 6.5 errors in 10,000 test images. Here the
digits are printed ones (ten faces, slanted, bold, thin), so that number is no measure of this run. The measure is the
same network with the same first weights, labelled batches and steps, trained beside D on the labels alone: D's errors
at the end must be at most 0.9 of its fewest, wherever in the run these were.

    python examples/16_semi_supervised.py                          # about three minutes on one core
    python examples/16_semi_supervised.py --data fashion-mnist     # garments: many lie between two classes
    python examples/16_semi_supervised.py --break softmax-twice    # a common mistake, and how to recognise it

Look at errors.png. The samples get no prize: feature matching makes G's images useful to D, not beautiful.
"""

import numpy as np

import minigan as mg
from minigan.claims import Claim, verdict
from minigan.data import ArraySource, Batches, Glyphs, load
from minigan.gan import algorithm1
from minigan.gan.losses import minimax_d
from minigan.gan.networks import dcgan_generator
from minigan.nn import Conv2d, Dropout, Flatten, LeakyReLU, Linear, Module, Sequential
from minigan.ops import log_softmax, logsumexp, mean, sigmoid, softmax, sum
from minigan.optim import Adam
from minigan.plot import curves
from minigan.run import Run, arguments, main, read_metrics

SIZE, K, LATENT = 28, 10, 100
OURS, ALONE = "errors", "errors, labels alone"  # of the 10,000 test images


class Classifier(Module):
    """images (N, 28, 28, 1) → K logits, by way of features (N, 128), which G is to match.

    Dropout is what keeps 100 labels from being learnt by heart. There is no batch norm: the labelled, unlabelled and
    generated images come as batches of their own, and would each be normalised to look like the others.
    """

    def __init__(self, width, rng):
        self.features = Sequential(
            Dropout(0.2, rng=rng),
            Conv2d(1, width, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.2), Dropout(0.3, rng=rng),
            Conv2d(width, 2 * width, 4, stride=2, padding=1, rng=rng), LeakyReLU(0.2), Dropout(0.3, rng=rng),
            Flatten(), Linear(SIZE // 4 * SIZE // 4 * 2 * width, 128, rng=rng), LeakyReLU(0.2),
        )  # fmt: skip
        self.logits = Linear(128, K, rng=rng)

    def forward(self, x):
        return self.logits(self.features(x))


def cross_entropy(logits, labels):
    """E[-log softmax(l)_y]. Of logits: log_softmax stays finite where the probability itself would round to 0."""
    return -mean(log_softmax(logits)[np.arange(len(labels)), labels])


def train(args):
    rng = np.random.default_rng(args.seed)
    source, test = images_of(args.data)
    images, labels = source.take(balanced(source.labels, args.labels, rng), labels=True)
    batches = Batches(source, args.batch, np.random.default_rng(args.seed + 1))
    count = min(args.batch, args.labels)
    few = Batches(ArraySource(images, labels), count, np.random.default_rng(args.seed + 2), labels=True)
    G = dcgan_generator(SIZE, 1, rng, latent=LATENT, width=args.width).to(args.device)
    D, alone = (Classifier(args.width, rng).to(args.device) for _ in range(2))
    alone.load_state_dict(D.state_dict())  # the same first weights
    opt_G, opt_D, opt_alone = (Adam(net.parameters(), args.lr, betas=(0.5, 0.999)) for net in (G, D, alone))
    # The mistake: a network that ends in a softmax, though all that follows takes logits.
    end = softmax if args.broken == "softmax-twice" else (lambda logits: logits)

    def noise(n):
        return mg.tensor(rng.standard_normal((n, LATENT), dtype=np.float32), device=args.device)

    def d_step(unlabelled):
        images, y = next(few)
        images, fake = mg.tensor(images, device=args.device), G(noise(args.batch)).detach()
        supervised = cross_entropy(end(D(images)), y)
        l_real, l_fake = (logsumexp(end(D(x)), axis=1) for x in (mg.tensor(unlabelled, device=args.device), fake))
        loss = supervised + minimax_d(l_real, l_fake)
        opt_D.step(mg.grad(loss, D.parameters()))
        loss_alone = cross_entropy(end(alone(images)), y)
        opt_alone.step(mg.grad(loss_alone, alone.parameters()))
        return {"loss_D": loss, "loss_supervised": supervised, "loss_alone": loss_alone,
                "D(x)": mean(sigmoid(l_real)), "D(G(z))": mean(sigmoid(l_fake))}  # fmt: skip

    def g_step():
        with mg.no_grad():
            target = mean(D.features(mg.tensor(next(batches), device=args.device)), axis=0)
        distance = sum((mean(D.features(G(noise(args.batch))), axis=0) - target) ** 2)
        opt_G.step(mg.grad(distance, G.parameters()))
        return {"feature distance²": distance}

    fixed = noise(64)
    parts = {"G": G, "D": D, "alone": alone, "opt_G": opt_G, "opt_D": opt_D, "opt_alone": opt_alone,
             "rng": rng, "batches": batches, "few": few}  # fmt: skip
    with Run(args.out, args, resume=args.resume) as run:
        start = run.restore(**parts)
        run.checkpoint_on_exit(lambda: parts)
        steps = algorithm1(d_step, g_step, batches, start=start, steps=args.steps)
        for t, seen in run.progress(steps, total=args.steps, initial=start, batch_size=args.batch):
            show = t % args.every == 0 or t == args.steps
            wrong = {name: errors(net, test, args.device) for name, net in ((OURS, D), (ALONE, alone)) if show}
            run.log(t, seen | wrong)
            if show:
                with mg.no_grad():
                    run.samples(t, G.eval()(fixed))
                G.train()
                run.save(t, **parts)
        run.finish()
    return judge(args, run.out)


def images_of(data):
    """(training images, 10,000 test images) as ArraySources with labels."""
    if data == "fashion-mnist":
        return load(data, size=SIZE), load(data, size=SIZE, split="test")
    glyphs, rng = Glyphs(SIZE, "0123456789"), np.random.default_rng(1606)  # the same digits for every seed of a run
    return tuple(ArraySource(*glyphs.batch(rng, n, labels=True)) for n in (20_000, 10_000))


def balanced(labels, count, rng):
    """Positions of `count` images, as many of each class, drawn without repetition."""
    each, rest = divmod(count, K)
    most = np.bincount(labels).min()
    if rest or not 1 <= each <= most:
        raise ValueError(f"--labels is {count}, but {K} classes share them evenly: give {K}, {2 * K}, ... {K * most}")
    return np.concatenate([rng.choice(np.flatnonzero(labels == k), each, replace=False) for k in range(K)])


def errors(net, test, device):
    """How many images the network calls by a wrong name. eval(): without dropout."""
    net.eval()
    wrong = 0
    with mg.no_grad():
        for i in range(0, len(test), 500):
            images, y = test.take(slice(i, i + 500), labels=True)
            wrong += int((net(mg.tensor(images, device=device)).numpy().argmax(axis=1) != y).sum())
    net.train()
    return wrong


def judge(args, out):
    """The last figures of the run: fewer errors than from the labels alone, and labels that were learnt at all?"""
    rows = read_metrics(out / "metrics.jsonl")
    seen = [row for row in rows if OURS in row]
    steps = [row["step"] for row in seen]
    lines = {name: (steps, [row[name] for row in seen]) for name in (OURS, ALONE)}
    curves(out / "errors.png", {"test errors of 10,000": lines}, smooth=1)
    print(out / "errors.png")
    ours, alone = int(seen[-1][OURS]), int(min(row[ALONE] for row in seen))
    last = {name: np.mean([row[name] for row in rows[-100:]]) for name in ("loss_supervised", "D(x)", "D(G(z))")}
    if args.broken:
        explain(last)
    wanted = f"<= {0.9 * alone:.0f} (0.9 of {alone}, labels alone, at best)"
    loss = last["loss_supervised"]
    claims = [
        Claim("test errors of 10,000, 100 labels", wanted, ours, ours <= 0.9 * alone, paper="MNIST: 93 ± 6.5"),
        Claim("cross-entropy of labelled images, nats", "< 0.3", loss, loss < 0.3, "{:.3f}"),
    ]
    return verdict(claims, out)


def explain(last):
    """What gives a second softmax away."""
    floor, (low, high) = np.log(1 + (K - 1) / np.e), (z / (z + 1) for z in (K * np.exp(1 / K), np.e + K - 1))
    print(f"""
A softmax before the cross-entropy, which applies its own. No error is raised; these are the symptoms:
  cross-entropy of labelled images   {last["loss_supervised"]:.3f}, never below log(1 + {K - 1}/e) = {floor:.3f}
  D(x), D(G(z))                      {last["D(x)"]:.3f}, {last["D(G(z))"]:.3f}, never outside {low:.3f} ... {high:.3f}
Why: the first softmax leaves numbers from 0 to 1 that sum to 1. Taken as logits they differ by 1 at most, so that no
class can be favoured by more than a factor e, and Σ exp of them is all but the same for every image: D is blind.
""")


if __name__ == "__main__":
    defaults = {"lr": 5e-4, "batch": 64, "width": 32, "every": 250, "labels": 100}
    parser = arguments(__doc__, steps=2500, out="runs/semi-supervised", **defaults)
    parser.add_argument("--data", choices=["digits", "fashion-mnist"], default="digits", help="what to learn")
    parser.add_argument("--break", dest="broken", choices=["softmax-twice"], help="make this mistake, see its marks")
    main(train, parser)
