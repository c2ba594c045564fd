"""A run's folder: what goes in, what is refused, and that stopping and going on loses nothing.

The part trained here is a stand-in: a number that a generator moves, so that one step too many, one too
few, or half of one shows.
"""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from minigan import checkpoint
from minigan.kernels import rounding
from minigan.run import Run, arguments, main, read_metrics


class Walk:
    """A random walk, with the steps it took; the two change apart, as G and its optimiser do."""

    def __init__(self):
        self.w, self.steps = np.zeros(3), 0

    def state_dict(self):
        return {"w": self.w, "steps": self.steps}

    def load_state_dict(self, state):
        self.w, self.steps = state["w"].copy(), state["steps"]


def train(out, steps, *, resume=False, every=5, seed=3):
    walk, rng = Walk(), np.random.default_rng(seed)
    with Run(out, {"seed": seed, "steps": steps}, resume=resume) as run:
        start = run.restore(walk=walk, rng=rng)
        for t in run.progress(range(start + 1, steps + 1), total=steps, initial=start, batch_size=4):
            walk.w = walk.w + rng.normal(size=3)
            walk.steps += 1
            run.log(t, {"loss_D": walk.w[0], "D(x)": np.float32(0.5)})
            if t % every == 0:
                run.samples(t, np.full((4, 6, 6, 1), walk.w[0] / 10))
                run.save(t, walk=walk, rng=rng)
    return walk


def lines(out):
    return (out / "metrics.jsonl").read_text()


# ---- arguments ----------------------------------------------------------------------------------------------

def test_arguments_have_defaults_and_an_examples_own():
    parser = arguments("A ring.", steps=20, out="runs/ring", lr=2e-4, batch_size=64, saturating=False, seed=7)
    parser.add_argument("--modes", type=int, default=8, help="how many")
    args = parser.parse_args(["--batch-size", "32", "--saturating", "--resume"])
    assert vars(args) == {"steps": 20, "seed": 7, "out": "runs/ring", "resume": True, "device": "auto", "smoke": False,
                          "precision": "tf32", "lr": 2e-4, "batch_size": 32, "saturating": True, "modes": 8}
    text = parser.format_help()
    assert text.count("A ring.") == 1 and "default: 20" in text and "default: 0.0002" in text


def test_the_precision_asked_for_holds_while_it_trains(monkeypatch):
    seen = []
    monkeypatch.setattr(sys, "argv", ["ring.py", "--precision", "bf16"])
    with rounding.using(None), pytest.raises(SystemExit):
        main(lambda args: seen.append(rounding.precision()), arguments("A ring.", steps=1, out=""))
    assert seen == ["bf16"]


# ---- the folder ---------------------------------------------------------------------------------------------

def test_a_run_leaves_its_record_figures_samples_and_checkpoint(tmp_path, capsys):
    out = tmp_path / "deep" / "run"
    train(out, 10)
    record = json.loads((out / "run.json").read_text())
    assert record["arguments"] == {"seed": 3, "steps": 10} and record["seed"] == 3
    assert record["numpy"] == np.__version__
    assert {"python", "numba", "minigan", "platform", "cpus", "started"} <= set(record)
    rows = read_metrics(out / "metrics.jsonl")
    assert [row["step"] for row in rows] == list(range(1, 11)) and rows[0]["D(x)"] == 0.5
    assert sorted(os.listdir(out / "samples")) == ["000005.png", "000010.png"]
    assert checkpoint.load(out / "checkpoint.safetensors") == {"step": 10, "args": {"seed": 3, "steps": 10}}

    capsys.readouterr()
    made = Run(out, {"seed": 3, "steps": 10}, resume=True).finish()
    assert made == [out / "losses.png", out / "samples.gif"] and all(path.stat().st_size for path in made)
    assert capsys.readouterr().out.split() == [str(path) for path in made]


def test_a_folder_that_cannot_be_written_says_so_at_once(tmp_path):
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(OSError, match=r"^cannot write to .*file.*give another --out$"):
            Run(out, {})


def test_a_run_with_a_checkpoint_is_not_overwritten(tmp_path):
    train(tmp_path, 5)
    before = lines(tmp_path)
    with pytest.raises(FileExistsError, match="pass --resume to go on with it, or another --out"):
        Run(tmp_path, {"seed": 3, "steps": 5})
    assert lines(tmp_path) == before


def test_a_run_that_never_reached_a_checkpoint_starts_clean(tmp_path):
    train(tmp_path, 4, every=100)
    (tmp_path / "samples" / "000003.png").write_bytes(b"old")
    (tmp_path / "samples" / "mine.png").write_bytes(b"keep")
    train(tmp_path, 2, every=100)
    assert len(read_metrics(tmp_path / "metrics.jsonl")) == 2 and os.listdir(tmp_path / "samples") == ["mine.png"]


# ---- going on -----------------------------------------------------------------------------------------------

def test_resuming_equals_never_having_stopped(tmp_path):
    whole, first = train(tmp_path / "a", 20), train(tmp_path / "b", 12)
    with open(tmp_path / "b" / "metrics.jsonl", "a") as file:
        file.write('{"step": 13, "loss_')                            # torn by a kill
    (tmp_path / "b" / "samples" / "000012.png").write_bytes(b"of a step that will come again")
    again = train(tmp_path / "b", 20, resume=True)                   # from the checkpoint of step 10
    assert first.steps == 12 and again.steps == whole.steps == 20
    assert again.w.tobytes() == whole.w.tobytes()
    assert lines(tmp_path / "a") == lines(tmp_path / "b")
    names = [sorted(os.listdir(tmp_path / run / "samples")) for run in "ab"]
    assert names[0] == names[1]
    record = json.loads((tmp_path / "b" / "run.json").read_text())
    assert record["arguments"]["steps"] == 12 and record["resumed"][0]["steps"] == 20


def test_resuming_without_a_checkpoint_or_with_other_arguments_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"--resume: there is no checkpoint in .*; start without --resume"):
        Run(tmp_path / "none", {}, resume=True)
    assert not (tmp_path / "none").exists()
    out = tmp_path / "run"
    with Run(out, {"lr": 1e-4, "betas": (0, 0.9), "seed": 3, "steps": 9, "device": "cpu"}) as run:
        run.save(1)
    Run(out, {"lr": 1e-4, "betas": (0, 0.9), "seed": 3, "steps": 99, "device": "cuda", "out": "else"}, resume=True)
    changes = r"lr was 0\.0001, is now 0\.0002; seed was 3, is now 4; k was 'absent', is now 5"
    with pytest.raises(ValueError, match=changes):
        Run(out, {"lr": 2e-4, "betas": (0, 0.9), "seed": 4, "k": 5}, resume=True)


# ---- figures that are not finite ----------------------------------------------------------------------------

@pytest.mark.parametrize("bad", [float("nan"), np.float32("inf"), np.array(np.nan)], ids=str)
def test_a_figure_that_is_not_finite_stops_the_run_and_spares_the_checkpoint(tmp_path, bad):
    with Run(tmp_path, {}) as run:
        run.log(1, {"loss_D": 1.0})
        said = r"loss_D is (nan|inf) at step 2: D\(x\) = 0\.5; there is no checkpoint yet"
        with pytest.raises(FloatingPointError, match=said):
            run.log(2, {"loss_D": bad, "D(x)": 0.5})
        assert [row["step"] for row in read_metrics(tmp_path / "metrics.jsonl")] == [1, 2]     # already on the disk
    with Run(tmp_path, {}) as run:
        run.save(1, rng=np.random.default_rng(0))
        with pytest.raises(FloatingPointError, match=r"last good checkpoint is .*checkpoint\.safetensors \(step 1\)"):
            run.log(2, {"loss_G": bad})
        with pytest.raises(FloatingPointError, match="not saved"):
            run.save(2)
    assert checkpoint.load(tmp_path / "checkpoint.safetensors")["step"] == 1


def test_a_run_with_gaps_or_nothing_still_finishes(tmp_path):
    with Run(tmp_path, {}) as run:
        assert run.finish() == []
        run.log(1, {"loss_G": 1.0})
        run.log(2, {"loss_D": 1.0, "loss_G": 2.0})
        assert run.finish() == [tmp_path / "losses.png"]


# ---- stopping -----------------------------------------------------------------------------------------------

PROGRAM = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)             # a shell may start its jobs without it
sys.path.insert(0, {tests!r})
from test_run import Walk
import numpy as np
from minigan.run import Run

out, slow = sys.argv[1], sys.argv[2] == "slow"
walk, rng = Walk(), np.random.default_rng(3)
with Run(out, dict(seed=3, steps=10**6), resume="--resume" in sys.argv) as run:
    start = run.restore(walk=walk, rng=rng)
    run.checkpoint_on_exit(lambda: dict(walk=walk, rng=rng))
    for t in run.progress(range(start + 1, 10**6), total=10**6, initial=start):
        walk.w = walk.w + rng.normal(size=3)
        time.sleep(30 if slow and t > 3 else 0.02)                   # a signal is bound to fall in here
        walk.steps += 1
        run.log(t, dict(loss_D=walk.w[0]))
"""


def stop(out, number, mode="quick"):
    """Start the program, signal it after its third step (in a slow one, twice); return its status and what it said."""
    tests = os.path.dirname(os.path.abspath(__file__))
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.Popen([sys.executable, "-c", PROGRAM.format(tests=tests), str(out), mode], env=env,
                             stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 60
        while len(read_metrics(out / "metrics.jsonl")) < 3 and child.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.5 if mode == "slow" else 0)  # from the figures of step 3 into step 4
        child.send_signal(number)
        if mode == "slow":
            while "stopping after this step" not in (child.stderr.readline() or "stopping after this step"):
                pass
            child.send_signal(number)
        said = child.communicate(timeout=20)[1]
    finally:
        child.kill()
    return child.returncode, said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_stopped_run_saves_its_last_whole_step_and_says_how_to_go_on(tmp_path, number):
    status, said = stop(tmp_path, number)
    assert status == 130, said
    last = read_metrics(tmp_path / "metrics.jsonl")[-1]["step"]
    assert f"the checkpoint is of step {last}" in said and said.rstrip().endswith("--resume")
    assert "Traceback" not in said

    walk, rng = Walk(), np.random.default_rng(0)
    run = Run(tmp_path, {"seed": 3, "steps": 5}, resume=True)
    assert run.restore(walk=walk, rng=rng) == walk.steps == last
    twin = np.random.default_rng(3)
    assert np.array_equal(walk.w, sum(twin.normal(size=3) for _ in range(last)))     # no half step in it
    assert rng.bit_generator.state == twin.bit_generator.state


def test_a_second_signal_stops_at_once_and_saves_nothing(tmp_path):
    status, said = stop(tmp_path, signal.SIGINT, "slow")
    assert status == 130 and "nothing to go on from" in said
    assert not (tmp_path / "checkpoint.safetensors").exists()


def test_a_run_without_a_hook_keeps_the_checkpoint_it_had(tmp_path, capsys):
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stopped, Run(tmp_path, {}) as run:
        run.checkpoint_on_exit(lambda: {"never": "used"})            # this is no step's end
        run.save(5)
        raise KeyboardInterrupt
    assert stopped.value.code == 130 and "checkpoint is of step 5" in capsys.readouterr().err
    assert "never" not in checkpoint.read(tmp_path / "checkpoint.safetensors")
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_an_exception_passes_through_with_the_figures_written(tmp_path):
    with pytest.raises(ZeroDivisionError), Run(tmp_path, {}) as run:
        for t in run.progress(iter(range(3)), total=3):
            run.log(t + 1, {"loss": t})
            raise ZeroDivisionError
    assert len(read_metrics(tmp_path / "metrics.jsonl")) == 1 and run._metrics is None and run._bar is None
