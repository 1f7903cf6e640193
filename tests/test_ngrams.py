"""Text as numbers: as a plain loop over characters has it, in any chunks and any kind of array."""

import math
import os
import pickle
from itertools import pairwise
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings, strategies as st

from dask_distill.kernels.hashing import row_hash
from dask_distill.kernels.token_hashes import BUCKETS
from dask_distill.kernels.tokens import Weights, token_sums
from dask_distill.tables.buffers import TILE
from dask_distill.tables.ngrams import TextProjection, fit_ngrams, ngram_features

TEXTS = [
    "New York",
    "",
    None,
    "a",
    "Größe und Maß",
    "日本語 テキスト",
    "x" * 700,
    "İstanbul ΣΑΣ",
    "to be or not to be",
]
COMPILED = ["0", "1"]

texts = st.lists(
    st.one_of(st.none(), st.text(max_size=12), st.text("ab É語", max_size=40)), max_size=9
)


def compiled(way):
    return mock.patch.dict(os.environ, {"DISTILL_NUMBA": way})


def characters(data):
    """Bytes of each character, as numbers; up to four count."""
    found = []
    for byte in data:
        if byte & 0xC0 == 0x80 and found and found[-1][0] >= 0x80:
            found[-1].append(byte)
        else:
            found.append([byte])
    return [sum(byte << 8 * place for place, byte in enumerate(own[:4])) for own in found]


def tokens(text, words):
    """Buckets of a text's tokens, one after another."""
    data = pc.utf8_lower(pa.scalar(text)).as_py().encode()
    if words:
        # everything that is no ASCII letter or digit parts words
        plain = [chr(b) if (b < 128 and chr(b).isalnum()) or b >= 128 else " " for b in data]
        return [word_bucket(word.encode("latin-1")) for word in "".join(plain).split(" ") if word]
    if not data:
        return []
    row = [2, *characters(data), 3]
    pairs = [(a * 0x9E3779B1 + b * 0x85EBCA77) % 2**32 for a, b in pairwise(row)]
    alone = [c * 0xC2B2AE3D % 2**32 for c in row if c > 127]
    return [value >> 20 for value in pairs + alone]


def word_bucket(word):
    value = sum(byte * 0x01000193**place for place, byte in enumerate(word)) % 2**32
    return ((value ^ value >> 15) * 0x85EBCA77 % 2**32) >> 20


def signs(width):
    padded = -(-width // 16) * 16
    drawn = row_hash(np.arange(BUCKETS * padded), 0) >> np.uint64(63)
    return 1 - 2 * drawn.astype(int).reshape(BUCKETS, padded)[:, :width]


def reference(values, width, words):
    table = signs(width)
    out = np.zeros((len(values), width), np.float32)
    for row, text in enumerate(values):
        sums = np.zeros(width, int)
        for bucket in tokens(text, words) if text is not None else []:
            sums += table[bucket]
        if sums.any():
            out[row] = sums / math.sqrt((sums**2).sum())
    return out


def weighted(values, projection):
    """What a projection gives, one token after another."""
    weights = dict(zip(projection.buckets.tolist(), projection.weights.astype(int), strict=True))
    out = np.zeros((len(values), projection.width), np.float32)
    for row, text in enumerate(values):
        found = tokens(text, projection.words) if text is not None else []
        sums = sum((weights[b] for b in found if b in weights), np.zeros(projection.width, int))
        if found:
            own = (sums * (1 / math.sqrt(len(found)))).astype(np.float32)
            out[row] = own * np.float32(projection.scale)
    return out


@pytest.mark.parametrize("way", COMPILED)
@pytest.mark.parametrize("words", [False, True])
@pytest.mark.parametrize("width", [1, 16, 24])
def test_ngram_features__equals_a_loop_over_characters(way, words, width):
    with compiled(way):
        found = ngram_features(pa.array(TEXTS), width, words)
    np.testing.assert_array_equal(found, reference(TEXTS, width, words))


@pytest.mark.parametrize("way", COMPILED)
@pytest.mark.parametrize("words", [False, True])
@pytest.mark.parametrize("width", [3, 16, 20])
def test_projection__equals_a_loop_over_tokens(way, words, width):
    values = [*TEXTS, "New Orleans", "to have or to have not", "or a 語 and 語"]
    with compiled(way):
        projection = fit_ngrams(pa.array(values * 3), width, words=words)
        found = ngram_features(pa.array(values), projection=projection)
    assert len(projection.buckets) > 5
    assert np.ptp(found, axis=0)[: min(width, 8)].min() > 0
    np.testing.assert_array_equal(found, weighted(values, projection))


@settings(deadline=None, max_examples=60)
@given(texts, st.booleans())
def test_ngram_features__any_text(values, words):
    expected = reference(values, 8, words)
    for way in COMPILED:
        with compiled(way):
            found = ngram_features(pa.array(values, pa.string()), 8, words)
        np.testing.assert_array_equal(found, expected)


def forms(values):
    """One column in many kinds of Arrow arrays."""
    plain = pa.array(values, pa.string())
    yield plain.cast(pa.large_string())
    if hasattr(pa, "string_view"):
        yield pa.array(values, pa.string_view())
    yield plain.dictionary_encode()
    yield pa.chunked_array([plain.cast(pa.large_string()).dictionary_encode()])
    yield pa.concat_arrays([pa.array(["ahead", None]), plain, pa.array(["behind"])])[2:-1]


@settings(deadline=None, max_examples=40)
@given(texts, st.lists(st.integers(0, 9), max_size=3), st.sampled_from(COMPILED))
def test_ngram_features__same_bits_for_any_kind_and_chunking(values, cuts, way):
    projection = fit_ngrams(pa.array(TEXTS * 2), 5)
    with compiled(way):
        for chosen in (None, projection):
            expected = ngram_features(pa.array(values, pa.string()), 5, projection=chosen)
            for column in forms(values):
                np.testing.assert_array_equal(
                    ngram_features(column, 5, projection=chosen), expected
                )
                edges = sorted({0, len(values), *(min(cut, len(values)) for cut in cuts)})
                parts = [column[a:b] for a, b in pairwise(edges)]
                found = [ngram_features(part, 5, projection=chosen) for part in parts]
                if found:
                    np.testing.assert_array_equal(np.concatenate(found), expected)


@pytest.mark.parametrize("way", COMPILED)
@pytest.mark.parametrize("words", [False, True])
def test_ngram_features__long_texts_and_many_rows_cross_tiles(way, words):
    long = "many words and " * (TILE // 10)
    values = ["first", long, None, *["row of a table"] * 30_000, "", *[None] * 40_000, "last"]
    with compiled(way):
        found = ngram_features(pa.array(values), 16, words)
        for row in (0, 1, 2, 3, 30_002, 30_003, len(values) - 1):
            expected = ngram_features(pa.array(values[row : row + 1]), 16, words)
            np.testing.assert_array_equal(found[row : row + 1], expected)
    np.testing.assert_array_equal(found[1:2], reference([long], 16, words))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.binary(max_size=20), min_size=1, max_size=8), st.booleans())
def test_ngram_features__bytes_that_are_no_text_change_no_other_row(parts, words):
    values = unchecked(parts)
    alone = [ngram_features(unchecked([part]), 6, words) for part in parts]
    for way in COMPILED:
        with compiled(way):
            found = ngram_features(values, 6, words)
        np.testing.assert_array_equal(found, np.concatenate(alone))


def unchecked(parts):
    """Bytes as they are, taken for strings without being looked at."""
    stored = pa.array(parts, pa.binary())
    return pa.Array.from_buffers(pa.string(), len(stored), stored.buffers())


@pytest.mark.parametrize("words", [False, True])
@pytest.mark.parametrize("token", ["a", "ab ", "é", "語 "])
@pytest.mark.parametrize("count", [1, 126, 127, 128, 254, 255, 256, 257, 512, 70_000])
def test_token_sums__do_not_overflow(words, token, count):
    data = np.frombuffer(token.encode() * count, np.uint8)
    place = np.ones(BUCKETS, np.uint16)
    table = np.array([[0] * 16, [127, -127] * 8], np.int8)
    found = []
    for way in COMPILED:
        out = np.empty((1, 16), np.float32)
        with compiled(way):
            counts = token_sums(data, np.array([0, len(data)]), Weights(place, table), words, out)
        expected = 127 * np.sqrt(counts[0])
        np.testing.assert_allclose(out, [[expected, -expected] * 8], rtol=1e-6)
        found.append((counts[0], out.tobytes()))
    assert found[0] == found[1]


def test_ngram_features__nulls_with_bytes_below_them_are_zeros():
    whole = pa.array(["seen", "hidden", "seen"])
    mask = pa.array([True, False, True]).buffers()[1]
    masked = pa.Array.from_buffers(pa.string(), 3, [mask, *whole.buffers()[1:]])
    found = ngram_features(masked)
    assert not found[1].any()
    np.testing.assert_array_equal(found[0], found[2])
    np.testing.assert_allclose((found[::2] ** 2).sum(axis=1), 1, rtol=1e-6)


def test_ngram_features__write_where_they_are_told_to():
    column = pa.array(TEXTS)
    for dtype in (np.float32, np.float64):
        for values in (column, column.dictionary_encode()):
            out = np.full((len(TEXTS), 12), 7, dtype)
            ngram_features(values, 8, out=out[:, 2:10])
            np.testing.assert_array_equal(out[:, 2:10], ngram_features(column, 8))
            assert (out[:, :2] == 7).all()
            assert (out[:, 10:] == 7).all()


def test_ngram_features__empty_columns():
    for column in (pa.array([], pa.string()), pa.chunked_array([], pa.string())):
        assert ngram_features(column, 4).shape == (0, 4)
        projection = fit_ngrams(column, 4)
        assert not ngram_features(pa.array(["a"]), projection=projection).any()
    assert not ngram_features(pa.nulls(3), 4).any()


def test_projection__tells_more_than_signs():
    """Texts of two kinds, in other words each time: the axes find what they have in common."""
    rng = np.random.default_rng(0)
    kinds = rng.integers(0, 2, 600)
    own = (["library", "development", "headers"], ["fonts", "theme", "icons"])
    filler = np.array([f"{a}{b}{c}" for a in "bdfglm" for b in "aeiou" for c in "nrstk"])
    values = pa.array([" ".join([*rng.choice(filler, 5), rng.choice(own[kind])]) for kind in kinds])
    projection = fit_ngrams(values[:300], 4)

    def correct(X):
        """Of the second half, by the nearer of two means of the first."""
        means = [X[:300][kinds[:300] == kind].mean(axis=0) for kind in (0, 1)]
        far = [((X[300:] - mean) ** 2).sum(axis=1) for mean in means]
        return np.mean((far[1] < far[0]) == kinds[300:])

    fitted = correct(ngram_features(values, projection=projection))
    assert fitted > correct(ngram_features(values, 4)) + 0.1
    assert fitted > 0.85


def test_projection__is_the_same_for_any_order_and_chunks():
    values = pa.array(TEXTS * 4)
    order = np.random.default_rng(1).permutation(len(values))
    expected = fit_ngrams(values, 6).as_dict()
    assert fit_ngrams(values.take(pa.array(order)), 6).as_dict() == expected
    assert fit_ngrams(pa.chunked_array([values[:5], values[5:]]), 6).as_dict() == expected
    for column in forms(TEXTS * 4):
        assert fit_ngrams(column, 6).as_dict() == expected


def test_projection__is_small_and_comes_back_from_json():
    rng = np.random.default_rng(2)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz "))
    values = pa.array(["".join(rng.choice(letters, 40)) for _ in range(9000)])
    projection = fit_ngrams(values, 16)
    assert len(pickle.dumps(projection)) < 5_500
    again = TextProjection.parse(projection.as_dict())
    np.testing.assert_array_equal(
        ngram_features(values[:50], projection=again),
        ngram_features(values[:50], projection=projection),
    )


def test_projection__looks_into_words_of_long_texts():
    assert not fit_ngrams(pa.array(["short text"] * 3), 4).words
    assert fit_ngrams(pa.array(["long text " * 20] * 3), 4).words
