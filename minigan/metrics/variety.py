"""How many different samples a set is worth, seen from the samples alone: 1 where all are alike, n where none are.

Stands on distances.py. Read gan/alarms.py next, where a small number rings.
"""

import numpy as np

from .distances import as_points, blocks


def variety(samples, real):
    """(samples' effective number, the real ones'): two sets (n, ...), n of 2 or more, such as two batches.

    1 / mean_ij k(x_i, x_j) with k = exp(-|x_i - x_j|² / 2h²): the inverse of how alike two draws are, and for m distant
    points drawn evenly just m. What counts as alike is taken from the data: h is a sixth of the median distance between
    two real samples (of the root mean square one, where half of them are the same), so that the 8 modes of a ring count
    as 8, and 64 letters as 64.

    Source: the diversity of order 2 of Leinster and Cobbold 2012, with a Gaussian similarity.
    ValueError: sets of other shapes, of one sample, with a NaN, or of real samples that are all the same.
    """
    samples, real = as_points("variety", samples=samples, real=real)
    if min(len(samples), len(real)) < 2:
        raise ValueError(f"variety: wants sets of at least 2 samples, got {len(samples)} and {len(real)}")
    between = _squared_distances(real)
    pairs = between[np.triu_indices(len(between), 1)]
    h2 = (np.median(pairs) or pairs.mean()) / 36
    if h2 == 0:
        raise ValueError(f"variety: the {len(real)} real samples are all the same; there is no scale to judge by")
    return tuple(float(1 / np.exp(-d / (2 * h2)).mean()) for d in (_squared_distances(samples), between))


def _squared_distances(points):
    return np.concatenate([block for _, block in blocks(points, points)])
