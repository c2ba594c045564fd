"""What is wrong with a gradient, in one sentence, when the pattern of its errors is a known one.

The gradient from reverse mode is laid beside the one from finite differences, element by element. Known patterns: a
constant factor, a sign, zero everywhere, NaN, axes exchanged or flipped, another argument's gradient, a mean missing,
a kernel that is not flipped; and from order 2 on, a raw array inside a VJP.

Stands on NumPy alone. Read faults.py for the wrong rules that these sentences were written for.
"""

import itertools
import re

import numpy as np

ALIKE = 1e-5  # relative: differences are good to some 1e-9 of the largest element
_REFUSED = re.compile(r"VJP for '(.+)' returned \(([\d, ]*)\) (\w+), but .+ is \(([\d, ]*)\) (\w+)")


def diagnose(level, i, slopes, wrong, gradients, reverse):
    """The sentence for argument i of a level, or "".

    slopes      {index: Slope} of the elements looked at; wrong: those of them that fail
    gradients   of all floating arguments; reverse(xs): the same at other arguments, None where they do not fit
    """
    found = np.array([s.analytic for s in slopes.values()])
    true = np.array([s.numeric for s in slopes.values()])
    room = max(s.tolerance for s in slopes.values())
    told = _not_finite(found, true) or _factor(found, true, room, level.order)
    x = level.xs[i].data
    if not told and x.size == len(slopes):
        found, true = found.reshape(x.shape), true.reshape(x.shape)
        told = (
            _rearranged(found, true, room)
            or _of_another(level, i, true, room, gradients)
            or _right_elsewhere(level, i, true, room, reverse)
            or _missing_mean(found, true, room)
            or _missing_coupling(level, found, true, room)
        )
    return told or _general(level.order, [*wrong], len(slopes), x.shape)


def of_shape(error):
    """(argument, sentence) for a gradient that the engine did not take; (None, "") for any other error."""
    match = _REFUSED.search(str(error))
    if not match:
        return None, ""
    got, wanted = (tuple(int(n) for n in match[k].replace(",", " ").split()) for k in (2, 4))
    if got == wanted:
        return match[1], f"the VJP changes the dtype from {match[5]} to {match[3]}"
    if len(got) >= len(wanted) and all(w in (1, g) for g, w in zip(got[::-1], wanted[::-1])):
        return match[1], "the sum over the axes that broadcasting stretched is missing (unbroadcast)"
    if sorted(got) == sorted(wanted):
        return match[1], "its axes are in another order: a transpose is missing, or is not inverted"
    return match[1], "it has not the shape of the argument"


def alike(a, b, room):
    """Equal but for what differences cannot tell."""
    if a.shape != b.shape or not a.size:
        return False
    return bool(np.abs(a - b).max() <= ALIKE * max(np.abs(a).max(), np.abs(b).max()) + 10 * room)


def _not_finite(found, true):
    if not np.isfinite(true).all():
        return "the function itself is not finite at or near these inputs (overflow, log of 0?)"
    bad = np.count_nonzero(~np.isfinite(found))
    return f"the gradient is not finite in {bad} of {found.size} elements (0/0, log of 0, overflow?)" if bad else ""


def _factor(found, true, room, order):
    if alike(true, np.zeros_like(true), room):
        return "the function does not change with this argument at all: the gradient should be zero everywhere"
    if not found.any():
        if order > 1:
            return (
                f"right at order {order - 1} but constant at order {order}: a raw array (.data, detach, a NumPy "
                f"function) inside a VJP"
            )
        return "zero everywhere: the graph is cut (.data, detach, no_grad), or the VJP is"
    if np.abs(found).max() < 1e-9 * np.abs(true).max():
        return "zero but for rounding: are there ones where gy belongs? A norm's gradient and a softmax's are then 0"
    factor = (found * true).sum() / (true * true).sum()
    if not alike(found, factor * true, room):
        return ""
    if abs(factor + 1) < ALIKE:
        return "right but for its sign"
    size = f"{abs(factor):.6g} times too large" if abs(factor) > 1 else f"{1 / abs(factor):.6g} times too small"
    return f"{size} everywhere{', and of the wrong sign' if factor < 0 else ''}"


def _arrangements(array):
    """(words, the array) with axes flipped, exchanged, moved or rolled by one: the simplest first."""
    axes = [k for k in range(array.ndim) if array.shape[k] > 1]
    for count in range(1, len(axes) + 1):
        for chosen in itertools.combinations(axes, count):
            yield f"flipped along {_axes(chosen)}", np.flip(array, chosen)
    for order in itertools.permutations(range(array.ndim)):
        moved = array.transpose(order)
        if order != tuple(range(array.ndim)) and moved.shape == array.shape:
            yield f"transposed (axes {order})", moved
    for axis, by in itertools.product(axes, (1, -1)):
        yield f"rolled by one along axis {axis}", np.roll(array, by, axis)
    for axis, by in itertools.product(axes, (1, -1)):
        yield f"shifted by one along axis {axis}", _shifted(array, by, axis)
    for (a, by), (b, also) in itertools.product(itertools.product(axes, (1, -1)), repeat=2):
        if a < b:
            yield f"shifted by one along axes {a} and {b}", _shifted(_shifted(array, by, a), also, b)


def _shifted(array, by, axis):
    moved = np.roll(array, by, axis)
    moved[(slice(None),) * axis + (0 if by > 0 else -1,)] = 0
    return moved


def _axes(axes):
    return f"axis {axes[0]}" if len(axes) == 1 else "axes " + " and ".join(map(str, axes))


def _rearranged(found, true, room):
    for words, moved in _arrangements(true):
        if alike(found, moved, room):
            return f"the right numbers in the wrong place: {words}"
    return ""


def _of_another(level, i, true, room, gradients):
    others = [j for j, x in enumerate(level.xs) if x.requires_grad]
    for j, gradient in zip(others, gradients):
        if j != i and alike(gradient, true, room):
            return f"the right gradient, but given to {level.names[j]}: two arguments are exchanged"
    return ""


def _right_elsewhere(level, i, true, room, reverse):
    """Is reverse mode right when another argument is flipped or transposed? Then its rule uses that one so."""
    place = [j for j, x in enumerate(level.xs) if x.requires_grad].index(i)
    for j, x in enumerate(level.xs):
        if j == i or not x.requires_grad or x.ndim < 2:
            continue
        for words, moved in _arrangements(x.data):
            if not words.startswith(("flipped", "transposed")):
                continue
            moved = type(x)(np.array(moved), requires_grad=True)
            found = reverse([*level.xs[:j], moved, *level.xs[j + 1 :]])
            if found is not None and alike(found[place], true, room):
                return f"it would be right with {level.names[j]} {words}: the rule lacks that, or has it once too often"
    return ""


def _missing_mean(found, true, room):
    """Off by a constant along some axes: a norm whose mean was held fixed."""
    off = found - true
    for count in range(found.ndim, 0, -1):
        for axes in itertools.combinations(range(found.ndim), count):
            flat = np.broadcast_to(off.mean(axes, keepdims=True), off.shape)
            if np.prod([found.shape[k] for k in axes]) > 1 and alike(off, flat, room):
                return f"off by a constant along {_axes(axes)}: the term that goes through a mean over them is missing"
    return ""


def _missing_coupling(level, found, true, room):
    """Off by a multiple of y along an axis: a softmax without its sum, a norm whose length was held fixed."""
    y, off = level.function(level.xs, False).data, found - true
    if y.shape != off.shape:
        return ""
    for axis in range(off.ndim):
        share = (off * y).sum(axis, keepdims=True) / (y * y).sum(axis, keepdims=True)
        if off.shape[axis] > 2 and alike(off, y * share, room):
            return f"off by a multiple of the output along axis {axis}: the term that couples its elements is missing"
    return ""


def _general(order, wrong, looked, shape):
    if order > 1:
        return (
            f"order {order - 1} is right, so a VJP gives the right numbers but not by ops all the way (a raw array?), "
            f"or an op that it calls has a wrong VJP"
        )
    if len(wrong) == looked or len(wrong) < 2:
        return ""
    for axis, places in enumerate(zip(*wrong)):
        if shape[axis] > 1 and len(set(places)) == 1:
            return f"{len(wrong)} of {looked} elements are wrong, all where axis {axis} is {places[0]}; others are not"
    return f"{len(wrong)} of {looked} elements are wrong; others are right"
