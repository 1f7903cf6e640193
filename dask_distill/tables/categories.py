"""Categories with many values: hashes that do not change, frequent values, indicator columns.

Values are told apart by their text, whatever Arrow type holds it, and whether or not it is
dictionary-encoded: the number 7 and "7" are one category. A row's numbers depend on its value
alone.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dask_distill.errors import InputError
from dask_distill.kernels.hashing import bytes_hash
from dask_distill.tables.buffers import is_missing, text_buffers

Floats = npt.NDArray[np.floating]

# rows whose columns are written at a time, so that they stay in cache
_ROWS = 2**13


def value_hash(values: Any) -> npt.NDArray[np.uint64]:
    """Hash the text of each value: 64 bits that stay the same, in any process and version.

    Parameters
    ----------
    values : Arrow array or chunked array of n values
        Text, numbers, booleans, dates and times, or a dictionary of them.

    Returns
    -------
    (n,) uint64 array
        0 for nulls.

    Raises
    ------
    InputError
        Where values have no text: lists, structs, bytes.

    Examples
    --------
    >>> value_hash(pa.array(["7", "8", None])) == value_hash(pa.array([7, 9, None]))
    array([ True, False,  True])
    """
    if isinstance(values, pa.ChunkedArray):
        parts = [value_hash(chunk) for chunk in values.chunks]
        return np.concatenate(parts) if parts else np.empty(0, np.uint64)
    if pa.types.is_dictionary(values.type):
        found = np.append(value_hash(values.dictionary), np.uint64(0))
        return found[_codes(values)]
    texts = _texts(values)
    found = bytes_hash(*text_buffers(texts))
    if texts.null_count:
        found[is_missing(texts)] = 0
    return found


def frequent_values(values: Any, most: int) -> list[tuple[str, int]]:
    """Count values, and list the most frequent ones.

    Parameters
    ----------
    values : Arrow array or chunked array
        As for `value_hash`; nulls are not counted.
    most : int
        How many at most.

    Returns
    -------
    list of (str, int)
        Texts and their counts, the most frequent first; of equally frequent ones the one that
        is first in alphabetical order, so that the order of rows does not matter.

    Examples
    --------
    >>> frequent_values(pa.array(["b", "a", "c", "c", None]), 2)
    [('c', 2), ('a', 1)]
    """
    counted = pc.value_counts(pc.drop_null(_texts(_decoded(values))))
    texts, counts = counted.field("values").to_pylist(), counted.field("counts").to_pylist()
    ranked = sorted(zip(texts, counts, strict=True), key=lambda pair: (-pair[1], pair[0]))
    return ranked[: max(0, most)]


@dataclass(frozen=True, eq=False)
class Indicators:
    """Numbers of rows that have one each, at most, which is not zero.

    Attributes
    ----------
    codes : (n,) int array
        Which of the values that there are a row has.
    places : (v,) int32 array
        Which of a row's numbers is not zero, by value.
    signs : (v,) float32 array
        What stands there: 1, -1, or 0.
    """

    codes: npt.NDArray[np.integer]
    places: npt.NDArray[np.int32]
    signs: npt.NDArray[np.float32]

    def put(self, start: int, stop: int, first: int, out: Floats) -> None:
        """Write those of rows ``start`` to ``stop``, from column ``first`` on; the rest is 0."""
        codes = self.codes[start:stop]
        at = np.arange(first, first + out.size, out.shape[1])
        at += self.places[codes]
        out.reshape(-1)[at] = self.signs[codes]


def indicators(
    values: Any, known: tuple[str, ...], other_width: int = 8, *, nulls: bool = False
) -> Indicators:
    """Find which column of `one_hot` each row's value has.

    Parameters
    ----------
    values : Arrow array of n values
    known, other_width, nulls : as for `one_hot`

    Returns
    -------
    Indicators

    Raises
    ------
    InputError
        Where values have no text.

    Examples
    --------
    >>> found = indicators(pa.array(["b", "a", None]), ("a", "b"), 1)
    >>> found.places[found.codes], found.signs[found.codes]
    (array([1, 0, 0], dtype=int32), array([1., 1., 0.], dtype=float32))
    """
    if not pa.types.is_dictionary(values.type):
        # a null has a number then, too, and none must be filled in
        values = _encodable(values).dictionary_encode(null_encoding="encode")
    places, signs = _places(values.dictionary, known, other_width)
    codes = _codes(values)
    last = (len(known) + other_width, 1) if nulls else (0, 0)
    if values.dictionary.null_count:
        at = is_missing(values.dictionary)
        places[at], signs[at] = last
    places = np.append(places, np.int32(last[0]))
    signs = np.append(signs, np.float32(last[1]))
    return Indicators(codes, places, signs)


def one_hot(
    values: Any,
    known: tuple[str, ...],
    other_width: int = 8,
    *,
    nulls: bool = False,
    out: Floats | None = None,
) -> Floats:
    """Write an indicator column for each known value; other values share some, by their hash.

    Parameters
    ----------
    values : Arrow array or chunked array of n values
        As for `value_hash`.
    known : tuple of str
        Texts of the values that have columns of their own, none twice.
    other_width : int
        Columns of all other values: of one column 1, of several one is 1 or -1, the column and
        the sign by the value's hash. With 0, other values have zeros alone.
    nulls : bool
        Whether nulls have a column, the last; otherwise they have zeros alone.
    out : (n, d) float array, optional
        Where to write to; may be a view with strides.

    Returns
    -------
    (n, d) float32 array, or ``out``
        d = len(known) + other_width, and one more with ``nulls``.

    Raises
    ------
    InputError
        Where values have no text.

    References
    ----------
    Weinberger et al. (2009), Feature hashing for large scale multitask learning.

    Examples
    --------
    >>> one_hot(pa.array(["a", "b", None, "z"]), ("a", "b"), 1, nulls=True)
    array([[1., 0., 0., 0.],
           [0., 1., 0., 0.],
           [0., 0., 0., 1.],
           [0., 0., 1., 0.]], dtype=float32)
    """
    width = len(known) + other_width + nulls
    if out is None:
        out = np.empty((len(values), width), np.float32)
    start = 0
    for chunk in values.chunks if isinstance(values, pa.ChunkedArray) else [values]:
        found = indicators(chunk, known, other_width, nulls=nulls)
        for first in range(0, len(chunk), _ROWS):
            last = min(first + _ROWS, len(chunk))
            rows = np.zeros((last - first, width), np.float32)
            if width:
                found.put(first, last, 0, rows)
            out[start + first : start + last] = rows
        start += len(chunk)
    return out


def _places(
    values: Any, known: tuple[str, ...], others: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Which column each value of a dictionary has, and what stands there."""
    texts = _texts(values)
    found = pc.index_in(texts, value_set=pa.array(known, pa.large_string()))
    places = pc.fill_null(found, -1).to_numpy().astype(np.int32)
    signs = np.ones(len(places), np.float32)
    unknown = np.flatnonzero(places < 0)
    if len(unknown) == 0:
        return places, signs
    if others == 0:
        places[unknown], signs[unknown] = 0, 0
        return places, signs
    hashes = value_hash(texts.take(pa.array(unknown)))
    places[unknown] = len(known) + (hashes % np.uint64(others)).astype(np.int32)
    if others > 1:
        signs[unknown] = 1 - 2 * (hashes >> np.uint64(63)).astype(np.float32)
    return places, signs


def _codes(values: Any) -> npt.NDArray[np.integer]:
    """Numbers in the dictionary; one more than the last for nulls."""
    indices = values.indices
    if indices.null_count:
        indices = pc.fill_null(indices.cast(pa.int64()), len(values.dictionary))
    codes: npt.NDArray[np.integer] = indices.to_numpy()
    return codes


def _encodable(values: Any) -> Any:
    """Arrow has no dictionaries of views."""
    return _texts(values) if "view" in str(values.type) else values


def _decoded(values: Any) -> Any:
    return values.dictionary_decode() if pa.types.is_dictionary(values.type) else values


def _texts(values: Any) -> Any:
    """Values as large_string."""
    kind = values.type
    if pa.types.is_nested(kind) or "binary" in str(kind):
        raise InputError(
            f"a column that is read as a category must hold text, numbers, dates or booleans, got "
            f"{kind}; leave it out, or cast it to a string"
        )
    return values.cast(pa.large_string())
