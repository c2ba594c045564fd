"""The benchmark runs, reports what it should, notices a wrong kernel, and gives both libraries the same work.

Stands on minigan.bench. The times themselves are not tested.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from minigan import kernels
from minigan.bench import checks
from minigan.bench.ours import Minigan
from minigan.bench.race import OURS, Process, compare
from minigan.bench.sizes import FULL, QUICK, SECTIONS, layers
from minigan.bench.table import aligned
from minigan.kernels import reference
from minigan.kernels.shapes import pair


def bench(*arguments, **environment):
    return subprocess.run(
        [sys.executable, "-m", "minigan.bench", *arguments], capture_output=True, text=True, encoding="utf-8",
        env=os.environ | {"MINIGAN_KERNELS": "reference", "PYTHONIOENCODING": "utf-8"} | environment,
    )  # fmt: skip


def test_a_quick_run_measures_every_case_and_writes_json(tmp_path):
    done = bench("--quick", "--no-torch", "--json", str(tmp_path / "bench.json"))
    assert done.returncode == 0, done.stderr
    for words in ("Engine", "Layers", "Steps", "Ring", "Memory", "cores", "leave out --no-torch", "sizes are tiny"):
        assert words in done.stdout
    report = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))
    assert set(report) == {"machine", "sizes", "rounds", "results"} and report["rounds"] == 1
    expected = [(s, case.kind, case.label) for s in SECTIONS for case in QUICK.cases(s)]
    assert [(r["section"], r["kind"], r["label"]) for r in report["results"]] == expected
    for r in report["results"]:
        assert list(r["figures"]) == ["minigan"] and len(r["figures"]["minigan"]) == 1
        assert r["figures"]["minigan"][0] > 0
        assert r["checks"] and all(error <= 1 for _, error in r["checks"])
        assert r["ratio"] is None and r["passed"] is None


def test_sections_are_chosen_and_unknown_ones_refused():
    done = bench("--quick", "--no-torch", "--only", "ring,engine")
    assert done.returncode == 0, done.stderr
    assert done.stdout.index("Engine") < done.stdout.index("Ring") and "Layers" not in done.stdout
    refused = bench("--only", "engine,speed")
    assert refused.returncode == 2 and "got 'speed'; know engine, layers" in refused.stderr


def test_a_planted_wrong_kernel_stops_it_before_anything_is_timed(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(
        "from minigan import kernels\n"
        "right = kernels.conv_transpose2d\n"
        "kernels.conv_transpose2d = lambda *arrays, **options: right(*arrays, **options) * 1.001\n"
    )
    done = bench("--quick", "--no-torch", "--only", "layers", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "conv_transpose2d is wrong: its largest error is" in done.stderr and "Nothing was timed." in done.stderr
    assert "milliseconds" not in done.stdout


def _wrong(kernel, spoil):
    """The kernel, with the first number of its result spoiled."""

    def run(a, b, **options):
        if kernel == "conv_transpose2d":
            options["size"] = [(n - 1) * options["stride"] - 2 * options["padding"] + b.shape[0] for n in a.shape[1:3]]
        y = getattr(reference, kernel)(a, b, **{k: v if k == "size" else pair(v) for k, v in options.items()})
        y[0, 0, 0, 0] = spoil(y[0, 0, 0, 0])
        return y

    return run


@pytest.mark.parametrize("kernel", ["conv2d", "conv_transpose2d", "conv2d_weight"])
def test_one_wrong_number_of_a_convolution_is_noticed(kernel, monkeypatch):
    for layer in layers(QUICK):
        for spoil, wrong in ((lambda y: y, False), (lambda y: y + 0.01, True), (lambda y: np.nan, True)):
            monkeypatch.setattr(kernels, kernel, _wrong(kernel, spoil))
            ((what, ratio),) = getattr(checks, kernel)(Minigan(QUICK), layer)
            assert what == kernel and (not ratio <= 1) == wrong


def test_every_case_has_a_check_and_a_method():
    for case in (case for section in SECTIONS for case in FULL.cases(section)):
        assert case.kind in checks.CHECKS and hasattr(Minigan, case.kind)
    names = [case.name for section in SECTIONS[:-1] for case in FULL.cases(section)]
    assert len(set(names)) == len(names)


def test_both_libraries_train_networks_of_the_same_size():
    torch_cases = pytest.importorskip("minigan.bench.pytorch", reason="needs torch", exc_type=ImportError)
    library = Minigan(FULL)
    for size, channels in FULL.images:
        ours = library.dcgan(size, channels, 1)[:2]
        theirs = [f(size, channels, FULL) for f in (torch_cases.dcgan_generator, torch_cases.dcgan_discriminator)]
        for mine, other in zip(ours, theirs):
            assert [p.size for p in mine.parameters()] == [p.numel() for p in other.parameters()]


def test_a_ratio_is_taken_in_each_round_against_the_faster():
    figures = {OURS: [1.0, 2.0, 9.0], "slow": [8.0, 8.0, 8.0], "fast": [2.0, 4.0, 6.0]}
    assert compare(figures) == {"to": "fast", "rounds": [0.5, 0.5, 1.5], "median": 0.5, "low": 0.5, "high": 1.5}
    assert compare({OURS: [1.0]}) is None


def test_a_worker_says_what_went_wrong_and_goes_on(monkeypatch):
    monkeypatch.setenv("MINIGAN_KERNELS", "reference")
    with Process(OURS, quick=True, threads=1) as process:
        with pytest.raises(RuntimeError, match="minigan: 'run 1 nothing' failed"):
            process.ask("run", 1, "nothing")
        assert process.ask("describe").startswith("minigan ")


def test_words_stand_in_columns():
    rows = aligned([["", "", "ms"], ["conv2d", "a", "1.5"], ["b", "cd", "10.25"]]).split("\n")
    assert rows[1:] == ["  conv2d   a      1.5", "  b        cd   10.25"]
    assert rows[0].split() == ["ms"] and len({len(row) for row in rows}) == 1
