"""The rows of the table: which examples are run, with which arguments, over how many seeds.

To add one, write it here. Toys are run over five seeds, image systems over as many as their time allows; a row passes
when more than half of its seeds do. A note is a sentence for the reader of a row that does not pass; keyed by the
beginning of a claim's name, or by "" for the row as a whole, it is printed when that fails, and only then.

Read runs.py next.
"""

from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]  # of the checkout; an installed package has no examples beside it
EXAMPLES = ROOT / "examples"


class Row(NamedTuple):
    """One line of the table: an example with its arguments."""

    name: str  # of the row and of its folder
    section: str
    example: str  # a file of examples/
    arguments: tuple = ()
    seeds: int = 1  # 0, 1, ... seeds - 1
    seconds: int = 60  # what one seed takes on one core, roughly: what the bar goes by
    pictures: tuple = ()  # globs in the run's folder: copied to figures/, of the first seed
    notes: tuple = ()  # (beginning of a claim, sentence), ...

    def there(self):
        """Whether the example is in this checkout."""
        return (EXAMPLES / self.example).is_file()


BASICS, GAMES = "The two players", "Games on points"
EVIDENCE, IMAGES = "Theorems and figures", "Images"

PLAYED = {"minimax": 20, "non-saturating": 20, "maximum-likelihood": 20, "least-squares": 20, "hinge": 20,
          "f-gan:kl:non-saturating": 20, "f-gan:squared-hellinger:non-saturating": 20,
          "wasserstein": 20, "wgan-gp": 30, "wgan-div": 30}  # fmt: skip

WHY = {  # a game's row fails: what its metrics.jsonl shows
    "maximum-likelihood": "Where a seed fails, D stays unsure (its loss near 0.4 of at most 0.69): its logits are "
    "moderate, and so e^l' is not steep. The claim needs a good D.",
    "f-gan:kl:non-saturating": "The conjugate is e^(v-1) of an output without bound. In the seeds that fail, one batch "
    "takes D's loss to 10^4 or as far as 10^14; G is thrown off the data, and does not come back once D has stopped.",
    "f-gan:squared-hellinger:non-saturating": "The conjugate holds an e^v, and D's loss jumps to 10^4. Then D's bound "
    "stays near its best, 1: D tells G's samples from the data to the end, while G sits on a part of the modes.",
    "wasserstein": "G finds the modes, but not their sharpness. A critic of weights within ±0.03 is next to flat (its "
    "gap ends at 0.003), and five of its steps for one of G's leave G only 2,000 steps.",
}


def _game(data, game, seconds):
    arguments, notes = ("--game", game, "--data", data), (("", WHY[game]),) if game in WHY else ()
    return Row(f"{data}-{game.replace(':', '-')}", GAMES, "05_games.py", arguments, 5, seconds, notes=notes)


SHARPNESS = ("samples", "12,000 steps do not make 25 modes sharp: most samples lie between them, with "
             "m = 1 too, so that the modes counted are a matter of chance. The paper trains 400,000.")  # fmt: skip
LUCK = ("", "Nothing in the loss asks that u1 and u2 lie along slant and weight: L stays the same when their square is "
        "turned or bent, so chance decides. That both are in u is what the last two claims measure.")  # fmt: skip


ROWS = (
    Row("first-ring", BASICS, "01_gan_ring.py", (), 5, 20),
    Row("first-ring-minimax", BASICS, "01_gan_ring.py", ("--game", "minimax"), 5, 20),
    *(_game(data, game, seconds) for data in ("ring", "grid") for game, seconds in PLAYED.items()),
    *(Row(f"pacgan-{data}-{m}", GAMES, "06_pacgan.py", ("--data", data, "--pack", str(m)), 5, 30, notes=(SHARPNESS,))
      for data in ("ring", "grid") for m in (2, 3, 4)),
    Row("collapse", GAMES, "17_collapse.py", (), 5, 35, ("*/dashboard.png",)),
    Row("textbook", EVIDENCE, "07_textbook_figures.py", (), 1, 5, ("*.png",)),
    Row("optimal-discriminator", EVIDENCE, "08_optimal_discriminator.py", (), 5, 10, ("*.png",)),
    Row("wasserstein-distance", EVIDENCE, "09_wasserstein_distance.py", (), 5, 30, ("*.png",)),
    Row("wgan-gp-surfaces", EVIDENCE, "10_wgan_gp_surfaces.py", (), 1, 30, ("*.png",)),
    Row("wgan-div", EVIDENCE, "11_wgan_div.py", (), 5, 30, ("*.png",)),
    Row("f-gan", EVIDENCE, "12_f_gan.py", (), 5, 30, ("*.png",)),
    Row("vanishing-gradients", EVIDENCE, "13_vanishing_gradients.py", (), 1, 300, ("*.png",)),
    Row("dcgan-glyphs", IMAGES, "02_dcgan.py", (), 3, 330),
    Row("dcgan-fashion", IMAGES, "02_dcgan.py", ("--data", "fashion-mnist", "--size", "28", "--steps", "4700",
                                                 "--width", "32"), 3, 300),
    Row("dcgan-features", IMAGES, "18_dcgan_features.py", (), 3, 240),
    Row("conditional", IMAGES, "14_conditional.py", (), 3, 300),
    Row("infogan-glyphs", IMAGES, "15_infogan.py", (), 5, 300, notes=(LUCK,)),
    Row("infogan-fashion", IMAGES, "15_infogan.py", ("--data", "fashion-mnist"), 3, 300),
    Row("semi-supervised", IMAGES, "16_semi_supervised.py", (), 3, 300),
)  # fmt: skip


def chosen(patterns):
    """The rows whose name is one of `patterns`, begins with it, or matches it as a glob; "all" is all of them.

    ValueError that names a pattern without a row.
    """
    from difflib import get_close_matches
    from fnmatch import fnmatchcase

    picked = []
    for pattern in ("*" if pattern == "all" else pattern for pattern in patterns):
        exact = [row for row in ROWS if row.name == pattern]
        near = [row for row in ROWS if row.name.startswith(pattern) or fnmatchcase(row.name, pattern)]
        if not (exact or near):
            close = ", ".join(get_close_matches(pattern, [row.name for row in ROWS], cutoff=0.4)) or ROWS[0].name
            raise ValueError(f"there is no row called {pattern!r}; close to it: {close} (reproduce --list shows all)")
        picked += exact or near
    return [row for row in ROWS if row in picked]
