"""Parzen-window log-likelihood: the number in the table of the first GAN paper, and a warning about it.

    p_σ(x) = 1/n Σᵢ N(x; G(zᵢ), σ² I)

puts a Gaussian on every generated sample and asks how likely held-out data are under their mixture; σ is chosen on a
validation set. In the hundreds of dimensions of an image the estimate is far from the model's true likelihood however
many samples are drawn, and it ranks models wrongly: a model that stores k-means centres beats the true distribution.
Print it beside the paper's; never rank by it.

Source: Goodfellow et al. 2014, section 5, table 1. The caveat: Theis, van den Oord and Bethge 2016, section 3.2.
Stands on distances.py.
"""

from typing import NamedTuple

import numpy as np

from .distances import as_points, blocks

WIDTHS = np.geomspace(0.03, 3, 21)  # tried bandwidths, as shares of a coordinate's standard deviation


class ParzenWindow(NamedTuple):
    """Mean log-likelihood of held-out data."""

    log_likelihood: float  # nats
    standard_error: float  # of that mean, over the held-out data
    bandwidth: float  # σ, as chosen

    def __str__(self):
        return (f"{self.log_likelihood:.1f} ± {self.standard_error:.1f} nats (Parzen window, σ = {self.bandwidth:.3g}; "
                f"not to rank models by: Theis et al. 2016, section 3.2)")  # fmt: skip


def parzen_window(fake, held_out, validation, *, bandwidths=None):
    """Mean log-likelihood of `held_out` under Gaussians around `fake` → ParzenWindow.

    fake        (n, d) generated samples, or images;  held_out (m, d), validation (v, d): real ones, in the same units.
                The paper's pixels lie in [0, 1]; with pixels in [-1, 1] the number is lower by d log 2.
    bandwidths  the σ among which `validation` chooses; by default 21 from 0.03 to 3 standard deviations of a coordinate
    ValueError for sets that do not fit or do not vary, or bandwidths that are not all above 0.
    """
    fake, held_out, validation = as_points("parzen_window", fake=fake, held_out=held_out, validation=validation)
    if bandwidths is None:
        bandwidths = WIDTHS * np.sqrt(validation.var(axis=0).mean())
    bandwidths = np.asarray(bandwidths, np.float64)
    if bandwidths.ndim != 1 or not len(bandwidths) or not (bandwidths > 0).all():
        raise ValueError(f"parzen_window: bandwidths are {bandwidths}, wants numbers above 0; by default they are "
                         f"taken from the spread of `validation`, which must not be 0")  # fmt: skip
    best = float(bandwidths[_log_density(validation, fake, bandwidths).mean(axis=1).argmax()])
    found = _log_density(held_out, fake, [best])[0]
    return ParzenWindow(float(found.mean()), float(found.std() / np.sqrt(len(found))), best)


def _log_density(x, centers, bandwidths):
    """log p_σ of each row of x (n, d), for each bandwidth → (bandwidths, n)."""
    out = np.empty((len(bandwidths), len(x)))
    for part, squared in blocks(x, centers):
        nearest = squared.min(axis=1)  # its term is taken out of the sum, which then neither overflows nor vanishes
        squared -= nearest[:, None]
        for row, sigma in zip(out, bandwidths):
            row[part] = np.log(np.exp(squared / (-2 * sigma**2)).mean(axis=1)) - nearest / (2 * sigma**2)
    return out - x.shape[1] / 2 * np.log(2 * np.pi * np.square(bandwidths))[:, None]
