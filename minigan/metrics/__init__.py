"""What a run is judged by: numbers computed from samples, never from a loss.

    mixtures.py     modes of a known mixture: how many are covered, how well
    frechet.py      two sets of images as two Gaussians
"""

from .frechet import frechet_distance, pixel_frechet, spread
from .mixtures import mode_statistics

__all__ = ["frechet_distance", "mode_statistics", "pixel_frechet", "spread"]
