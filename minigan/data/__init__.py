"""Data to train on: points whose modes are known, glyphs whose factors are known, clothes, your own pictures.

A source gives images, float32 in [-1, 1], channels last; `Batches` turns a source into an endless
stream of them; `load` finds a source by its name. Stands on NumPy alone; the fonts and the readers of
picture files come in when they are asked for. Start with mixtures.py, then glyphs.py, then batches.py.
"""

from .batches import Batches
from .fashion import CLASSES, fashion_mnist
from .folders import folder
from .glyphs import Glyphs, GlyphSample
from .idx import read_idx
from .mixtures import grid, grid_centers, ring, ring_centers, swiss_roll
from .sources import ArraySource

__all__ = [
    "CLASSES",
    "ArraySource",
    "Batches",
    "GlyphSample",
    "Glyphs",
    "fashion_mnist",
    "folder",
    "grid",
    "grid_centers",
    "load",
    "read_idx",
    "ring",
    "ring_centers",
    "swiss_roll",
]


def load(name, *, size, split="train"):
    """The source of square images called `name`, size x size pixels.

    "glyphs"           endless characters (they have no split)
    "fashion-mnist"    split "train" or "test"
    "folder:PATH"      the pictures in a folder of yours (no split either)
    """
    if name == "glyphs":
        return Glyphs(size)
    if name == "fashion-mnist":
        return fashion_mnist(split, size)
    if name.startswith("folder:"):
        return folder(name.removeprefix("folder:"), size)
    raise ValueError(f'load: there is no data called {name!r}; there are "glyphs", "fashion-mnist" and "folder:PATH".')
