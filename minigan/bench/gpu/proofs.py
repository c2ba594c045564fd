"""What must hold before a time means anything: kernels, derivatives, and nothing that compute-sanitizer finds.

Each function returns (what to print, what to report, whether all is right). `each` is a progress bar's: it gives back
the things of a list, one after another.

Stands on checks.py, gradients.py and sanitizer.py, through a worker. Read run.py next.
"""

from minigan.kernels import rounding

from ..race import Failed
from . import sanitizer


def kernels(process, each):
    """Every check; a check that cannot be made counts as wrong."""
    found, wrong = {}, []
    for name in each("checking", process.ask("checks")):
        try:
            found[name] = process.ask("check", name)
        except Failed as error:
            found[name] = []
            wrong.append(f"{name}: the check failed\n{error}")
            process.restart()
        for what, error in found[name]:
            if not error <= 1:  # NaN is wrong too
                wrong.append(f"{name}: {what} is wrong: its largest error is {error:.3g} times the bound")
    if wrong:
        return wrong, found, False
    error, name, what = max((error, name, what) for name, of in found.items() for what, error in of)
    count = sum(len(of) for of in found.values())
    precisions = ", ".join(["fp64", *sorted(rounding.KNOWN)])
    lines = [f"Kernels: {count} of {count} results right, in {precisions}"]
    return [*lines, f"  the largest error is {error:.2f} of its bound: {name}, {what}"], found, True


def gradients(process, each):
    """Every row of the op table; a row that cannot be run counts as wrong."""
    rows, wrong = process.ask("rows"), {}
    labels = [row for _, row in rows]
    for index, row in enumerate(each("differentiating", labels)):
        try:
            said = process.ask("gradient", index)
        except Failed as error:
            said = error.line
            process.restart()
        if said:
            wrong[row] = said
    ops = {op for op, _ in rows}
    right = ops - {op for op, row in rows if row in wrong}
    text = f"Gradients: {len(right)} of {len(ops)} ops right, in {len(rows)} rows, orders 1 and 2, float64"
    lines = [text, *(f"  {row}: {said}" for row, said in wrong.items())]
    return lines, {"rows": labels, "wrong": wrong}, not wrong


def sanitized(place, each):
    """Both tools, where they are installed."""
    if not sanitizer.installed():
        return ["compute-sanitizer: not installed"], None, True
    found = {tool: sanitizer.examine(tool, place) for tool in each("compute-sanitizer", sanitizer.TOOLS)}
    lines = [f"compute-sanitizer {tool}: {said}" for tool, (said, _) in found.items()]
    return lines, {tool: said for tool, (said, _) in found.items()}, all(right for _, right in found.values())
