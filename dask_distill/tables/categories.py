"""Categories as indicators."""

import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


def one_hot(values: Any, known: tuple[str, ...], others: int = 8) -> npt.NDArray[np.float32]:
    """(m, known + others) indicators of known values; others share some by their hash."""
    out = np.zeros((len(values), len(known) + others), np.float32)
    values = values.dictionary_decode() if pa.types.is_dictionary(values.type) else values
    found = pc.index_in(values, pa.array(list(known), pa.string()), skip_nulls=True)
    at = found.fill_null(-1).to_numpy(zero_copy_only=False)
    rows = np.flatnonzero(at >= 0)
    out[rows, at[rows]] = 1
    for row in np.flatnonzero(at < 0).tolist() if others else ():
        value = values[row].as_py()
        if value is not None:
            out[row, len(known) + zlib.crc32(value.encode()) % others] = 1
    return out
