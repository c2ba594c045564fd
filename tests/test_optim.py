"""Optimisers against their formulas written out, against PyTorch where it is, and stopped and resumed bit for bit."""

import numpy as np
import pytest

import minigan as mg
from minigan import optim

SHAPES = [(4, 3), (), (5,), (2, 1, 3, 2)]


def parameters(seed=0, dtype=np.float64, device="cpu"):
    rng = np.random.default_rng(seed)
    return [mg.tensor(np.asarray(rng.normal(size=s), dtype), requires_grad=True, device=device) for s in SHAPES]


def gradients(step, dtype=np.float64):
    rng = np.random.default_rng([99, step])
    return [np.asarray(rng.normal(size=s) * 10.0**-i, dtype) for i, s in enumerate(SHAPES)]


def adam(p, g, state, t, lr=1e-3, betas=(0.9, 0.999), eps=1e-8):
    state["m"] = betas[0] * state.get("m", 0) + (1 - betas[0]) * g
    state["v"] = betas[1] * state.get("v", 0) + (1 - betas[1]) * g**2
    m_hat, v_hat = state["m"] / (1 - betas[0] ** t), state["v"] / (1 - betas[1] ** t)
    return p - lr * m_hat / (np.sqrt(v_hat) + eps)


def rmsprop(p, g, state, t, lr=1e-2, alpha=0.99, eps=1e-8):
    state["v"] = alpha * state.get("v", 0) + (1 - alpha) * g**2
    return p - lr * g / (np.sqrt(state["v"]) + eps)


def sgd(p, g, state, t, lr, momentum=0.0):
    state["b"] = momentum * state.get("b", 0) + g
    return p - lr * state["b"]


CASES = [
    (optim.Adam, adam, {}),
    (optim.Adam, adam, {"lr": 2e-4, "betas": (0.5, 0.999)}),
    (optim.Adam, adam, {"lr": 1e-4, "betas": (0.0, 0.9), "eps": 1e-3}),
    (optim.RMSprop, rmsprop, {}),
    (optim.RMSprop, rmsprop, {"lr": 5e-5, "alpha": 0.9, "eps": 1e-2}),
    (optim.SGD, sgd, {"lr": 0.1}),
    (optim.SGD, sgd, {"lr": 0.1, "momentum": 0.9}),
]
every_case = pytest.mark.parametrize("make, formula, settings", CASES)
each_optimiser = pytest.mark.parametrize(
    "make", [optim.Adam, optim.RMSprop, lambda p: optim.SGD(p, 0.1, momentum=0.9)], ids=["Adam", "RMSprop", "SGD"]
)


@every_case
@pytest.mark.parametrize("dtype, rtol", [(np.float64, 1e-12), (np.float32, 2e-6)])
def test_the_formula_over_several_steps(make, formula, settings, dtype, rtol, device):
    params = parameters(dtype=dtype, device=device)
    expected, states = [p.numpy().astype(np.float64) for p in params], [{} for _ in params]
    opt = make(params, **settings)
    for t in range(1, 8):
        grads = gradients(t, dtype)
        opt.step([mg.tensor(g, device=device) for g in grads])
        expected = [formula(p, g.astype(np.float64), s, t, **settings) for p, g, s in zip(expected, grads, states)]
        for p, want in zip(params, expected):
            assert p.dtype == dtype
            np.testing.assert_allclose(p.numpy(), want, rtol=rtol, atol=rtol)
    assert opt.steps == 7


@each_optimiser
def test_step_takes_tensors_arrays_or_grad(make):
    results = []
    for way in ("tensors", "arrays", "grad"):
        params = parameters()
        opt = make(params)
        for t in range(3):
            if way == "grad":
                for p, g in zip(params, gradients(t)):
                    p.grad = g
                opt.step()
            else:
                opt.step([mg.tensor(g) if way == "tensors" else g for g in gradients(t)])
        results.append([p.data for p in params])
    for others in zip(*results):
        assert all((o == others[0]).all() for o in others)


@each_optimiser
def test_resuming_gives_the_same_bits(make, device):
    straight, stopped = (parameters(dtype=np.float32, device=device) for _ in range(2))
    moved = lambda t: [mg.tensor(g, device=device) for g in gradients(t, np.float32)]
    opt = make(straight)
    first = make(stopped)
    for t in range(5):
        opt.step(moved(t))
        first.step(moved(t))
    resumed = [mg.tensor(p.data, requires_grad=True) for p in stopped]
    second = make(resumed)
    second.load_state_dict(first.state_dict())
    for t in range(5, 10):
        opt.step(moved(t))
        second.step(moved(t))
    assert all((a.numpy() == b.numpy()).all() for a, b in zip(straight, resumed))
    assert not all((a.numpy() == b.numpy()).all() for a, b in zip(straight, stopped))


@each_optimiser
def test_state_dict_is_a_snapshot_and_loading_copies(make):
    params = parameters()
    opt = make(params)
    opt.step(gradients(0))
    state = opt.state_dict()
    before = {name: np.array(value) for name, value in state.items()}
    other = make(parameters())
    other.load_state_dict(state)
    opt.step(gradients(1))
    other.step(gradients(2))
    assert all((np.asarray(state[name]) == before[name]).all() for name in state)


@each_optimiser
def test_a_state_of_other_parameters_changes_nothing(make):
    opt = make(parameters())
    opt.step(gradients(0))
    before = opt.state_dict()
    for wrong in (make(parameters()[:2]).state_dict(), make(parameters()[::-1]).state_dict(), {"steps": 4}):
        with pytest.raises(ValueError, match="load_state_dict: the state does not belong to this"):
            opt.load_state_dict(wrong)
    after = opt.state_dict()
    assert before.keys() == after.keys() and all(np.array_equal(before[k], after[k]) for k in before)


@each_optimiser
def test_parameters_without_a_gradient_stay(make):
    params = parameters()
    before = [p.data.copy() for p in params]
    params[2].grad = np.ones(SHAPES[2])
    make(params).step()
    assert [(p.data == b).all() for p, b in zip(params, before)] == [True, True, False, True]


def test_gradients_are_not_changed_and_may_lie_anywhere():
    for make in (optim.Adam, optim.RMSprop, lambda p: optim.SGD(p, 0.1)):
        x = mg.tensor(np.ones((3, 4)), requires_grad=True)
        y = mg.tensor(np.ones((4, 3)).T, requires_grad=True)
        g = np.arange(12.0).reshape(4, 3).T
        make([x]).step([g])
        make([y]).step([np.ascontiguousarray(g)])
        assert (x.data == y.data).all() and (g == np.arange(12.0).reshape(4, 3).T).all()
        z = mg.tensor(np.ones((3, 4)), requires_grad=True)
        make([z]).step(mg.grad(z.sum(), [z]))  # a broadcast view: one number in memory
        assert (z.data == z.data[0, 0]).all() and z.data[0, 0] < 1


def test_zero_grad():
    params = parameters()
    opt = optim.SGD(params, 0.1)
    sum((p.sum() for p in params), mg.tensor(0.0, dtype=np.float64)).backward()
    opt.step()
    opt.zero_grad()
    assert all(p.grad is None for p in params)


def test_adam_finds_the_bottom_of_a_bowl():
    x = mg.tensor(np.array([3.0, -2.0]), requires_grad=True)
    opt = optim.Adam([x], lr=0.05)
    for _ in range(500):
        opt.step(mg.grad(((x - np.array([1.0, 2.0])) ** 2).sum(), [x]))
    np.testing.assert_allclose(x.data, [1, 2], atol=1e-3)


@pytest.mark.parametrize(
    "act, message",
    [
        (lambda p: optim.Adam([]), r"Adam: params wants tensors with requires_grad, at least one"),
        (lambda p: optim.Adam([np.ones(2)]), r"Adam: params wants tensors with requires_grad"),
        (lambda p: optim.SGD([mg.tensor([1.0])], 0.1), r"SGD: params wants tensors with requires_grad"),
        (lambda p: optim.Adam(p, lr=-1), r"Adam: lr must be 0 or more, got -1"),
        (lambda p: optim.RMSprop(p, lr=float("nan")), r"RMSprop: lr must be 0 or more, got nan"),
        (lambda p: optim.Adam(p, betas=(0.9, 1.0)), r"Adam: betas must be in \[0, 1\), got \(0.9, 1.0\)"),
        (lambda p: optim.Adam(p).step(), r"Adam.step: no gradients; call backward\(\) first"),
        (lambda p: optim.Adam(p).step(gradients(0)[:2]), r"Adam.step: got 2 gradients for 4 parameters"),
        (
            lambda p: optim.Adam(p).step(gradients(0)[::-1]),
            r"Adam.step: gradient 0 is \(2, 1, 3, 2\) float64, its parameter \(4, 3\) float64",
        ),
        (
            lambda p: optim.RMSprop(p).step(gradients(0, np.float32)),
            r"RMSprop.step: gradient 0 is \(4, 3\) float32, its parameter \(4, 3\) float64",
        ),
    ],
)
def test_errors(act, message):
    params = parameters()
    before = [p.data.copy() for p in params]
    with pytest.raises(ValueError, match=message):
        act(params)
    assert all((p.data == b).all() for p, b in zip(params, before))


@every_case
def test_pytorch_makes_the_same_steps(make, formula, settings):
    torch = pytest.importorskip("torch")
    ours = parameters()
    theirs = [torch.tensor(p.data, requires_grad=True) for p in ours]
    a, b = make(ours, **settings), getattr(torch.optim, make.__name__)(theirs, **settings)
    for t in range(6):
        for p, g in zip(theirs, gradients(t)):
            p.grad = torch.tensor(g)
        a.step(gradients(t))
        b.step()
    for p, q in zip(ours, theirs):
        np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=1e-10, atol=1e-10)
