"""Where a benchmark runs: on the CPU, on a GPU, or on the CPU in place of a GPU, to rehearse.

What differs between these is here, and nowhere else: who holds the arrays, how to wait for them, how to take the time,
and whether a step can be captured as a CUDA graph.

    put, host              a NumPy array to the place, and back
    generator              where a step's noise comes from
    capture                a step, as one CUDA graph where there is such a thing
    building, synchronize, seconds     what worker.py needs; gpu/pytorch.py has another place with these three

Stands on the standard library; minigan and CuPy are imported when a place for them is made. Read ours.py next.
"""

import contextlib
import os
import shutil
import subprocess
import time


class Host:
    """The CPU: NumPy's arrays, or PyTorch's, and every call timed by itself."""

    device = "cpu"

    @staticmethod
    def put(array):
        return array

    @staticmethod
    def host(array):
        return array

    @staticmethod
    def generator(rng, seed):
        """The generator that has made the data goes on with the noise."""
        return rng

    @staticmethod
    def building():
        """A context in which a case's data are made."""
        return contextlib.nullcontext()

    @staticmethod
    def kernels():
        """What runs here, for the line that names the libraries."""
        if os.environ.get("MINIGAN_KERNELS") == "reference":
            return "reference kernels"
        from minigan.kernels import cpu

        unit = getattr(getattr(cpu, "simd", None), "UNIT", None)
        return f"cpu kernels, {unit.name}" if unit else "cpu kernels"

    @staticmethod
    def seconds(function, reps):
        """The seconds of each of `reps` calls."""
        return [_timed(function) for _ in range(reps)]


class Device:
    """What GPU and rehearsal share: a burst of calls is timed as one, as a program makes them.

    A call only queues its work, so its own time says nothing. The clock starts when the device is idle and stops when
    it is idle again; the mean over the burst is what a call costs, whichever of host and device is the slower.
    """

    building = staticmethod(contextlib.nullcontext)

    @staticmethod
    def synchronize():
        pass

    @staticmethod
    def release():
        """Give memory that is no longer used back, for the other processes."""

    def seconds(self, function, reps):
        """[the mean seconds of `reps` calls]"""
        self.synchronize()

        def burst():
            for _ in range(reps):
                function()
            self.synchronize()

        return [_timed(burst) / reps]


class Emulated(Device, Host):
    """A rehearsal: NumPy's arrays, and the CUDA kernels in the emulator; timed as on a GPU."""

    def __init__(self):
        from minigan.kernels.cuda.backends import emulated
        from minigan.kernels.emulator.build import compiler_or_error

        compiler_or_error()
        self.processors = emulated.processors

    @staticmethod
    def capture(step):
        return step

    @staticmethod
    def kernels():
        return "cuda kernels, emulated"

    @staticmethod
    def copy(y, x):
        y[...] = x

    @staticmethod
    def machine():
        """{what: text} for the line that names the machine."""
        return {"gpu": "no GPU: the emulator", "system": "on the CPU"}


class Cuda(Device):
    """The current GPU, through CuPy; DeviceError where there is none."""

    device = "cuda"

    def __init__(self):
        from minigan.kernels.gpu import cupy_or_error

        self.cupy = cupy_or_error("--device cuda")

    @property
    def processors(self):
        return self.cupy.cuda.Device().attributes["MultiProcessorCount"]

    def put(self, array):
        return self.cupy.asarray(array)

    def host(self, array):
        return self.cupy.asnumpy(array)

    @staticmethod
    def generator(rng, seed):
        """Noise that is made on the device: a captured step cannot fetch it from the host."""
        import minigan as mg

        return mg.generator(seed, device="cuda")

    def synchronize(self):
        self.cupy.cuda.Device().synchronize()

    def release(self):
        self.cupy.get_default_memory_pool().free_all_blocks()

    @staticmethod
    def capture(step):
        import minigan as mg

        return mg.cuda_graph(step)

    def kernels(self):
        return f"cuda kernels, CuPy {self.cupy.__version__}"

    def copy(self, y, x):
        self.cupy.copyto(y, x)

    def machine(self):
        runtime = self.cupy.cuda.runtime
        found = runtime.getDeviceProperties(self.cupy.cuda.Device().id)
        gpu = f"{found['name'].decode()}, sm_{found['major']}{found['minor']}, {found['multiProcessorCount']} SMs"
        return {"gpu": gpu, "system": f"{_driver()}CUDA runtime {_version(runtime.runtimeGetVersion())}"}


def _driver():
    """The driver's own number, which CUDA's interface does not tell."""
    asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    if not shutil.which(asked[0]):
        return ""
    lines = subprocess.run(asked, capture_output=True, text=True).stdout.split()
    return f"driver {lines[0]}, " if lines else ""


def _version(number):
    return f"{number // 1000}.{number % 1000 // 10}"


def _timed(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


PLACES = {"cpu": Host, "emulated": Emulated, "cuda": Cuda}
