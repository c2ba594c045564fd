"""What a run is judged by: claims, each with the paper's number, what is expected here, and what was measured.

    verdict([Claim("modes covered", "all 8", 8, True, form="{} of 8", paper="6.3 ± 0.5")], out=run.out)

prints the claims as a table that ends in PASS or FAIL, and leaves verdict.json in the run's folder, from which tables
over many runs are made.

Stands on checkpoint.py, for a file that is whole or absent. Read run.py next.
"""

import json
from pathlib import Path
from typing import NamedTuple

from . import checkpoint


class Claim(NamedTuple):
    """One line of a verdict."""

    name: str  # what is claimed, with its unit
    expected: str  # what passes here
    value: object  # what was measured: a number where there is one, so that seeds can be compared; else a string
    passed: bool
    form: str = "{}"  # how the number is printed: "{:.3f}", "{:.1%}", "{} of 8"
    paper: str = ""  # the number that the paper prints

    @property
    def measured(self):
        return self.form.format(self.value)


def verdict(claims, out=None):
    """Print claims beside what was measured, PASS or FAIL; return True if all pass.

    claims  Claims, or tuples in a Claim's order
    out     the run's folder: verdict.json is written there, {"passed": bool, "claims": [{name, paper, expected, value,
            form, measured, passed}]}
    """
    claims = [Claim(*claim) for claim in claims]
    columns = {"claim": [c.name for c in claims], "paper": [c.paper for c in claims],
               "expected": [c.expected for c in claims], "measured": [c.measured for c in claims],
               "": ["PASS" if c.passed else "FAIL" for c in claims]}  # fmt: skip
    if not any(columns["paper"]):
        del columns["paper"]
    widths = [max(map(len, [head, *cells])) for head, cells in columns.items()]
    for row in zip(*([head, *cells] for head, cells in columns.items())):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    passed = all(c.passed for c in claims)
    if out is not None:
        rows = [c._asdict() | {"measured": c.measured, "passed": bool(c.passed), "value": _plain(c.value)}
                for c in claims]  # fmt: skip
        record = {"passed": bool(passed), "claims": rows}
        checkpoint.write_file(Path(out) / "verdict.json", (json.dumps(record, indent=2) + "\n").encode())
    return passed


def _plain(value):
    """As JSON holds it."""
    return value.item() if hasattr(value, "item") else value
