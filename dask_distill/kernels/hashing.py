"""Random numbers that belong to a row, not to a stream: a hash of seed and global row number."""

import numpy as np
import numpy.typing as npt

# odd, so that it has an inverse: digits of pi
_BASE = 0x243F6A8885A308D3
_INVERSE = pow(_BASE, -1, 2**64)
# bytes that are hashed at a time; a longer text is hashed alone
_BYTES = 2**16
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


def bytes_hash(
    data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.integer]
) -> npt.NDArray[np.uint64]:
    """Hash runs of bytes, as texts are, without a loop over them.

    Bytes are digits of a number to an odd base, modulo 2⁶⁴; since the base has an inverse, each
    run's number follows from running sums over all bytes.

    Parameters
    ----------
    data : (b,) uint8 array
    offsets : (n + 1,) int array
        Run i is ``data[offsets[i] : offsets[i + 1]]``.

    Returns
    -------
    (n,) uint64 array
        Not safe against who looks for runs of equal hash.

    References
    ----------
    Karp, Rabin (1987), Efficient randomized pattern-matching algorithms.

    Examples
    --------
    >>> hashes = bytes_hash(np.frombuffer(b"abab", np.uint8), np.array([0, 2, 4]))
    >>> bool(hashes[0] == hashes[1])
    True
    """
    n = len(offsets) - 1
    out = np.empty(n, np.uint64)
    start = 0
    with np.errstate(over="ignore"):
        while start < n:
            end = np.asarray(int(offsets[start]) + _BYTES).astype(np.int64)
            stop = int(np.searchsorted(offsets[start:], end, side="right")) - 1 + start
            stop = min(max(stop, start + 1), start + _BYTES, n)
            out[start:stop] = _tile_hash(data, offsets[start : stop + 1])
            start = stop
    return out


def _tile_hash(
    data: npt.NDArray[np.uint8], offsets: npt.NDArray[np.integer]
) -> npt.NDArray[np.uint64]:
    ends = offsets - offsets[0]
    part = data[int(offsets[0]) : int(offsets[-1])]
    sums = np.zeros(len(part) + 1, np.uint64)
    # no byte is zero, so that zeros count
    np.cumsum((part + np.uint64(1)) * _powers(_BASE, len(part)), out=sums[1:])
    totals = (sums[ends[1:]] - sums[ends[:-1]]) * _powers(_INVERSE, len(part) + 1)[ends[:-1]]
    return _finalise(totals + np.diff(ends).astype(np.uint64) * _GOLDEN + _MIX_1)


def _powers(base: int, count: int) -> npt.NDArray[np.uint64]:
    """1, base, base² …, modulo 2⁶⁴."""
    factors = np.full(count, base, np.uint64)
    factors[:1] = 1
    return np.cumprod(factors)


def _finalise(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Mix 64 bits so that every input bit reaches every output bit."""
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))
