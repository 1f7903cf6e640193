"""The survey: counts, classes, moments and sample equal NumPy's over all rows at once."""

import dataclasses
import random
from functools import reduce
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from dask_distill.conversation.converse import converse
from dask_distill.conversation.run import Run
from dask_distill.data.blocks import RawBlock, as_features
from dask_distill.data.labels import as_labels, class_codes, unique_labels
from dask_distill.errors import InputError
from dask_distill.kernels.hashing import row_hash
from dask_distill.kernels.quotas import class_quotas
from dask_distill.kernels.streams import Stream
from dask_distill.runtime.runner import LocalRunner
from dask_distill.survey.schema import Outline, Schema
from dask_distill.survey.survey import Survey, valid_block

rng = np.random.default_rng(0)


def raw_blocks(X, y=None, cuts=()):
    """Blocks cut at these rows; objects among the labels take the way that sources take."""
    edges = [0, *sorted(cuts), len(X)]
    return [
        RawBlock(
            number=number,
            start=start,
            X=as_features(X[start:stop]),
            y=None if y is None else as_labels(y[start:stop]),
        )
        for number, (start, stop) in enumerate(pairwise(edges))
    ]


def survey(X, y=None, cuts=(), **options):
    blocks = raw_blocks(X, y, cuts)
    options = {"seed": 0, "labelled": y is not None, **options}
    question = Survey().ask(len(X), blocks[0].X.shape[1], **options)
    turn, _ = converse(Survey(), blocks, question, Run(LocalRunner()), phase="survey")
    return turn.content


def assert_same(left, right, ignore=("block_counts", "block_classes", "fingerprint")):
    """Bit for bit, field by field."""
    for field in dataclasses.fields(left):
        a, b = getattr(left, field.name), getattr(right, field.name)
        if field.name in ignore:
            continue
        if dataclasses.is_dataclass(a):
            assert_same(a, b)
        elif isinstance(a, np.ndarray):
            assert a.dtype == b.dtype
            assert a.tobytes() == b.tobytes(), field.name
        else:
            assert a == b, field.name


# ---------------------------------------------------------------- counts and classes


@pytest.mark.parametrize("cuts", [(), (1,), (400,), tuple(range(50, 1000, 50))])
def test_survey__counts_rows_and_classes_by_first_appearance(cuts):
    X, y = rng.normal(size=(1000, 3)), rng.integers(-2, 5, 1000)
    schema = survey(X, y, cuts)
    classes = list(dict.fromkeys(y.tolist()))
    assert schema.classes.tolist() == classes
    assert schema.counts.tolist() == [(y == c).sum() for c in classes]
    assert (schema.n, schema.n_source, schema.d, schema.dropped) == (1000, 1000, 3, 0)
    parts = np.split(y, list(cuts))
    assert schema.block_counts.tolist() == [len(part) for part in parts]
    assert schema.block_classes.tolist() == [[(p == c).sum() for c in classes] for p in parts]


@pytest.mark.parametrize(
    "labels",
    [
        np.array([True, False, True]),
        np.array([3, -7, 3]),
        *[np.array([1, 0, 1], kind) for kind in ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8")],
        np.array([2**64 - 1, 0, 2**64 - 1], np.uint64),
        np.array([-(2**63), 2**63 - 1, -(2**63)]),
        np.array([2.0, -1.0, 2.0]),
        np.array([2.0, -1.0, 2.0], np.float16),
        np.array(["b", "a", "b"]),
        np.array(["b", "a", "b"], object),
        np.array(["b", "a", "b"], np.dtypes.StringDType()),
        np.array(["<script>alert(1)</script>", 'a" & <b>', "<script>alert(1)</script>"]),
        np.array(["日本", "ß\n\t", "日本"]),
        np.array(["🦉", "", "🦉"], object),
        np.array([5, 4, 5], object),
        pd.Series(["b", "a", "b"], dtype="string").to_numpy(),
    ],
    ids=repr,
)
@pytest.mark.parametrize("cuts", [(), (4, 5), (1, 2, 3)])
def test_survey__takes_labels_of_every_type(labels, cuts):
    y = np.tile(labels, 3)
    schema = survey(rng.normal(size=(9, 2)), y, cuts)
    assert schema.classes.tolist() == y[:2].tolist()
    assert schema.counts.tolist() == [6, 3]
    codes = [valid_block(b, schema).codes for b in raw_blocks(np.zeros((9, 2)), y, cuts)]
    assert np.concatenate(codes).tolist() == [0, 1, 0] * 3
    assert all(c.dtype == np.int32 for c in codes)


def test_survey__without_labels_has_no_classes():
    schema = survey(rng.normal(size=(50, 3)), cuts=(20,))
    assert schema.classes is None
    assert schema.counts is None
    assert schema.block_classes is None
    assert schema.sample.codes is None


def test_outline__is_the_schema_without_its_sample():
    schema = survey(rng.normal(size=(50, 3)), rng.integers(0, 2, 50))
    outline = schema.outline()
    assert type(outline) is Outline
    told = {each.name for each in dataclasses.fields(Schema)}
    known = {each.name for each in dataclasses.fields(Outline)}
    assert told - known == {"sample", "chosen"}
    assert all(getattr(outline, name) is getattr(schema, name) for name in known)


def test_class_codes__number_any_labels_by_their_class():
    classes = np.array(["b", "a", "cc"])
    assert class_codes(np.array(["cc", "a", "b"], object), classes).tolist() == [2, 1, 0]
    assert class_codes(np.array([], object), np.array([1, 2])).tolist() == []
    # in a row or with gaps, in any order, from the least number that there is
    for known in ([3, 4, 5], [5, 3, 4], [3, 9, 5], [-1, 0, 1]):
        for kind in (np.int8, np.int64):
            classes = np.array(known, kind)
            found = class_codes(classes[[2, 0, 1, 1]], classes)
            assert found.dtype == np.int32
            assert found.tolist() == [2, 0, 1, 1]
    lowest = np.array([np.iinfo(np.int64).min, np.iinfo(np.int64).max])
    assert class_codes(lowest[::-1], lowest).tolist() == [1, 0]


# ---------------------------------------------------------------- refusals of labels


def test_survey__refuses_one_class():
    with pytest.raises(InputError, match="at least two classes, got only 'a' in 6 rows"):
        survey(np.zeros((6, 1)), np.array(["a"] * 6))


@pytest.mark.parametrize(("n", "C"), [(2, 2), (3, 2), (4, 2), (6, 3), (3000, 1000), (2000, 1000)])
def test_survey__takes_classes_of_two_rows_on_average(n, C):
    schema = survey(np.zeros((n, 1)), np.arange(n) % C, cuts=(n // 2,))
    assert len(schema.classes) == C


@pytest.mark.parametrize("y", [np.arange(60), np.arange(60).astype(str), np.arange(60) // 1.9 // 1])
def test_survey__refuses_ids_for_classes(y):
    with pytest.raises(InputError, match=r"got [0-9]+ different values in 60 rows"):
        survey(np.zeros((60, 1)), y)


@pytest.mark.parametrize(
    ("values", "found"), [([1.0, 2.5, 1.0, 2.5], "2.5"), ([1.0, np.inf, 1.0, np.inf], "inf")]
)
def test_survey__refuses_numbers_that_are_not_whole_and_names_one(values, found):
    with pytest.raises(InputError, match=f"got float64 such as {found}; for a regression target"):
        survey(np.zeros((4, 1)), np.array(values))


def test_survey__refuses_mixed_types_within_a_block_and_between_blocks():
    y = np.array([1, 2, "a", "b"], object)
    with pytest.raises(InputError, match="all ints or all strings, got int, str"):
        survey(np.zeros((4, 1)), y)
    with pytest.raises(InputError, match="got <U1, int64 in different parts"):
        survey(np.zeros((4, 1)), y, cuts=(2,))


# ---------------------------------------------------------------- moments


def reference_moments(X):
    """Mean and standard deviation in the longest floats there are."""
    wide = X.astype(np.longdouble)
    return wide.mean(axis=0), wide.std(axis=0)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize(
    ("offset", "unit"),
    [(0, 1), (1e6, 1), (-1e6, 1e-2), (1e30, 1e27), (0, 1e30), (0, 1e-30), (0, 1e-40), (1, 1e-6)],
)
@pytest.mark.parametrize("cuts", [(), (7,), (1, 2, 5000, 9000, 9001)])
def test_moments__equal_the_longest_floats_at_any_offset_and_unit(kind, offset, unit, cuts):
    X = (rng.normal(size=(10_000, 3)) * unit + offset).astype(kind)
    schema = survey(X, cuts=cuts)
    mean, deviation = reference_moments(X)
    np.testing.assert_allclose(schema.mean, mean.astype(float), rtol=1e-12, atol=1e-12 * unit)
    noise = 1e-13 * abs(offset)
    np.testing.assert_allclose(schema.scale, deviation.astype(float), rtol=1e-9, atol=noise)


@pytest.mark.parametrize("largest", [1e155, 1e200, 1e300, 1e307])
@pytest.mark.parametrize("cuts", [(), (1, 50)])
def test_moments__do_not_overflow_nor_disturb_other_features(largest, cuts):
    X = rng.normal(size=(100, 3))
    X[:, 1] = np.linspace(-1, 1, 100) * largest
    X[::2, 2] = largest
    schema = survey(X, cuts=cuts)
    unit = np.array([1, largest, largest])
    mean, deviation = reference_moments(X / unit)
    np.testing.assert_allclose(schema.mean / unit, mean.astype(float), atol=1e-12)
    np.testing.assert_allclose(schema.scale / unit, deviation.astype(float), rtol=1e-9)


def test_moments__bear_the_largest_float_as_a_mark_of_absence():
    X = rng.normal(size=(100, 2))
    X[:30, 0] = np.finfo(np.float64).max
    schema = survey(X, cuts=(10, 60))
    assert np.isfinite(schema.mean).all()
    assert np.isfinite(schema.scale).all()
    assert (np.abs(X - schema.mean) / schema.scale).max() < 5


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("value", [0.0, 0.1, -3.3, 1e6 / 3, 1e30 / 3, 1e-30, 1e-45])
def test_moments__a_constant_feature_is_nothing_once_scaled(kind, value):
    X = np.full((20_000, 1), value, kind)
    schema = survey(X, cuts=(1, 7777))
    assert schema.scale[0] == max(1, abs(schema.mean[0]))
    assert np.abs((X - schema.mean) / schema.scale).max() < 1e-12


def test_moments__denormals_pass_without_a_warning():
    X = np.array([[5e-324, 1e-310], [0.0, 2e-310], [5e-324, 0.0], [0.0, 0.0]])
    schema = survey(X, cuts=(1,))
    assert np.isfinite(1 / schema.scale).all()
    assert np.isfinite(schema.mean).all()


# ---------------------------------------------------------------- any order, same bits


@settings(deadline=None, max_examples=30)
@given(st.randoms(use_true_random=False), st.sampled_from(["number", "text", "none"]))
def test_combine__in_any_order_and_tree_gives_the_same_schema(chance, kind):
    n = 400
    X = rng.normal(size=(n, 2)).astype(np.float32)
    y = {"number": rng.integers(0, 9, n), "text": rng.integers(0, 9, n).astype(str), "none": None}
    labels = y[kind]
    cuts = sorted(chance.sample(range(n), chance.randint(0, 8)))
    talk = Survey()
    question = talk.ask(n, 2, labelled=labels is not None, seed=3, size=60, floor=4)
    answers = [talk.answer(block, question) for block in raw_blocks(X, labels, cuts)]
    straight = talk.advance(question, reduce(talk.combine, answers))
    while len(answers) > 1:
        pair = chance.sample(range(len(answers)), 2)
        merged = talk.combine(*(answers[i] for i in pair))
        answers = [a for i, a in enumerate(answers) if i not in pair] + [merged]
    assert_same(talk.advance(question, answers[0]), straight, ignore=())


def test_combine__invalid_values_in_any_order():
    X = rng.normal(size=(40, 2))
    X[[7, 21, 33], 1] = np.nan, np.inf, np.nan
    talk = Survey()
    question = talk.ask(40, 2, labelled=False, seed=0, on_invalid="drop")
    answers = [talk.answer(block, question) for block in raw_blocks(X, None, (10, 20, 30))]
    expected = reduce(talk.combine, answers).invalid
    assert (expected.nan, expected.infinite, expected.first, expected.rows) == (2, 1, (7, 1), 3)
    for seed in range(5):
        random.Random(seed).shuffle(answers)
        assert reduce(talk.combine, answers).invalid == expected


def test_fingerprint__tells_contents_apart_and_not_widths_or_byte_orders():
    X, y = rng.normal(size=(90, 2)), np.array(["a", "bb", "c"] * 30)
    print_ = survey(X, y, (40,)).fingerprint
    assert survey(X, y.astype("<U9"), (40,)).fingerprint == print_
    assert survey(X, y.astype(">U9"), (40,)).fingerprint == print_
    assert survey(X, y.astype(object), (40,)).fingerprint == print_
    assert survey(X, y.astype(np.dtypes.StringDType()), (40,)).fingerprint == print_
    assert survey(X.astype(">f8"), y, (40,)).fingerprint == print_
    assert survey(np.asfortranarray(X), y, (40,)).fingerprint == print_
    assert survey(X, y, (40,), seed=9).fingerprint == print_
    other = X.copy()
    other[50, 1] += 1e-9
    assert survey(other, y, (40,)).fingerprint != print_
    assert survey(X, np.where(np.arange(90) == 89, "a", y), (40,)).fingerprint != print_
    assert survey(X, cuts=(40,)).fingerprint != print_


# ---------------------------------------------------------------- the sample


def lowest(rows, count, seed=0):
    """The rows of lowest hash, ascending."""
    order = np.argsort(row_hash(rows, seed, stream=Stream.SURVEY))
    return np.sort(rows[order[:count]])


@pytest.mark.parametrize("cuts", [(), (100,), tuple(range(0, 5000, 500))[1:]])
def test_sample__without_labels_is_the_rows_of_lowest_hash(cuts):
    X = rng.normal(size=(5000, 2)).astype(np.float32)
    sample = survey(X, cuts=cuts, size=400).sample
    assert np.array_equal(sample.rows, lowest(np.arange(5000), 400))
    assert np.array_equal(sample.X, X[sample.rows])


@pytest.mark.parametrize("cuts", [(), (100,), tuple(range(0, 5000, 500))[1:]])
@pytest.mark.parametrize("seed", [0, 1])
def test_sample__is_the_lowest_hashes_of_each_class_in_proportion(cuts, seed):
    y = np.random.default_rng(seed).choice(5, 5000, p=[0.6, 0.3, 0.09, 0.009, 0.001])
    X = rng.normal(size=(5000, 2))
    schema = survey(X, y, cuts, size=500, floor=10, seed=seed)
    sample = schema.sample
    quotas = class_quotas(500, schema.counts, schema.counts, 10)
    assert np.array_equal(np.bincount(sample.codes), quotas)
    for code, label in enumerate(schema.classes):
        mine = np.flatnonzero(y == label)
        assert np.array_equal(sample.rows[sample.codes == code], lowest(mine, quotas[code], seed))
    assert np.all(np.diff(sample.rows) > 0)
    assert np.array_equal(sample.X, X[sample.rows])
    assert np.array_equal(schema.classes[sample.codes], y[sample.rows])


def test_sample__does_not_depend_on_the_blocks():
    y = np.random.default_rng(5).zipf(1.5, 3000) % 50
    X = rng.normal(size=(3000, 2))
    whole = survey(X, y, size=120, floor=4)
    assert set(whole.sample.codes) == set(range(len(whole.classes)))
    for cuts in [(1,), (1500,), tuple(range(100, 3000, 100))]:
        assert_same(survey(X, y, cuts, size=120, floor=4).sample, whole.sample)


def test_offers__stay_bounded_however_many_blocks_there_are():
    """The coordinator holds the sample's rows, not those of every class of every block."""
    n, C = 20_000, 50
    X, y = np.zeros((n, 1)), np.arange(n) % C
    talk = Survey()
    question = talk.ask(n, 1, labelled=True, seed=0, size=200, floor=5)
    blocks = raw_blocks(X, y, range(500, n, 500))
    merged = reduce(talk.combine, [talk.answer(block, question) for block in blocks])
    assert len(merged.offer.rows) <= 2 * 1.5 * 200 + 5 * C


def test_sample__of_many_classes_has_two_rows_of_each():
    y = np.arange(3000) % 1000
    sample = survey(np.zeros((3000, 1)), y, cuts=(1000, 2000), size=100).sample
    assert np.bincount(sample.codes).min() >= 1
    assert len(sample.rows) == 2000


# ---------------------------------------------------------------- invalid rows


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("cuts", [(), (50,), (10, 51, 52)])
def test_survey__counts_invalid_values_and_names_the_first(kind, cuts):
    X = rng.normal(size=(100, 4)).astype(kind)
    X[51, 3], X[51, 2], X[80, 0] = np.nan, np.inf, np.nan
    with pytest.raises(
        InputError, match="features has 2 NaN and 1 infinite values, first in row 51, column 2"
    ):
        survey(X, cuts=cuts)
    X[51, 2:] = 0
    with pytest.raises(InputError, match="features has 1 NaN value, first in row 80, column 0"):
        survey(X, cuts=cuts)


def test_survey__finds_infinities_that_cancel_and_passes_sums_that_overflow():
    X = np.zeros((10, 2))
    X[3, 0], X[4, 0] = np.inf, -np.inf
    with pytest.raises(InputError, match="2 infinite values, first in row 3, column 0"):
        survey(X)
    X[3, 0] = X[4, 0] = np.finfo(np.float64).max
    assert survey(X).n == 10


@pytest.mark.parametrize(
    "y",
    [
        np.array([1.0, np.nan, 0.0, np.nan, 1.0, 0.0]),
        np.array(["a", None, "b", None, "a", "b"], object),
        np.array(["a", np.nan, "b", pd.NA, "a", "b"], object),
        np.array([1, None, 0, np.nan, 1, 0], object),
        np.array(["a", None, "b", None, "a", "b"], np.dtypes.StringDType(na_object=None)),
        pd.Series(["a", None, "b", None, "a", "b"], dtype="string").to_numpy(),
        pd.Series([1, None, 0, None, 1, 0], dtype="Int64").to_numpy(object),
        pd.Series([True, None, False, None, True, False], dtype="boolean").to_numpy(object),
    ],
    ids=repr,
)
@pytest.mark.parametrize("cuts", [(), (1, 2), (3, 4), (1, 2, 3, 4)])
def test_survey__missing_labels_are_named_or_dropped(y, cuts):
    X = rng.normal(size=(6, 2))
    with pytest.raises(InputError, match="labels has 2 missing, first in row 1; fill them"):
        survey(X, y, cuts)
    schema = survey(X, y, cuts, on_invalid="drop")
    assert (schema.n, schema.n_source, schema.dropped) == (4, 6, 2)
    assert schema.classes.tolist() == [y[0], y[2]]
    assert schema.counts.tolist() == [2, 2]
    assert schema.sample.rows.tolist() == [0, 2, 4, 5]
    blocks = [valid_block(block, schema) for block in raw_blocks(X, y, cuts)]
    assert np.concatenate([b.rows for b in blocks]).tolist() == [0, 2, 4, 5]
    assert np.concatenate([b.codes for b in blocks]).tolist() == [0, 1, 0, 1]
    assert np.array_equal(np.concatenate([b.X for b in blocks]), X[[0, 2, 4, 5]])


@pytest.mark.parametrize("cuts", [(), (30,), (10, 20, 30)])
def test_survey__of_what_is_left_equals_the_survey_of_clean_data(cuts):
    X, y = rng.normal(size=(60, 3)), rng.integers(0, 3, 60)
    bad = np.zeros(60, bool)
    bad[[0, 10, 11, 19, 59]] = True
    X[bad, 1] = np.nan
    # a block of which nothing is left
    bad[20:30], X[20:30, 0] = True, -np.inf
    schema = survey(X, y, cuts, on_invalid="drop", seed=4)
    clean = X[~bad]
    assert (schema.n, schema.dropped) == (45, 15)
    assert schema.block_counts.tolist() == [(~part).sum() for part in np.split(bad, list(cuts))]
    assert schema.classes.tolist() == list(dict.fromkeys(y[~bad].tolist()))
    np.testing.assert_allclose(schema.mean, clean.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(schema.scale, clean.std(axis=0), rtol=1e-12)
    assert np.array_equal(schema.sample.rows, np.flatnonzero(~bad))
    for block in (valid_block(raw, schema) for raw in raw_blocks(X, y, cuts)):
        assert block.X.flags.c_contiguous
        assert np.array_equal(block.X, X[block.rows])
        assert np.array_equal(schema.classes[block.codes], y[block.rows])


def test_survey__refuses_data_without_a_valid_row():
    X = np.full((2000, 1), np.nan)
    with pytest.raises(InputError, match="no valid row among 2,000"):
        survey(X, cuts=(5,), on_invalid="drop")
    with pytest.raises(InputError, match="no valid row among 4"):
        survey(np.zeros((4, 1)), np.array([None] * 4, object), cuts=(1,), on_invalid="drop")


@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(["i1", "u1", "i4", "i8", "u8", "U2"]),
    n=st.integers(0, 300),
    seed=st.integers(0, 99),
    width=st.integers(1, 400),
)
def test_unique_labels__are_those_of_numpy(kind, n, seed, width):
    rng = np.random.default_rng(seed)
    if kind[0] == "U":
        labels = rng.integers(0, width, n).astype(kind)
    else:
        ends = np.iinfo(kind)
        least = (int(ends.min), int(ends.max) - min(width, 255) + 1)[seed % 2]
        labels = np.array([least + int(v) for v in rng.integers(0, min(width, 255), n)], kind)
    wanted = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    for found, one in zip(unique_labels(labels), wanted, strict=True):
        assert np.array_equal(found, one)
        assert found.dtype == one.dtype
