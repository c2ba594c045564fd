"""cuda_graph: a whole training step as one CUDA graph, replayed without work of the host between its kernels.

    rng = mg.generator(0, "cuda")

    def step():
        real = images[rng.integers(len(images), size=64)]              # images: a CuPy array, all of them on the device
        fake = G(mg.tensor(rng.standard_normal((64, 100), np.float32)))
        loss_D = ...
        opt_D.step(mg.grad(loss_D, D.parameters()))
        ...
        return {"loss_D": loss_D, "loss_G": loss_G}

    step = mg.cuda_graph(step)
    for t in range(steps):
        seen = step()
        if t % 100 == 0:
            print(t, seen["loss_D"].item())                            # the only time that the host waits

A step of small kernels is as slow as Python launches them. The graph knows the kernels, their arguments and their
order: one launch runs them all. What it repeats are kernels at addresses, so that

    what a step changes must be changed in place (parameters, moments, running means, the generator's counter are)
    what Python decides is decided: a new learning rate, batch size or precision wants reset()
    nothing in it may wait for a number (.item(), float(), `if x > 0`) or bring one from the host (NumPy arrays)

Not yet measured on a GPU.  Stands on kernels/gpu.py. Read optim.py for a step counter on the device.
"""

import contextlib

from .kernels.gpu import cupy_or_error


class CudaGraph:
    """The callable that cuda_graph makes.  calls: how many steps were made, by whatever way."""

    def __init__(self, step):
        if not callable(step):
            raise TypeError(f"cuda_graph: wants a function of no arguments, got {type(step).__name__}")
        self.xp = cupy_or_error("cuda_graph")
        self.step, self.calls = step, 0
        self.reset()

    def reset(self):
        """Capture anew: the next call runs the step as it is, the one after it captures."""
        self.graph = self.result = None
        self.warm = False
        self.pool = self.xp.cuda.MemoryPool()  # what a graph computes into belongs to it alone, as long as it lives

    def __call__(self):
        """One step. → what the step returns; from the second call on the same tensors, with the newest numbers."""
        self.calls += 1
        if not self.warm:
            self.warm = True
            return self.step()  # compiles kernels, and makes what is made once
        if self.graph is None:
            self._capture()
        self.graph.launch()
        return self.result

    def _capture(self):
        stream = self.xp.cuda.Stream(non_blocking=True)
        self.xp.cuda.Device().synchronize()
        with self.xp.cuda.using_allocator(self.pool.malloc), stream:
            stream.begin_capture()
            try:
                self.result = self.step()
            except Exception as error:
                _abandon(stream)
                raise RuntimeError(
                    f"cuda_graph: the step cannot be captured: {error}. Within it nothing may wait for a number of the "
                    "device (item(), float(), a condition on one) or bring an array from the host; return tensors, and "
                    "read them between steps"
                ) from error
            self.graph = stream.end_capture()


def _abandon(stream):
    """End a capture that failed; CUDA may have given it up already, and says so once more."""
    with contextlib.suppress(Exception):  # the first error is the one to tell
        stream.end_capture()


def cuda_graph(step):
    """A function of no arguments that does what `step` does, from its second call on as a CUDA graph.

    step   function of no arguments on a GPU's tensors; it may return tensors, or dicts or lists of them
    Errors: DeviceError without a GPU; RuntimeError, at the second call, for a step that cannot be captured.
    The first call runs `step` as it is, the second captures it and replays it, the others replay: the numbers are those
    of a run without a graph, to the last bit.
    """
    return CudaGraph(step)
