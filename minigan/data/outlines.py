"""From fonts to signed distance fields: the table that glyphs.py draws from.

Matplotlib ships text faces of the DejaVu and STIX families. Each character's outline is taken as a
closed polygon; the field at a point is its distance to the nearest edge, positive where the outline
winds around it. Both are exact and need no bitmap.

Stands on Matplotlib (for the outlines only, on first use) and on cache.py.
"""

import hashlib

import numpy as np

from .cache import atomically, cache_folder

# Left out: DejaVu's obliques and italics, whose capitals and digits are the upright ones, sheared (slant
# is a factor here); faces of symbols; faces for display.
FACES = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSerif", "DejaVuSerif-Bold",
    "STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "STIXGeneralBolIta",
)
SAMPLES = 64            # a field is SAMPLES x SAMPLES
BOX = 1.25              # and covers BOX glyph boxes a side, so that a bold letter still ends inside
MAX_SLANT = 0.25        # 14°
VERSION = 1             # part of the cached file's name: raise it when the table changes


def table(characters):
    """Faces' names and the fields of `characters` in them, (characters, faces, SAMPLES, SAMPLES) float32."""
    import matplotlib

    if not characters or len(set(characters)) != len(characters):
        raise ValueError(f"Glyphs: characters must be different from one another and at least one, not {characters!r}.")
    if not characters.isprintable() or " " in characters:
        raise ValueError(f"Glyphs: {characters!r} has a character with no ink to draw.")
    key = hashlib.sha256(repr((VERSION, SAMPLES, matplotlib.__version__, characters)).encode()).hexdigest()[:16]
    path = cache_folder() / f"glyphs-{key}.npz"
    found = _read(path, len(characters))
    if found is None:
        found = build(characters)
        _write(path, *found)
    faces, fields = found
    return faces, fields.astype(np.float32)


def build(characters):
    """Draw every character in every face that has them all; see `table`."""
    from matplotlib import font_manager, get_data_path
    from tqdm import tqdm

    faces, fonts = [], []
    for face in FACES:
        file = f"{get_data_path()}/fonts/ttf/{face}.ttf"
        try:
            font = font_manager.get_font(file)
        except OSError:         # a distribution may ship fewer fonts
            continue
        if all(font.get_char_index(ord(c)) for c in characters):
            faces.append(face)
            fonts.append((font_manager.FontProperties(fname=file), _lean(font)))
    if not faces:
        raise ValueError(f"Glyphs: no text face of Matplotlib's has all of the characters {characters!r}.")

    fields = np.empty((len(characters), len(faces), SAMPLES, SAMPLES), np.float16)
    with tqdm(total=fields.shape[0] * fields.shape[1], desc="drawing glyphs", unit="glyph", leave=False) as bar:
        for j, (font, lean) in enumerate(fonts):
            capital = np.ptp(outline("H", font)[0], axis=0)[1]
            for i, character in enumerate(characters):
                fields[i, j] = distance_field(*fit(*outline(character, font, lean), capital))
                bar.update()
    return tuple(faces), fields


def outline(character, font, lean=0.0):
    """The edges of a character's outline → starts (m, 2), ends (m, 2), y upwards, sheared upright by `lean`."""
    from matplotlib.textpath import TextPath

    rings = TextPath((0, 0), character, size=200, prop=font).to_polygons()
    starts, ends = (np.concatenate([ring[part] for ring in rings]) for part in (slice(None, -1), slice(1, None)))
    upright = np.array([[1, 0], [-lean, 1]])
    return starts @ upright, ends @ upright


def fit(starts, ends, capital):
    """Centre an outline and scale it into the unit box, where it stays at any slant up to MAX_SLANT.

    No character is magnified more than the face's capitals: a full stop stays small.
    """
    middle = (starts.min(axis=0) + starts.max(axis=0)) / 2
    x, y = np.abs(starts - middle).T
    side = max(2 * y.max(), 2 * (x + MAX_SLANT * y).max(), capital)
    return (starts - middle) / side, (ends - middle) / side


def distance_field(starts, ends):
    """Signed distance to the outline, sampled over the box from its top left → (SAMPLES, SAMPLES).

    Distance to an edge: project the point on it, stop at its ends. Inside or outside: count how often
    the outline winds around the point, by the edges that pass to its right, upwards minus downwards.
    """
    line = np.linspace(-BOX / 2, BOX / 2, SAMPLES, dtype=np.float32)
    x, y = line[None, :, None], -line[:, None, None]                # (rows, columns, edges): y falls by row
    (ax, ay), (bx, by) = starts.T.astype(np.float32), ends.T.astype(np.float32)
    ex, ey = bx - ax, by - ay
    length2 = np.maximum(ex * ex + ey * ey, 1e-12)

    along = np.clip((x - ax) * (ex / length2) + (y - ay) * (ey / length2), 0, 1)
    distance = np.sqrt(((x - ax - along * ex) ** 2 + (y - ay - along * ey) ** 2).min(axis=-1))

    crosses = (ay <= y).astype(np.int8) - (by <= y)                 # +1 upwards, -1 downwards, 0 not at all
    at = ax + (y - ay) * (ex / np.where(ey == 0, 1, ey))            # where the edge meets the point's height
    winding = (crosses * (at > x)).sum(axis=-1)
    return np.where(winding != 0, distance, -distance)


def _lean(font):
    """An italic face's own slant, sideways per upward, from its post table (degrees, 16.16 fixed point)."""
    whole, fraction = font.get_sfnt_table("post")["italicAngle"]
    return np.tan(np.radians(-(whole + fraction / 65536)))


def _read(path, count):
    """The cached table, or None where there is none that is whole."""
    try:
        with np.load(path, allow_pickle=False) as file:
            faces, fields = tuple(str(face) for face in file["faces"]), file["fields"]
    except Exception:           # missing or damaged in whatever way: the cure is the same, to build it
        return None
    fits = fields.shape == (count, len(faces), SAMPLES, SAMPLES) and fields.dtype == np.float16
    return (faces, fields) if fits and len(faces) and np.isfinite(fields).all() else None


def _write(path, faces, fields):
    try:
        with atomically(path) as part, open(part, "wb") as file:
            np.savez(file, faces=np.array(faces), fields=fields)
    except OSError:             # a full disk costs a rebuild next time, nothing else
        pass
