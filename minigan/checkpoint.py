"""Checkpoints: everything a run needs to go on, in one safetensors file that is whole or not there.

    checkpoint.save("run.safetensors", G=G, D=D, opt_G=opt_G, opt_D=opt_D, rng=rng, step=1200)
    step = checkpoint.load("run.safetensors", G=G, D=D, opt_G=opt_G, opt_D=opt_D, rng=rng)["step"]

A part is a tree: dicts and lists whose leaves are arrays or plain values. The arrays become tensors
named by their path ("G/0.weight", "opt_G/moments/0"); the tree itself, with null where an array stood,
goes into the file's metadata as JSON. A file is written aside and renamed over the old one, so a kill
at any moment leaves the old checkpoint or the new one, and never half of one.

Stands on NumPy and safetensors alone: a part is anything that has state_dict() and load_state_dict(),
or a numpy Generator. Read run.py next.
"""

import contextlib
import copy
import glob
import json
import os
import secrets
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

VERSION = 1
DTYPES = {"bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
          "float16", "float32", "float64", "complex64"}


def save(path, /, **parts):
    """Write `parts` to `path`, replacing what was there in one step.

    parts   objects with state_dict() (a module, an optimiser, a stream of batches), numpy Generators,
            arrays, and values that JSON knows. Tuples come back as lists, NumPy scalars as Python's
            numbers, arrays bit for bit (in this machine's byte order).
    Raises TypeError, before anything is written, for a value that cannot be kept.
    """
    tensors, record = _take_apart(parts)
    metadata = {"minigan": json.dumps({"version": VERSION, "parts": record})}
    write_file(path, to_bytes(tensors, metadata=metadata))


def load(path, /, **parts):
    """Restore each of `parts` in place from `path`; return the plain values and arrays saved beside them.

    Parts that the file has and the call does not name are left alone, so G can be loaded without D.
    Raises FileNotFoundError, or ValueError naming the file and the part, when the file is cut short or
    foreign, lacks a part, or holds one that does not fit. Then every part is as it was before the call.
    """
    for name, part in parts.items():
        if _kind(part) == "value":
            raise TypeError(f"load: {name}={part!r} cannot be restored in place; "
                            f"plain values come back in the dict that load returns")
    record = _open(path, lambda name, kind: name in parts or kind == "value")
    for name, part in parts.items():
        _check(path, record, name, part)
    _restore(path, parts, {name: record[name][1] for name in parts})
    return {name: value for name, (kind, value) in record.items() if kind == "value"}


def read(path, /):
    """All that a checkpoint holds, as a nested dict of arrays and values, to look at."""
    return {name: value for name, (_, value) in _open(path).items()}


def not_finite(**parts):
    """The names of the arrays in `parts`, as save would name them, that hold a NaN or an infinity."""
    tensors, _ = _take_apart(parts)
    return [name for name, array in tensors.items() if not np.isfinite(array).all()]


def save_weights(path, module):
    """Write a module's state_dict() as a plain safetensors file: name → array, for any reader."""
    tensors = {name: _array(value, name) for name, value in module.state_dict().items()}
    write_file(path, to_bytes(tensors))


def load_weights(path, module):
    """Load a plain safetensors file of name → array into `module`.

    Raises FileNotFoundError, or ValueError when the weights do not fit; the module is then unchanged.
    """
    with _safetensors(path) as file:
        weights = {name: file.get_tensor(name) for name in file.keys()}      # noqa: SIM118 (it is no dict)
    _restore(path, {type(module).__name__: module}, {type(module).__name__: weights})


def write_file(path, data):
    """Put the bytes `data` at `path` so that a reader, now or after a power cut, sees all of it or the old file.

    Written aside in the same folder, flushed to the disk, renamed over. What a killed writer left aside
    is swept away first, so a path has one writer at a time.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        left.unlink(missing_ok=True)
    aside = path.parent / f".{path.name}.{secrets.token_hex(4)}.tmp"
    try:
        with open(aside, "xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)            # already gone unless something failed
    with contextlib.suppress(OSError):           # Windows and some network disks cannot sync a folder
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)                     # the rename, too, must outlive a power cut
        finally:
            os.close(folder)


# ---- a part's state, and back -----------------------------------------------------------------------------

def _kind(part):
    if callable(getattr(part, "state_dict", None)):
        return "state"
    return "generator" if isinstance(part, np.random.Generator) else "value"


def _state(part):
    kind = _kind(part)
    return part.state_dict() if kind == "state" else part.bit_generator.state if kind == "generator" else part


def _set_state(part, state):
    if _kind(part) == "generator":
        part.bit_generator.state = state
    else:
        part.load_state_dict(state)


def _check(path, record, name, part):
    """What can be said against a part before anything is touched."""
    if name not in record:
        have = ", ".join(record) or "nothing"
        raise ValueError(f"{path}: there is no part {name!r} in this checkpoint (it has {have})")
    kind, state = record[name]
    if kind != _kind(part):
        raise ValueError(f"{path}: part {name!r} was saved as a {kind}, "
                         f"but a {_kind(part)} ({type(part).__name__}) is to be restored from it")
    if kind == "generator" and state["bit_generator"] != part.bit_generator.state["bit_generator"]:
        raise ValueError(f"{path}: part {name!r} is the state of a {state['bit_generator']}, "
                         f"but the generator given is a {part.bit_generator.state['bit_generator']}")


def _restore(path, parts, states):
    """Set every part's state, or none: the first that refuses brings back all."""
    before = {name: copy.deepcopy(_state(part)) for name, part in parts.items()}     # a state may be a view
    touched = []
    try:
        for name, part in parts.items():
            touched.append(name)
            _set_state(part, states[name])
    except BaseException as error:
        for done in reversed(touched):
            _set_state(parts[done], before[done])
        if not isinstance(error, Exception):     # Ctrl-C stays Ctrl-C
            raise
        why = error if isinstance(error, ValueError) else repr(error)
        raise ValueError(f"{path}: part {name!r} does not fit: {why}") from error


# ---- a tree as tensors and JSON, and back -----------------------------------------------------------------

def _take_apart(parts):
    """The arrays of all parts by their paths, and what is left of each part."""
    tensors, record = {}, {}
    for name, part in parts.items():
        record[name] = {"kind": _kind(part), "tree": _split(_state(part), _escape(name), tensors)}
    return tensors, record


def _split(value, path, tensors):
    """The tree `value` with None where an array stands; the arrays go to `tensors` under their paths."""
    if isinstance(value, np.generic) and not isinstance(value.item(), np.generic):
        value = value.item()
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str):
                raise TypeError(f"{path}: a state's keys must be strings, not {key!r}")
        return {key: _split(v, f"{path}/{_escape(key)}", tensors) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_split(v, f"{path}/{i}", tensors) for i, v in enumerate(value)]
    tensors[path] = _array(value, path)
    return None


def _join(tree, path, tensors):
    """What _split took apart."""
    if tree is None:
        return tensors.get(path)
    if isinstance(tree, dict):
        return {key: _join(v, f"{path}/{_escape(key)}", tensors) for key, v in tree.items()}
    if isinstance(tree, list):
        return [_join(v, f"{path}/{i}", tensors) for i, v in enumerate(tree)]
    return tree


def _escape(key):
    """A key as one step of a path: a slash inside it must not look like two steps."""
    return key.replace("%", "%25").replace("/", "%2F")


def _array(value, name):
    """`value` as safetensors takes it: it reads the memory as it lies, so that must be contiguous and native."""
    if callable(getattr(value, "numpy", None)):                # a Tensor
        value = value.numpy()
    if hasattr(value, "__cuda_array_interface__"):             # an array on the GPU
        value = value.get()
    array = np.asarray(value)
    if array.dtype.name not in DTYPES:
        raise TypeError(f"{name}: cannot save a {type(value).__name__} of dtype {array.dtype}; a checkpoint holds "
                        f"arrays of {', '.join(sorted(DTYPES))}, and what JSON knows")
    return np.asarray(array, dtype=array.dtype.newbyteorder("="), order="C")


# ---- reading ----------------------------------------------------------------------------------------------

def _open(path, wanted=lambda name, kind: True):
    """{part: (kind, value)} of a checkpoint; the value is None, and its tensors unread, where not wanted."""
    with _safetensors(path) as file:
        text = (file.metadata() or {}).get("minigan")
        if text is None:
            raise ValueError(f"{path}: a safetensors file, but not a checkpoint of minigan "
                             f"(plain weights are read by load_weights)")
        record = json.loads(text)
        if record["version"] != VERSION:
            raise ValueError(f"{path}: a checkpoint of format {record['version']}; "
                             f"this minigan reads format {VERSION}")
        parts = record["parts"]
        wanted = {_escape(name): name for name, part in parts.items() if wanted(name, part["kind"])}
        names = [key for key in file.keys() if key.split("/")[0] in wanted]  # noqa: SIM118
        tensors = {key: file.get_tensor(key) for key in names}
    return {name: (part["kind"], _join(part["tree"], _escape(name), tensors) if _escape(name) in wanted else None)
            for name, part in parts.items()}


@contextlib.contextmanager
def _safetensors(path):
    """safe_open, with its complaints as sentences."""
    if not Path(path).exists():
        raise FileNotFoundError(f"{path}: no such checkpoint")
    if not Path(path).is_file():
        raise ValueError(f"{path}: a folder, not a checkpoint")
    try:
        with safe_open(str(path), framework="np") as file:
            yield file
    except SafetensorError as error:
        raise ValueError(f"{path}: cut short, or not a safetensors file ({error})") from error
