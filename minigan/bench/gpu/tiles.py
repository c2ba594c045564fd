"""Every tile on every large convolution: whether the plan of kernels/cuda/product.py picks the fastest.

The plan is a model with a handful of numbers in it, and what it costs to be wrong stands in the last column.

Stands on sizes.py and minigan.kernels.cuda. Read run.py next.
"""

import statistics

from minigan.kernels.cuda.product import TILES

from ..table import aligned, figure
from .sizes import TRIANGLE
from .worker import CAPTURED

PLANNED = "planned"
TITLE = "Tiles: each large convolution by every tile, batch {batch}, TF32, microseconds"
NOTE = """  Blocks share a sum as the plan has it for each tile. planned / best: the time of the plan's choice to the
  fastest's; where it is above 1.05, the numbers in kernels/cuda/product.py want changing."""


def cases(sizes):
    """A case for each convolution and tile, and one for what the plan picks; small layers are left out."""
    layers, found = sizes.cases("layers"), []
    large = max(case.flops for case in layers) / 20
    for case in layers:
        for version in (PLANNED, *(tile for tile in TILES if tile != "tiled")) if case.flops >= large else ():
            arguments, label = (case.kind, *case.arguments, version), f"{case.name}, {version}"
            found.append(case._replace(section="tiles", kind="tile", label=label, arguments=arguments))
    return found


def rows(results):
    """[{"kind", "label", "figures": {version: median}, "ratio"}] from pairs (case, {library: figures})."""
    found = {}
    for case, figures in results:
        kernel, layer, version = case.arguments
        of = found.setdefault((kernel, TRIANGLE[kernel].format(x=layer.image, y=layer.map)), {})
        if CAPTURED in figures:
            of[version] = statistics.median(figures[CAPTURED])
    return [{"kind": kind, "label": label, "figures": of, "ratio": _ratio(of)} for (kind, label), of in found.items()]


def _ratio(figures):
    tiles = [value for version, value in figures.items() if version != PLANNED]
    return figures[PLANNED] / min(tiles) if tiles and PLANNED in figures else None


def table(found, sizes):
    """The rows as a text."""
    versions = list(dict.fromkeys(version for row in found for version in row["figures"]))
    lines = [["", "", *(version.removeprefix("tensor_") for version in versions), "planned / best"]]
    for row in found:
        cells = [figure(row["figures"][v]) if v in row["figures"] else "failed" for v in versions]
        lines.append([row["kind"], row["label"], *cells, "" if row["ratio"] is None else f"{row['ratio']:.2f}"])
    return f"{TITLE.format(batch=sizes.batch)}\n{aligned(lines)}\n{NOTE}\n"
