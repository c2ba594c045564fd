"""Batches: an endless iterator over a source that can stop anywhere and go on exactly there.

A finite source is shuffled anew for every epoch, by the generator that is passed in. The saved state is
small: not the shuffled order but the generator's state just before it was drawn, so it can be drawn again.

Stands on sources.py.
"""

import numpy as np

from .sources import ArraySource


class Batches:
    """Iterate over batches of images (batch_size, H, W, C) float32, without end.

    source   a finite source or an array of images: every epoch shows each image at most once, in a new
             order, and drops the last incomplete batch; or an endless source: anything with
             .batch(rng, n), or a function (rng, n), such as `ring`
    rng      a numpy.random.Generator
    labels   True: yield pairs, images and labels (batch_size,)
    ValueError: batch_size below 1, fewer images than batch_size, labels of a source without.

    .epoch counts the epochs that are complete; it stays 0 for an endless source.
    """

    def __init__(self, source, batch_size, rng, labels=False):
        if isinstance(source, np.ndarray):
            source = ArraySource(source)
        _check(source, batch_size, rng, labels)
        self.size = len(source) if hasattr(source, "take") else None            # None: endless
        self.source, self.batch_size, self.rng, self.labels = source, int(batch_size), rng, labels
        self.epoch, self.position = 0, 0
        self._order = self._order_from = None       # this epoch's permutation; the generator's state before it

    def __iter__(self):
        return self

    def __next__(self):
        if self.size is None:
            draw = getattr(self.source, "batch", self.source)
            return draw(self.rng, self.batch_size, **({"labels": True} if self.labels else {}))
        if self._order is None:
            self._order_from = self.rng.bit_generator.state
            self._order = self.rng.permutation(self.size)
        indices = self._order[self.position:self.position + self.batch_size]
        self.position += self.batch_size
        if self.position + self.batch_size > self.size:
            self.epoch, self.position = self.epoch + 1, 0
            self._order = self._order_from = None
        return self.source.take(indices, self.labels)

    def state_dict(self):
        """All that is needed to go on: numbers, strings and (for some generators) arrays."""
        return {
            "size": self.size, "batch_size": self.batch_size, "epoch": self.epoch, "position": self.position,
            "rng": self.rng.bit_generator.state, "order_from": self._order_from,
        }

    def load_state_dict(self, state):
        """Go on where `state` was taken: the same batches, bit for bit.  Sets the generator that was passed in.

        ValueError, with nothing changed, if the state is of another source, batch size or generator.
        """
        missing = self.state_dict().keys() - state.keys()
        if missing:
            raise ValueError(f"Batches: the state lacks {', '.join(sorted(missing))}.")
        for name in ("size", "batch_size"):
            if state[name] != getattr(self, name):
                raise ValueError(f"Batches: the state was saved with {name} {state[name]}, "
                                 f"here it is {getattr(self, name)}.")
        kind, here = state["rng"]["bit_generator"], self.rng.bit_generator.state["bit_generator"]
        if kind != here:
            raise ValueError(f"Batches: the state was saved from a {kind} generator, here it is {here}.")
        order = None
        if state["order_from"] is not None:
            again = np.random.Generator(type(self.rng.bit_generator)())
            again.bit_generator.state = state["order_from"]
            order = again.permutation(self.size)
        self.rng.bit_generator.state = state["rng"]
        self.epoch, self.position = int(state["epoch"]), int(state["position"])
        self._order, self._order_from = order, state["order_from"]


def _check(source, batch_size, rng, labels):
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"Batches: rng must be a numpy.random.Generator, as numpy.random.default_rng(seed) makes one, "
                        f"not {type(rng).__name__}.")
    if not isinstance(batch_size, (int, np.integer)) or batch_size < 1:
        raise ValueError(f"Batches: batch_size is {batch_size!r}, but a batch must hold at least 1 image.")
    if hasattr(source, "take") and len(source) < batch_size:
        raise ValueError(f"Batches: the source has {len(source)} images, too few for one batch of {batch_size}. "
                         f"Use a smaller batch_size or more images.")
    if not hasattr(source, "batch") and not callable(source):
        raise TypeError(f"Batches: a source is an array, has .batch(rng, n), or is a function (rng, n); "
                        f"{type(source).__name__} is none of these.")
    if labels and (not hasattr(source, "batch") or getattr(source, "labels", True) is None):
        raise ValueError("Batches: labels were asked for, but the source has none.")
