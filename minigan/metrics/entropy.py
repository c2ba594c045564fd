"""How sure a classifier is of each image, and how evenly all images fall on the classes.

These are the two ingredients of the Inception score, which is exp(H(y) - H(y|x)): a good generator's images are each
of one class (H(y|x) small) and of all classes together (H(y) large). The papers' number takes the classes of ImageNet
from the Inception network; this one takes those of the data from a classifier of one's own, so the two must not be
compared. Nor does it see whether a class is drawn in one way or in many.

Source: Salimans et al. 2016, section 4.  Stands on classifier.py.
"""

from typing import NamedTuple

import numpy as np


class ClassEntropy(NamedTuple):
    """In nats; log K is the largest that either can be."""

    marginal: float  # H(y), of the mean prediction: log K when all classes come equally often, 0 when one does
    conditional: float  # H(y|x), the mean over images: 0 when each is surely of one class

    @property
    def mutual_information(self):
        """I(x; y) = H(y) - H(y|x), 0 or more: the logarithm of what Salimans et al. call the score."""
        return self.marginal - self.conditional


def class_entropy(images, classifier):
    """Entropy of the mean prediction, and mean entropy of the predictions → ClassEntropy.

    images      (n, H, W, C) in [-1, 1]
    classifier  anything with .probabilities(images) → (n, K)
    """
    shares = np.asarray(classifier.probabilities(images), np.float64)
    return ClassEntropy(float(_entropy(shares.mean(axis=0))), float(_entropy(shares).mean()))


def _entropy(p):
    """-Σ p log p along the last axis, where 0 log 0 is 0."""
    return -(p * np.log(np.where(p > 0, p, 1))).sum(axis=-1)
