"""What a worker sees: one run of rows, cut at fixed multiples of the global row number.

Blocks are chosen from the number of rows and features alone, never from the chunks of the
input: whatever depends on blocks by nature is then the same for any chunking.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.data.compact import CompactRows
from dask_distill.data.labels import dense

_BLOCK_BYTES = 32 * 2**20
_LEAST_ROWS = 4096
_MOST_BLOCKS = 4096
_PARALLEL_BLOCKS = 16
# rows scored together; BLAS results depend on the shape of a tile, so it never varies
_TILE_VALUES = 2**18


@dataclass(frozen=True, kw_only=True)
class RawBlock:
    """A block as the source has it.

    Attributes
    ----------
    number : int
        Position among the blocks.
    start : int
        Global number of its first row.
    X : (m, d) float array, C order
    y : (m,) array of labels, or None
    time : (m,) float64 array or None
        Dates in seconds since 1970.
    weight : (m,) float64 array or None
        Sample weights.
    compact : CompactRows or None
        Features in a smaller form, all of them finite; X has no column then.
    """

    number: int
    start: int
    X: npt.NDArray[np.floating]
    y: npt.NDArray[np.generic] | None
    time: npt.NDArray[np.float64] | None = None
    weight: npt.NDArray[np.float64] | None = None
    compact: CompactRows | None = None


@dataclass(frozen=True, kw_only=True)
class Block:
    """A block of valid rows with class numbers.

    Attributes
    ----------
    number : int
    rows : (m,) int64 array
        Global row numbers, ascending.
    X : (m, d) float array, C order, finite
        In the reduced space, where there is a reduction.
    codes : (m,) int32 array of class numbers, or None
    novelty : (m,) float32 array or None
        How badly the reduction makes each row again.
    probabilities : (m, C) float32 array or None
        What the user's model says of the features before the reduction.
    time : (m,) float64 array or None
    mass : (m,) float64 array of whole numbers above 0, or None
        What each row stands for, in units of a `Weighing`; None where they are alike.
    scores : (m, c) float32 array or None
        Scores of the rows that were given, by criterion; None where they are to be made.
    """

    number: int
    rows: npt.NDArray[np.int64]
    X: npt.NDArray[np.floating]
    codes: npt.NDArray[np.int32] | None
    novelty: npt.NDArray[np.float32] | None = None
    probabilities: npt.NDArray[np.float32] | None = None
    time: npt.NDArray[np.float64] | None = None
    mass: npt.NDArray[np.float64] | None = None
    scores: npt.NDArray[np.float32] | None = None

    @property
    def times(self) -> npt.NDArray[np.float64]:
        """(m,) when each row was, of data that has times.

        Raises
        ------
        ValueError
        """
        if self.time is None:
            raise ValueError("the rows must have times, got none")
        return self.time

    def given(self, space: Any = None) -> dict[str, npt.NDArray[Any] | None]:
        """What a journal need not write of the block's states."""
        X = self.X if space is None else space(self.X)
        return {
            "rows": self.rows,
            "codes": self.codes,
            "X": X,
            "time": self.time,
            "mass": self.mass,
            "novelty": self.novelty,
            "probabilities": self.probabilities,
            "scores": self.scores,
        }


def block_rows(n: int, d: int) -> int:
    """Rows in a block for a data set of n rows and d features.

    About 32 MiB of float32, but some 16 blocks where there are rows enough, and at most 4,096 of
    them. A power of two where it can be: stored chunks often are, and lie in one block then.

    Examples
    --------
    >>> block_rows(336_776, 24), block_rows(1_000, 24)
    (16384, 4096)
    """
    rows = min(_BLOCK_BYTES // (4 * d), -(-n // _PARALLEL_BLOCKS))
    least = min(_LEAST_ROWS, max(tile_rows(d), _BLOCK_BYTES // (4 * d)))
    rows = max(1 << round(math.log2(max(1, rows))), 1 << int(math.log2(least)))
    enough = -(-n // _MOST_BLOCKS)
    if rows >= enough:
        return rows
    unit = min(1024, tile_rows(d))
    return -(-enough // unit) * unit


def tile_rows(d: int) -> int:
    """Rows scored together: a power of two that keeps a tile of d features in cache.

    Examples
    --------
    >>> tile_rows(64), tile_rows(100_000)
    (4096, 16)
    """
    return int(min(4096, max(16, 2 ** int(np.log2(max(1, _TILE_VALUES // max(1, d)))))))


def block_bounds(n: int, d: int) -> tuple[int, ...]:
    """Row counts of all blocks, in order; they sum to n."""
    rows = block_rows(n, d)
    full, rest = divmod(n, rows)
    return (rows,) * full + ((rest,) if rest else ())


def as_features(values: npt.ArrayLike) -> npt.NDArray[np.floating]:
    """Flatten to (m, d) and to native floats, in C order.

    They hold the values exactly, but for integers beyond 2**53.
    """
    array = dense(values, "features")
    array = array.reshape(len(array), math.prod(array.shape[1:]))
    # one byte of integer, or two, fits in the 24 bits of a float32
    exact_in_float32 = array.dtype.itemsize <= (4 if array.dtype.kind == "f" else 2)
    return np.ascontiguousarray(array, np.float32 if exact_in_float32 else np.float64)
