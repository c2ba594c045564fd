"""Networks that are told a class, and the two examples that learn from labels, tiny: run, resumed, broken on purpose.

The examples are loaded as modules and trained in this process, on garments that are drawn here: bright halves with a
label each, in the files of Fashion-MNIST.
"""

import gzip
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import example
from hypothesis import given
from hypothesis import strategies as st

import minigan as mg
from minigan import checkpoint
from minigan.gan.conditional import ConditionalDiscriminator, ConditionalGenerator, one_hot
from minigan.gan.losses import minimax_d
from minigan.ops import conv2d, logsumexp, sigmoid
from minigan.run import read_metrics

# ---- labels in, and out of, range --------------------------------------------------------------------------


@given(st.integers(1, 40).flatmap(lambda k: st.tuples(st.just(k), st.lists(st.integers(0, k - 1), max_size=9))))
def test_one_hot_points_at_the_label(case):
    classes, labels = case
    y = one_hot(np.array(labels, int), classes)
    assert y.shape == (len(labels), classes) and y.dtype == np.float32
    assert (y.sum(axis=1) == 1).all() and y.argmax(axis=1).tolist() == labels


@pytest.mark.parametrize("label", [-1, 10, 255])
def test_a_label_out_of_range_is_named(rng, label):
    G = ConditionalGenerator(28, 1, 10, rng, latent=3, width=2)
    D = ConditionalDiscriminator(28, 1, 10, rng, width=2)
    labels = np.array([0, 9, label, 4])
    for net, shape in ((G, (4, 3)), (D, (4, 28, 28, 1))):
        with pytest.raises(ValueError, match=rf"^one_hot: labels\[2\] is {label}, but the 10 classes are 0 to 9$"):
            net(mg.tensor(np.zeros(shape, np.float32)), labels)


@pytest.mark.parametrize("labels", [[0.0, 1.0], [[0, 1]], 3])
def test_labels_are_a_row_of_whole_numbers(labels):
    with pytest.raises(TypeError, match=r"one_hot: labels are .* wants whole numbers \(N,\)"):
        one_hot(labels, 10)


# ---- the networks ------------------------------------------------------------------------------------------


def test_shapes(rng):
    for size, channels in ((28, 1), (32, 3)):
        G = ConditionalGenerator(size, channels, 5, rng, latent=7, width=2)
        D = ConditionalDiscriminator(size, channels, 5, rng, width=2)
        y = np.arange(4)
        images = G(mg.tensor(rng.standard_normal((4, 7), dtype=np.float32)), y)
        assert images.shape == (4, size, size, channels) and D(images, y).shape == (4,)
        assert images.dtype == np.float32 and np.abs(images.numpy()).max() <= 1


def test_a_plane_of_ones_is_a_bias_of_the_class(rng):
    """What the module says: away from the border, the first convolution sees a class as a number per channel."""
    D = ConditionalDiscriminator(28, 1, 3, rng, width=4)
    first, x = D.net[0], rng.standard_normal((1, 28, 28, 1)).astype(np.float32)
    seen = []
    D.net.forward = lambda planes: seen.append(first(planes).numpy()) or mg.tensor(np.zeros(1))
    for y in range(3):
        D(mg.tensor(x), np.array([y]))
    image_alone = conv2d(x, first.weight[:, :, :1], stride=2, padding=1).numpy()
    for y in range(3):
        added = (seen[y] - image_alone)[0, 1:-1, 1:-1]
        bias = first.weight.numpy()[:, :, 1 + y].sum((0, 1))
        assert added == pytest.approx(np.broadcast_to(bias, added.shape), abs=1e-5)


@pytest.mark.parametrize("order", [1, 2])
def test_gradients(rng, order):
    y = np.array([2, 0, 1])
    D = ConditionalDiscriminator(8, 1, 3, rng, width=2).to(dtype=np.float64)
    G = ConditionalGenerator(8, 1, 3, rng, latent=4, width=2).to(dtype=np.float64)
    mg.gradcheck(lambda x: D(x, y), [rng.standard_normal((3, 8, 8, 1))], order=order)
    mg.gradcheck(lambda z: G(z, y), [rng.standard_normal((3, 4))], order=order)


def test_the_label_reaches_the_output_of_both(rng):
    G, D = ConditionalGenerator(8, 1, 3, rng, latent=4, width=2), ConditionalDiscriminator(8, 1, 3, rng, width=2)
    z, x = (
        mg.tensor(np.repeat(rng.standard_normal((1, *shape), dtype=np.float32), 3, axis=0))
        for shape in ((4,), (8, 8, 1))
    )
    images, logits = G.eval()(z, np.arange(3)).numpy(), D.eval()(x, np.arange(3)).numpy()
    assert len({image.tobytes() for image in images}) == 3 and len(set(logits.tolist())) == 3


# ---- the examples ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def garments(tmp_path_factory):
    """Ten classes: a bright bar at one of ten heights."""
    folder, rng = tmp_path_factory.mktemp("garments"), np.random.default_rng(3)
    for part, n in (("train", 400), ("t10k", 100)):
        labels = (np.arange(n) % 10).astype(np.uint8)
        images = rng.integers(0, 40, (n, 28, 28), dtype=np.uint8)
        for image, label in zip(images, labels):
            image[4 + 2 * label : 6 + 2 * label, 4:24] = 230
        for what, data in (("images-idx3", images), ("labels-idx1", labels)):
            header = bytes([0, 0, 8, data.ndim]) + b"".join(k.to_bytes(4, "big") for k in data.shape)
            (folder / f"{part}-{what}-ubyte.gz").write_bytes(gzip.compress(header + data.tobytes(), 1))
    return folder


CONDITIONAL = {"steps": 4, "seed": 0, "device": "cpu", "smoke": False, "lr": 2e-4, "batch": 4, "width": 2, "every": 3,
               "judged": 3, "data": "fashion-mnist", "size": 28}  # fmt: skip
SEMI = {"steps": 4, "seed": 0, "device": "cpu", "smoke": False, "lr": 1e-3, "batch": 8, "width": 2, "every": 2,
        "labels": 40, "data": "fashion-mnist", "broken": None}  # fmt: skip


def runner(name, options, garments, monkeypatch):
    """A function that trains the example into a folder, and what its checkpoint then holds."""
    monkeypatch.setenv("MINIGAN_DATA", str(garments))
    module = example(name)
    eye = SimpleNamespace(probabilities=lambda images: np.eye(10)[np.arange(len(images)) % 10], accuracy=0.9)
    if hasattr(module, "own_classifier"):
        monkeypatch.setattr(module, "own_classifier", lambda *_, **__: eye)

    def run(out, **changed):
        passed = module.train(SimpleNamespace(**{**options, "out": str(out), "resume": False, **changed}))
        held = checkpoint.read(out / "checkpoint.safetensors")
        del held["args"]
        return passed, held

    return run


def leaves(tree, path=""):
    if isinstance(tree, dict | list):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from leaves(value, f"{path}/{key}")
    else:
        yield path, tree.tobytes() if isinstance(tree, np.ndarray) else tree


@pytest.mark.parametrize("name, options", [("14_conditional", CONDITIONAL), ("16_semi_supervised", SEMI)])
def test_stopping_and_going_on_changes_no_bit(name, options, garments, monkeypatch, tmp_path):
    run = runner(name, options, garments, monkeypatch)
    _, whole = run(tmp_path / "whole", steps=5)
    run(tmp_path / "parts", steps=2)
    _, parts = run(tmp_path / "parts", steps=5, resume=True)
    assert dict(leaves(whole)) == dict(leaves(parts))
    for file in ("metrics.jsonl", "verdict.json", "samples/000005.png"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "parts" / file).read_bytes(), file
    _, other = run(tmp_path / "other", steps=5, seed=1)
    assert dict(leaves(whole)) != dict(leaves(other))


def test_a_class_that_is_drawn_as_asked_passes(garments, monkeypatch, tmp_path, capsys):
    """judge() on real images of each class passes; shifted by a class, or one picture for each class, it fails."""
    monkeypatch.setenv("MINIGAN_DATA", str(garments))
    module = example("14_conditional")
    images, labels = module.load("fashion-mnist", size=28).take(slice(None), labels=True)
    real = [images[labels == k] for k in range(10)]

    def probabilities(images):
        bars = images[:, 4:24, 4:24, 0].reshape(len(images), 10, 2, 20).mean((2, 3)) + 1
        return bars / bars.sum(axis=1, keepdims=True)

    eye = SimpleNamespace(probabilities=probabilities, accuracy=1.0)
    monkeypatch.setattr(module, "own_classifier", lambda *_, **__: eye)
    args = SimpleNamespace(data="fashion-mnist", size=28, seed=0, smoke=False)
    assert module.judge(real, args, tmp_path)
    assert not module.judge(real[1:] + real[:1], args, tmp_path)
    assert "0.0%" in capsys.readouterr().out
    assert not module.judge([np.repeat(r[:1], 9, axis=0) for r in real], args, tmp_path)
    mixed = [np.concatenate([real[k][:-5], real[k - 1][:5]]) for k in range(10)]
    assert not module.judge(mixed, args, tmp_path)  # 5 of 40 are of another class: below 0.9


@pytest.mark.parametrize("broken", [None, "softmax-twice"])
def test_a_second_softmax_shows_its_marks(broken, garments, monkeypatch, tmp_path, capsys):
    run = runner("16_semi_supervised", SEMI, garments, monkeypatch)
    run(tmp_path, steps=30, every=30, broken=broken, lr=3e-3, width=4)
    out, last = capsys.readouterr().out, read_metrics(tmp_path / "metrics.jsonl")[-1]
    floor = np.log(1 + 9 / np.e)
    assert ("No error is raised" in out) == bool(broken)
    assert (last["loss_supervised"] > floor and last["loss_alone"] > floor) == bool(broken)
    assert (0.917 <= last["D(x)"] <= 0.9215 and 0.917 <= last["D(G(z))"] <= 0.9215) == bool(broken)


def test_labels_are_shared_evenly(rng):
    module = example("16_semi_supervised")
    labels = rng.permutation(np.repeat(np.arange(10), 30))
    chosen = module.balanced(labels, 100, rng)
    assert len(set(chosen.tolist())) == 100 and (np.bincount(labels[chosen]) == 10).all()
    for count in (0, 5, 101, 310):
        with pytest.raises(ValueError, match=rf"^--labels is {count}, but .* evenly: give 10, 20, ... 300$"):
            module.balanced(labels, count, rng)


def test_log_z_is_the_logit_of_d(rng):
    logits = rng.standard_normal((5, 10))
    z = np.exp(logits).sum(axis=1)
    assert sigmoid(logsumexp(mg.tensor(logits), axis=1)).numpy() == pytest.approx(z / (z + 1))
    for scale in (1e2, 1e4):  # where Z itself overflows
        log_z = logsumexp(mg.tensor(logits * scale), axis=1)
        assert np.isfinite(minimax_d(log_z, log_z).item())
