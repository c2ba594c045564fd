"""What is special to adversarial training: algorithm1.py is the loop, networks.py the players."""

from .algorithm1 import algorithm1

__all__ = ["algorithm1"]
