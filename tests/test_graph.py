"""Drawings of the graph, as text and for Graphviz."""

import numpy as np
import pytest

import minigan as mg
from minigan import ops


def leaf(*values, dtype=np.float64):
    return mg.tensor(np.array(values, dtype), requires_grad=True)


def test_a_drawing_names_ops_shapes_and_leaves():
    x, w = mg.tensor([[1.0, 2.0]]), mg.tensor([[3.0], [4.0]], requires_grad=True)
    h = x @ w
    loss = (ops.exp(h) * h + 0.5).sum()
    assert str(mg.graph(loss, names={"w": w, "h": h})) == (
        "sum                      ()      float32\n"
        "add                      (1, 1)  float32  b: 0.5\n"
        "multiply                 (1, 1)  float32  b: #1\n"
        "exp                      (1, 1)  float32  x: #1\n"
        "\n"
        "#1 = matrix_product = h  (1, 1)  float32  a: constant (1, 2)  b: w (2, 1)"
    )


def test_a_drawing_of_branches_and_options():
    x = leaf(1.0, 2.0, 3.0)
    y = ops.leaky_relu(x, slope=0.1) - ops.sum(ops.exp(x * x), axis=0)
    assert str(mg.graph(y)) == (
        "subtract         (3,)  float64\n"
        "├─a: leaky_relu  (3,)  float64  leaf (3,)  slope=0.1\n"
        "b: sum           ()    float64  axis=0\n"
        "exp              (3,)  float64\n"
        "multiply         (3,)  float64  a: leaf (3,)  b: leaf (3,)"
    )


def test_a_drawing_for_graphviz():
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    dot = mg.graph(ops.exp(x) * 2, names={'the "x"': x}).dot()
    assert dot.startswith("digraph {") and dot.endswith("}\n")
    assert dot.count("->") == 3 and 'the \\"x\\"' in dot and "multiply\\n(2,) float32" in dot


def test_a_drawing_of_a_leaf_and_of_no_tensor():
    assert str(mg.graph(leaf(1.0))).split() == ["leaf", "(1,)", "float64"]
    assert "digraph" in mg.graph(leaf(1.0)).dot()
    with pytest.raises(TypeError, match="graph: wants a tensor, got float"):
        mg.graph(1.0)
