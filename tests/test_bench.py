"""The benchmark runs, reports what it should, notices a wrong kernel, and gives both libraries the same work.

Stands on minigan.bench. The times themselves are not tested. What a GPU runs is rehearsed in the emulator, and with a
stand-in for CuPy.
"""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minigan as mg
from minigan import kernels
from minigan.bench import checks
from minigan.bench.gpu import checks as gpu_checks
from minigan.bench.gpu import gradients, sanitizer, tiles
from minigan.bench.gpu import sizes as gpu_sizes
from minigan.bench.gpu import table as gpu_table
from minigan.bench.gpu.worker import CAPTURED
from minigan.bench.ours import Minigan
from minigan.bench.place import Host
from minigan.bench.race import OURS, Failed, Process, compare, race
from minigan.bench.sizes import FULL, QUICK, SECTIONS, Case, layers
from minigan.bench.table import aligned
from minigan.bench.worker import Worker
from minigan.kernels import reference, rounding
from minigan.kernels.cuda import backends
from minigan.kernels.cuda import compile as cuda_compile
from minigan.kernels.cuda.product import TILES
from minigan.kernels.shapes import pair
from minigan.ops import table as op_table


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


# --------------------------------------------------------------------------------------------------- on a GPU

STAND_IN = f"""\
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import stand_in_cupy
sys.modules["cupy"] = stand_in_cupy.make()
"""
SANITIZER = """\
#!/bin/sh
echo "========= ERROR SUMMARY: {found} errors"
echo "wrong: conv2d"
exit {status}
"""
emulated = pytest.mark.skipif(not shutil.which("g++"), reason="the emulator needs a C++ compiler: apt install g++")


TENSOR = [tile for tile in TILES if tile != "tiled"]


def on_gpu(*arguments, folder=None, program="", **environment):
    """The benchmark on a GPU: in the emulator, or with what `program` does to Python first."""
    if program:
        (folder / "sitecustomize.py").write_text(program, encoding="utf-8")
        environment["PYTHONPATH"] = str(folder)
    environment.setdefault("MINIGAN_KERNELS", "emulator")
    return bench("--device", "cuda", "--no-torch", *arguments, **environment)


@emulated
def test_a_rehearsal_of_the_gpu_goes_through_every_section(tmp_path):
    done = on_gpu("--quick", "--json", str(tmp_path / "bench.json"), PATH=_without_sanitizer())
    assert done.returncode == 0, done.stderr
    order = ["Kernels: ", "Gradients: ", "compute-sanitizer: not installed", "no GPU", "Roofline", "Layers"]
    order += ["Bandwidth", "Tiles", "Steps", "A rehearsal in the emulator"]
    places = [done.stdout.index(words) for words in order]
    assert places == sorted(places) and "failed:" not in done.stdout
    count, total = re.search(r"Gradients: (\d+) of (\d+) ops right", done.stdout).groups()
    assert count == total and int(total) == len({row.name for row in op_table.rows})
    report = json.loads((tmp_path / "bench.json").read_text(encoding="utf-8"))
    cases = [case for section in ("layers", "bandwidth", "steps") for case in gpu_sizes.QUICK.cases(section)]
    assert [(r["kind"], r["label"]) for r in report["results"]] == [(case.kind, case.label) for case in cases]
    assert all(list(r["figures"]) == ["minigan", "minigan captured"] for r in report["results"])
    assert all(set(row["figures"]) == {"planned", *TENSOR} for row in report["tiles"])
    assert {row["kind"] for row in report["tiles"]} == {"conv2d", "conv_transpose2d", "conv2d_weight"}
    assert set(report["roofline"]) == {"copy", "tf32", "bf16"}
    checked = {what.split()[0] for of in report["checks"].values() for what, _ in of}
    assert {"fp64", *rounding.KNOWN} == checked


@emulated
def test_on_cupy_arrays_the_captured_step_is_the_eager_one(tmp_path):
    """CuPy's stand-in: what a GPU would run, but for the GPU."""
    done = on_gpu("--quick", "--only", "steps", folder=tmp_path, program=STAND_IN, MINIGAN_KERNELS="cpu")
    assert done.returncode == 0, done.stderr
    assert "Stand-in, sm_90, 4 SMs" in done.stdout and "CUDA runtime 13.0" in done.stdout
    assert "failed:" not in done.stdout and "rehearsal" not in done.stdout


@pytest.mark.parametrize("found, status, right", [("0", 0, True), ("3", 0, False), ("0", 1, False)])
def test_the_sanitizers_words_are_told(found, status, right, tmp_path, monkeypatch):
    tool = tmp_path / "compute-sanitizer"
    tool.write_text(SANITIZER.format(found=found, status=status), encoding="utf-8")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert sanitizer.installed()
    said, fine = sanitizer.examine("memcheck", "cuda")
    assert said.startswith(f"ERROR SUMMARY: {found} errors") and fine is right
    assert ("wrong: conv2d" in said) == bool(status)


def _without_sanitizer():
    return os.pathsep.join(p for p in os.environ["PATH"].split(os.pathsep) if not Path(p, "compute-sanitizer").exists())


@emulated
def test_a_wrong_kernel_on_the_gpu_stops_it_before_anything_is_timed(tmp_path):
    program = (
        "from minigan import kernels\n"
        "right = kernels.conv2d_weight\n"
        "kernels.conv2d_weight = lambda *arrays, **options: right(*arrays, **options) * 1.001\n"
    )
    done = on_gpu("--quick", "--only", "sanitizer,layers", folder=tmp_path, program=program)
    assert done.returncode == 1 and "Nothing was timed." in done.stderr
    assert re.search(r"conv2d_weight 2 x 16x16x3.*: fp64 is wrong: its largest error is .* the bound", done.stderr)
    assert "compute-sanitizer" in done.stdout and "Roofline" not in done.stdout and "Layers" not in done.stdout


def test_without_a_gpu_it_is_one_sentence(tmp_path):
    options = {"folder": tmp_path, "program": "import sys\nsys.modules['cupy'] = None\n", "MINIGAN_KERNELS": "cpu"}
    done = on_gpu(**options)
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.startswith("minigan.bench: --device cuda needs CuPy") and done.stderr.count("\n") == 1
    done = on_gpu()
    assert done.returncode == 2 and "in the emulator there is only a rehearsal; add --quick" in done.stderr
    done = on_gpu("--quick", PATH=str(tmp_path), CXX="")
    assert done.returncode == 2 and "needs a C++ compiler" in done.stderr and done.stderr.count("\n") == 1
    refused = on_gpu("--only", "ring")
    assert refused.returncode == 2 and "got 'ring'; know gradients, sanitizer" in refused.stderr


@emulated
def test_the_sanitizer_sees_every_kernel(monkeypatch, capsys):
    launched, run = set(), backends.Emulated.run

    def note(self, file, kernel, grid, block, args, dtype, shared=0):
        launched.add((file, kernel, str(dtype)))
        run(self, file, kernel, grid, block, args, dtype, shared)

    monkeypatch.setattr(backends.Emulated, "run", note)
    monkeypatch.setattr(kernels, "_choice", "emulator")
    assert gpu_checks.main("emulated") == 0 and "every number right" in capsys.readouterr().out
    module = backends.emulated.module
    there = {(f, kernel, d) for f, d in cuda_compile.builds() for kernel in module(f, d).load().kernels}
    unused = {("random", "bits", "float64")}  # of 32-bit words, built with float32
    unused |= {("batch_norm", "batch_norm_running", "bfloat16")}  # what belongs to a channel is float32
    assert there - launched == unused


def test_a_wrong_derivative_on_the_device_is_told(monkeypatch):
    @mg.op
    def double(x):
        return x * 2

    double.defvjp(x=lambda gy, y, x: gy * 3)
    wrong = op_table.Row("double", "", double, op_table.normal((2, 3)))
    monkeypatch.setattr(op_table, "rows", [op_table.rows[0], wrong])
    assert gradients.wrong(0, Host()) == "" and gradients.wrong(1, Host()).startswith("order 1, x: error ")


class Given:
    """A process whose calls take given seconds, or fail."""

    def __init__(self, library, seconds):
        self.library, self.seconds, self.starts = library, seconds, 0

    def ask(self, command, reps=0, name=""):
        if self.seconds is None:
            raise Failed("words, and more of them", "RuntimeError: words")
        return [self.seconds] * int(reps)

    def restart(self):
        self.starts += 1


def test_a_library_that_fails_leaves_the_others_their_figures():
    case, failures = gpu_sizes.QUICK.cases("steps")[0], {}
    processes = [Given("minigan", 0.5), Given("torch compiled", None)]
    figures = race(processes, case, rounds=2, burst=0.1, failures=failures)
    assert figures == {"minigan": [500.0, 500.0]} and failures["torch compiled"].line == "RuntimeError: words"
    assert [p.starts for p in processes] == [0, 1]
    result = gpu_table.judged(case, figures, failures, {}, gpu_sizes.QUICK)
    text = gpu_table.table("steps", [result], ["minigan", "torch compiled"], gpu_sizes.QUICK, judging=True)
    assert "torch compiled: failed: RuntimeError: words" in text and "PASS" not in text and "FAIL" not in text
    with pytest.raises(Failed):
        race(processes, case, rounds=2, burst=0.1)


def test_shares_and_aims_of_a_gpu():
    sizes = gpu_sizes.FULL
    copy, tf32, bf16 = sizes.cases("roofline")
    microseconds = {"copy": 1000.0, "ours": 4000.0, "theirs": 2000.0}
    measured = [(copy, {"minigan": [microseconds["copy"]]}), (bf16, {"minigan": [microseconds["ours"]]})]
    measured.append((tf32, {"minigan": [microseconds["ours"]], "torch NCHW": [microseconds["theirs"]]}))
    peak = gpu_table.roofline(measured, sizes)
    assert peak["copy"] == pytest.approx(2 * 2**30 / 1e-3)  # bytes read and bytes written
    assert peak["tf32"] == pytest.approx(2 * 8192**3 / 2e-3) and peak["bf16"] == pytest.approx(2 * 8192**3 / 4e-3)

    layer = next(case for case in sizes.cases("layers") if case.flops >= gpu_sizes.LARGE)
    times = {"minigan": [90.0], "minigan captured": [50.0], "torch NCHW": [80.0], "torch CUDA graph": [40.0]}
    result = gpu_table.judged(layer, times, {}, peak, sizes)
    assert result["rate"] == pytest.approx(layer.flops / 50e-6)
    assert result["share"] == pytest.approx(layer.flops / 50e-6 / peak["tf32"])
    assert result["aims"] == [{"name": "conv", "value": 1.25, "wanted": 1 / 0.9, "passed": False}]

    norm = sizes.cases("bandwidth")[0]
    bytes_moved = 3 * 4 * 128 * 32 * 32 * 64
    times = {"minigan captured": [1e6 * bytes_moved / (0.9 * peak["copy"])]}
    (aim,) = gpu_table.judged(norm, times, {}, peak, sizes)["aims"]
    assert aim["value"] == pytest.approx(0.9) and aim["wanted"] == 0.85 and aim["passed"]
    (aim,) = gpu_table.judged(sizes.cases("bandwidth")[3], times, {}, peak, sizes)["aims"]
    assert aim["wanted"] is None and aim["passed"] is None  # too few bytes to be judged

    step = sizes.cases("steps")[0]
    times = {"minigan": [3.0], "minigan captured": [1.0], "torch NCHW": [4.0], "torch channels_last": [2.0]}
    eager, best = gpu_table.judged(step, times | {"torch compiled": [0.8]}, {}, peak, sizes)["aims"]
    assert (eager["value"], eager["passed"], best["value"], best["passed"]) == (0.5, True, 1.25, False)


def test_the_plans_choice_is_held_against_the_fastest_tile():
    cases = tiles.cases(gpu_sizes.FULL)
    assert {case.arguments[1].flops >= 4e8 for case in cases} == {True} and len(cases) == 12 * (1 + len(TENSOR))
    seconds = dict.fromkeys(TENSOR, 4.0) | {"planned": 3.0, "tensor_128x128": 2.0}
    del seconds["tensor_64x64"]  # it failed
    measured = [{CAPTURED: [seconds[v]]} if (v := case.arguments[-1]) in seconds else {} for case in cases]
    found = tiles.rows(zip(cases, measured))
    assert len(found) == 12 and all(row["ratio"] == 1.5 for row in found)
    text = tiles.table(found[:1], gpu_sizes.FULL)
    assert "1.50" in text and "failed" not in text and "64x64 " not in text.split("\n")[1]
    del found[0]["figures"]["tensor_128x64"]
    assert "failed" in tiles.table(found[:2], gpu_sizes.FULL)


def test_the_adam_of_the_gpu_has_the_parameters_of_dcgan():
    for sizes in (gpu_sizes.FULL, gpu_sizes.QUICK):
        G, D, *_ = Minigan(sizes).dcgan(*sizes.images[0], 1)
        assert sorted(p.shape for net in (G, D) for p in net.parameters()) == sorted(sizes.parameters)


def test_calls_that_fit_the_cache_take_copies_in_turn():
    assert gpu_sizes.FULL.copies(2**26) == 1 and gpu_sizes.FULL.copies(2**20) == 64
    made, seen = itertools.count(), []

    class Library:
        def kind(self):
            number = next(made)
            return lambda: seen.append(number)

    worker = Worker.__new__(Worker)
    worker.library = Library()
    function = worker.build(Case("layers", "kind", "", copies=3))
    for _ in range(4):
        function()
    assert seen == [0, 1, 2, 0]


def _spoiled(kernel):
    """The kernel, wrong by a thousandth, in what it returns or in what it changes."""
    right = getattr(kernels, kernel)

    def run(*arrays, **options):
        found = right(*arrays, **options)
        if isinstance(found, tuple):
            return tuple(1.001 * y for y in found)
        if found is not None:
            return 1.001 * found
        changed = arrays[1] if kernel == "batch_norm_running" else arrays[0][0]
        changed *= 1.001

    return run


@pytest.mark.parametrize("kernel", sorted(set(kernels.__all__) - {"precision"}))
def test_every_kernel_has_a_check_on_the_gpu(kernel, monkeypatch):
    """Here the device is the CPU, whose float32 has all its bits."""
    monkeypatch.setattr(kernels, "_choice", "reference")
    monkeypatch.setattr(Host, "processors", 4, raising=False)
    every = gpu_checks.every_check(gpu_sizes.QUICK, Host())
    section = next(s for s in ("batch_norm", "linear", "add", "leaky", kernel) if kernel.startswith(s))
    name = next(x for x in every if x.startswith("elementwise 255" if section in ("add", "leaky") else section))
    assert all(error <= 1 for _, error in every[name]())
    monkeypatch.setattr(kernels, kernel, _spoiled(kernel))
    assert any(not error <= 1 for _, error in every[name]())
