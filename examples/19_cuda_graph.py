"""A whole training step as one CUDA graph: DCGAN without work of the host between its kernels.

    step()  one step of D and one of G: data, noise, two forward and backward passes, two Adam steps
    ↓       mg.cuda_graph(step)
    graph   the same kernels, some hundreds, with their arguments and their order: one launch

The losses are 02_dcgan.py's. What differs is that nothing of a step lies on the host: the images are on the device
beforehand, and noise and indices are drawn there by a counter; Adam counts its steps there. The losses stay there too,
and are read once every `--every` steps. Two things are claimed: the numbers are those of the uncaptured step, to the
last bit, and the captured step is the faster one.

    python examples/19_cuda_graph.py            # wants a GPU and CuPy; not yet measured on one

Read minigan/cuda_graph.py for what can be captured.
"""

import time

import numpy as np

import minigan as mg
from minigan.claims import Claim, verdict
from minigan.data import load
from minigan.device import resolve
from minigan.gan.losses import minimax_d, nonsaturating_g
from minigan.gan.networks import dcgan_discriminator, dcgan_generator
from minigan.kernels.gpu import cupy_or_error
from minigan.optim import Adam
from minigan.run import Run, arguments, main

LATENT = 100
COMPARED = 10  # steps made both ways


class Game:
    """G, D and all that a step needs, on the device."""

    def __init__(self, args, images):
        rng = np.random.default_rng(args.seed)
        size, channels = images.shape[-2:]
        self.images, self.batch, self.rng = images, args.batch, mg.generator(args.seed, "cuda")
        self.G = dcgan_generator(size, channels, rng, latent=LATENT, width=args.width).to("cuda")
        self.D = dcgan_discriminator(size, channels, rng, width=args.width).to("cuda")
        self.opt_G, self.opt_D = (Adam(net.parameters(), args.lr, betas=(0.5, 0.999)) for net in (self.G, self.D))

    def noise(self, n):
        return mg.tensor(self.rng.standard_normal((n, LATENT), np.float32))

    def step(self):
        """One of D, one of G. → their losses: tensors, for to read a number is to wait for it."""
        real = mg.tensor(self.images[self.rng.integers(len(self.images), size=self.batch)])
        loss_D = minimax_d(self.D(real), self.D(self.G(self.noise(self.batch)).detach()))
        self.opt_D.step(mg.grad(loss_D, self.D.parameters()))
        loss_G = nonsaturating_g(self.D(self.G(self.noise(self.batch))))
        self.opt_G.step(mg.grad(loss_G, self.G.parameters()))
        return {"loss_D": loss_D, "loss_G": loss_G}

    def parts(self):
        return {"G": self.G, "D": self.D, "opt_G": self.opt_G, "opt_D": self.opt_D, "rng": self.rng}

    def numbers(self):
        """Every number that a step changes, one after another."""
        states = (part.state_dict() for part in self.parts().values())
        return np.concatenate([np.ravel(value).astype(np.float64) for state in states for value in state.values()])


def compare(args, images):
    """How many numbers differ after some steps, captured and not; milliseconds a step of both."""
    found, times = [], []
    for way in (lambda step: step, mg.cuda_graph):
        game = Game(args, images)
        step = way(game.step)
        for _ in range(COMPARED // 2):  # compiles, and captures
            step()
        start = time.perf_counter()
        for _ in range(COMPARED - COMPARED // 2):
            seen = step()
        seen["loss_G"].item()  # waits for the last kernel
        times.append(1e3 * (time.perf_counter() - start) / (COMPARED - COMPARED // 2))
        found.append(game.numbers())
    return int((found[0] != found[1]).sum()), times


def train(args):
    if resolve(args.device) != "cuda":
        cupy_or_error("this example")
        raise ValueError("this example is about CUDA graphs: leave out --device cpu")
    source = load(args.data, size=args.size)
    images = mg.tensor(source.batch(np.random.default_rng(args.seed + 1), args.images), device="cuda").data
    different, times = compare(args, images)
    game = Game(args, images)
    step, fixed = mg.cuda_graph(game.step), game.noise(64)
    with Run(args.out or "runs/cuda-graph", args, resume=args.resume) as run:
        start = run.restore(**game.parts())
        run.checkpoint_on_exit(game.parts)
        for t in run.progress(range(start + 1, args.steps + 1), total=args.steps, initial=start, batch_size=args.batch):
            seen = step()
            if t % args.every == 0 or t == args.steps:
                run.log(t, {name: loss.item() for name, loss in seen.items()})
                with mg.no_grad():
                    run.samples(t, game.G.eval()(fixed))
                game.G.train()
                run.save(t, **game.parts())
        run.finish()
    ratio = times[1] / times[0]
    print(f"milliseconds a step, batch {args.batch}: {times[0]:.2f} launched by Python, {times[1]:.2f} as a graph")
    claims = [
        Claim(f"numbers that differ after {COMPARED} steps", "0", different, different == 0, "{}"),
        Claim("time of the graph / time of the launches", "< 1", ratio, ratio < 1, "{:.2f}"),
    ]
    return verdict(claims, run.out)


if __name__ == "__main__":
    parser = arguments(__doc__, steps=5000, out="", lr=2e-4, batch=64, width=64, every=500, images=20_000)
    parser.add_argument("--data", default="glyphs", help="glyphs, fashion-mnist or folder:PATH")
    parser.add_argument("--size", type=int, default=32, help="pixels along each side: 28, 32 or 64")
    main(train, parser)
