"""Where downloaded and computed data is kept between runs, and how it gets there whole.

Stands on the standard library.
"""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path


def cache_folder():
    """The folder for minigan's data, made on demand → Path.

    $MINIGAN_CACHE, else $XDG_CACHE_HOME/minigan, else ~/.cache/minigan; a temporary folder where that
    one cannot be written.
    """
    wanted = os.environ.get("MINIGAN_CACHE")
    if not wanted:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
        wanted = os.path.join(base, "minigan")
    for folder in (wanted, os.path.join(tempfile.gettempdir(), "minigan")):
        try:
            os.makedirs(folder, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):        # the only sure test of a folder is to write there
                return Path(folder)
        except OSError:
            continue
    return Path(tempfile.mkdtemp(prefix="minigan-"))


@contextmanager
def atomically(path):
    """Yield a path to write to; the file takes its final name only if the block ends without an error."""
    handle, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(handle)
    try:
        yield Path(part)
        os.replace(part, path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise
