"""What a run is judged by: numbers computed from samples, never from a loss.

    mixtures.py     modes of a known mixture: how many are covered, how well
    frechet.py      two sets of images as two Gaussians
    classifier.py   features and classes of images, by a network that this engine trains
"""

from .classifier import Classifier, own_classifier
from .frechet import frechet_distance, pixel_frechet, spread
from .mixtures import mode_statistics

__all__ = ["Classifier", "frechet_distance", "mode_statistics", "own_classifier", "pixel_frechet", "spread"]
