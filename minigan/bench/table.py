"""The figures as a table, and the line that says on which machine they were taken.

Stands on the standard library. Read __main__.py next.
"""

import datetime
import os
import platform
import re
import statistics
import subprocess
from pathlib import Path

TITLES = {
    "engine": "Engine: microseconds an op",
    "layers": "Layers of DCGAN: one kernel each, batch {batch}, milliseconds",
    "steps": "Steps: whole training steps of DCGAN, batch {batch}, milliseconds",
    "ring": "Ring: whole training steps of multilayer perceptrons, milliseconds",
    "memory": "Memory: largest resident set of a process that trains DCGAN, batch {batch}, MiB",
}
NOTES = {
    "layers": "The ratio is to the faster layout. torch's batch norm is two kernels, the norm and the leaky ReLU.",
    "steps": "Equal work: our G's step forms D's weight gradients too, as backward() does, and throws them away.\n"
    "  Critic: a step of WGAN-GP's critic alone, gradient penalty and all, on DCGAN's D without batch norm.",
    "ring": "Critic: a step of WGAN-GP's critic alone, gradient penalty and all: 2, 512, 512, 512, 1 units, ReLU.",
}


def table(section, results, sizes):
    """The lines of a section's results as one text."""
    libraries = list(results[0]["figures"])
    rows = [_headings(libraries)] + [_row(r, libraries) for r in results]
    rows += [_imported(r["imported"], libraries) for r in results if "imported" in r]
    keep = [i for i in range(len(rows[0])) if any(row[i] for row in rows[1:])]
    parts = [TITLES[section].format(batch=sizes.batch), aligned([[row[i] for i in keep] for row in rows])]
    if section in NOTES and len(libraries) > 1:
        parts.append("  " + NOTES[section])
    return "\n".join(parts) + "\n"


def _headings(libraries):
    if len(libraries) == 2:
        libraries = [library.split()[0] for library in libraries]  # no images, no layouts
    return ["", "", *libraries, "GFLOP/s", "error/bound", "ratio", "range", "target", ""]


def _row(r, libraries):
    ratio, target = r["ratio"], r["target"]
    verdict = "" if r["passed"] is None else "PASS" if r["passed"] else "FAIL"
    return [
        r["kind"],
        r["label"],
        *(figure(statistics.median(r["figures"][library])) for library in libraries),
        f"{r['gflops']:.0f}" if r["gflops"] else "",
        f"{max(error for _, error in r['checks']):.2f}" if r["checks"] else "",
        f"{ratio['median']:.2f}" if ratio else "",
        f"{ratio['low']:.2f} ... {ratio['high']:.2f}" if ratio and len(ratio["rounds"]) > 1 else "",
        f"<= {target:.2f}" if verdict else "",
        verdict,
    ]


def _imported(imported, libraries):
    figures = [figure(statistics.median(imported[library])) for library in libraries]
    return ["import", "of these, after the import alone", *figures] + [""] * 6


def figure(x):
    """Three digits or more, as a reader wants them."""
    return f"{x:.0f}" if x >= 1000 else f"{x:.1f}" if x >= 100 else f"{x:.2f}" if x >= 1 else f"{x:.3f}"


def aligned(rows):
    """Rows of words in columns: the first two to the left, the others to the right."""
    wide = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [[w.ljust(n) if i < 2 else w.rjust(n) for i, (w, n) in enumerate(zip(row, wide))] for row in rows]
    return "\n".join("  " + "   ".join(line).rstrip() for line in lines)


def machine(threads, described):
    """{what: text}: processor, cores used of those there are, system, versions, date."""
    return {
        "processor": _processor(),
        "cores": f"{threads} of {cores()}",
        "system": f"{platform.system()} {platform.machine()}",
        "versions": ", ".join([*dict.fromkeys(described), f"Python {platform.python_version()}"]),
        "date": datetime.date.today().isoformat(),
    }


def cores():
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _processor():
    info = Path("/proc/cpuinfo")
    if info.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE)
        if found:
            return found[1]
    if platform.system() == "Darwin":
        asked = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(asked, capture_output=True, text=True).stdout.strip()
    return platform.processor() or "unknown processor"
