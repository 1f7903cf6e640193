"""How long the text of a column is, as far as its source tells without being read."""

from collections.abc import Mapping
from dataclasses import dataclass

import dask.array as da
import numpy as np

# what a text of unknown length is taken for
TEXT_BYTES = 32


@dataclass(frozen=True)
class TextSize:
    """Bytes of a value in UTF-8: on average, and on average in the part where they are most."""

    mean: float
    most: float


ASSUMED = TextSize(TEXT_BYTES, TEXT_BYTES)


def is_text(array: da.Array) -> bool:
    """Whether values have no fixed width."""
    return array.dtype.kind in "OT"


def size_of(name: str, array: da.Array, texts: Mapping[str, TextSize]) -> TextSize | None:
    """Of an array's values; None where they have a fixed width."""
    return texts.get(name, ASSUMED) if is_text(array) else None


def row_bytes(name: str, array: da.Array, texts: Mapping[str, TextSize]) -> float:
    """Bytes of a row as it is stored, before compression.

    Examples
    --------
    >>> notes = da.from_array(np.array(["a", "b"], object), chunks=2)
    >>> row_bytes("note", notes, {"note": TextSize(100, 250)}), row_bytes("note", notes, {})
    (100.0, 32.0)
    """
    text = size_of(name, array, texts)
    values = float(np.prod(array.shape[1:], dtype=np.int64))
    return values * (array.dtype.itemsize if text is None else text.mean)
