"""The examples, run as a reader runs them: in a process of their own, tiny, and judged by what they leave and say.

A run that stopped, was killed or was interrupted, and then went on, must end with the bits of one that never stopped.
"""

import gzip
import json
import os
import random
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import minigan as mg
from minigan import checkpoint
from minigan.data import Batches
from minigan.gan import algorithm1
from minigan.gan.networks import mlp
from minigan.metrics import frechet_distance
from minigan.nn import LeakyReLU
from minigan.ops import mean, softplus
from minigan.optim import Adam
from minigan.run import read_metrics

RING, DCGAN = (Path(__file__).parent.parent / "examples" / name for name in ("01_gan_ring.py", "02_dcgan.py"))
TINY = {
    RING: ["--batch", 8, "--every", 3],
    DCGAN: ["--width", 4, "--batch", 4, "--size", 28, "--judged", 10, "--every", 3],
}
TRAINED = (0, 1)  # the verdict, PASS or FAIL, of a run that came to its end


def start(example, out, *options, **env):
    """An example in a process of its own; of an option given twice, the last counts."""
    return launch(sys.executable, example, *TINY[example], "--out", out, *options, **env)


def launch(*command, **env):
    default = (lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) if os.name == "posix" else None
    return subprocess.Popen(
        [str(part) for part in command],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        preexec_fn=default,  # a background job of a shell ignores Ctrl-C, and so would its children
    )


def said(process):
    """(exit status, stdout, stderr) when it has ended."""
    try:
        stdout, stderr = process.communicate(timeout=120)
    finally:
        process.kill()
    return process.returncode, stdout, stderr


def train(*processes):
    """Wait for runs that go side by side; each has to come to its end."""
    for process in processes:
        status, _, stderr = said(process)
        assert status in TRAINED, stderr


def bits(folder):
    """Everything that a run's checkpoint holds but its arguments, as {path: value}; arrays as their bytes."""

    def leaves(tree, path):
        if isinstance(tree, (dict, list)):
            for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
                yield from leaves(value, f"{path}/{key}")
        else:
            yield path, (tree.dtype.str, tree.shape, tree.tobytes()) if isinstance(tree, np.ndarray) else tree

    held = checkpoint.read(folder / "checkpoint.safetensors")
    del held["args"]
    return dict(leaves(held, ""))


def differences(one, other):
    """The paths at which two runs' checkpoints differ; and the files that do, of their figures and common pictures."""
    a, b = bits(one), bits(other)
    names = ["metrics.jsonl", *(f"samples/{path.name}" for path in one.glob("samples/*.png"))]
    return [path for path in sorted(a.keys() | b.keys()) if a.get(path) != b.get(path)] + [
        name for name in names if (other / name).exists() and (one / name).read_bytes() != (other / name).read_bytes()
    ]


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Ten pictures: with a batch of 4, an epoch is two batches and two pictures left out."""
    from PIL import Image

    folder, rng = tmp_path_factory.mktemp("pictures"), np.random.default_rng(5)
    for i in range(10):
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return folder


@pytest.fixture(scope="module", autouse=True)
def finished(tmp_path_factory):
    """Ten steps of DCGAN that nothing disturbed.  Tests read it, and write to copies.

    It comes before every test: on a new machine kernels are compiled and glyphs drawn in it, with their progress bars.
    """
    out = tmp_path_factory.mktemp("runs") / "finished"
    train(start(DCGAN, out, "--steps", 10))
    return out


# ---- the same numbers ---------------------------------------------------------------------------------------


def test_a_run_leaves_what_it_says(finished):
    names = {str(path.relative_to(finished)) for path in finished.rglob("*") if path.is_file()}
    assert names == {
        *(f"samples/{t:06d}.png" for t in (3, 6, 9, 10)),
        *("samples.gif", "losses.png", "dashboard.png", "metrics.jsonl", "run.json", "checkpoint.safetensors"),
        "verdict.json",
    }
    assert all((finished / name).stat().st_size > 100 for name in names)
    rows = [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == list(range(1, 11))
    for row in rows:
        assert row["loss_D"] > 0 and row["loss_G"] > 0
        probabilities = [value for name, value in row.items() if name.startswith(("D(x)", "D(G(z))"))]
        assert len(probabilities) >= 2 and all(0 < p < 1 for p in probabilities), row
    assert json.loads((finished / "run.json").read_text())["arguments"]["width"] == 4


def test_the_same_seed_gives_the_same_numbers(finished, tmp_path):
    train(start(DCGAN, tmp_path / "again", "--steps", 10), start(DCGAN, tmp_path / "other", "--steps", 10, "--seed", 1))
    assert differences(finished, tmp_path / "again") == []
    other = differences(finished, tmp_path / "other")
    assert "metrics.jsonl" in other and "samples/000010.png" in other
    parts = {"G", "D", "opt_G", "opt_D", "rng", "batches", "watch"}
    assert {path.split("/")[1] for path in other if path[0] == "/"} == parts


def test_the_number_of_threads_changes_no_bit(tmp_path):
    """At a size where kernels do divide the work."""
    runs = [tmp_path / threads for threads in "12"]
    options = ["--steps", 3, "--width", 64, "--batch", 64, "--size", 32]
    train(*(start(DCGAN, out, *options, NUMBA_NUM_THREADS=out.name) for out in runs))
    assert differences(*runs) == []


@pytest.mark.parametrize("example, data", [(RING, ""), (DCGAN, "glyphs"), (DCGAN, "folder")])
def test_stopping_and_going_on_loses_nothing(finished, pictures, tmp_path, example, data):
    options = {"": [], "glyphs": ["--data", "glyphs"], "folder": ["--data", f"folder:{pictures}"]}[data]
    whole, parts = finished, tmp_path / "parts"
    halves = [start(example, parts, *options, "--steps", 5)]  # 5: not a multiple of --every
    if data != "glyphs":
        whole = tmp_path / "whole"
        halves.append(start(example, whole, *options, "--steps", 10))
    train(*halves)
    half = bits(parts)
    assert half["/step"] == 5 and differences(whole, parts)  # five steps are not ten
    parts_and_step = {"G", "D", "opt_G", "opt_D", "rng", "batches", "watch", "step"}
    assert {path.split("/")[1] for path in half} == parts_and_step
    assert half["/opt_D/steps"] == 5 and (example == RING or any("running_var" in path for path in half))
    if data == "folder":
        assert (half["/batches/epoch"], half["/batches/position"]) == (2, 4)  # in the middle of the third

    train(start(example, parts, *options, "--steps", 10, "--resume"))
    assert differences(whole, parts) == []


# ---- killed, interrupted ------------------------------------------------------------------------------------


@pytest.mark.skipif(os.name != "posix", reason="signals of Unix")
def test_a_kill_at_any_moment_leaves_a_checkpoint_to_go_on_from(pictures, tmp_path):
    steps, dice = 40, random.Random(11)
    options = ["--data", f"folder:{pictures}", "--steps", steps, "--every", 1]
    whole, out = tmp_path / "whole", tmp_path / "killed"
    undisturbed = start(DCGAN, whole, *options)
    reached, kills = 0, 0
    while kills < 4:
        process = start(DCGAN, out, *options, *(["--resume"] if reached else []))
        goal = reached + dice.randint(1, 4)
        wait_until(process, lambda goal=goal: step_of(out) >= goal)
        time.sleep(dice.uniform(0, 0.05))  # a step takes about so long: any moment of it may be hit
        process.kill()
        status, _, stderr = said(process)
        if status in TRAINED:  # it was faster
            break
        assert status == -signal.SIGKILL, stderr
        kills += 1
        assert step_of(out) > reached
        reached = step_of(out)
        assert bits(out)["/opt_G/steps"] == reached
    assert kills >= 2
    train(undisturbed, start(DCGAN, out, *options, "--resume"))
    assert differences(whole, out) == []


def step_of(out):
    """The step of its checkpoint, which must be whole at any time; 0 where there is none yet."""
    path = out / "checkpoint.safetensors"
    return checkpoint.load(path)["step"] if path.exists() else 0


def wait_until(process, condition):
    deadline = time.monotonic() + 120
    while process.poll() is None and not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.skipif(os.name != "posix", reason="signals of Unix")
def test_ctrl_c_prints_the_command_that_goes_on(tmp_path):
    out, whole = tmp_path / "a folder's run", tmp_path / "whole"
    process = start(DCGAN, out, "--steps", 5000, "--every", 1000)
    wait_until(process, lambda: len(read_metrics(out / "metrics.jsonl")) >= 4)
    process.send_signal(signal.SIGINT)
    status, _, stderr = said(process)
    assert status == 130 and "Traceback" not in stderr, stderr
    stopped = step_of(out)
    assert stopped == read_metrics(out / "metrics.jsonl")[-1]["step"] >= 4
    assert f"the checkpoint is of step {stopped}. To go on:" in stderr

    command = shlex.split(stderr.splitlines()[-1])
    assert command[-1] == "--resume"
    train(launch(*command, "--steps", stopped + 3), start(DCGAN, whole, "--steps", stopped + 3, "--every", 1000))
    assert differences(whole, out) == []


# ---- what is refused ----------------------------------------------------------------------------------------


def refusal(process):
    """The one sentence of a run that could not be: the last line of stderr."""
    status, _, stderr = said(process)
    assert status == 2 and "Traceback" not in stderr and "Warning" not in stderr, stderr
    lines = stderr.splitlines()
    assert lines[-1].startswith("02_dcgan.py: "), stderr
    return lines


@pytest.mark.parametrize(
    "options, sentence",
    [
        (["--data", "mnist"], "there is no data called 'mnist'; there are "),
        (["--data", "folder:/no/such/folder"], "there is no folder /no/such/folder"),
        (["--size", 30], "size 30 is not"),
        (["--size", 0], "size is 0"),
        (["--lr", "nan"], "lr must be 0 or more, got nan"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_bad_options_are_refused_in_one_sentence(tmp_path, options, sentence):
    lines = refusal(start(DCGAN, tmp_path / "out", *options))
    assert len(lines) == 1 and sentence in lines[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", ["--batch", "--every", "--width", "--seed", "--steps"])
def test_numbers_out_of_bounds_are_refused_by_the_parser(tmp_path, option):
    least = 0 if option in ("--seed", "--steps") else 1
    lines = refusal(start(DCGAN, tmp_path / "out", option, least - 1))
    assert lines[-1] == f"02_dcgan.py: error: argument {option}: must be {least} or more, not {least - 1}"
    assert lines[0].startswith("usage: ") and not (tmp_path / "out").exists()


def test_a_folder_with_too_few_pictures(pictures, tmp_path):
    lines = refusal(start(DCGAN, tmp_path / "out", "--data", f"folder:{pictures}", "--batch", 11))
    assert "the source has 10 images, too few for one batch of 11" in lines[-1]


@pytest.mark.parametrize("below", [False, True], ids=["a file", "below a file"])
def test_an_out_that_cannot_be_written(tmp_path, below):
    file = tmp_path / "file"
    file.write_text("mine")
    lines = refusal(start(DCGAN, file / "run" if below else file))
    assert len(lines) == 1 and f"cannot write to {file}" in lines[0] and "give another --out" in lines[0]
    assert file.read_text() == "mine"


def test_cuda_without_cupy(tmp_path):
    (tmp_path / "cupy.py").write_text("raise ImportError('no CuPy here')")
    path = os.pathsep.join([str(tmp_path), *sys.path])
    lines = refusal(start(DCGAN, tmp_path / "out", "--device", "cuda", PYTHONPATH=path))
    assert len(lines) == 1
    assert "needs CuPy, which is not installed (no CuPy here)" in lines[0] and "pip install" in lines[0]


def test_a_fashion_mnist_file_cut_short(tmp_path):
    data = tmp_path / "train-images-idx3-ubyte.gz"
    header = bytes([0, 0, 8, 3]) + b"".join(n.to_bytes(4, "big") for n in (60000, 28, 28))
    data.write_bytes(gzip.compress(header + np.random.default_rng(0).bytes(28 * 28 * 10))[:-1000])
    lines = refusal(start(DCGAN, tmp_path / "out", "--data", "fashion-mnist", MINIGAN_DATA=str(tmp_path)))
    assert len(lines) == 1 and f"{data} is cut short" in lines[0]


@pytest.mark.parametrize(
    "options, sentence",
    [
        ([], "holds a run with a checkpoint: pass --resume to go on with it, or another --out"),
        (["--resume", "--width", 8], "cannot be resumed with other arguments: width was 4, is now 8"),
        (["--resume", "--lr", 1e-3], "cannot be resumed with other arguments: lr was 0.0002, is now 0.001"),
    ],
    ids=["afresh", "another width", "another lr"],
)
def test_a_finished_run_is_not_overwritten(finished, options, sentence):
    before = contents(finished)
    lines = refusal(start(DCGAN, finished, "--steps", 20, *options))
    assert len(lines) == 1 and sentence in lines[0]
    assert contents(finished) == before


def test_resuming_nothing(tmp_path):
    lines = refusal(start(DCGAN, tmp_path / "out", "--resume"))
    assert len(lines) == 1 and f"there is no checkpoint in {tmp_path / 'out'}" in lines[0]


@pytest.mark.parametrize("kept", [0, 5, 500, -1])
def test_resuming_from_a_checkpoint_cut_short(finished, tmp_path, kept):
    path = tmp_path / "checkpoint.safetensors"
    path.write_bytes((finished / path.name).read_bytes()[:kept])
    cut = path.read_bytes()
    lines = refusal(start(DCGAN, tmp_path, "--resume"))
    assert len(lines) == 1 and f"{path}: cut short" in lines[0]
    assert path.read_bytes() == cut


def forge(folder, change):
    """Let `change(tensors, parts)` alter the checkpoint in a folder: the arrays, and the trees that they hang in."""
    path = folder / "checkpoint.safetensors"
    with safe_open(str(path), framework="np") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
        record = json.loads(file.metadata()["minigan"])
    change(tensors, record["parts"])
    save_file(tensors, str(path), metadata={"minigan": json.dumps(record)})
    return path.read_bytes()


def test_resuming_from_the_checkpoint_of_another_network(finished, tmp_path):
    """The arguments agree, because somebody has edited them; the shapes do not."""
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    forged = forge(out, lambda tensors, parts: parts["args"]["tree"].update(width=8))
    lines = refusal(start(DCGAN, out, "--resume", "--width", 8, "--steps", 12))
    assert len(lines) == 1 and "part 'G' does not fit" in lines[0]
    assert (out / "checkpoint.safetensors").read_bytes() == forged


# ---- NaN ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lr", ["1e30", "inf"])
def test_a_figure_that_is_not_finite_ends_the_run(tmp_path, lr):
    lines = refusal(start(DCGAN, tmp_path, "--lr", lr, "--every", 1))
    assert "loss_G is nan" in lines[-1] and "at step 1: loss_D = 0." in lines[-1]
    assert lines[-1].endswith("there is no checkpoint yet") and not (tmp_path / "checkpoint.safetensors").exists()


@pytest.mark.parametrize("every", [1, 3])
def test_the_last_good_checkpoint_is_kept(finished, tmp_path, every):
    """G's next step overflows.  Its figures are from before the step: step 11 looks well, and 12 does not."""

    def overflow(tensors, parts):
        tensors["opt_G/m.0"] = np.full_like(tensors["opt_G/m.0"], 3e38)
        parts["args"]["tree"].update(every=every, lr=1.0)

    out = tmp_path / "out"
    shutil.copytree(finished, out)
    forged = forge(out, overflow)
    lines = refusal(start(DCGAN, out, "--resume", "--steps", 20, "--every", every, "--lr", 1))
    reason, step = {1: ("not saved: G/", 11), 3: ("D(G(z)) 1 is nan", 12)}[every]
    assert reason in lines[-1] and f"at step {step}" in lines[-1]
    assert lines[-1].endswith(f"the last good checkpoint is {out / 'checkpoint.safetensors'} (step 10)")
    assert (out / "checkpoint.safetensors").read_bytes() == forged


# ---- quick, and right ---------------------------------------------------------------------------------------


def test_smoke(tmp_path):
    began = time.monotonic()
    for example, options in [(RING, []), (DCGAN, ["--width", 16, "--batch", 64, "--size", 32])]:
        status, stdout, stderr = said(start(example, tmp_path / example.stem, "--smoke", *options))
        assert status == 0, stderr  # whatever the verdict
        assert "claim" in stdout and step_of(tmp_path / example.stem) == 20
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("seed", range(3))
def test_a_gan_learns_a_gaussian(seed):
    rng = np.random.default_rng(seed)
    G, D = mlp([2, 16, 2], rng), mlp([2, 32, 32, 1], rng, lambda: LeakyReLU(0.2))
    opt_G, opt_D = (Adam(net.parameters(), 3e-3, betas=(0.5, 0.999)) for net in (G, D))

    def real(rng, n):
        return np.float32([2, -1]) + np.float32([0.3, 1]) * rng.standard_normal((n, 2), dtype=np.float32)

    def noise(n):
        return mg.tensor(rng.standard_normal((n, 2), dtype=np.float32))

    def d_step(x):
        fake = G(noise(len(x))).detach()
        loss = 0.5 * mean(softplus(-D(mg.tensor(x)))) + 0.5 * mean(softplus(D(fake)))
        opt_D.step(mg.grad(loss, D.parameters()))

    def g_step():
        opt_G.step(mg.grad(mean(softplus(-D(G(noise(64))))), G.parameters()))

    def distance():
        with mg.no_grad():
            return frechet_distance(real(rng, 2000), G(noise(2000)).numpy())

    before = distance()
    for _ in algorithm1(d_step, g_step, Batches(real, 64, rng), steps=300):
        pass
    assert before > 4 and distance() < before / 10
