"""The benchmark: how long minigan takes beside PyTorch, and how much memory.  Run it with `python -m minigan.bench`.

    sizes.py      what is measured: DCGAN's layers and steps, the ring, the chain of adds
    place.py      where: the CPU, a GPU, or a rehearsal of one
    ours.py       each case as minigan's users write it
    pytorch.py    the same cases as PyTorch's users write them
    bounds.py     how large an error rounding explains
    checks.py     every kernel against kernels/reference.py in float64, before anything is timed
    worker.py     a process with one library in it, that runs what it is told to
    race.py       the processes taking turns, and the ratio of their times
    table.py      the figures as a table
    gpu/          the same on a GPU: --device cuda

A case has the same name in ours.py, pytorch.py and checks.py. Read sizes.py next.
"""
