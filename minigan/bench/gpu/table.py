"""The figures of a GPU as shares of what it can do, and the aims.

    roofline    bytes and floating-point operations a second that the device was seen to do
    layers      a convolution's share of the matrix rate, and its time as a ratio to the best of cuDNN's
    bandwidth   a kernel's bytes a second as a share of a copy's
    steps       a captured step's time as a ratio to PyTorch's eager best, and to its best

Stands on ../race.py and ../table.py. Read run.py next.
"""

import statistics

from ..race import compare
from ..table import aligned, figure
from .sizes import BULK, LARGE, moved
from .worker import CAPTURED, EAGER, OURS

AIMS = {  # (what, the most or least that is wanted); a convolution's is cuDNN's time by 90 % of its speed
    "conv": ("ratio", 1 / 0.9),
    "copy": ("share", 0.85),
    "eager": ("ratio", 0.6),
    "best": ("ratio", 1.0),
}
TITLES = {
    "roofline": "Roofline: what this device was seen to do",
    "layers": "Layers of DCGAN: one kernel each, batch {batch}, TF32, microseconds",
    "bandwidth": "Bandwidth: kernels that only move numbers, batch {batch}, microseconds",
    "steps": "Steps: whole training steps of DCGAN, batch {batch}, milliseconds",
}
NOTES = {
    "layers": "TFLOP/s, the share of the matrix rate and the ratio (to PyTorch's fastest) are of our captured\n"
    "  kernels, or, where these failed, of the eager ones. Captured calls have no part of the host's in them.\n"
    "  Calls take copies of their inputs in turn, so that none is in the cache.",
    "bandwidth": "GB/s and the share of the copy's are of our captured kernels, or, where these failed, of the eager\n"
    "  ones. What one kernel leaves in the cache for the next counts as moved, so that a share may exceed 100 %.\n"
    "  The aim is for cases that move 64 MiB or more, beside which starting a kernel takes no time.",
    "steps": "Ratios are of our captured step (where that failed, of the eager one), to the faster of PyTorch's eager\n"
    "  layouts and to its fastest.",
}


def best(figures):
    """The least median of several libraries' figures."""
    return min(statistics.median(of) for of in figures.values())


def roofline(results, sizes):
    """{"copy": bytes a second, precision: floating-point operations a second}; PyTorch's products, if there are any."""
    found = {}
    for case, figures in results:
        if figures and case.kind == "copy":
            found["copy"] = moved(case, sizes) / (best(figures) / case.scale)
        elif figures:
            theirs = {library: of for library, of in figures.items() if library not in (OURS, CAPTURED)}
            found[case.precision] = case.flops / (best(theirs or figures) / case.scale)
    return found


def judged(case, figures, failures, peak, sizes):
    """A case's result: {"section", "label", "figures", ...}; `peak` is what roofline() gave."""
    ours = CAPTURED if CAPTURED in figures else OURS
    said = {library: [error.line, str(error)] for library, error in failures.items()}
    result = {
        "section": case.section, "kind": case.kind, "label": case.label, "unit": case.unit, "figures": figures,
        "failures": said, "rate": None, "share": None,
    }  # fmt: skip
    amount, limit = (moved(case, sizes), "copy") if case.section == "bandwidth" else (case.flops, case.precision)
    if amount and ours in figures:
        result["rate"] = amount / (statistics.median(figures[ours]) / case.scale)
        result["share"] = result["rate"] / peak[limit] if limit in peak else None
    to_best = _ratio_to(figures, ours, [library for library in figures if library.startswith("torch")])
    result["aims"] = {
        "steps": [_aim("eager", _ratio_to(figures, ours, EAGER)), _aim("best", to_best)],
        "layers": [_aim("conv" if case.flops >= LARGE else None, to_best)],
        "bandwidth": [_aim("copy" if amount >= BULK else None, result["share"])],
    }[case.section]
    return result


def _ratio_to(figures, ours, others):
    """The median ratio of our time to the best of these libraries; None without either."""
    found = compare({library: figures[library] for library in (ours, *others) if library in figures}, ours)
    return found and found["median"]


def _aim(name, value):
    """{"name", "value", "wanted", "passed"}; without a name nothing is wanted, without a value nothing is known."""
    kind, wanted = AIMS[name] if name else (None, None)
    passed = None if value is None or not name else bool(value >= wanted if kind == "share" else value <= wanted)
    return {"name": name, "value": value, "wanted": wanted, "passed": passed}


def table(section, results, libraries, sizes, judging):
    """The lines of a section's results as one text; judging: whether PASS and FAIL mean anything."""
    heads = {"layers": ["TFLOP/s", "of rate", "ratio", "aim", ""], "bandwidth": ["GB/s", "of copy", "aim", ""]}
    heads["steps"] = ["to eager", "aim", "", "to best", "aim", ""]
    rows = [["", "", *libraries, *heads[section]]]
    for r in results:
        cells = [figure(statistics.median(r["figures"][x])) if x in r["figures"] else _absent(r, x) for x in libraries]
        rows.append([r["kind"], r["label"], *cells, *_RIGHT[section](r, judging)])
    keep = [i for i in range(len(rows[0])) if any(row[i] for row in rows[1:])]
    lines = [TITLES[section].format(batch=sizes.batch), aligned([[row[i] for i in keep] for row in rows])]
    lines += [f"  {library}: failed: {line}" for library, line in _failures(results)]
    return "\n".join([*lines, f"  {NOTES[section]}"]) + "\n"


def roofline_table(results, peak):
    rows = []
    for case, _ in results:
        unit, scale = ("GB/s", 1e9) if case.kind == "copy" else ("TFLOP/s", 1e12)
        amount = peak.get("copy" if case.kind == "copy" else case.precision)
        rows.append([case.kind, case.label, figure(amount / scale) if amount else "failed", unit if amount else ""])
    return f"{TITLES['roofline']}\n{aligned(rows)}\n"


def _absent(r, library):
    return "failed" if library in r["failures"] else ""


def _failures(results):
    """(library, its error) once for each different error, in the order in which they happened."""
    return list(dict.fromkeys((library, line) for r in results for library, (line, _) in r["failures"].items()))


def _verdict(aim, judging):
    if not judging or aim["passed"] is None:
        return ["", ""]
    sign = ">=" if aim["name"] == "copy" else "<="
    wanted = _percent(aim["wanted"]) if aim["name"] == "copy" else f"{aim['wanted']:.2f}"
    return [f"{sign} {wanted}", "PASS" if aim["passed"] else "FAIL"]


def _ratio(aim, judging):
    return ["" if aim["value"] is None else f"{aim['value']:.2f}", *_verdict(aim, judging)]


def _percent(x):
    return "" if x is None else f"{100 * x:.0f} %"


def _rate(r, scale):
    return "" if r["rate"] is None else figure(r["rate"] / scale)


_RIGHT = {
    "layers": lambda r, judging: [_rate(r, 1e12), _percent(r["share"]), *_ratio(r["aims"][0], judging)],
    "bandwidth": lambda r, judging: [_rate(r, 1e9), _percent(r["share"]), *_verdict(r["aims"][0], judging)],
    "steps": lambda r, judging: [cell for aim in r["aims"] for cell in _ratio(aim, judging)],
}
