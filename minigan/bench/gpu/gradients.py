"""The derivatives of every op, on the device: each row of the op table, orders 1 and 2, against finite differences.

Stands on minigan.testing and ops/table.py. Read sanitizer.py next.
"""

import numpy as np

import minigan as mg
from minigan.ops import table
from minigan.testing.gradcheck import examine
from minigan.testing.subject import Subject

ORDER = 2


def names():
    """What each row checks: (op, row)."""
    return [(row.name, str(row)) for row in table.rows]


def wrong(index, place):
    """What is wrong with a row's derivatives, in a few words; "" if nothing is."""
    row = table.rows[index]
    inputs = [mg.tensor(x, device=place.device) for x in row.draw(np.random.default_rng(index))]
    for finding in examine(Subject(row.function, inputs), order=ORDER):
        if not finding.passed:
            error, tolerance = finding.slope.error, finding.slope.tolerance
            return f"order {finding.order}, {finding.argument}: error {error:.2g}, tolerance {tolerance:.2g}"
    return ""
