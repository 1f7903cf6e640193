"""The report's first screen: figures that are right, and warnings where there should be some."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from dask_distill import distill, open_coreset
from dask_distill.data.dataset import as_dataset
from dask_distill.report.overview import cards, classes_kept, effective, warnings_of
from dask_distill.selection.select import SelectionWarning


@pytest.fixture(scope="module")
def dataset(labelled):
    return as_dataset(labelled.X[:4000], labelled.names[:4000])


@pytest.fixture(scope="module")
def coreset(dataset):
    return distill(dataset, fraction=0.05, strategy="stratified")


def by_name(coreset, evaluation=None):
    return {card.name: card for card in cards(coreset, evaluation)}


def test_cards__are_of_the_subset(coreset):
    found = by_name(coreset)
    assert list(found) == [
        "Selected",
        "What is lost",
        "Least kept class",
        "Weighs like",
        "Cost",
    ]
    assert (found["Selected"].value, found["Selected"].words) == ("5.0%", "200 of 4,000 rows")
    assert found["What is lost"].value == "not measured"
    weights = coreset.weights.astype(np.float64)
    equal = weights.sum() ** 2 / np.square(weights).sum()
    assert effective(coreset) == pytest.approx(equal)
    assert found["Weighs like"].value == f"{equal:,.0f}"
    assert found["Cost"].value == f"{coreset.provenance['seconds']['total']:.1f} s"


def test_cards__tell_what_is_lost_where_it_was_measured(coreset, dataset):
    found = coreset.evaluate(dataset, models=LogisticRegression(), seeds=2)
    card = by_name(coreset, found)["Against everything"]
    mean = found.found_difference("everything", "accuracy").mean
    assert float(card.value.split()[0].replace("−", "-")) == round(100 * mean, 1)
    assert f"and {100 * found.score('everything').value('accuracy'):.1f}% on" in card.words


def test_cards__of_rows_without_classes(labelled):
    coreset = distill(labelled.X[:600], size=30, strategy="kcenter", certify=True)
    found = by_name(coreset)
    assert list(found) == ["Selected", "Covering radius", "Weighs like", "Cost"]
    assert found["Covering radius"].value == f"{coreset.certificate.radius:.4g}"


def test_classes__worst_first_and_none_of_a_number_that_is_predicted(coreset, labelled):
    told = classes_kept(coreset.provenance)
    kept = [entry["kept"] for entry in told["shown"]]
    assert kept == sorted(kept)
    assert {entry["label"] for entry in told["shown"]} == {"alpha", "beta", "gamma", "delta"}
    assert told["all"] == 0.05
    rows = distill(labelled.X[:600], labelled.X[:600, 0], size=30, task="regression")
    assert rows.provenance["classes"]
    assert classes_kept(rows.provenance) is None
    assert "Least kept class" not in by_name(rows)


def test_classes__several_labels_a_row_are_shown_each(labelled):
    X = labelled.X[:800]
    several = np.stack([X[:, 0] > 0.1, X[:, 1] > 1, np.arange(800) % 9 == 0], axis=1)
    coreset = distill(X, several, size=80, task="multilabel")
    told = classes_kept(coreset.provenance)
    assert told["noun"] == "label"
    assert told["count"] == 3
    rows = {entry["rows"] for entry in told["shown"]}
    assert rows == set(several.sum(axis=0).tolist())


def test_warnings__none_where_all_is_well(coreset):
    assert warnings_of(coreset) == []


def test_warnings__rows_left_out_tell_in_which_columns(labelled):
    X = labelled.X[:900].copy()
    X[::10, 2] = np.nan
    coreset = distill(X, labelled.y[:900], size=90, strategy="stratified", on_invalid="drop")
    assert warnings_of(coreset) == [
        "90 rows with invalid values or no label were left out (90 for column 2)."
    ]


def test_warnings__classes_under_half_of_their_share(coreset):
    short = [{"label": "beta", "rows": 400, "selected": 3, "share": 20.0}]
    told = coreset.provenance | {"underrepresented": short}
    (line,) = warnings_of(replace(coreset, provenance=told))
    assert line.startswith("1 class is kept at under half of its share: 'beta' (3 of 400 rows")


def test_warnings__weights_by_which_few_rows_tell_all(coreset):
    weights = np.ones(200, np.float32)
    weights[:3] = 2000
    (line,) = warnings_of(replace(coreset, weights=weights))
    assert line == (
        "Weights are very unequal: of means the 200 rows tell no more than 3 of equal weight."
    )


def test_warnings__chunks_that_the_source_has_not(coreset):
    found = coreset.provenance["input"] | {"chunks_missing": {"X": 2, "y": 0}}
    told = coreset.provenance | {"input": found}
    (line,) = warnings_of(replace(coreset, provenance=told))
    assert line == "2 chunks of X not stored in the source, and read as the fill value."


def test_warnings__of_a_strategy_that_hurts(dataset, tmp_path):
    with pytest.warns(SelectionWarning) as told:
        coreset = distill(dataset, fraction=0.05, strategy="gradient")
    coreset.to_zarr(tmp_path / "out.zarr")
    found = warnings_of(open_coreset(tmp_path / "out.zarr"))
    assert found == warnings_of(coreset)
    # what the run has warned of, too
    assert len(told) >= 2
    for each in told:
        assert any(str(each.message).rstrip(".").lower() in line.lower() for line in found)
