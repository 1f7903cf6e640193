"""Random numbers that belong to a row, not to a stream: a hash of seed and global row number."""

import numpy as np
import numpy.typing as npt

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def row_hash(rows: npt.NDArray[np.int64], seed: int, *, stream: int = 0) -> npt.NDArray[np.uint64]:
    """Hash each row number with a seed: uniform, and the same wherever the row lies.

    Parameters
    ----------
    rows : (n,) int64 array
        Global row numbers.
    seed : int
        The user's seed.
    stream : int
        Keeps several uses of one seed independent of each other.

    Returns
    -------
    (n,) uint64 array.

    References
    ----------
    Steele, Lea, Flood (2014), Fast splittable pseudorandom number generators (the finaliser).

    Examples
    --------
    >>> row_hash(np.array([0, 1]), seed=0) == row_hash(np.array([0, 1]), seed=0)
    array([ True,  True])
    """
    mixed = (int(seed) * 0x2545F4914F6CDD1D + stream * 0xD1342543DE82EF95 + 1) % 2**64
    with np.errstate(over="ignore"):
        key = _finalise(np.array(mixed, np.uint64))
        return _finalise(rows.astype(np.uint64) * _GOLDEN + key)


def row_keys(rows: npt.NDArray[np.int64], seed: int, *, stream: int) -> npt.NDArray[np.uint32]:
    """Key to draw each row by: the upper half of its hash.

    Parameters
    ----------
    rows, seed, stream : as for `row_hash`

    Returns
    -------
    (n,) uint32 array.
    """
    return (row_hash(rows, seed, stream=stream) >> np.uint64(32)).astype(np.uint32)


def _finalise(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Mix 64 bits so that every input bit reaches every output bit."""
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))
