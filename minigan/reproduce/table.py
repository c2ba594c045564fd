"""Many verdicts as one table, of medians and ranges over the seeds: results.md for people, results.json for programs.

A claim passes in n of N seeds, and so does a row when all its claims pass in the same run; the row's verdict is PASS
when more than half of its seeds do. A run that ended with an error is a seed that did not pass, with its sentence.

Stands on runs.py.
"""

import datetime
import importlib.metadata
import json
import math
import platform
import re
import shlex
import statistics
import subprocess
from collections import Counter
from contextlib import suppress

from .. import checkpoint
from .rows import ROOT
from .runs import ERROR, FAIL, LOG, PASS, Job

UNFINISHED, NOT_RUN = "unfinished", "not run"
VERDICTS = PASS, FAIL, ERROR, UNFINISHED, NOT_RUN


def summary(row, out, seeds, quick=False):
    """What came out of a row → dict, as it stands in results.json.

    out     the folder of all runs
    seeds   those asked for; any others that were run count too
    """
    there = {int(p.name) for p in (out / row.name).glob("[0-9]*") if p.name.isdigit()}
    jobs = [Job(row, seed, out / row.name / str(seed), quick) for seed in sorted({*seeds, *there})]
    records = {job: record for job in jobs if (record := job.record()) or job.seed in seeds}
    ended = {job: record for job, record in records.items() if record.get("outcome") in (PASS, FAIL, ERROR)}
    passed = sum(record["outcome"] == PASS for record in ended.values())
    errors = [{"seed": job.seed, "sentence": record["sentence"], "log": f"{row.name}/{job.seed}/{LOG}"}
              for job, record in ended.items() if record["outcome"] == ERROR]  # fmt: skip
    if len(ended) < len(records) or not records:
        verdict = UNFINISHED if ended else NOT_RUN
    else:
        verdict = PASS if 2 * passed > len(ended) else ERROR if len(errors) == len(ended) else FAIL
    verdicts = [] if quick else [job.claims() for job, record in ended.items() if record["outcome"] != ERROR]
    claims = _claims(verdicts, len(ended))
    return {
        "name": row.name, "section": row.section, "command": command(row), "verdict": verdict, "passed": passed,
        "ended": len(ended), "seeds": [job.seed for job in records], "quick": quick,
        "seconds": statistics.median(record["seconds"] for record in ended.values()) if ended else None,
        "claims": claims, "errors": errors, "notes": _notes(row, verdict, claims),
    }  # fmt: skip


def command(row):
    """What a reader types to run it."""
    return shlex.join(["python", f"examples/{row.example}", *row.arguments])


def _claims(verdicts, ended):
    """Each claim's figures over the verdicts of all seeds."""
    claims = {}
    for verdict in verdicts:
        names = Counter()
        for claim in verdict:
            name = claim["name"]
            claims.setdefault((name, names[name]), []).append(claim)  # one name may be claimed of twice
            names[name] += 1
    return [{
        "name": name, "paper": of[0]["paper"], "expected": _expected(of), "measured": measured(of),
        "values": [claim["value"] if _finite(claim["value"]) else str(claim["value"]) for claim in of],
        "passed": sum(claim["passed"] for claim in of), "of": ended,
    } for (name, _), of in claims.items()]  # fmt: skip


def _expected(claims):
    """What passes; it may depend on the seed, where one thing is measured against another."""
    first = claims[0]["expected"]
    return first if all(claim["expected"] == first for claim in claims) else f"{first} in seed 0"


def _finite(value):
    return not isinstance(value, float) or math.isfinite(value)


def measured(claims):
    """The median and the range of one claim over its seeds, as the claim prints its numbers: "7 of 8 (6 to 8)"."""
    values = [claim["value"] for claim in claims]
    if len(values) == 1 or not all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
        return " / ".join(dict.fromkeys(claim["measured"] for claim in claims))
    form, middle = claims[0].get("form", "{:.4g}"), statistics.median(values)
    if all(isinstance(v, int) for v in values) and middle == int(middle):
        middle = int(middle)
    number = re.search(r"\{[^}]*\}", form)
    low, high = ((number[0] if number else "{}").format(v) for v in (min(values), max(values)))
    return form.format(middle) + (f" ({low} to {high})" if low != high else "")


def _notes(row, verdict, claims):
    """What there is to say of the row and of its claims, where they do not pass."""
    failed = [claim["name"] for claim in claims if 2 * claim["passed"] <= claim["of"]]
    as_a_whole = verdict in (FAIL, ERROR)
    return [note for start, note in row.notes if (any(n.startswith(start) for n in failed) if start else as_a_whole)]


# ---- as files -----------------------------------------------------------------------------------------------


def write(out, results):
    """results.md and results.json in the folder `out`."""
    about = _about()
    record = {"about": about, "rows": results}
    checkpoint.write_file(out / "results.json", (json.dumps(record, indent=1, ensure_ascii=False) + "\n").encode())
    checkpoint.write_file(out / "results.md", markdown(results, about).encode())


def _about():
    """When, where and with what."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("numpy", "numba"))
    commit = ""
    with suppress(OSError, subprocess.SubprocessError):
        git = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
        commit = f", minigan at {subprocess.run(git, capture_output=True, text=True, check=True).stdout.strip()}"
    today = datetime.date.today().isoformat()
    return f"{today}, {platform.system()} {platform.machine()}, Python {platform.python_version()}, {versions}{commit}"


def markdown(results, about):
    """The table, and below it what does not pass and why."""
    counts = Counter(row["verdict"] for row in results)
    lines = ["# The examples, and what the papers say", "", about, "",
             ", ".join(f"{counts[v]} {v}" for v in VERDICTS if counts[v]) + f" of {len(results)} rows.", "",
             "Measured: the median of all seeds, and in brackets the least and the greatest. Verdict: how many seeds "
             "pass; a row passes when more than half of them do. Time: the median of a seed.", "",
             "| run | claim | paper | expected | measured | verdict | time | command |",
             "| --- | --- | --- | --- | --- | --- | --- | --- |"]  # fmt: skip
    section = None
    for row in results:
        if row["section"] != section:
            section = row["section"]
            lines.append(_line(f"**{section}**"))
        time = "" if row["seconds"] is None else seconds(row["seconds"])
        lines.append(_line(row["name"], verdict=f"**{said(row)}**", time=time, command=f"`{row['command']}`"))
        lines += [_line("", claim["name"], claim["paper"], claim["expected"], claim["measured"],
                        f"{claim['passed']} of {claim['of']}") for claim in row["claims"]]  # fmt: skip
    below = [line for row in results for line in footnotes(row)]
    return "\n".join(lines + (["", "## What does not pass", "", *below] if below else [])) + "\n"


def _line(run, claim="", paper="", expected="", measured="", verdict="", time="", command=""):
    cells = [run, claim, paper, expected, measured, verdict, time, command]
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def said(row):
    """A row's verdict in words: "PASS, 4 of 5"."""
    word = "runs" if row["quick"] and row["verdict"] == PASS else row["verdict"]
    return word if row["verdict"] == NOT_RUN else f"{word}, {row['passed']} of {row['ended']}"


def seconds(number):
    """A time as people say it: 42 s, 3 min 05 s."""
    minutes, rest = divmod(round(number), 60)
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


def footnotes(row):
    """Lines of Markdown for a row that does not pass, or did not in some seeds: what, and why as far as is known."""
    lines = []
    for claim in row["claims"]:
        if claim["passed"] < claim["of"]:
            lines.append(f"- {row['name']}: {claim['name']} is {claim['measured']}, expected {claim['expected']}: "
                         f"passed {claim['passed']} of {claim['of']}")  # fmt: skip
    for error in row["errors"]:
        lines.append(f"- {row['name']}, seed {error['seed']}: {error['sentence']} (see {error['log']})")
    return lines + [f"  - Why: {note}" for note in row["notes"]] if lines else []
