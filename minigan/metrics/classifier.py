"""A classifier of one's own: the eye that image metrics look through.

The papers' FID and Inception score look at images through the Inception network, which was trained on ImageNet and
would have to be downloaded. Here a small convolutional network, trained by this engine on the very data in question,
takes its place. It knows what the classes of those data look like and nothing else, so its distances are NOT the
papers' FID and its entropies NOT their Inception score: compare them with those of held-out real images, never with a
number in a paper.

Trained once for each kind of data and size, about a minute on one core, and kept in the cache folder.

Stands on nn/, optim.py, data/ and checkpoint.py. Read neural.py next, which looks through it.
"""

import hashlib
import inspect
import sys
from itertools import pairwise

import numpy as np

from .. import checkpoint
from ..autograd import grad, no_grad
from ..data import Batches, load
from ..data.cache import atomically, cache_folder
from ..nn import BatchNorm1d, BatchNorm2d, Conv2d, Flatten, LeakyReLU, Linear, Sequential
from ..ops import log_softmax, mean, softmax
from ..optim import Adam
from ..tensor import tensor

FEATURES = 64  # few, so that a thousand images determine their covariance
STEPS, BATCH, LR = 4000, 64, 2e-3
CHUNK = 500  # images at a time, where all at once would fill the memory
JUDGED = 10_000  # held-out images that the accuracy is measured on


class Classifier:
    """A network seen as three figures of an image: its features, its classes' probabilities, and how far to trust it.

    body      images (N, H, W, C) → features (N, F);  head: features → logits (N, K)
    shape     (H, W, C) of the images it was trained on
    accuracy  share of held-out real images that it names rightly
    """

    def __init__(self, body, head, shape, accuracy=float("nan")):
        self.body, self.head, self.shape, self.accuracy = body.eval(), head.eval(), tuple(shape), accuracy

    def features(self, images):
        """What the last hidden layer makes of images (N, H, W, C) in [-1, 1] → float32 (N, F)."""
        return self._chunks("features", self.body, images)

    def probabilities(self, images):
        """p(class | image) of images (N, H, W, C) in [-1, 1] → float32 (N, K), rows that sum to 1."""
        return self._chunks("probabilities", lambda x: softmax(self.head(self.body(x))), images)

    def classes(self, images):
        """The most probable class of each image → whole numbers (N,)."""
        return self.probabilities(images).argmax(axis=1)

    def _chunks(self, name, function, images):
        images = images.numpy() if hasattr(images, "numpy") else np.asarray(images)
        if images.shape[1:] != self.shape or not len(images):
            wants = ", ".join(map(str, self.shape))
            raise ValueError(f"Classifier.{name}: images have shape {images.shape}, wants (N, {wants}), N at least 1")
        if images.dtype.kind != "f":
            raise TypeError(f"Classifier.{name}: images are {images.dtype}, wants floats in [-1, 1]")
        chunks = (np.ascontiguousarray(images[i : i + CHUNK], np.float32) for i in range(0, len(images), CHUNK))
        with no_grad():
            return np.concatenate([function(tensor(chunk)).numpy() for chunk in chunks])


def own_classifier(data, size, *, seed=0, steps=None):
    """The classifier of the data called `data` at size x size pixels, trained on first use → Classifier.

    data    "fashion-mnist" (ten garments) or "glyphs" (36 characters), as data.load knows them
    seed    of the first weights and the order of the images
    steps   of its training, 4,000 by default; a few, to see that a program runs
    ValueError for data without labels. A change of the recipe in this file, or of the data, trains it anew.
    """
    if data.startswith("folder:"):
        raise ValueError(f"own_classifier: {data} has no labels to learn from; wants 'fashion-mnist' or 'glyphs'")
    source, steps = load(data, size=size), STEPS if steps is None else steps
    classes = len(getattr(source, "characters", ())) or int(source.labels.max()) + 1
    body, head = network(source.shape, classes, np.random.default_rng(seed))
    path = cache_folder() / f"classifier-{data}-{size}-{_digest(source, seed, steps)}.safetensors"
    try:
        accuracy = checkpoint.load(path, body=body, head=head)["accuracy"]
    except (FileNotFoundError, ValueError):  # none yet, or one that a full disk cut short
        train(body, head, source, np.random.default_rng(seed + 1), steps, f"{data} {size}x{size}")
        accuracy = _accuracy(Classifier(body, head, source.shape), load(data, size=size, split="test"))
        with atomically(path) as part:  # two programs may train it at the same time: the last one's stays
            checkpoint.save(part, body=body, head=head, accuracy=accuracy)
    return Classifier(body, head, source.shape, accuracy)


def network(shape, classes, rng):
    """(body, head) for images of `shape`: strided convolutions down to 8x8 or less, a hidden layer, the logits."""
    side, halvings = min(shape[:2]), 1
    while side >> halvings > 8:
        halvings += 1
    widths = [FEATURES >> i for i in reversed(range(halvings))]
    layers = [Conv2d(shape[2], widths[0], 4, stride=2, padding=1, rng=rng), LeakyReLU(0.1)]
    for a, b in pairwise(widths):
        layers += [Conv2d(a, b, 4, stride=2, padding=1, bias=False, rng=rng), BatchNorm2d(b), LeakyReLU(0.1)]
    pixels = (shape[0] >> halvings) * (shape[1] >> halvings)
    layers += [Flatten(), Linear(pixels * widths[-1], FEATURES, rng=rng), BatchNorm1d(FEATURES), LeakyReLU(0.1)]
    return Sequential(*layers), Sequential(Linear(FEATURES, classes, rng=rng))


def train(body, head, source, rng, steps, name):
    """Minimise the cross-entropy on `source` by Adam, its step length falling to zero along a line."""
    from tqdm import trange

    optimiser = Adam(body.parameters() + head.parameters(), LR)
    batches = Batches(source, BATCH, rng, labels=True)
    what = f"minigan: training the classifier of {name}, once on this machine"
    for step in trange(steps, desc=what, unit="step", file=sys.stderr, leave=False):
        images, labels = next(batches)
        likelihood = log_softmax(head(body(tensor(images))))[np.arange(BATCH), labels]
        optimiser.lr = LR * (1 - step / steps)
        optimiser.step(grad(-mean(likelihood), optimiser.params))


def _accuracy(classifier, held_out):
    """On the test split, or on fresh draws from a source without end."""
    if hasattr(held_out, "take"):
        images, labels = held_out.take(slice(0, JUDGED), labels=True)
    else:
        images, labels = held_out.batch(np.random.default_rng(12345), JUDGED, labels=True)
    return float((classifier.classes(images) == labels).mean())


def _digest(source, seed, steps):
    """A name for what the weights depend on: this recipe, the seed, and the data, seen by a sample of them."""
    images, labels = source.batch(np.random.default_rng(0), 256, labels=True)
    recipe = [FEATURES, steps, BATCH, LR, inspect.getsource(network), inspect.getsource(train), seed, images.shape]
    return hashlib.sha256(str(recipe).encode() + images.tobytes() + labels.tobytes()).hexdigest()[:12]
