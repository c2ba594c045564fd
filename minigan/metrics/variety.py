"""How many different samples a set is worth, and how much of the data it reaches: two cheap signs of mode collapse.

What counts as alike is taken from the data: nearer than a sixth of the median distance between two real samples.

Stands on distances.py. Read gan/alarms.py next, where a small number rings.
"""

import numpy as np

from .distances import as_points, blocks


def variety(samples, real):
    """(samples' effective number, the real ones'): two sets (n, ...), n of 2 or more, such as two batches.

    1 / mean_ij k(x_i, x_j) with k = exp(-|x_i - x_j|² / 2h²): the inverse of how alike two draws are, and for m distant
    points drawn evenly just m. The 8 modes of a ring count as 8, and 64 letters as 64.

    Source: the diversity of order 2 of Leinster and Cobbold 2012, with a Gaussian similarity.
    ValueError: sets of other shapes, of one sample, with a NaN, or of real samples that are all the same.
    """
    samples, real, between, h2 = _scaled("variety", samples, real)
    return tuple(float(1 / np.exp(-d / (2 * h2)).mean()) for d in (_squared_distances(samples, samples), between))


def coverage(samples, real):
    """The share of real samples in whose neighbourhood, of radius h, there is a fifth of the samples there ought to be.

    1 for samples of the same distribution, m/8 for those that have m of a ring's 8 modes. None where most real samples
    have no real neighbour within h: among 64 different letters nobody can be expected to come near.

    In the spirit of the coverage of Naeem et al. 2020, whose radius is that of the nearest real neighbours: at a sigma
    of 0.02 it would call a G that is only blurred collapsed.
    """
    samples, real, between, h2 = _scaled("coverage", samples, real)
    wanted = (between <= h2).mean(1)
    if np.median(wanted) < 2 / len(real):
        return None
    return float(((_squared_distances(real, samples) <= h2).mean(1) >= wanted / 5).mean())


def _scaled(caller, samples, real):
    """(samples, real, squared distances between real ones, h²); where half of the real ones are the same one, h is a
    sixth of the root mean square distance."""
    samples, real = as_points(caller, samples=samples, real=real)
    if min(len(samples), len(real)) < 2:
        raise ValueError(f"{caller}: wants sets of at least 2 samples, got {len(samples)} and {len(real)}")
    between = _squared_distances(real, real)
    pairs = between[np.triu_indices(len(between), 1)]
    h2 = (np.median(pairs) or pairs.mean()) / 36
    if h2 == 0:
        raise ValueError(f"{caller}: the {len(real)} real samples are all the same; there is no scale to judge by")
    return samples, real, between, h2


def _squared_distances(a, b):
    return np.concatenate([block for _, block in blocks(a, b)])
