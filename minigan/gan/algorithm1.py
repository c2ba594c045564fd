"""Algorithm 1 of Goodfellow et al. 2014, as an iterator: the loop stays in the reader's own `for`.

    for t, seen in algorithm1(d_step, g_step, batches, steps=1000, k=1):
        ...                                     # logging, sampling, saving: ordinary lines

Stands on nothing. Read networks.py next.
"""


def algorithm1(d_step, g_step, batches, *, steps, start=0, k=1):
    """Alternate k steps of the discriminator with one of the generator.

    d_step   function of a batch of real data that updates D; returns a dict of what it saw
    g_step   function of nothing that updates G; returns a dict of what it saw
    batches  iterator over real data
    steps    number of generator steps, counted from the very first run; `start` of them are already done
    →        yields (t, seen) after each generator step, t = start + 1 ... steps

    Source: Goodfellow et al. 2014, Algorithm 1.
    """
    if k < 1:
        raise ValueError(f"algorithm1: k must be at least 1, got {k}")
    for t in range(start + 1, steps + 1):
        seen = {}
        for _ in range(k):
            seen |= d_step(next(batches)) or {}
        seen |= g_step() or {}
        yield t, seen
