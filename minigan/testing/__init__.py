"""Tools to test what you build with minigan: your own ops, layers and losses.

    gradcheck.py    are these derivatives right, to any order?  (subject.py, differences.py and diagnosis.py serve it)
    faults.py       wrong rules, planted one by one, that gradcheck must find; planted.py lists them
    strategies.py   Hypothesis strategies that draw arrays and shapes (needs `pip install hypothesis`)

    python -m minigan gradcheck my_module:MyLayer --input 4,8,8,3 --order 2
    python -m minigan faults

Read gradcheck.py next.
"""

from .gradcheck import GradientError, KinkError, gradcheck

__all__ = ["GradientError", "KinkError", "gradcheck"]
