"""Text as a few numbers: which pairs of characters or words it has, projected.

Nothing loops over rows: Arrow's own buffers of UTF-8 bytes are hashed. Each row's numbers depend
on its text alone, bit for bit; neither chunks, slices nor the kind of Arrow string matter.
"""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import scipy.linalg
import scipy.sparse

from dask_distill.errors import InputError
from dask_distill.kernels.hashing import row_hash
from dask_distill.kernels.token_hashes import BUCKETS, token_buckets
from dask_distill.kernels.tokens import COLUMNS, Weights, token_sums
from dask_distill.tables.buffers import is_missing, plain_text, text_buffers, tiles

Floats = npt.NDArray[np.float32]

# texts whose median length is more bytes than this are told apart by words
LONG = 120
# texts that a projection is fitted on
MOST = 4096
# rows that are written at a time, so that they stay in cache
ROWS = 2**13
# counts as parts of a whole number: sums of their products are exact in float64
_UNIT = 2.0**12


@dataclass(frozen=True, eq=False, kw_only=True)
class TextProjection:
    """How texts of one column become numbers; fitted on some of them, and small.

    Attributes
    ----------
    words : bool
        Words, or else pairs of characters.
    buckets : (m,) uint16 array
        Those that add anything, ascending.
    weights : (m, width) int8 array
        What they add.
    scale : float
        What a weight of 1 adds.
    """

    words: bool
    buckets: npt.NDArray[np.uint16]
    weights: npt.NDArray[np.int8]
    scale: float

    @property
    def width(self) -> int:
        """Numbers of a text."""
        return self.weights.shape[1]

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form: arrays as base64."""
        return {
            "words": self.words,
            "width": self.width,
            "scale": self.scale,
            "buckets": b64encode(self.buckets.astype("<u2").tobytes()).decode(),
            "weights": b64encode(self.weights.tobytes()).decode(),
        }

    @classmethod
    def parse(cls, stored: Mapping[str, Any]) -> "TextProjection":
        """From what `as_dict` gave.

        Raises
        ------
        InputError
            Where it is something else.
        """
        try:
            width = int(stored["width"])
            buckets = np.frombuffer(b64decode(stored["buckets"], validate=True), "<u2")
            weights = np.frombuffer(b64decode(stored["weights"], validate=True), np.int8)
            weights = weights.reshape(len(buckets), width)
            if len(buckets) and int(buckets.max()) >= BUCKETS:
                raise ValueError(f"bucket {int(buckets.max())}")
            return cls(
                words=bool(stored["words"]),
                buckets=buckets.astype(np.uint16),
                weights=weights,
                scale=float(stored["scale"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                "a projection of text must be what TextProjection.as_dict gave, got "
                f"{type(error).__name__}: {error}; fit it anew"
            ) from None


def ngram_features(
    text: Any,
    width: int = 32,
    words: bool = False,
    *,
    projection: TextProjection | None = None,
    out: Floats | None = None,
) -> Floats:
    """Hash what each text is made of into a few numbers.

    Texts are brought to lower case, and cut into pairs of neighboring characters, with marks for
    begin and end (characters beyond ASCII count alone, too), or into words. Each token adds its
    column of signs, +1 or -1 by its hash: the products of two texts' numbers estimate those of
    their tokens' counts. With a projection, tokens add the weights that were fitted, which tells
    far more in as many numbers.

    Parameters
    ----------
    text : Arrow array or chunked array of n texts
        string, large_string or string_view, or a dictionary of them.
    width : int
        Numbers of a text; not looked at where there is a projection.
    words : bool
        Words, or else pairs of characters; not looked at where there is a projection.
    projection : TextProjection, optional
        From `fit_ngrams`.
    out : (n, width) float32 array, optional
        Where to write to; may be a view with strides.

    Returns
    -------
    (n, width) float32 array
        Rows of length 1, or with a projection weighted sums over the root of the number of
        tokens. Zeros for nulls and for texts without tokens.

    Raises
    ------
    InputError
        Where the column is not text, or the width is below 1.

    References
    ----------
    Weinberger et al. (2009), Feature hashing for large scale multitask learning;
    Achlioptas (2003), Database-friendly random projections.

    Examples
    --------
    >>> X = ngram_features(pa.array(["New York", "NEW YORK", "Newark", None]))
    >>> np.round(X @ X[0], 1)
    array([1. , 1. , 0.6, 0. ], dtype=float32)
    """
    if projection is None and width < 1:
        raise InputError(f"width must be at least 1, got {width}")
    encoder = _Signs(width, words) if projection is None else _Fitted(projection)
    if out is None:
        out = np.empty((len(text), encoder.width), np.float32)
    start = 0
    for chunk in text.chunks if isinstance(text, pa.ChunkedArray) else [text]:
        _encode(chunk, encoder, out[start : start + len(chunk)])
        start += len(chunk)
    return out


def fit_ngrams(
    text: Any, width: int = 16, *, words: bool | None = None, tokens: int = 256
) -> TextProjection:
    """Find the projection that keeps most of what tells some texts apart.

    Principal components of the tokens' counts, weighted by how rare tokens are (inverse
    document frequency) and brought to length 1; only the tokens that carry most are looked at.

    Parameters
    ----------
    text : Arrow array or chunked array
        Texts of the column; of more than some thousand, as many evenly spread ones count.
    width : int
        Numbers that a text shall have.
    words : bool, optional
        Words, or pairs of characters; unless given, words where the median text is long.
    tokens : int
        Buckets with weights: with width + 2 bytes each, they are the projection's size.

    Returns
    -------
    TextProjection

    Raises
    ------
    InputError
        Where the column is not text, or the width is below 1.

    References
    ----------
    Deerwester et al. (1990), Indexing by latent semantic analysis.

    Examples
    --------
    >>> projection = fit_ngrams(pa.array(["red wine", "white wine", "red rose", "white rose"]), 2)
    >>> X = ngram_features(pa.array(["red wine", "RED WINE", "rosé"]), projection=projection)
    >>> bool(np.all(X[0] == X[1])), X.shape
    (True, (3, 2))
    """
    if width < 1:
        raise InputError(f"width must be at least 1, got {width}")
    chunks = text.chunks if isinstance(text, pa.ChunkedArray) else [text]
    known = pa.chunked_array(
        [plain_text(_decoded(chunk)).drop_null() for chunk in chunks],
        None if chunks else pa.string(),
    )
    step = -(-len(known) // MOST) or 1
    plain = known.take(pa.array(np.arange(0, len(known), step))).chunks
    if words is None:
        lengths = [length for chunk in plain for length in np.diff(text_buffers(chunk)[1]).tolist()]
        words = len(lengths) > 0 and float(np.median(lengths)) > LONG
    buckets, X, rarity = _weighted_counts(_counts(plain, words), tokens)
    weights = _axes(X, width) * rarity[:, None]
    scale = float(np.abs(weights).max(initial=0.0)) / 127 or 1.0
    return TextProjection(
        words=words,
        buckets=buckets.astype(np.uint16),
        weights=np.rint(weights / scale).astype(np.int8),
        scale=scale,
    )


class _Signs:
    """Every bucket has a sign in each column; rows get length 1."""

    def __init__(self, width: int, words: bool) -> None:
        self.width = width
        self.words = words
        self.weights = _signs(-(-width // COLUMNS) * COLUMNS)

    def scale(self, sums: Floats, counts: npt.NDArray[np.int64], out: Floats) -> None:
        """Divide by each row's length."""
        # whole numbers again: their squares add up exactly, in any order
        whole = np.rint(sums[:, : self.width] * np.sqrt(counts)[:, None])
        squares = np.square(whole).sum(axis=1, keepdims=True)
        out[:] = (whole / np.sqrt(np.maximum(squares, 1))).astype(np.float32)


class _Fitted:
    """Buckets have the weights of a projection."""

    def __init__(self, projection: TextProjection) -> None:
        self.width = projection.width
        self.words = projection.words
        self._scale = np.float32(projection.scale)
        m, width = projection.weights.shape
        place = np.zeros(BUCKETS, np.uint16)
        place[projection.buckets] = np.arange(1, m + 1)
        table = np.zeros((m + 1, -(-width // COLUMNS) * COLUMNS), np.int8)
        table[1:, :width] = projection.weights
        self.weights = Weights(place, table)

    def scale(self, sums: Floats, counts: npt.NDArray[np.int64], out: Floats) -> None:
        """Multiply by one number."""
        np.multiply(sums[:, : self.width], self._scale, out=out)


@cache
def _signs(columns: int) -> Weights:
    """+1 and -1 by hash."""
    places = np.arange(BUCKETS * columns, dtype=np.int64)
    signs = 1 - 2 * (row_hash(places, 0) >> np.uint64(63)).astype(np.int8)
    table = np.concatenate((np.zeros((1, columns), np.int8), signs.reshape(BUCKETS, columns)))
    return Weights(np.arange(1, BUCKETS + 1, dtype=np.uint16), table)


def _encode(chunk: Any, encoder: _Signs | _Fitted, out: Floats) -> None:
    """Encode an array of any kind of text."""
    if pa.types.is_dictionary(chunk.type):
        values = np.zeros((len(chunk.dictionary) + 1, encoder.width), np.float32)
        _encode(chunk.dictionary, encoder, values[:-1])
        # the last row is of nulls
        numbers = pc.fill_null(chunk.indices.cast(pa.int64()), len(values) - 1).to_numpy()
        for first in range(0, len(numbers), ROWS):
            out[first : first + ROWS] = values[numbers[first : first + ROWS]]
        return
    start = 0
    for tile in tiles(plain_text(chunk)):
        data, offsets = text_buffers(_lower(tile))
        sums = np.empty((len(tile), encoder.weights.table.shape[1]), np.float32)
        counts = token_sums(data, offsets, encoder.weights, encoder.words, sums)
        part = out[start : start + len(tile)]
        encoder.scale(sums, counts, part)
        if tile.null_count:
            # a null may have bytes
            part[is_missing(tile)] = 0
        start += len(tile)


def _decoded(chunk: Any) -> Any:
    return chunk.dictionary_decode() if pa.types.is_dictionary(chunk.type) else chunk


def _lower(chunk: Any) -> Any:
    """Lower case, beyond ASCII where there is anything beyond; bytes that are no UTF-8 stay."""
    data, offsets = text_buffers(chunk)
    part = data[int(offsets[0]) : int(offsets[-1])]
    if len(part) == 0 or part.max() < 0x80:
        return pc.ascii_lower(chunk)
    try:
        # value by value: what one begins and the next one ends is no character
        chunk.validate(full=True)
        return pc.utf8_lower(chunk)
    except pa.ArrowInvalid:
        if len(chunk) == 1:
            return pc.ascii_lower(chunk)
    middle = len(chunk) // 2
    return pa.concat_arrays([_lower(chunk.slice(0, middle)), _lower(chunk.slice(middle))])


def _counts(chunks: list[Any], words: bool) -> scipy.sparse.csr_matrix:
    """How often each text has each bucket; texts without tokens are left out."""
    parts = [scipy.sparse.csr_matrix((0, BUCKETS))]
    for chunk in chunks:
        for tile in tiles(chunk):
            buckets, starts = token_buckets(*text_buffers(_lower(tile)), words)
            shape = (len(tile), BUCKETS)
            part = scipy.sparse.csr_matrix((np.ones(len(buckets)), buckets, starts), shape=shape)
            part.sum_duplicates()
            parts.append(part[np.diff(starts) > 0])
    return scipy.sparse.vstack(parts, format="csr")


def _weighted_counts(
    counts: scipy.sparse.csr_matrix, tokens: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The buckets that carry most, ascending; texts' parts in them; and how rare they are."""
    n = counts.shape[0]
    frequency = np.bincount(counts.indices, minlength=BUCKETS)
    # what is in one text alone tells nothing of others
    rarity = np.where(frequency > 1, np.log((n + 1) / (frequency + 1)), 0.0)
    parts = counts.multiply(rarity).tocsr()
    lengths = np.sqrt(np.asarray(parts.multiply(parts).sum(axis=1)).ravel())
    parts = parts.multiply(1 / np.where(lengths > 0, lengths, 1.0)[:, None]).tocsc()
    parts.data = np.rint(parts.data * _UNIT)
    energy = np.asarray(parts.multiply(parts).sum(axis=0)).ravel()
    largest = np.lexsort((np.arange(BUCKETS), -energy))[:tokens]
    kept = np.sort(largest[energy[largest] > 0])
    return kept, parts[:, kept].toarray(), rarity[kept]


def _axes(X: npt.NDArray[np.float64], width: int) -> npt.NDArray[np.float64]:
    """(m, width) principal axes of (n, m) whole numbers, the largest first; then zeros."""
    n, m = X.shape
    axes = np.zeros((m, width))
    if m == 0:
        return axes
    # sums of whole numbers below 2^53: the order of rows changes no bit
    means = X.sum(axis=0) / n
    covariance = (X.T @ X) / n - np.outer(means, means)
    found = min(m, width)
    _, vectors = scipy.linalg.eigh(covariance, subset_by_index=(m - found, m - 1))
    vectors = vectors[:, ::-1]
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(found)])
    axes[:, :found] = vectors * signs
    return axes
