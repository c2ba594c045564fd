"""Every kernel on the device against kernels/reference.py in float64, in every precision.

Products (the conv triangle, matrix product, linear) run in float64 and in float32 by every precision that
kernels/rounding.py knows; what multiplies nothing large (norms, elementwise, optimisers) in both dtypes. The shapes are
DCGAN's, odd ones, and one for every tile.

    python -m minigan.bench.gpu.checks cuda       small shapes only, and random numbers: what sanitizer.py looks at

Stands on ../checks.py, whose bounds these are. Read worker.py next.
"""

import functools
import sys
from types import SimpleNamespace

import numpy as np

from minigan import kernels
from minigan.kernels import cuda, reference, rounding
from minigan.kernels.cuda import random
from minigan.kernels.cuda.backends import backend_of
from minigan.kernels.cuda.product import TILES
from minigan.testing.precisions import ROUNDOFF

from .. import checks, ours
from ..bounds import SINGLE, Bilinear, Rounding, ratio
from ..place import PLACES
from ..sizes import SLOPE, TRIANGLE, layers, norms
from .sizes import LENGTHS, ODD, ODD_NORMS, PRODUCTS, QUICK, WIDE

DOUBLE = Rounding("fp64", np.float64)
HALF = Rounding("bf16 arrays", rounding.bfloat16(), ROUNDOFF["bf16"])
VERSIONS = ("plain", *TILES)


def roundings():
    """Everything that a product may run in."""
    return [DOUBLE, *(Rounding(n, np.float32, ROUNDOFF[n] if n != "fp32" else 0.0) for n in rounding.KNOWN)]


def halves(place):
    """Arrays of bf16, where CUDA kernels run."""
    return [HALF] if kernels.on_cuda(place.put(np.zeros(1))) else []


def every_check(sizes, place):
    """{name: function that gives pairs (what, error in units of its bound)}"""
    found = {}
    for kernel in TRIANGLE:
        for layer in dict.fromkeys([*layers(sizes), *ODD]):
            label = f"{kernel} {layer.n} x {layer.image}, {layer.map}, window {layer.window}"
            found[label] = functools.partial(triangle, place, kernel, layer)
        found[f"{kernel}, every tile"] = functools.partial(every_tile, place, kernel, WIDE)
    for shape in (*PRODUCTS, *sizes.products):
        found[f"matmul {_times(shape)}"] = functools.partial(matmul, place, *shape)
    found["matmul, every tile"] = functools.partial(every_tile_of_matmul, place, *PRODUCTS[-1])
    for shape in (*PRODUCTS, *sizes.products[:1]):
        found[f"linear {_times(shape)}"] = functools.partial(linear, place, *shape)
    for norm in (*norms(sizes), *ODD_NORMS):
        found[f"batch_norm {norm.n} x {norm.size}x{norm.size}x{norm.c}"] = functools.partial(batch_norm, place, norm)
    for length in (*LENGTHS, sizes.elements):
        found[f"elementwise {length}"] = functools.partial(elementwise, place, length)
    for kernel in checks.OPTIMISERS:
        for label, shapes in (("of DCGAN", sizes.parameters), ("odd", [(1,), (3, 5), (257,)])):
            found[f"{kernel} {label}"] = functools.partial(optimiser, place, kernel, shapes)
    return found


def triangle(place, kernel, layer):
    operands, exact = checks.definition(kernel, layer)
    options = {"stride": layer.stride, "padding": layer.padding}
    options |= {"kernel_size": layer.window} if kernel == "conv2d_weight" else {}
    return _products(place, lambda a, b: getattr(kernels, kernel)(a, b, **options), exact, *operands)


def every_tile(place, kernel, layer):
    """The versions that this device or these shapes would not choose by themselves."""
    return _versions(place, kernel, *checks.definition(kernel, layer), VERSIONS)


def _versions(place, kernel, operands, exact, versions):
    found, tensor_cores = [], backend_of(place.put(operands[0])).tensor_cores
    for version in versions:
        if version.startswith("tensor") and not tensor_cores:
            continue
        for r in (*(roundings() if version.startswith("tensor") else (DOUBLE, SINGLE)), *halves(place)):
            if version.startswith("tensor") and r.factors == 0:
                continue  # tensor cores round
            with _precision(r):
                arrays = [place.put(a.astype(r.dtype)) for a in operands]
                y = getattr(cuda, kernel)(*arrays, version=version, **exact.options)
            found.append((f"{r.name} {version}", exact.error(place.host(y), r)))
    return found


def matmul(place, rows, depth, columns):
    """As it lies, and with either operand transposed."""
    a, b = _normal((rows, depth), (depth, columns))
    exact, found = Bilinear("matmul", a, b, 1, depth), []
    for name, turn in (("", (0, 0)), (" of aᵀ", (1, 0)), (" of bᵀ", (0, 1))):
        across = [x.T.copy() if turned else x for x, turned in zip((a, b), turn)]
        run = lambda *xs, turn=turn: kernels.matmul(*(x.T if turned else x for x, turned in zip(xs, turn)))
        found += [(f"{what}{name}", error) for what, error in _products(place, run, exact, *across)]
    return found


def every_tile_of_matmul(place, rows, depth, columns):
    """... in each of the ways in which factors can lie."""
    a, b = _normal((rows, depth), (depth, columns))
    exact, found = Bilinear("matmul", a, b, 1, depth), []
    for x, y in ((a, b), (np.asfortranarray(a), b), (a, np.asfortranarray(b))):
        found += _versions(place, "matmul", (x, y), exact, [v for v in VERSIONS if v != "tensor_128x16"])
    return found


def _products(place, run, exact, *operands):
    found = []
    for r in [*roundings(), *halves(place)]:
        with _precision(r):
            y = place.host(run(*(place.put(a.astype(r.dtype)) for a in operands)))
        found.append((r.name, exact.error(y, r)))
    return found


def linear(place, rows, depth, columns):
    """Forward, and the gradients behind an activation whose side the exact output decides."""
    x, w, b, gy = _normal((rows, depth), (depth, columns), (columns,), (rows, columns))
    wide = [a.astype(np.float64) for a in (x, w, b)]
    y = reference.linear(*wide, slope=SLOPE)
    size = np.sqrt(reference.matmul(wide[0] ** 2, wide[1] ** 2) + wide[2] ** 2)
    h = reference.leaky_relu_backward(gy.astype(np.float64), y, slope=SLOPE) ** 2
    sizes = (reference.matmul(h, wide[1].T ** 2), reference.matmul(wide[0].T ** 2, h), h.sum(0))
    options = {"slope": SLOPE, "needs": (True, True)}
    exact = reference.linear_backward(gy.astype(np.float64), y, *wide[:2], **options)
    found = []
    for r in [*roundings(), *halves(place)]:
        with _precision(r):
            x_, w_, gy_, y_ = (place.put(a.astype(r.dtype)) for a in (x, w, gy, y))
            b_ = place.put(b.astype(rounding.real(np.dtype(r.dtype))))
            forward = place.host(kernels.linear(x_, w_, b_, slope=SLOPE))
            backward = kernels.linear_backward(gy_, y_, x_, w_, **options)
        found.append((r.name, ratio(forward, y, depth, size, r)))
        for name, f, e, squares, terms in zip(("gx", "gw", "gb"), backward, exact, sizes, (columns, rows, rows)):
            found.append((f"{r.name} {name}", ratio(place.host(f), e, terms, np.sqrt(squares), r)))
    return found


def batch_norm(place, norm):
    library, found = SimpleNamespace(place=place), []
    for r in (DOUBLE, SINGLE, *halves(place)):
        x = ours.normal(norm)[0].astype(r.dtype)
        rows = x.reshape(-1, norm.c).astype(np.float64)
        exact = reference.batch_norm_moments(rows)
        fourth = ((rows - exact[0]) ** 4).mean(0)  # of the terms of a variance
        scale = np.sqrt(np.stack([(rows**2).mean(0), fourth])) + np.abs(exact)
        moments = kernels.batch_norm_moments(place.put(x))
        pairs = [("moments", ratio(place.host(moments), exact, len(rows), scale, r))]
        pairs += [_running(place, moments, len(rows), r)]
        pairs += checks.batch_norm(library, norm, r) + checks.batch_norm_backward(library, norm, r)
        found += [(f"{r.name} {what}", error) for what, error in pairs]
    return found


def _running(place, moments, count, r):
    """One step of the running moments, from 0 and 1."""
    exact, options = place.host(moments).astype(np.float64), {"momentum": 0.1, "count": count}
    start = np.stack([np.zeros(exact.shape[1]), np.ones(exact.shape[1])])
    fast = [place.put(a.astype(rounding.real(np.dtype(r.dtype)))) for a in start]
    kernels.batch_norm_running(moments, *fast, **options)
    reference.batch_norm_running(exact, *start, **options)
    return "running", max(ratio(place.host(f), e, 1, abs(e) + 1, r) for f, e in zip(fast, start))


def elementwise(place, length):
    a, b = _normal((length,), (length,))
    calls = {
        "add": lambda of, a, b: of.add(a, b),
        "leaky_relu": lambda of, a, b: of.leaky_relu(a, slope=SLOPE),
        "leaky_relu_backward": lambda of, a, b: of.leaky_relu_backward(a, b, slope=SLOPE),
    }
    found = []
    for r in (DOUBLE, SINGLE, *halves(place)):
        lie = [x.astype(r.dtype) for x in (a, b)]
        for name, call in calls.items():
            exact = call(reference, *(x.astype(np.float64) for x in lie))
            fast = place.host(call(kernels, *map(place.put, lie)))
            found.append((f"{r.name} {name}", ratio(fast, exact, 1, np.abs(exact), r)))
    return found


def optimiser(place, kernel, shapes):
    return [(r.name, error) for r in (DOUBLE, SINGLE) for _, error in checks.optimiser(kernel, shapes, place, r)]


def _normal(*shapes):
    rng = np.random.default_rng(ours.SEED)
    return [rng.standard_normal(shape, np.float32) for shape in shapes]


def _times(shape):
    return " x ".join(map(str, shape))


def _precision(r):
    """float64 has no choice, and bf16 is what it is."""
    return rounding.using(r.name if r.name in rounding.KNOWN else None)


def main(place):
    """Launch every kernel there is on small arrays; 1 if one is wrong."""
    place = PLACES[place]()
    if place.device == "cuda":
        place.cupy.cuda.set_allocator(None)  # without CuPy's pool, an access beyond an array is one beyond its memory
    wrong = [name for name, check in every_check(QUICK, place).items() if not all(error <= 1 for _, error in check())]
    state = random.generator(0, like=place.put(np.zeros(1)))
    for dtype in (np.float32, np.float64):
        random.uniform(state, 1000, dtype), random.normal(state, 1000, dtype)
    random.bits(state, 1000)
    place.synchronize()
    print(f"wrong: {', '.join(wrong)}" if wrong else "every kernel launched, every number right")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
