"""The birthday paradox as a test: how many different images can a generator make at all?

Of N equally likely images, about √N draws suffice for two to be the same. So draw until a pair comes up that is all
but equal: if that takes s samples, typically, the support is about s². A generator of a few hundred images betrays
itself within a handful of batches, though each of its images may be perfect.

What "all but equal" means is for a human eye to decide; the paper shows it the closest pairs. Here it is a distance,
and `closest_pair` of as many real images, or a share of it, is one that real images rarely fall below.

Source: Arora and Zhang 2017, section 3.  Stands on distances.py.
"""

from typing import NamedTuple

import numpy as np

from .distances import as_points, blocks

STRIDE = 256  # samples that are looked at together


class Birthday(NamedTuple):
    """What the walks through the samples found."""

    samples: float  # s: the median number of samples up to the first near-duplicate; infinite when there was none
    support: float  # s²: the paper's estimate; of exactly uniform images, there are s² / (2 log 2)
    walks: int  # how many times a near-duplicate was found
    pair: tuple  # (i, j): the first of them, to be looked at; () when there was none


def birthday_paradox(samples, threshold):
    """How many samples it takes until two of them are near-duplicates, and the support that this speaks for → Birthday.

    samples    (n, d) points, features or images, in the order they were drawn, independently
    threshold  the Euclidean distance below which two are the same, above 0

    The samples are walked through until a near-duplicate ends the walk and the next one begins. With none among n
    samples, the support is likely to be larger than n².
    """
    (points,) = as_points("birthday_paradox", samples=samples)
    if not threshold > 0 or len(points) < 2:
        raise ValueError(f"birthday_paradox: wants 2 samples or more and a threshold above 0, got {len(points)} "
                         f"samples and threshold {threshold}")  # fmt: skip
    start, waits, pair = 0, [], ()
    while found := _first(points[start:], threshold):
        waits.append(found[1] + 1)
        pair = pair or tuple(start + i for i in found)
        start += found[1] + 1
    walks, unfinished = len(waits), len(points) - start
    if not walks:
        return Birthday(np.inf, np.inf, 0, ())
    if unfinished > np.median(waits):  # leaving it out would favour short walks; a shorter one tells nothing
        waits.append(unfinished)
    s = float(np.median(waits))
    return Birthday(s, s * s, walks, pair)


def _first(points, threshold):
    """(i, j), i < j, of the earliest j that is near an earlier point; None if there is none."""
    for start in range(0, len(points), STRIDE):
        stop = min(start + STRIDE, len(points))
        for part, squared in blocks(points[start:stop], points[:stop]):
            earlier = np.arange(stop) < np.arange(start + part.start, start + part.stop)[:, None]
            near = earlier & (squared < threshold**2)
            if near.any():
                row = near.any(axis=1).argmax()
                return int(near[row].argmax()), int(start + part.start + row)
    return None


def closest_pair(samples):
    """(distance, i, j): the two samples that are closest to one another, i < j."""
    (points,) = as_points("closest_pair", samples=samples)
    if len(points) < 2:
        raise ValueError("closest_pair: wants 2 samples or more, got 1")
    best = (np.inf, 0, 1)
    for part, squared in blocks(points, points):
        squared[np.arange(len(points)) >= np.arange(part.start, part.stop)[:, None]] = np.inf
        i, j = np.unravel_index(squared.argmin(), squared.shape)
        best = min(best, (float(np.sqrt(squared[i, j])), int(j), int(part.start + i)))
    return best
