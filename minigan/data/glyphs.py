"""Glyphs: letters and digits without end, each with the numbers that made it.

A glyph is drawn from its signed distance field: for every point of a box around the letter, how far
inside (+) or outside (-) its outline that point lies. Such a field is smooth, so a small table of it
serves every size; moving the threshold off zero makes the letter bolder or thinner; shearing the
coordinates slants it. A batch is then a few array operations, and whoever trains on it knows the true
character, face, slant, weight, scale and position of every image.

Stands on outlines.py, which makes the table from the fonts that Matplotlib ships. See batches.py next.
"""

from dataclasses import dataclass
from itertools import product

import numpy as np

from . import outlines
from .outlines import BOX, MAX_SLANT

CHARACTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"

# The range that each factor is drawn from, evenly. Lengths are shares of the image's side, except
# weight's, which is a share of the glyph's own box.
FACTORS = {
    "slant": (-MAX_SLANT, MAX_SLANT),   # sideways per upward; positive leans to the right
    "weight": (-0.008, 0.03),           # how far the outline moves outwards
    "scale": (0.66, 0.8),               # the side of the glyph's box
    "position": (-0.04, 0.04),          # the box's centre, (right, down) of the image's centre
}
WEIGHTS = (-0.02, 0.05)     # beyond these, hairlines vanish or counters close
MIN_PIXELS = 8              # a glyph's box below 8 pixels cannot be read


@dataclass(frozen=True, eq=False)
class GlyphSample:
    """Images (n, size, size, 1) and what made them: six factors, each (n,), position (n, 2)."""

    images: np.ndarray
    character: np.ndarray
    face: np.ndarray
    slant: np.ndarray
    weight: np.ndarray
    scale: np.ndarray
    position: np.ndarray


class Glyphs:
    """An endless source of size x size images of characters, ink +1 on a ground of -1.

    characters   one string; the labels are positions in it
    factors      ranges that replace those of FACTORS: {"slant": (0, 0)} draws upright letters only
    → .characters, .faces (names), .shape (size, size, 1)

    The first use draws every character in every face (seconds) and keeps the table in the cache folder.
    ValueError: a character that no face has; ranges that would cut glyphs off at the border.
    """

    def __init__(self, size=32, characters=CHARACTERS, factors=None):
        self.ranges = _ranges(factors or {})
        self.characters = str(characters)
        self.shape = (int(size), int(size), 1)
        corners = np.array(list(product(*self.ranges.values())), np.float32).T
        _check(size, *corners)
        self.faces, self._table = outlines.table(self.characters)

    def sample(self, rng, n, *, character=None, face=None, slant=None, weight=None, scale=None, position=None):
        """n images with their factors → GlyphSample.

        A factor that is given (one value, or one per image; characters also as a string) is used as it is.
        The generator advances the same way whatever is given: two calls from the same state differ
        in the given factors alone, which makes pairs such as upright and slanted.
        """
        character = _labels("character", character, self.characters, rng, n)
        face = _labels("face", face, self.faces, rng, n)
        given = {"slant": slant, "weight": weight, "scale": scale, "position": position}
        factors = {name: self._factor(name, value, rng, n) for name, value in given.items()}
        _check(self.shape[0], **factors)
        images = self._draw(character, face, **factors)
        return GlyphSample(images, character, face, **factors)

    def batch(self, rng, n, labels=False):
        """n images (n, size, size, 1); with labels=True a pair, images and characters (n,)."""
        drawn = self.sample(rng, n)
        return (drawn.images, drawn.character) if labels else drawn.images

    def _factor(self, name, value, rng, n):
        shape = (n, 2) if name == "position" else (n,)
        drawn = rng.uniform(*self.ranges[name], size=shape)
        try:
            return np.array(np.broadcast_to(drawn if value is None else value, shape), np.float32)
        except ValueError:
            raise ValueError(f"Glyphs.sample: {name} has shape {np.shape(value)}, "
                             f"which does not fit {shape} for n = {n}.") from None

    def _draw(self, character, face, slant, weight, scale, position):
        images = np.empty((len(character), *self.shape), np.float32)
        for start in range(0, len(images), 64):             # a part that stays in the core's cache
            part = slice(start, start + 64)
            fields = self._table[character[part], face[part]]
            images[part, ..., 0] = draw(fields, self.shape[0], slant[part], weight[part], scale[part], position[part])
        return images


def draw(fields, size, slant, weight, scale, position):
    """Images (n, size, size) of n distance fields (n, S, S), each under its own affine map.

    A shear moves whole rows sideways: so interpolate between two rows of the table first, then within.
    """
    n, samples = fields.shape[:2]
    pixel = ((np.arange(size, dtype=np.float32) + 0.5) / size - 0.5)[None]
    v = (pixel - position[:, 1:]) / scale[:, None]                              # (n, size), down
    u = (pixel - position[:, :1]) / scale[:, None]                              # (n, size), right
    u = u[:, None, :] + (slant[:, None] * v)[:, :, None]                        # (n, size, size)

    image = np.arange(n)[:, None]
    row, between = _cell(v, samples)
    upper, lower = fields[image, row], fields[image, row + 1]
    rows = (upper + between[..., None] * (lower - upper)).ravel()               # (n, size, S), flat

    column, between = _cell(u, samples)
    column += (samples * np.arange(n * size, dtype=np.int32)).reshape(n, size, 1)
    left, right = rows[column], rows[column + 1]
    distance = left + between * (right - left) + weight[:, None, None]

    # In pixels; the edge is a ramp one pixel wide from ground (-1) to ink (+1).
    return np.clip(2 * size * scale[:, None, None] * distance, -1, 1)


def _cell(coordinate, samples):
    """Where box coordinates fall in the table: the sample before, and how far on to the next."""
    at = np.clip((coordinate / BOX + 0.5) * (samples - 1), 0, samples - 1.001)
    before = at.astype(np.int32)
    return before, at - before


def _labels(name, value, known, rng, n):
    """Labels (n,) into `known`, drawn evenly unless given as numbers or (for characters) as a string."""
    drawn = rng.integers(len(known), size=n)
    if value is None:
        return drawn
    if isinstance(value, str):
        missing = set(value) - set(known) if name == "character" else {value} - set(known)
        if missing:
            raise ValueError(f"Glyphs.sample: {name} {sorted(missing)[0]!r} is not among {known}.")
        value = [known.index(c) for c in value] if name == "character" else known.index(value)
    value = np.asarray(value)
    if value.dtype.kind not in "iu" or (value.size and not 0 <= value.min() <= value.max() < len(known)):
        raise ValueError(f"Glyphs.sample: {name} must be whole numbers from 0 to {len(known) - 1}.")
    if value.shape not in ((), (1,), (n,)):
        raise ValueError(f"Glyphs.sample: {name} has shape {value.shape}, which does not fit ({n},).")
    return np.array(np.broadcast_to(value, (n,)), np.int64)


def _ranges(factors):
    unknown = set(factors) - set(FACTORS)
    if unknown:
        raise ValueError(f"Glyphs: no factor is called {sorted(unknown)[0]!r}; there are {', '.join(FACTORS)}.")
    ranges = {name: tuple(factors.get(name, FACTORS[name])) for name in FACTORS}
    for name, bounds in ranges.items():
        if len(bounds) != 2 or not bounds[0] <= bounds[1]:
            raise ValueError(f"Glyphs: the range of {name} is {bounds}; it must be (low, high), low <= high.")
    return ranges


def _check(size, slant, weight, scale, position):
    """Refuse what cannot be drawn well: outside the table, too small to read, over the image's border."""
    if size < 1:
        raise ValueError(f"Glyphs: size is {size}, but an image has at least 1 pixel a side.")
    for name, value, low, high in [("slant", slant, -MAX_SLANT, MAX_SLANT), ("weight", weight, *WEIGHTS),
                                   ("scale", scale, MIN_PIXELS / size, 1), ("position", position, -0.5, 0.5)]:
        bad = value[~((low - 1e-6 <= value) & (value <= high + 1e-6))]          # NaN is bad too
        if len(bad):
            raise ValueError(f"Glyphs: {name} {bad[0]:g} is out of range; at size {size} it must be "
                             f"from {low:g} to {high:g}.")
    reach = np.abs(position).reshape(len(scale), -1).max(axis=1) + scale * (0.5 + np.maximum(weight, 0))
    if np.any(reach > 0.5):
        i = reach.argmax()
        raise ValueError(f"Glyphs: scale {scale[i]:g}, weight {weight[i]:g} and position {position[i]} would cut "
                         f"a glyph off at the border: |position| + scale·(1/2 + weight) must be at most 1/2.")
