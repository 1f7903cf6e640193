"""Loops over the bytes of texts, compiled by numba; imported only where it is there."""

from typing import Any

import numpy as np

from dask_distill.kernels._compiled import jit
from dask_distill.kernels.token_hashes import ALONE, BEGIN, BITS, END, FIRST, POWER, SECOND, WORD

_FIRST, _SECOND, _ALONE, _POWER = (np.uint32(k) for k in (FIRST, SECOND, ALONE, POWER))
_SHIFT = np.uint32(32 - BITS)
_BEGIN, _END = np.uint32(BEGIN), np.uint32(END)
_FIELD = np.uint64(0xFFFF)
# sums of 16 bits hold 257 weights; a character may add two, and the end adds one
_STEPS = 127


@jit(inline="always")
def _unpack(word: Any, totals: Any, first: int) -> None:
    """Add four sums of a word to totals."""
    totals[first] += np.int64(word & _FIELD)
    totals[first + 1] += np.int64((word >> np.uint64(16)) & _FIELD)
    totals[first + 2] += np.int64((word >> np.uint64(32)) & _FIELD)
    totals[first + 3] += np.int64(word >> np.uint64(48))


@jit(inline="always")
def _finish(totals: Any, tokens: int, out: Any, i: int) -> None:
    """Write a text's sums; each weight had 128 added to it."""
    factor = 1 / np.sqrt(np.float64(max(tokens, 1)))
    for j in range(len(totals)):
        out[i, j] = np.float64(totals[j] - 128 * tokens) * factor


@jit()
def pair_sums(data: Any, offsets: Any, place: Any, packed: Any, out: Any, counts: Any) -> None:
    """Sums over pairs of characters, and over characters beyond ASCII."""
    totals = np.empty(16, np.int64)
    for i in range(len(offsets) - 1):
        at, end = np.int64(offsets[i]), np.int64(offsets[i + 1])
        totals[:] = 0
        tokens = 0
        last = _BEGIN
        a = b = c = d = np.uint64(0)
        while at < end:
            stop = min(end, at + _STEPS)
            while at < stop:
                this = np.uint32(data[at])
                at += 1
                if this >= 0x80:
                    shift = np.uint32(8)
                    while at < end and data[at] & 0xC0 == 0x80:
                        if shift < 32:
                            this = np.uint32(this | np.uint32(data[at]) << shift)
                        shift = np.uint32(shift + 8)
                        at += 1
                    k = place[np.uint32(this * _ALONE) >> _SHIFT]
                    a += packed[k, 0]
                    b += packed[k, 1]
                    c += packed[k, 2]
                    d += packed[k, 3]
                    tokens += 1
                k = place[np.uint32(last * _FIRST + this * _SECOND) >> _SHIFT]
                a += packed[k, 0]
                b += packed[k, 1]
                c += packed[k, 2]
                d += packed[k, 3]
                tokens += 1
                last = this
            if at >= end:
                k = place[np.uint32(last * _FIRST + _END * _SECOND) >> _SHIFT]
                a += packed[k, 0]
                b += packed[k, 1]
                c += packed[k, 2]
                d += packed[k, 3]
                tokens += 1
            _unpack(a, totals, 0)
            _unpack(b, totals, 4)
            _unpack(c, totals, 8)
            _unpack(d, totals, 12)
            a = b = c = d = np.uint64(0)
        counts[i] = tokens
        _finish(totals, tokens, out, i)


@jit()
def word_sums(data: Any, offsets: Any, place: Any, packed: Any, out: Any, counts: Any) -> None:
    """Sums over words."""
    totals = np.empty(16, np.int64)
    for i in range(len(offsets) - 1):
        end = np.int64(offsets[i + 1])
        totals[:] = 0
        tokens = 0
        within = False
        value = np.uint32(0)
        power = np.uint32(1)
        a = b = c = d = np.uint64(0)
        for at in range(np.int64(offsets[i]), end + 1):
            if at < end and WORD[data[at]]:
                value = np.uint32(value + np.uint32(data[at]) * power)
                power = np.uint32(power * _POWER)
                within = True
            elif within:
                mixed = np.uint32(np.uint32(value ^ (value >> np.uint32(15))) * _SECOND)
                k = place[mixed >> _SHIFT]
                a += packed[k, 0]
                b += packed[k, 1]
                c += packed[k, 2]
                d += packed[k, 3]
                tokens += 1
                within = False
                value = np.uint32(0)
                power = np.uint32(1)
                if tokens % 256 == 0:
                    _unpack(a, totals, 0)
                    _unpack(b, totals, 4)
                    _unpack(c, totals, 8)
                    _unpack(d, totals, 12)
                    a = b = c = d = np.uint64(0)
        _unpack(a, totals, 0)
        _unpack(b, totals, 4)
        _unpack(c, totals, 8)
        _unpack(d, totals, 12)
        counts[i] = tokens
        _finish(totals, tokens, out, i)
