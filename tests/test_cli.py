"""python -m minigan, and the examples about derivatives: what they print, and the status that they exit with."""

import os
import subprocess
import sys
from pathlib import Path
from shutil import which

import pytest

from minigan.__main__ import main

LAYERS = """
import numpy as np, minigan as mg
from minigan.nn import Module, init

class Scale(Module):
    def __init__(self, channels=3):
        self.factor = init.parameter(np.ones(channels))
    def forward(self, x):
        return mg.ops.tanh(x) * self.factor

wrong = mg.op(lambda x: np.tanh(x))
wrong.defvjp(x=lambda gy, y, x: 3 * gy * (1 - y * y))

class Wrong(Module):
    def forward(self, x):
        return wrong(x)

def broken(x):
    raise KeyError("no such layer")

number = 3
"""


@pytest.fixture
def layers(tmp_path, monkeypatch):
    (tmp_path / "layers_under_test.py").write_text(LAYERS)
    monkeypatch.syspath_prepend(tmp_path)
    yield "layers_under_test"
    sys.modules.pop("layers_under_test", None)


def test_a_right_layer_gets_a_row_for_every_argument_and_order(layers, capsys):
    assert main(["gradcheck", f"{layers}:Scale", "--input", "2,3", "--order", "2"]) == 0
    first, _, head, *rows = capsys.readouterr().out.splitlines()
    assert first == "Scale, float64, seed 0" and head == "argument  order  error / tolerance  verdict"
    assert [row.split()[:2] for row in rows] == [["x", "1"], ["factor", "1"], ["gy", "2"], ["x", "2"], ["factor", "2"]]
    assert all(row.endswith("right") and float(row.split()[2]) < 1 for row in rows)


def test_a_wrong_layer_is_diagnosed_and_exits_with_1(layers, capsys):
    assert main(["gradcheck", f"{layers}:Wrong", "--input", "2,3", "--seed", "4"]) == 1
    out = capsys.readouterr().out
    assert "WRONG" in out and "3 times too large" in out
    assert f'To repeat: python -m minigan gradcheck "{layers}:Wrong" --input 2,3 --order 1 --seed 4' in out


@pytest.mark.parametrize(
    "target, shapes",
    [("Scale(4)", ["2,4"]), ("Scale(channels=2)", ["5,2"]), ("mg.ops.matmul", ["2,3", "3,1"]), ("mg.ops.exp", [""])],
)
def test_calls_functions_and_several_inputs(layers, target, shapes):
    inputs = [word for shape in shapes for word in ("--input", shape)]
    assert main(["gradcheck", f"{layers}:{target}", *inputs]) == 0


@pytest.mark.parametrize(
    "target, more, sentence",
    [
        ("no_such_module:X", [], "cannot import no_such_module: ModuleNotFoundError: No module named"),
        ("layers_under_test:Nothing", [], "layers_under_test has no 'Nothing'"),
        ("layers_under_test:number", [], "is of type int, which is not callable"),
        ("layers_under_test", [], "is not MODULE:NAME"),
        ("layers_under_test:Scale(open(1))", [], "wants a call with plain numbers"),
        ("layers_under_test:Scale(1, 2)", [], "cannot make Scale: "),
        ("layers_under_test:Scale", ["--input", "2"], "Scale.forward() takes 2 positional arguments but 3 were given"),
        ("layers_under_test:Scale(5)", [], "shapes"),
        ("layers_under_test:broken", [], "raised KeyError: 'no such layer'"),
        ("layers_under_test:Scale", ["--input", "2,-1"], "--input '2,-1' is not a shape"),
        ("layers_under_test:Scale", ["--seed", "-1"], "--seed must be 0 or more, got -1"),
        ("layers_under_test:Scale", ["--device", "cuda"], "device 'cuda' "),
    ],
)
def test_what_cannot_be_checked_is_one_sentence(layers, capsys, target, more, sentence):
    assert main(["gradcheck", target, "--input", "2,3", *more]) == 2
    said = capsys.readouterr()
    assert not said.out and sentence in said.err and said.err.startswith("minigan gradcheck: ")
    assert said.err.count("\n") == 1


@pytest.mark.skipif(not which("g++"), reason="the emulator wants a g++")
def test_cuda_kernels_are_checked_in_every_precision():
    command = [sys.executable, "-m", "minigan", "gradcheck", "minigan.nn:Conv2d(2, 3, 3)", "--input", "1,5,5,2"]
    environment = {**os.environ, "MINIGAN_KERNELS": "emulator"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [line.split() for line in done.stdout.partition("precision  result")[2].splitlines()[1:]]
    assert [row[1] for row in rows if row[0] == "tf32"] == ["y", "d/dx", "d/dweight", "d/dbias"]
    assert float(rows[0][2]) > 1e-5  # the factors were rounded: the tensor cores' kernel ran
    assert all(row[-1] == "right" for row in rows)


def test_the_faults_command_prints_the_figures():
    command = [sys.executable, "-m", "minigan", "faults", "--seeds", "1", "--alarms", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
    assert "with each of 1 seeds; false alarms 0 of " in done.stdout


@pytest.mark.parametrize("name", ["03_write_an_op.py", "04_write_a_kernel.py"])
def test_the_examples_of_ops_and_kernels_pass(name, tmp_path):
    path = Path(__file__).parent.parent / "examples" / name
    command = [sys.executable, path, "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASS" in done.stdout and "FAIL" not in done.stdout and done.stdout.count("Diagnosis: ") >= 2
