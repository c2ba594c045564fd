"""python -m minigan reproduce, with examples that take no time: what it runs, what it runs once only, what it says."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minigan.__main__ import main
from minigan.reproduce import command, rows, runs, table
from minigan.reproduce.rows import Row
from minigan.reproduce.table import measured

# An example as reproduce sees one. It counts how often it was begun, and learns by writing a checkpoint at each step.
EXAMPLE = '''"""An example."""
import argparse, json, signal, sys, time
from pathlib import Path

parser = argparse.ArgumentParser()
parser.add_argument("--seed", type=int)
parser.add_argument("--out", type=Path)
parser.add_argument("--resume", action="store_true")
parser.add_argument("--smoke", action="store_true")
parser.add_argument("--steps", type=int, default=3)
parser.add_argument("--pace", type=float, default=0)
parser.add_argument("--ends", default="well")
args = parser.parse_args()
print("begun", "again" if args.resume else "afresh", flush=True)

checkpoint = args.out / "checkpoint.safetensors"
if checkpoint.exists() and not args.resume:
    sys.exit("there is a checkpoint: pass --resume")
stop = []
signal.signal(signal.SIGTERM, lambda *_: stop.append(1) if args.ends != "deaf" else None)
for step in range(int(checkpoint.read_text()) if args.resume else 0, args.steps):
    time.sleep(args.pace)
    checkpoint.write_text(str(step + 1))
    if stop:
        sys.exit(130)
if args.ends == "refuses":
    print("example.py: there is no data called 'x'", file=sys.stderr)
    sys.exit(2)
if args.ends == "crashes":
    raise KeyError("no such thing")
modes = 8 - args.seed
claims = [{"name": "|modes| covered", "paper": "6.3", "expected": ">= 7 of 8", "value": modes, "form": "{} of 8",
           "measured": f"{modes} of 8", "passed": modes >= 7}]
if args.ends != "silently":
    (args.out / "verdict.json").write_text(json.dumps({"passed": claims[0]["passed"], "claims": claims}))
(args.out / "picture.png").write_bytes(b"png")
sys.exit(0 if args.smoke or claims[0]["passed"] else 1)
'''


@pytest.fixture
def examples(tmp_path, monkeypatch):
    """A checkout with one example; a function that sets the rows, and runs `reproduce` on them."""
    folder = tmp_path / "examples"
    folder.mkdir()
    (folder / "example.py").write_text(EXAMPLE)
    for module in (rows, runs, command):
        monkeypatch.setattr(module, "EXAMPLES", folder)
    runs.program.cache_clear()

    def reproduce(*options, **names):
        new = tuple(Row(name, "Section", "example.py", tuple(map(str, a)), 3, 1) for name, a in names.items())
        for module in (rows, command):
            monkeypatch.setattr(module, "ROWS", new)
        return main(["reproduce", "--out", str(tmp_path / "out"), *map(str, options)])

    yield reproduce
    runs.program.cache_clear()


def results(tmp_path, name, where=""):
    found = json.loads((tmp_path / "out" / where / "results.json").read_text())
    return next(row for row in found["rows"] if row["name"] == name)


def log(tmp_path, name, seed):
    return (tmp_path / "out" / name / str(seed) / "log.txt").read_text().split("\n")[:-1]


# ---- what it runs, and says ---------------------------------------------------------------------------------


def test_one_table_of_medians_and_ranges(examples, tmp_path, capsys):
    assert examples("all", "--jobs", 2, good=[], other=["--steps", 4]) == 0
    row = results(tmp_path, "good")
    assert (row["verdict"], row["passed"], row["ended"], row["seeds"]) == ("PASS", 2, 3, [0, 1, 2])
    (claim,) = row["claims"]
    assert (claim["measured"], claim["values"], claim["passed"]) == ("7 of 8 (6 to 8)", [8, 7, 6], 2)
    text = (tmp_path / "out/results.md").read_text()
    assert "2 PASS of 2 rows." in text
    assert "| good |  |  |  |  | **PASS, 2 of 3** | 0 s | `python examples/example.py` |" in text
    assert "|  | \\|modes\\| covered | 6.3 | >= 7 of 8 | 7 of 8 (6 to 8) | 2 of 3 |  |  |" in text
    out = capsys.readouterr().out
    assert "good   PASS, 2 of 3" in out and out.splitlines()[-1] == str(tmp_path / "out/results.md")


def test_claims_of_one_name_stay_apart():
    def claim(expected, value):
        return {"name": "probe", "paper": "", "expected": expected, "value": value, "form": "{:.1f}",
                "measured": f"{value:.1f}", "passed": value > 1}  # fmt: skip

    seeds = [[claim("> pixels", 2.0), claim("> 1.0, chance", 0.5)], [claim("> pixels", 3.0), claim("> 1.5, chance", 4)]]
    first, second = table._claims(seeds, 3)
    assert list(first.values()) == ["probe", "", "> pixels", "2.5 (2.0 to 3.0)", [2.0, 3.0], 2, 3]
    assert (second["expected"], second["values"], second["passed"]) == ("> 1.0, chance in seed 0", [0.5, 4], 1)


def test_a_row_with_half_its_seeds_fails_and_its_note_says_why(examples, tmp_path, capsys, monkeypatch):
    notes = ("|modes", "too few steps"), ("x", "unseen")
    row = Row("poor", "Section", "example.py", (), 4, 1, ("*.png",), notes)
    for module in (rows, command):
        monkeypatch.setattr(module, "ROWS", (row,))
    assert main(["reproduce", "poor", "--out", str(tmp_path / "out")]) == 1
    assert results(tmp_path, "poor")["notes"] == ["too few steps"]
    text = (tmp_path / "out/results.md").read_text()
    assert "- poor: |modes| covered is 6.5 of 8 (5 to 8), expected >= 7 of 8: passed 2 of 4" in text
    assert "Why: too few steps" in text and "unseen" not in text
    assert (tmp_path / "out/figures/poor-picture.png").read_bytes() == b"png"


@pytest.mark.parametrize(
    "ends, sentence",
    [
        ("refuses", "example.py: there is no data called 'x'"),
        ("crashes", "KeyError: 'no such thing'"),
        ("silently", "it ended well, but left no verdict.json"),
    ],
)
def test_a_run_that_ends_with_an_error_is_shown(examples, tmp_path, capsys, ends, sentence):
    assert examples("all", "--seeds", 1, bad=["--ends", ends], good=[]) == 2
    assert results(tmp_path, "bad")["errors"][0]["sentence"] == sentence
    assert results(tmp_path, "bad")["verdict"] == "ERROR" and results(tmp_path, "good")["verdict"] == "PASS"
    assert sentence in capsys.readouterr().out
    assert examples("all", "--seeds", 1, bad=["--ends", ends], good=[]) == 2  # it is tried again, from the start
    assert log(tmp_path, "bad", 0)[0] == "begun afresh" and len(log(tmp_path, "good", 0)) == 1


def test_quick_runs_one_seed_of_each_into_a_folder_of_its_own(examples, tmp_path):
    assert examples("all", "--quick", good=[], silent=["--ends", "silently"]) == 0
    assert results(tmp_path, "good", "quick")["seeds"] == [0]
    assert "**runs, 1 of 1**" in (tmp_path / "out/quick/results.md").read_text()
    assert not (tmp_path / "out/good").exists()


# ---- going on -----------------------------------------------------------------------------------------------


def test_what_is_finished_is_not_run_again(examples, tmp_path, capsys):
    examples("all", "--seeds", 1, good=[])
    before = (tmp_path / "out/good/0/reproduce.json").stat().st_mtime_ns
    assert examples("good", good=[], new=[]) == 0
    assert "3 runs, 1 of them finished already" in capsys.readouterr().err
    assert (tmp_path / "out/good/0/reproduce.json").stat().st_mtime_ns == before
    assert results(tmp_path, "good")["ended"] == 3
    examples("new", "--seeds", 1, good=[], new=[])  # the table keeps the rows that were not asked for
    assert results(tmp_path, "good")["ended"] == 3 and results(tmp_path, "new")["seeds"] == [0]


def test_other_arguments_or_another_program_are_run_afresh_but_not_for_a_comment(examples, tmp_path, capsys):
    path = tmp_path / "examples/example.py"
    examples("good", "--seeds", 1, good=[])
    for change, again in [
        (lambda: path.write_text("# a comment\n" + EXAMPLE.replace("An example.", "Another docstring.")), False),
        (lambda: path.write_text(EXAMPLE.replace('"6.3"', '"6.4"')), True),
    ]:
        capsys.readouterr()
        change()
        runs.program.cache_clear()
        examples("good", "--seeds", 1, good=[])
        assert ("0 of them" in capsys.readouterr().err) == again
    assert results(tmp_path, "good")["claims"][0]["paper"] == "6.4"
    examples("good", "--seeds", 1, good=["--steps", 5])
    assert "0 of them" in capsys.readouterr().err


def launch(tmp_path, *options, pace=0.05):
    """`reproduce` in a process of its own, over two rows: one that takes its time and one that does not listen."""
    script = f"""
import sys
from pathlib import Path
from minigan.reproduce import command, rows, runs, table
from minigan.reproduce.rows import Row
from minigan.__main__ import main
table = (Row("slow", "Section", "example.py", ("--steps", "20", "--pace", "{pace}"), 2, 1),)
for module in (rows, command, runs):
    module.ROWS, module.EXAMPLES = table, Path({str(tmp_path / "examples")!r})
sys.exit(main(["reproduce", "all", "--out", {str(tmp_path / "out")!r}, *{options!r}]))
"""
    # a background job of a shell ignores Ctrl-C, and so would its children
    heed = (lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) if os.name == "posix" else None
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "preexec_fn": heed}
    return subprocess.Popen([sys.executable, "-c", script], **pipes)


def wait_for(path, seconds=30):
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} did not come"
        time.sleep(0.02)


def alive(tmp_path):
    """The command lines of processes that have to do with this test's folder."""
    lines = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True).stdout.splitlines()
    return [line for line in lines if f"--out {tmp_path}" in line and "example.py" in line]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_interrupted_it_leaves_no_process_and_goes_on_where_it_was(examples, tmp_path, number):
    process = launch(tmp_path, "--jobs", "2")
    for seed in (0, 1):
        wait_for(tmp_path / f"out/slow/{seed}/checkpoint.safetensors")
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130 and "The same command goes on." in err and "Traceback" not in err
    assert alive(tmp_path) == []
    steps = [int((tmp_path / f"out/slow/{seed}/checkpoint.safetensors").read_text()) for seed in (0, 1)]
    assert all(0 < step < 20 for step in steps)
    assert results(tmp_path, "slow")["verdict"] == "not run"
    spent = json.loads((tmp_path / "out/slow/0/reproduce.json").read_text())["seconds"]

    assert launch(tmp_path, "--jobs", "2").wait(timeout=30) == 0
    for seed in (0, 1):
        assert log(tmp_path, "slow", seed) == ["begun afresh", "begun again"]
    assert results(tmp_path, "slow")["passed"] == 2
    assert json.loads((tmp_path / "out/slow/0/reproduce.json").read_text())["seconds"] > spent + 0.05 * (19 - steps[0])


def test_killed_it_keeps_others_out_while_its_runs_live_and_goes_on_later(examples, tmp_path):
    process = launch(tmp_path, pace=0.1)
    wait_for(tmp_path / "out/slow/0/checkpoint.safetensors")
    process.kill()
    process.communicate()
    other = launch(tmp_path, pace=0.1)
    _, err = other.communicate(timeout=20)
    assert other.returncode == 2 and "is at work in" in err and err.count("\n") == 1
    (left,) = subprocess.run(["pgrep", "-f", f"example.py.*{tmp_path}"], capture_output=True, text=True).stdout.split()
    os.kill(int(left), signal.SIGKILL)
    time.sleep(0.2)
    assert launch(tmp_path, "--seeds", "1", pace=0.1).wait(timeout=30) == 0
    assert log(tmp_path, "slow", 0) == ["begun afresh", "begun again"]
    assert results(tmp_path, "slow")["seconds"] > 19 * 0.1


# ---- what is refused ----------------------------------------------------------------------------------------


def test_what_cannot_be_done_is_one_sentence(examples, tmp_path, capsys, monkeypatch):
    assert examples("godo", good=[], other=[]) == 2
    assert "there is no row called 'godo'; close to it: good" in capsys.readouterr().err
    (tmp_path / "out/good/0").mkdir(parents=True)
    (tmp_path / "out/good/0/mine.txt").write_text("mine")
    assert examples("good", good=[]) == 2
    assert "did not make: give another --out" in capsys.readouterr().err
    assert (tmp_path / "out/good/0/mine.txt").exists()
    monkeypatch.setattr(command, "EXAMPLES", tmp_path / "nowhere")
    assert examples("good", good=[]) == 2 and "the examples are in minigan's repository" in capsys.readouterr().err


def test_names_prefixes_globs_and_all():
    names = [row.name for row in rows.chosen(["all"])]
    assert {row.name for row in rows.chosen(["ring"])} == {n for n in names if n.startswith("ring")}
    assert {row.name for row in rows.chosen(["*-hinge", "textbook"])} == {"ring-hinge", "grid-hinge", "textbook"}
    assert [row.name for row in rows.chosen(["first-ring"])] == ["first-ring"]  # and not its namesakes


def test_the_list_shows_every_row(capsys):
    assert main(["reproduce", "--list"]) == 0
    out = capsys.readouterr().out
    assert all(f"  {row.name} " in out for row in rows.ROWS) and len({r.name for r in rows.ROWS}) == len(rows.ROWS)


def test_every_row_has_its_example_which_knows_its_arguments_and_every_example_has_a_row():
    folder = Path(__file__).parent.parent / "examples"
    unclaimed = {"03_write_an_op.py", "04_write_a_kernel.py"}  # tutorials
    unclaimed |= {"19_cuda_graph.py"}  # wants a GPU
    assert {path.name for path in folder.glob("[0-9]*.py")} - unclaimed <= {row.example for row in rows.ROWS}
    for example in {row.example for row in rows.ROWS}:
        text = (folder / example).read_text(encoding="utf-8")
        options = {a for row in rows.ROWS if row.example == example for a in row.arguments if a.startswith("--")}
        for option in options - {"--steps"}:
            assert f'"{option}"' in text or f"{option[2:].replace('-', '_')}=" in text, (example, option)


@pytest.mark.parametrize(
    "values, form, expected",
    [
        ([0.5], "{:.2f}", "0.50"),
        ([0.98, 0.97, 0.99], "{:.1%}", "98.0% (97.0% to 99.0%)"),
        ([8, 8, 8], "{} of 8", "8 of 8"),
        ([7, 8], "{} of 8", "7.5 of 8 (7 to 8)"),
        (["yes", "no", "yes"], "{}", "yes / no"),
    ],
)
def test_measured(values, form, expected):
    assert measured([{"value": v, "form": form, "measured": form.format(v)} for v in values]) == expected
