"""Tokens of texts as hashes of their UTF-8 bytes: pairs of characters, or words.

Knows bytes and offsets, and no kind of text. Texts are in lower case already.
"""

import numpy as np
import numpy.typing as npt

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Offsets = npt.NDArray[np.integer]
Hashes = npt.NDArray[np.uint32]

# tokens are told apart by 12 bits
BITS = 12
BUCKETS = 1 << BITS

# before a text and behind it: control characters that texts do not have
BEGIN, END = 2, 3
# odd, as in Knuth's multiplicative and in MurmurHash3's mixing
FIRST, SECOND, ALONE = 0x9E3779B1, 0x85EBCA77, 0xC2B2AE3D
POWER = 0x01000193
_MASK = 0xFFFFFFFF
_INVERSE = pow(POWER, -1, 1 << 32)

# letters and digits of ASCII, and whatever is beyond it
WORD = np.zeros(256, np.bool_)
WORD[[*range(ord("0"), ord("9") + 1), *range(ord("a"), ord("z") + 1), *range(128, 256)]] = True


def token_buckets(data: Bytes, offsets: Offsets, words: bool) -> tuple[npt.NDArray[np.int32], Ints]:
    """List the texts' tokens: their buckets, and where each text's begin.

    Tokens are the pairs of neighboring characters, with a mark before the first and behind the
    last, and characters beyond ASCII alone, too; or else words, runs of letters and digits
    (bytes beyond ASCII are taken for letters). A text without a byte has no token.

    Parameters
    ----------
    data : (b,) uint8 array
        Texts as UTF-8, in lower case.
    offsets : (n + 1,) int array
        Text i is ``data[offsets[i] : offsets[i + 1]]``.
    words : bool

    Returns
    -------
    (t,) int32 array
        Numbers from 0 to BUCKETS - 1.
    (n + 1,) int64 array
        Tokens of text i are those from number ``starts[i]`` to ``starts[i + 1]``.

    Examples
    --------
    >>> data = np.frombuffer(b"abab", np.uint8)
    >>> buckets, starts = token_buckets(data, np.array([0, 2, 4]), False)
    >>> bool(np.all(buckets[:3] == buckets[3:])), starts
    (True, array([0, 3, 6]))
    """
    hashes, starts = (_words if words else _pairs)(data, offsets)
    return (hashes >> np.uint32(32 - BITS)).astype(np.int32), starts


def _pairs(data: Bytes, offsets: Offsets) -> tuple[Hashes, Ints]:
    """Hashes of pairs of characters, and of single ones beyond ASCII behind each text's pairs."""
    base, n = int(offsets[0]), len(offsets) - 1
    data = data[base : int(offsets[-1])]
    full = np.flatnonzero(np.diff(offsets))
    begins = np.asarray(offsets[:-1])[full] - base
    is_start = (data & 0xC0) != 0x80
    is_start[begins] = True
    # bytes that are no UTF-8 begin a character, too
    is_start[1:] |= data[:-1] < 0x80
    at = np.flatnonzero(is_start)
    characters = _characters(data, at)
    # of each text that has any: where its characters begin among all, and one END behind them
    first = np.searchsorted(at, begins)
    last = np.append(first[1:], len(at))
    right = np.insert(characters, last, END)
    left = np.insert(characters, first, BEGIN)
    pairs = left * np.uint32(FIRST) + right * np.uint32(SECOND)
    lengths = np.zeros(n, np.int64)
    lengths[full] = last - first + 1
    starts = np.concatenate(([0], np.cumsum(lengths)))
    beyond = np.flatnonzero(right >= 0x80)
    if len(beyond) == 0:
        return pairs, starts
    alone = np.insert(pairs, beyond, right[beyond] * np.uint32(ALONE))
    return alone, starts + np.searchsorted(beyond, starts)


def _characters(data: Bytes, at: Ints) -> Hashes:
    """Bytes of each character in one number; bytes behind the fourth tell nothing."""
    characters = data[at].astype(np.uint32)
    lengths = np.diff(np.append(at, len(data)))
    for place in (1, 2, 3):
        longer = np.flatnonzero(lengths > place)
        if len(longer) == 0:
            break
        characters[longer] |= data[at[longer] + place].astype(np.uint32) << np.uint32(8 * place)
    return characters


def _words(data: Bytes, offsets: Offsets) -> tuple[Hashes, Ints]:
    """Hashes of words: their bytes as digits of a number to the base POWER, modulo 2³²."""
    base = int(offsets[0])
    data = data[base : int(offsets[-1])]
    ends = np.asarray(offsets) - base
    within = WORD[data]
    before = np.concatenate(([False], within[:-1]))
    inner = ends[(ends > 0) & (ends < len(data))]
    # a word ends with its text
    before[inner] = False
    begins = np.flatnonzero(within & ~before)
    after = np.concatenate((within[1:], [False]))[: len(data)]
    after[inner - 1] = False
    stops = np.flatnonzero(within & ~after) + 1
    powers = _powers(POWER, len(data) + 1)
    sums = np.zeros(len(data) + 1, np.uint32)
    np.cumsum(data * powers[:-1], out=sums[1:], dtype=np.uint32)
    hashes = (sums[stops] - sums[begins]) * _powers(_INVERSE, len(data) + 1)[begins]
    hashes = (hashes ^ (hashes >> np.uint32(15))) * np.uint32(SECOND)
    return hashes, np.searchsorted(begins, ends)


def _powers(base: int, count: int) -> Hashes:
    """1, base, base² …, modulo 2³²."""
    factors = np.full(count, base & _MASK, np.uint32)
    factors[0] = 1
    return np.cumprod(factors, dtype=np.uint32)
