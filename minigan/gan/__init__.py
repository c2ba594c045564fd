"""What is special to adversarial training.

    algorithm1.py   the loop
    losses.py       what each player minimises, game by game; divergences.py has the f-divergences among them
    penalties.py    what holds a critic's slope: gradient penalties, clipping, spectral norm
    packing.py      D judges several samples at once
    networks.py     the players
"""

from . import divergences, losses, packing, penalties
from .algorithm1 import algorithm1
from .losses import GAMES, Game, game
from .packing import pack

__all__ = ["GAMES", "Game", "algorithm1", "divergences", "game", "losses", "pack", "packing", "penalties"]
