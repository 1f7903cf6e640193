"""Sums over the tokens of texts: what each pair of characters, or each word, adds to some columns.

All sums are of integers, so that tiles, threads and the order of rows change no bit. With numba
a loop over bytes adds up what tokens stand for; without, NumPy lists the tokens, and a sparse
product adds them up.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse

from dask_distill.kernels.distances import compiled
from dask_distill.kernels.token_hashes import Bytes, Ints, Offsets, token_buckets

Floats = npt.NDArray[np.float32]

# columns that one pass over the bytes adds up: four 64-bit words of four sums each
COLUMNS = 16


@dataclass(frozen=True, eq=False)
class Weights:
    """What each token adds to each column.

    Attributes
    ----------
    place : (BUCKETS,) uint16 array
        Row of ``table`` of each bucket.
    table : (m + 1, d) int8 array
        d is a multiple of COLUMNS; row 0 is of buckets that add nothing.
    """

    place: npt.NDArray[np.uint16]
    table: npt.NDArray[np.int8]


def token_sums(data: Bytes, offsets: Offsets, weights: Weights, words: bool, out: Floats) -> Ints:
    """Sum up the weights of each text's tokens, divided by the root of the number of tokens.

    What tokens are says `token_buckets`.

    Parameters
    ----------
    data, offsets, words : as for `token_buckets`
    weights : Weights
    out : (n, d) float32 array
        Written to; d is a multiple of COLUMNS.

    Returns
    -------
    (n,) int64 array: tokens in each text.

    Examples
    --------
    >>> from dask_distill.kernels.token_hashes import BUCKETS
    >>> weights = Weights(np.ones(BUCKETS, np.uint16), np.tile(np.int8([[0], [3]]), 16))
    >>> out = np.empty((1, 16), np.float32)
    >>> token_sums(np.frombuffer(b"abc", np.uint8), np.array([0, 3]), weights, False, out)
    array([4])
    >>> out[0, 0]
    np.float32(6.0)
    """
    counts = np.empty(len(offsets) - 1, np.int64)
    if compiled() is None:
        _listed_sums(data, offsets, weights, words, out, counts)
        return counts
    from dask_distill.kernels import _compiled_tokens

    add = _compiled_tokens.word_sums if words else _compiled_tokens.pair_sums
    for first in range(0, weights.table.shape[1], COLUMNS):
        columns = slice(first, first + COLUMNS)
        packed = _packed(weights.table[:, columns])
        add(data, offsets, weights.place, packed, out[:, columns], counts)
    return counts


def _packed(table: npt.NDArray[np.int8]) -> npt.NDArray[np.uint64]:
    """Four columns in a word, each in 16 bits and with 128 added: 257 of them fit in."""
    raised = (table.astype(np.int64) + 128).astype(np.uint64).reshape(len(table), -1, 4)
    shifted = raised << np.array([0, 16, 32, 48], np.uint64)
    return np.bitwise_or.reduce(shifted, axis=2)


def _listed_sums(
    data: Bytes, offsets: Offsets, weights: Weights, words: bool, out: Floats, counts: Ints
) -> None:
    """NumPy's way."""
    buckets, starts = token_buckets(data, offsets, words)
    counts[:] = np.diff(starts)
    shape = (len(counts), len(weights.table))
    ones = np.ones(len(buckets), np.int32)
    listed = scipy.sparse.csr_matrix((ones, weights.place[buckets], starts), shape=shape)
    sums = listed @ weights.table.astype(np.int32)
    out[:] = sums * (1 / np.sqrt(np.maximum(counts, 1)))[:, None]
