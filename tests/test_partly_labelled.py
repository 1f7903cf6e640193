"""Partly labelled data: rows without a label are no class."""

import warnings

import dask.array as da
import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.linear_model import LogisticRegression

from dask_distill import InputError, distill, open_coreset
from dask_distill.cli.main import cli
from dask_distill.data.labels import MissingLabel
from dask_distill.report.words import command
from dask_distill.selection.select import SelectionWarning


@pytest.fixture(scope="module")
def partly():
    """Three classes, and six rows in ten without one."""
    rng = np.random.default_rng(2)
    X = rng.normal(size=(5_000, 4)).astype(np.float32)
    y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 1)
    return X, np.where(rng.random(5_000) < 0.6, -1, y)


FORMS = {
    "int": (lambda y: y, -1),
    "NumPy's int": (lambda y: y, np.int64(-1)),
    "float": (lambda y: y.astype(float), -1),
    "NaN": (lambda y: np.where(y < 0, np.nan, y), np.nan),
    "None": (lambda y: np.where(y < 0, None, y.astype(object)), None),
    "text": (lambda y: np.where(y < 0, "?", y.astype(str)), "?"),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("strategy", ["auto", "stratified", "kcenter", "random"])
def test_missing_label__rows_with_it_are_left_out_in_every_form(partly, form, strategy):
    X, y = partly
    made, missing = FORMS[form]
    labels = made(y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = distill(X, labels, size=60, strategy=strategy, missing_label=missing)
    known = int((y >= 0).sum())
    assert (y[found.indices] >= 0).all()
    assert found.provenance["rows"] == known
    assert found.weights.sum() == pytest.approx(known)
    assert found.provenance["dropped"]["without_label"] == 5_000 - known
    assert found.provenance["dropped"]["classes"] == []
    assert len(found.provenance["classes"]) == 3
    np.testing.assert_array_equal(found.labels.compute(), labels[found.indices])


def test_missing_label__same_rows_for_any_chunking(partly):
    X, y = partly
    one, other = (
        distill(
            da.from_array(X, chunks=(rows, -1)),
            da.from_array(y, chunks=rows // 2),
            fraction=0.05,
            missing_label=-1,
        )
        for rows in (600, 5_000)
    )
    np.testing.assert_array_equal(one.indices, other.indices)
    assert len(one) == round(0.05 * (y >= 0).sum())


def test_missing_label__other_gaps_stay_faults(partly):
    X, y = partly
    gap = y.astype(float)
    gap[7] = np.nan
    with pytest.raises(InputError, match="labels has 1 missing, first in row 7"):
        distill(X, gap, size=60, missing_label=-1)
    dropped = distill(X, gap, size=60, missing_label=-1, on_invalid="drop").provenance["dropped"]
    assert dropped["without_label"] == ((y < 0) | np.isnan(gap)).sum()
    bad = X.copy()
    bad[3, 1] = np.nan
    with pytest.raises(InputError, match="1 NaN value, first in row 3"):
        distill(bad, y, size=60, missing_label=-1)


def test_missing_label__that_no_row_has_is_warned_of(partly):
    X, y = partly
    with pytest.warns(SelectionWarning, match="missing_label -9 is the label of no row"):
        distill(X, np.abs(y), size=60, missing_label=-9)


def test_labels__minus_one_beside_classes_is_warned_of(partly):
    X, y = partly
    message = f"-1 in {(y < 0).sum():,} rows beside classes 0 to 2, .* pass missing_label=-1"
    for labels in (y, y.astype(float)):
        with pytest.warns(SelectionWarning, match=message):
            distill(X, labels, size=60)


@pytest.mark.parametrize(
    "classes", [[-1, 1], [-2, -1, 0, 1], [-1, 0, 2], [0, 1, 2], ["-1", "0", "1"]]
)
def test_labels__other_numbers_are_classes_without_a_word(partly, classes):
    labels = np.array(classes)[np.arange(5_000) % len(classes)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(distill(partly[0], labels, size=60).provenance["classes"]) == len(classes)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"missing_label": [1]}, r"missing_label must be a number, a text, NaN or None, got \[1\]"),
        ({"missing_label": True}, "missing_label must be a number"),
        ({"missing_label": -1, "labels": None}, "with labels that are classes, got no labels"),
        ({"missing_label": -1, "task": "regression"}, 'got task="regression"; leave it out'),
        ({"missing_label": -1, "labels": np.full(5_000, -1)}, "no valid row among 5,000"),
    ],
)
def test_missing_label__refuses_what_cannot_be(partly, options, message):
    X, y = partly
    with pytest.raises(InputError, match=message):
        distill(X, **{"labels": y, "size": 10} | options)


def test_missing_label__compares_what_can_be_compared():
    objects = np.array([None, "a", -1, np.nan], object)
    assert MissingLabel.of(None).among(objects).tolist() == [True, False, False, True]
    assert MissingLabel.of("a").among(objects).tolist() == [False, True, False, False]
    assert MissingLabel.of("a").among(np.arange(3)).tolist() == [False] * 3
    assert MissingLabel.of(1).among(np.array(["1", "2"])).tolist() == [False] * 2
    assert MissingLabel.worded("-1", "i") == MissingLabel(-1)
    assert MissingLabel.worded("NaN", "f") == MissingLabel(None)
    assert MissingLabel.worded("-1", "U") == MissingLabel("-1")
    with pytest.raises(InputError, match="must be a number, as labels are, got 'x'"):
        MissingLabel.worded("x", "f")


def test_evaluate__leaves_out_rows_without_a_label(partly):
    X, y = partly
    coreset = distill(X, y, size=100, missing_label=-1)
    found = coreset.evaluate(X, y, models=LogisticRegression(), seeds=2)
    assert found.classes == 3
    assert found.score("everything").accuracy > 0.8


def test_command__takes_a_missing_label_and_tells_of_it(partly, tmp_path):
    X, y = partly
    np.savez(tmp_path / "in.npz", X=X, y=y)
    words = ["run", str(tmp_path / "in.npz"), str(tmp_path / "out.zarr"), "--size", "50"]
    done = CliRunner().invoke(cli, [*words, "--missing-label", "-1"])
    assert done.exit_code == 0, done.output
    assert f"{(y < 0).sum():,} without a label" in done.stdout
    coreset = open_coreset(tmp_path / "out.zarr")
    assert (coreset.labels.compute() >= 0).all()
    assert "--missing-label -1" in command(coreset)
