"""Samples against a mixture whose modes are known: how many are covered, and how well.

Stands on NumPy.
"""

from typing import NamedTuple

import numpy as np


class ModeStatistics(NamedTuple):
    """What PacGAN's tables print."""

    modes: int  # modes with at least one high-quality sample
    high_quality: float  # share of the samples within 3 sigma of a mode
    reverse_kl: float  # KL(share of each mode among those samples ‖ uniform), nats; infinite without any


def mode_statistics(samples, centers, sigma):
    """How the samples fall on the modes of an equal mixture of isotropic Gaussians.

    samples  (n, 2) points;  centers  (modes, 2);  sigma  the standard deviation of each mode
    Source: Lin et al. 2018 (PacGAN), section 4.1: a mode counts when one sample is within 3 sigma of it.
    """
    samples, centers = np.asarray(samples, np.float64), np.asarray(centers, np.float64)
    if samples.ndim != 2 or centers.ndim != 2 or samples.shape[1] != centers.shape[1]:
        shapes = f"{samples.shape}, {centers.shape}"
        raise ValueError(f"mode_statistics: wants (n, d) samples and (modes, d) centers, got {shapes}")
    distance = np.linalg.norm(samples[:, None] - centers, axis=-1)
    nearest = distance.argmin(axis=1)
    good = distance[np.arange(len(samples)), nearest] <= 3 * sigma
    counts = np.bincount(nearest[good], minlength=len(centers))
    if not counts.sum():
        return ModeStatistics(0, 0.0, float("inf"))
    share = counts[counts > 0] / counts.sum()
    reverse_kl = (share * np.log(share * len(centers))).sum()
    return ModeStatistics(len(share), float(good.mean()), float(reverse_kl))
