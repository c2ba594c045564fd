"""What a run is judged by: numbers computed from samples, never from a loss.  mixtures.py: modes of a known mixture."""

from .mixtures import mode_statistics

__all__ = ["mode_statistics"]
