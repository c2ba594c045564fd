"""The benchmark on a GPU: `python -m minigan.bench --device cuda`.  Not yet measured on one.

    sizes.py       what is checked and measured
    checks.py      every kernel in every precision against kernels/reference.py
    gradients.py   the derivatives of every op, on the device
    sanitizer.py   the kernels once more, under NVIDIA's compute-sanitizer
    proofs.py      these three, and what to say of them
    ours.py, pytorch.py    the cases that a CPU has not: captured and compiled steps
    worker.py      a process with one library on the device
    table.py       the figures, as shares of what the device can do
    tiles.py       every tile on every large convolution: whether the plan picks the fastest
    run.py         all of it, in this order

Without a GPU, MINIGAN_KERNELS=emulator rehearses it: python -m minigan.bench --device cuda --quick.

What is shared with the CPU's benchmark lies one folder up. Read sizes.py next.
"""
