"""python -m minigan reproduce: run what is not yet run, and write the table.

Stands on pool.py and table.py.
"""

import shutil
import sys
from pathlib import Path

from . import pool, table
from .rows import EXAMPLES, ROWS, chosen
from .runs import ERROR, FAIL, PASS, Job

HELP = """Run the examples, each seed in a process and a folder of its own, and write one table of their claims: what
the paper says, what was measured (median and range over the seeds), and whether it passes.

    python -m minigan reproduce --list               the rows: names, seeds, times, commands
    python -m minigan reproduce all --jobs 2         everything, two runs at a time with one thread each
    python -m minigan reproduce grid --seeds 3       the rows whose names begin with grid
    python -m minigan reproduce all --quick          a few seconds of each, to see that all of it runs

Ctrl-C loses nothing: the same command goes on where it was. The exit status is 0 when every row passes, 1 when one
does not, 2 when one could not be run."""


def add_arguments(parser, count):
    """The options of the command; count: the type of whole numbers from 1 on."""
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="rows, beginnings of their names, globs, or all")
    add("--list", action="store_true", help="show the rows and run nothing")
    add("--seeds", type=count, help="run seeds 0 ... SEEDS - 1 of each row (default: see --list)")
    add("--jobs", type=count, default=1, help="runs at a time, one thread each if several (default 1)")
    add("--quick", action="store_true", help="--smoke for each, one seed; goes to DIR/quick")
    add("--out", default="runs/reproduce", metavar="DIR", help="default %(default)s")


def reproduce(args):
    """The exit status. ValueError or OSError, one sentence, for what cannot be done."""
    rows = chosen(args.names or ["all"])
    if args.list or not args.names:
        show(rows)
        return 0
    if not EXAMPLES.is_dir():
        raise FileNotFoundError(f"there is no folder {EXAMPLES}: the examples are in minigan's repository, not in the "
                                f"installed package; clone it, pip install -e . there, and run this again")  # fmt: skip
    out = Path(args.out).resolve() / ("quick" if args.quick else "")
    wanted = {row: range(1 if args.quick else args.seeds or row.seeds) for row in rows if row.there()}
    absent = [row for row in rows if row not in wanted]
    for row in absent:
        print(f"{row.name}: left out, for there is no examples/{row.example}", file=sys.stderr)
    try:
        with pool.locked(out) as lock:
            run(wanted, out, args, lock)
    except KeyboardInterrupt:
        print(f"Stopped; what is done is in {out / 'results.md'}. The same command goes on.", file=sys.stderr)
        raise
    results = write(wanted, out, args.quick)
    return tell([result for result in results if result["name"] in {row.name for row in wanted}], out) if wanted else 2


def show(rows):
    """A line for each row, and how long all would take."""
    width = max(len(row.name) for row in rows)
    section = None
    for row in rows:
        if row.section != section:
            section = row.section
            print(f"\n{section}")
        each = table.seconds(row.seconds)
        print(f"  {row.name:{width}}  {row.seeds} x {each:12}  {table.command(row)}")
    total = table.seconds(sum(row.seeds * row.seconds for row in rows))
    print(f"\n{len(rows)} rows, {sum(row.seeds for row in rows)} runs, about {total} on one core.")
    print("To run them: python -m minigan reproduce all, or the names of some")


def run(wanted, out, args, lock):
    """Run every seed that is not finished: seed 0 of each row first, so that the table soon has every row."""
    from tqdm import tqdm

    most = max((len(seeds) for seeds in wanted.values()), default=0)
    jobs = [Job(row, seed, out / row.name / str(seed), args.quick)
            for seed in range(most) for row in wanted if seed in wanted[row]]  # fmt: skip
    todo = [job for job in jobs if not job.finished()]
    print(f"{len(jobs)} runs, {len(jobs) - len(todo)} of them finished already; in {out}", file=sys.stderr)
    expected = lambda job: 5 if args.quick else job.row.seconds
    form = "{desc} {percentage:3.0f}%|{bar}| {elapsed}, about {remaining} to go"
    patience = 0.5 if sys.stderr.isatty() else 60.0
    with tqdm(total=sum(map(expected, todo)), desc=f"0/{len(todo)} runs", bar_format=form, file=sys.stderr,
              mininterval=patience, miniters=0, smoothing=0, dynamic_ncols=True) as bar:  # fmt: skip
        ended = dict.fromkeys((PASS, FAIL, ERROR), 0)

        def report(job, outcome):
            record = job.record()
            why = f": {record['sentence']}" if outcome == ERROR else ""
            word = "runs" if job.quick and outcome == PASS else outcome
            said = f"{word:7}  {job.row.name}, seed {job.seed}, {table.seconds(record['seconds'])}{why}"
            bar.write(said, file=sys.stderr)
            write(wanted, out, args.quick)
            if outcome in ended:
                ended[outcome] += 1
                count = f"{sum(ended.values())}/{len(todo)} runs"
                bar.set_description_str(f"{count}, {ended[FAIL]} FAIL, {ended[ERROR]} ERROR", refresh=False)
                bar.update(expected(job))

        pool.run(todo, at_once=args.jobs, lock=lock, report=report, tick=lambda: bar.update(0))


def write(wanted, out, quick):
    """The table of all that lies in the folder, those rows included that were asked for → their summaries."""
    rows = [row for row in ROWS if row in wanted or (row.there() and (out / row.name).is_dir())]
    results = [table.summary(row, out, wanted.get(row, ()), quick) for row in rows]
    out.mkdir(parents=True, exist_ok=True)
    table.write(out, results)
    for row in rows:
        folder = out / row.name / "0"
        for picture in (path for glob in row.pictures for path in folder.glob(glob)):
            (out / "figures").mkdir(exist_ok=True)
            shutil.copyfile(picture, out / "figures" / "-".join([row.name, *picture.relative_to(folder).parts]))
    return results


def tell(results, out):
    """Print each row's verdict and what does not pass → exit status."""
    width = max(len(result["name"]) for result in results)
    for result in results:
        print(f"{result['name']:{width}}  {table.said(result)}")
        for line in table.footnotes(result):
            print(f"    {line}")
    print(out / "results.md")
    verdicts = {result["verdict"] for result in results}
    return 0 if verdicts == {PASS} else 1 if verdicts <= {PASS, FAIL} else 2
