"""Precision and recall: are the generated images among the real ones, and do they reach all of them?

A Fréchet distance says that two sets differ, not how. Here each set's manifold is guessed as the union of balls around
its points, each reaching to the point's k-th nearest neighbour in its own set. Precision is the share of fakes inside
the real manifold (quality), recall the share of real points inside the fakes' (coverage). A generator that collapsed
onto one perfect image has high precision and no recall.

Source: Kynkäänniemi et al. 2019, equations 1 and 2, k = 3.  Stands on distances.py.
"""

from typing import NamedTuple

import numpy as np

from .distances import as_points, blocks


class PrecisionRecall(NamedTuple):
    """Shares, 0 to 1. Two sets of the same distribution do not reach 1: compare with held-out real images."""

    precision: float  # of the fakes, inside the real manifold
    recall: float  # of the real ones, inside the fakes' manifold


def precision_recall(real, fake, *, k=3):
    """How much of `fake` lies on the manifold of `real`, and how much of `real` on that of `fake` → PrecisionRecall.

    real, fake  features (n, d) and (m, d), such as classifier.features(images); images count as their pixels
    k           the neighbour that a ball reaches to. Both numbers grow with it, and with n: use equal n and m.
    """
    real, fake = as_points("precision_recall", real=real, fake=fake)
    if not 1 <= k < min(len(real), len(fake)):
        raise ValueError(f"precision_recall: k is {k}, wants 1 to {min(len(real), len(fake)) - 1}: "
                         f"there are {len(real)} real and {len(fake)} fake points")  # fmt: skip
    return PrecisionRecall(_covered(fake, real, k), _covered(real, fake, k))


def _covered(points, centers, k):
    """The share of the points that lie in a ball around one of the centers."""
    radii = np.empty(len(centers))
    for part, squared in blocks(centers, centers):
        squared[np.arange(len(squared)), np.arange(part.start, part.stop)] = np.inf  # not a neighbour of itself
        radii[part] = np.partition(squared, k - 1, axis=1)[:, k - 1]
    return float(np.concatenate([(squared <= radii).any(axis=1) for _, squared in blocks(points, centers)]).mean())
