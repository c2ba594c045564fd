"""What a run is judged by: numbers computed from samples, never from a loss.

    wasserstein.py  two samples on a line: the exact distance
    mixtures.py     modes of a known mixture: how many are covered, how well
    classifier.py   features and classes of images, by a network that this engine trains
    frechet.py      two sets of images as two Gaussians, of pixels or of features
    kernel.py       two sets of features by their first three moments, without bias
    neighbours.py   precision and recall: quality and coverage apart
    entropy.py      sure of each image, even over the classes
    variety.py      how varied a batch is, and how much of the data it reaches: cheap enough to watch a run by
    birthday.py     how many different images a generator can make
    parzen.py       the likelihood of the first GAN paper, and why not to trust it
    distances.py    what several of these stand on
"""

from .birthday import birthday_paradox, closest_pair
from .classifier import Classifier, own_classifier
from .entropy import class_entropy
from .frechet import classifier_frechet, frechet_distance, pixel_frechet, spread
from .kernel import kernel_distance
from .mixtures import mode_statistics
from .neighbours import precision_recall
from .parzen import parzen_window
from .variety import coverage, variety
from .wasserstein import wasserstein_1d

__all__ = [
    "Classifier",
    "birthday_paradox",
    "class_entropy",
    "classifier_frechet",
    "closest_pair",
    "coverage",
    "frechet_distance",
    "kernel_distance",
    "mode_statistics",
    "own_classifier",
    "parzen_window",
    "pixel_frechet",
    "precision_recall",
    "spread",
    "variety",
    "wasserstein_1d",
]
