"""Finite differences beside reverse mode: along a direction, element by element, and on both sides of a kink.

A failing direction is searched for its worst element. An element that fails because f has a kink there (|x| at 0) is
set apart: its slopes from the left and from the right differ, and reverse mode lies between them.

Stands on subject.py. Read diagnosis.py next.
"""

from typing import NamedTuple

import numpy as np

from . import diagnosis
from .subject import promoted

ROUNDING = 64 * np.finfo(np.float64).eps  # of f's values, relative: differences divide it by ε
SHRINK = (1, 0.01)  # a kink nearer than ε looks like a wrong gradient; a shorter step tells them apart
REACH = 4.0  # the length of a direction, at most
TRIES = 3  # directions: one that crosses a kink is replaced
ELEMENTS = 300  # how many elements of an argument are looked at one by one


class KinkError(ValueError):
    """The function has a kink at, or very near, an input: there is no derivative to check there."""


def _norm(terms):
    """The root of the sum of squares: how much a sum is off whose terms are off independently."""
    return np.sqrt(np.square(terms).sum())


class Slope(NamedTuple):
    """One derivative, twice.  analytic: reverse mode; numeric: finite differences; error may be up to tolerance."""

    analytic: float
    numeric: float
    error: float
    tolerance: float

    @property
    def passed(self):
        return bool(self.error <= self.tolerance)  # False for NaN

    @property
    def excess(self):
        return np.inf if np.isnan(self.error) else self.error - self.tolerance


class Finding(NamedTuple):
    """What was found for one argument at one order.  slope: the two numbers, their error and its tolerance."""

    argument: str
    order: int
    slope: Slope
    index: tuple = ()
    diagnosis: str = ""
    refused: str = ""  # what the engine said of a gradient that it would not take

    @property
    def passed(self):
        return self.slope.passed


class Ray:
    """The derivative of <gy, function> with respect to argument i of a level: gx says reverse mode."""

    def __init__(self, level, i, gy, gx):
        self.level, self.i, self.gy, self.gx = level, i, gy, gx

    def value(self, direction, step):
        """The function with the argument moved."""
        xs = list(self.level.xs)
        xs[self.i] = promoted(xs[self.i].data + step * direction)
        return self.level.function(xs, False).data

    def slope(self, direction):
        """Both derivatives along a direction, with the first step that makes them agree, else the shortest."""
        terms = np.where(direction, self.gx * direction, 0.0)  # a NaN elsewhere is not this direction's
        eps, atol, rtol = self.level.limits
        for step in (eps * s for s in SHRINK):
            ahead, behind = self.value(direction, step), self.value(direction, -step)
            slopes = self.gy * (ahead - behind) / (2 * step)
            error = abs(terms.sum() - slopes.sum())
            tolerance = atol + rtol * max(_norm(terms), _norm(slopes)) + ROUNDING / step * _norm(self.gy * ahead)
            if error <= tolerance:
                break
        return Slope(float(terms.sum()), float(slopes.sum()), float(error), float(tolerance))

    def kink(self, direction, slope):
        """What is wrong with the function here, in words, if it bends or jumps and reverse mode is not to blame."""
        order, step = self.level.order, 2 * SHRINK[-1] * self.level.limits[0]
        here = self.value(direction, 0)
        left, right, far_left, far_right = (
            float((self.gy * (self.value(direction, s) - here)).sum() / s) + 0.0
            for s in (-step, step, -10 * step, 10 * step)
        )
        gap, room = abs(right - left), 2 * slope.tolerance
        between = min(left, right) - room <= slope.analytic <= max(left, right) + room
        bent = gap > 0.3 * abs(far_right - far_left)  # where a function is smooth, 10 times shorter is 10 times less
        if between and bent and gap > 0.9 * slope.error:
            return f"its slope of order {order}, times a random gy, is {left:.6g} on the left, {right:.6g} on the right"
        if order > 1 and min(abs(left), abs(right)) > 5 * abs(far_right) + 10 * room:  # shorter steps, steeper slopes
            return f"its derivative of order {order - 1} jumps there"
        return ""


def inspect_elements(level, i, gy, gx, rng, gradients, reverse):
    """The finding for argument i: a direction if it passes, else the worst element and what is wrong with it."""
    ray = Ray(level, i, gy, gx)
    for _ in range(TRIES):
        direction = _direction(gx.shape, rng)
        whole = ray.slope(direction)
        if whole.passed:
            return Finding(level.names[i], level.order, whole)
        if not (bend := ray.kink(direction, whole)):
            break  # no kink to blame: look closer
    slopes = {index: ray.slope(_unit(gx.shape, index)) for index in _chosen(ray, direction, rng)}
    failing = sorted((index for index, slope in slopes.items() if not slope.passed), key=lambda k: -slopes[k].excess)
    kinks = {}
    for index in failing:
        words = ray.kink(_unit(gx.shape, index), slopes[index])
        if not words:
            told = diagnosis.diagnose(level, i, slopes, failing, gradients, reverse)
            return Finding(level.names[i], level.order, slopes[index], index, told)
        kinks[index] = words
    _raise_kink(ray, kinks or {(): bend})
    return Finding(level.names[i], level.order, whole)  # each element passes alone: report the direction


def _raise_kink(ray, kinks):
    level = ray.level
    (index, words), *more = kinks.items()
    if words:
        place = level.names[ray.i] + (f"[{', '.join(map(str, index))}]" if index else "")
        others = f" and {len(more)} more elements" if more else ""
        raise KinkError(
            f"gradcheck: {level.label} has a kink at {place}{others}: {words}; there is no derivative to check, "
            f"move the input away from it"
        )


def _direction(shape, rng):
    """A random direction; a long one would cross the kinks of many elements at once, and is made shorter."""
    direction = np.asarray(rng.normal(size=shape))
    return direction * min(1, REACH / max(_norm(direction), REACH))


def _unit(shape, index):
    direction = np.zeros(shape)
    direction[index] = 1
    return direction


def _chosen(ray, direction, rng):
    """The indices to look at: all, or of many some drawn ones and the one that halving the direction leads to."""
    size = direction.size
    flat = range(size)
    if size > ELEMENTS:
        flat = {*map(int, rng.permutation(size)[: ELEMENTS - 1]), _halved(ray, direction)}
    return [tuple(int(k) for k in np.unravel_index(place, direction.shape)) for place in flat]


def _halved(ray, direction):
    """The flat index of an element that is off, found in log₂ steps: of two halves one is off as well."""
    places = np.arange(direction.size)
    while len(places) > 1:
        halves = np.array_split(places, 2)
        parts = [np.zeros(direction.size) for _ in halves]
        for part, half in zip(parts, halves):
            part[half] = direction.reshape(-1)[half]
        excess = [ray.slope(part.reshape(direction.shape)).excess for part in parts]
        places = halves[int(np.argmax(excess))]
    return int(places[0])
