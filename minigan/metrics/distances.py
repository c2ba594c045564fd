"""Euclidean distances between two sets of points, a block of rows at a time.

Ten thousand points against ten thousand are 800 MB of float64: what needs them all takes them in blocks.

Stands on NumPy. Read neighbours.py next.
"""

import numpy as np

NUMBERS = 1 << 22  # in a block: 32 MB of float64


def as_points(caller, **sets):
    """Each set as float64 (n, d), images (n, H, W, C) flattened to their pixels.

    ValueError, in the name of `caller`, for an empty set, sets of different d, a NaN or an infinity.
    """
    points = []
    for name, x in sets.items():
        x = np.asarray(x.numpy() if hasattr(x, "numpy") else x, np.float64)
        if x.ndim < 2 or not x.size:
            raise ValueError(f"{caller}: {name} has shape {x.shape}, wants points (n, d) or images (n, H, W, C)")
        if not np.isfinite(x).all():
            raise ValueError(f"{caller}: {name} holds NaN or infinity")
        points.append(x.reshape(len(x), -1))
    if len({x.shape[1] for x in points}) > 1:
        raise ValueError(f"{caller}: wants points of one dimension, got "
                         + ", ".join(f"{name} {x.shape}" for name, x in zip(sets, points)))  # fmt: skip
    return points


def blocks(a, b):
    """(slice, squared distances of a[slice] to all of b) for all rows of a; a (n, d), b (m, d)."""
    centre = b.mean(0)  # |x|² + |y|² - 2 x·y loses the digits that a common offset takes up
    a, b = a - centre, b - centre
    a2, b2 = (a * a).sum(1), (b * b).sum(1)
    rows = max(1, NUMBERS // len(b))
    for start in range(0, len(a), rows):
        part = slice(start, min(start + rows, len(a)))
        yield part, np.maximum(a2[part, None] + b2 - 2 * (a[part] @ b.T), 0)
