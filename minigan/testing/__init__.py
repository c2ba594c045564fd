"""Tools to test what you build with minigan: your own ops, layers and losses.

    gradcheck.py    are these derivatives right, to any order?
    strategies.py   Hypothesis strategies that draw arrays and shapes (needs `pip install hypothesis`)

Read gradcheck.py next.
"""

from .gradcheck import GradientError, gradcheck

__all__ = ["GradientError", "gradcheck"]
