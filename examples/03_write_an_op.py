"""Write an op, give it a derivative, and let the checker say what is wrong with a wrong one.

    swish(x) = x · σ(βx)                      Ramachandran, Zoph and Le 2017, section 3
    swish'   = σ(βx) + β swish(x) (1 - σ(βx))

An op is an array function and one VJP (vector-Jacobian product) for each array argument: what comes in for y, times
dy/dx. The VJP calls ops, not NumPy, so that it can be differentiated again. `mg.gradcheck` holds it against finite
differences: at order 1 the gradient, at order 2 the gradient of the gradient, which a gradient penalty needs.

    python examples/03_write_an_op.py          # a second

Three faults are planted, each one that people make; the checker must name all three. Read 04_write_a_kernel.py next.
"""

import argparse
import sys

import numpy as np

import minigan as mg
from minigan.claims import verdict
from minigan.ops import sigmoid


@mg.op
def swish(x, *, beta=1.0):
    """x · σ(βx): a smooth ReLU."""
    return x * (0.5 + 0.5 * np.tanh(0.5 * beta * x))


def right(gy, y, x, beta):
    s = sigmoid(beta * x)
    return gy * (s + beta * y * (1 - s))


def without_gy(gy, y, x, beta):
    """The derivative itself, not times what came in: right only where gy is 1, as a check with ones would have it."""
    s = sigmoid(beta * x)
    return s + beta * y * (1 - s)


def doubled(gy, y, x, beta):
    """A factor too many."""
    return 2.0 * right(gy, y, x, beta)


def from_numpy(gy, y, x, beta):
    """The right numbers, out of NumPy: the graph ends here, and the derivative of this derivative is lost."""
    s = 1 / (1 + np.exp(-beta * x.data))
    return gy * (s + beta * y.data * (1 - s))


def check(rule, order, seed):
    """The checker's verdict on a rule: None, or the error that it raises."""
    swish.defvjp(x=rule)
    x = np.random.default_rng(seed).normal(size=(3, 4))
    try:
        mg.gradcheck(swish, [x], order=order, seed=seed)
    except mg.GradientError as error:
        return error
    return None


def main(seed):
    rows = []
    error = check(right, 3, seed)
    rows.append(("the right rule", "right to order 3", "right" if error is None else "wrong", error is None))

    faults = [  # rule, order to check, the order at which it must be found, what the diagnosis must say
        (without_gy, 1, 1, "not linear in gy"),
        (doubled, 1, 1, "2 times too large"),
        (from_numpy, 2, 2, "raw array"),
    ]
    for rule, order, wrong_at, words in faults:
        error = check(rule, order, seed)
        print(f"--- {rule.__name__}: {rule.__doc__}\n{error}\n")
        found = error is not None and error.order == wrong_at and words in error.diagnosis
        measured = f"order {error.order}" if error else "nothing found"
        rows.append((rule.__name__, f"order {wrong_at}: {words}", measured, found))

    unseen = check(from_numpy, 1, seed) is None
    rows.append(("from_numpy at order 1", "cannot be seen there", "not seen" if unseen else "seen", unseen))
    swish.defvjp(x=right)
    return verdict(rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of the inputs and the checks")
    sys.exit(0 if main(parser.parse_args().seed) else 1)
