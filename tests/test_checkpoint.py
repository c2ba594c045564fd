"""A checkpoint is whole or not there, comes back bit for bit, and never half.

Stands on NumPy and Hypothesis only: the parts here are small stand-ins with a state_dict.
"""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from minigan import checkpoint


class Part:
    """State as it is; refuses one whose names or shapes differ, after having begun to take it."""

    def __init__(self, **state):
        self.state = state

    def state_dict(self):
        return self.state

    def load_state_dict(self, state):
        for name, value in state.items():
            if name not in self.state:
                raise ValueError(f"there is no {name}")
            if np.shape(value) != np.shape(self.state[name]):
                raise ValueError(f"{name} has shape {np.shape(self.state[name])}, not {np.shape(value)}")
            if isinstance(value, np.ndarray):
                self.state[name][...] = value                # in place, as a module does
            else:
                self.state[name] = value


class Box(Part):
    """Takes any state."""

    def load_state_dict(self, state):
        self.state = state


def same(a, b):
    if isinstance(a, np.ndarray):
        return (isinstance(b, np.ndarray) and a.dtype == b.dtype and a.shape == b.shape
                and a.tobytes() == b.tobytes())
    if isinstance(a, dict):
        return isinstance(b, dict) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or a != a)


arrays = hnp.arrays(
    dtype=st.sampled_from(sorted(checkpoint.DTYPES)).map(np.dtype),
    shape=hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
)
values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
keys = st.text(max_size=4) | st.sampled_from(["a/b", "a", "b", "%2F", "/", "0", "__metadata__"])
trees = st.recursive(arrays | values, lambda t: st.dictionaries(keys, t, max_size=4) | st.lists(t, max_size=3),
                     max_leaves=12)


@settings(max_examples=100, deadline=None)
@given(state=st.dictionaries(keys, trees, max_size=4), value=trees)
def test_any_tree_comes_back_as_it_was(tmp_path_factory, state, value):
    path = tmp_path_factory.getbasetemp() / "tree.safetensors"
    box = Box()
    checkpoint.save(path, box=Box(state=state), value=value)
    back = checkpoint.load(path, box=box)
    assert same(state, box.state["state"]) and same(value, back["value"])
    assert same(state, checkpoint.read(path)["box"]["state"])


@pytest.mark.parametrize("array", [
    np.arange(12.0).reshape(3, 4).T,
    np.arange(12.0)[::-2],
    np.asfortranarray(np.ones((3, 2), np.float32)),
    np.broadcast_to(np.float64(3), (2, 2)),
    np.zeros((0, 5), np.int16),
    np.array(7, np.uint8),
    np.array([np.nan, -0.0, np.inf], np.float16),
], ids=["transposed", "reversed", "fortran", "broadcast", "empty", "0-d", "odd values"])
def test_arrays_survive_however_they_lie_in_memory(tmp_path, array):
    checkpoint.save(tmp_path / "c", a=array)
    back = checkpoint.load(tmp_path / "c")["a"]
    assert same(np.array(array, order="C"), back) and back.flags.writeable


def test_big_endian_arrays_come_back_native(tmp_path):
    checkpoint.save(tmp_path / "c", a=np.arange(3, dtype=">i4"))
    assert checkpoint.load(tmp_path / "c")["a"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("kind", ["PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64"])
def test_a_generator_goes_on_where_it_was(tmp_path, kind):
    def make(seed):
        return np.random.Generator(getattr(np.random, kind)(seed))

    rng, other = make(2**200 + 1), make(5)
    rng.integers(10, dtype=np.uint32)                        # leaves half a word in the buffer
    checkpoint.save(tmp_path / "c", rng=rng)
    checkpoint.load(tmp_path / "c", rng=other)
    assert same(rng.normal(size=9), other.normal(size=9))
    assert same(rng.integers(9, size=9, dtype=np.uint32), other.integers(9, size=9, dtype=np.uint32))


def test_plain_values_come_back_and_parts_not_named_stay_in_the_file(tmp_path):
    path = tmp_path / "c"
    checkpoint.save(path, G=Part(w=np.ones(2)), D=Part(w=np.ones(3)), step=np.int64(1200), args={"betas": (0.5, 0.9)})
    G = Part(w=np.zeros(2))
    assert checkpoint.load(path, G=G) == {"step": 1200, "args": {"betas": [0.5, 0.9]}}
    assert G.state["w"].tolist() == [1, 1]
    assert set(checkpoint.read(path)) == {"G", "D", "step", "args"}


@pytest.mark.parametrize("value", [np.ones(2, np.complex128), {1: 2}, object(), np.array(["a"]), b"bytes",
                                   np.longdouble(1), np.datetime64("2020-01-01")], ids=repr)
def test_what_cannot_be_kept_is_refused_before_the_old_file_is_touched(tmp_path, value):
    path = tmp_path / "c"
    checkpoint.save(path, step=1)
    with pytest.raises(TypeError, match="thing/here: "):
        checkpoint.save(path, thing=Part(here=value))
    assert checkpoint.load(path) == {"step": 1}
    assert os.listdir(tmp_path) == ["c"]


# ---- whole, or not there ------------------------------------------------------------------------------------

KILLER = """
import os, random, signal, sys, time
import numpy as np
from minigan import checkpoint

def write_for_ever(path):
    step = 0
    while True:
        step += 1
        checkpoint.save(path, big=np.full(200_000, step), step=step, small=np.full(3, step))

path = sys.argv[1]
checkpoint.save(path, big=np.full(200_000, 0), step=0, small=np.full(3, 0))
random.seed(1)
seen, left = set(), 0
for _ in range(30):
    child = os.fork()
    if child == 0:
        write_for_ever(path)
    time.sleep(random.uniform(0.003, 0.04))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    held = checkpoint.load(path)
    assert (held["big"] == held["step"]).all() and (held["small"] == held["step"]).all() and len(held["big"]) == 200_000
    seen.add(held["step"])
    left += len(os.listdir(os.path.dirname(path))) > 1
checkpoint.save(path, step="last")
assert os.listdir(os.path.dirname(path)) == [os.path.basename(path)]
print(len(seen), left)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_kill_at_any_moment_leaves_a_whole_checkpoint(tmp_path):
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", KILLER, str(tmp_path / "c")], env=env, capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == 0, done.stderr
    seen, left = map(int, done.stdout.split())
    assert seen > 2 and left > 2                 # the kills did fall among the writes


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path, monkeypatch):
    path = tmp_path / "c"
    checkpoint.save(path, step=1)

    def full(fd):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        checkpoint.save(path, step=2)
    assert checkpoint.load(path) == {"step": 1} and os.listdir(tmp_path) == ["c"]


def test_a_file_cut_short_anywhere_is_refused_and_nothing_changes(tmp_path):
    path = tmp_path / "c"
    checkpoint.save(path, G=Part(w=np.ones((40, 5))), rng=np.random.default_rng(0), step=3)
    data = path.read_bytes()
    G, rng = Part(w=np.zeros((40, 5))), np.random.default_rng(9)
    before = rng.bit_generator.state
    for length in sorted({0, 1, 7, 8, 9, len(data) - 1, *np.linspace(10, len(data) - 2, 16, dtype=int).tolist()}):
        path.write_bytes(data[:length])
        with pytest.raises(ValueError, match=f"^{path}: cut short, or not a safetensors file"):
            checkpoint.load(path, G=G, rng=rng)
    path.write_bytes(data + b"\0")
    with pytest.raises(ValueError, match="cut short, or not"):
        checkpoint.load(path, G=G, rng=rng)
    assert not G.state["w"].any() and rng.bit_generator.state == before


# ---- what does not fit --------------------------------------------------------------------------------------

def test_no_file_a_folder_and_foreign_files_each_get_their_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such checkpoint"):
        checkpoint.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="a folder, not a checkpoint"):
        checkpoint.load(tmp_path)
    picture = tmp_path / "x.png"
    picture.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(ValueError, match=r"x.png: cut short, or not a safetensors file"):
        checkpoint.load(picture)
    weights = tmp_path / "w"
    safetensors.numpy.save_file({"w": np.ones(2)}, weights)
    with pytest.raises(ValueError, match=r"w: a safetensors file, but not a checkpoint of minigan"):
        checkpoint.load(weights)
    newer = tmp_path / "n"
    safetensors.numpy.save_file({}, newer, metadata={"minigan": json.dumps({"version": 99, "parts": {}})})
    with pytest.raises(ValueError, match=r"n: a checkpoint of format 99; this minigan reads format 1"):
        checkpoint.load(newer)


def test_a_part_that_is_missing_or_of_another_kind_is_named_before_anything_changes(tmp_path):
    path = tmp_path / "c"
    checkpoint.save(path, G=Part(w=np.ones(2)), rng=np.random.default_rng(0), step=3)
    G = Part(w=np.zeros(2))
    with pytest.raises(ValueError, match=r"no part 'D' in this checkpoint \(it has G, rng, step\)"):
        checkpoint.load(path, G=G, D=Part())
    with pytest.raises(ValueError, match="part 'rng' was saved as a generator, but a state"):
        checkpoint.load(path, G=G, rng=Part())
    with pytest.raises(ValueError, match="state of a PCG64, but the generator given is a MT19937"):
        checkpoint.load(path, G=G, rng=np.random.Generator(np.random.MT19937(0)))
    with pytest.raises(TypeError, match="step=0 cannot be restored in place"):
        checkpoint.load(path, G=G, step=0)
    assert not G.state["w"].any()


def test_a_part_that_refuses_brings_every_part_back(tmp_path):
    path = tmp_path / "c"
    checkpoint.save(path, G=Part(w=np.ones(2)), rng=np.random.default_rng(0), D=Part(a=np.ones(2), w=np.ones((3, 3))))
    G, D, rng = Part(w=np.zeros(2)), Part(a=np.zeros(2), w=np.zeros((4, 4))), np.random.default_rng(9)
    before = rng.bit_generator.state
    with pytest.raises(ValueError, match=rf"{path}: part 'D' does not fit: w has shape \(4, 4\), not \(3, 3\)"):
        checkpoint.load(path, G=G, rng=rng, D=D)
    assert not G.state["w"].any() and not D.state["a"].any() and rng.bit_generator.state == before


def test_weights_are_plain_safetensors(tmp_path):
    path = tmp_path / "w"
    checkpoint.save_weights(path, Part(**{"0.weight": np.arange(6.0).reshape(2, 3).T, "t": np.array(3)}))
    plain = safetensors.numpy.load_file(path)
    assert same(plain["0.weight"], np.arange(6.0).reshape(2, 3).T.copy()) and plain["t"].shape == ()
    module = Part(**{"0.weight": np.zeros((3, 2)), "t": np.array(0)})
    checkpoint.load_weights(path, module)
    assert same(module.state["0.weight"], plain["0.weight"])
    other = Part(**{"0.weight": np.zeros((3, 2)), "t": np.zeros(4)})
    with pytest.raises(ValueError, match="does not fit"):
        checkpoint.load_weights(path, other)
    assert not other.state["0.weight"].any()
