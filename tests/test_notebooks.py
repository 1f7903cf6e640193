"""What notebooks show of results: well-formed, escaped, with the words and pictures that matter."""

import dataclasses

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from dask_distill import Request, distill, grow, make_plan, search_strategy, size_curve, verify
from dask_distill.data.dataset import as_dataset
from dask_distill.strategies import make_strategy
from tests.pages import Page

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def dataset(labelled):
    names = np.array([EVIL, "b & <c>", "d", "e"])[labelled.y[:2000]]
    return as_dataset(labelled.X[:2000], names)


@pytest.fixture(scope="module")
def coreset(dataset):
    return distill(dataset, fraction=0.1, strategy="kcenter", certify=True)


def shown(result):
    """Its HTML, well-formed and without markup of users'."""
    text = result._repr_html_()
    Page(text)
    assert "<script" not in text
    assert "<c>" not in text
    return text


def test_evaluation__verdict_first_and_what_bounds_it_folded(coreset, dataset):
    found = coreset.evaluate(dataset, models=LogisticRegression(), seeds=2)
    text = shown(dataclasses.replace(found, notes=(EVIL,)))
    assert text.startswith("<p><b>")
    assert "&lt;script&gt;" in text
    assert text.index("Trained on") < text.index("The subset against each")
    for name, *cells in found.rows_of_means():
        assert f"<td>{name}</td>{''.join(f'<td>{cell}</td>' for cell in cells)}" in text
    assert text.index("<details>") < text.index(found.draws())


def test_certificate__both_bounds(coreset):
    text = shown(coreset.certificate)
    for value in (coreset.certificate.radius, coreset.certificate.random_radius):
        assert f"{value:.4g}" in text
    bound = dataclasses.replace(coreset.certificate, measured=False, random_radius=None)
    assert "old rows were not read again" in shown(bound)
    assert "of a random subset" not in shown(bound)


def test_verification__what_is_wrong(coreset, tmp_path):
    coreset.to_zarr(tmp_path / "out.zarr")
    found = verify(tmp_path / "out.zarr")
    assert ">yes</td>" in shown(found)
    assert found.digest in shown(found)
    wrong = dataclasses.replace(found, ok=False, problems=(f"chunk {EVIL} is missing",))
    assert ">no</td>" in shown(wrong)
    assert "chunk &lt;script&gt;" in shown(wrong)


def test_plan__what_a_run_would_take(dataset):
    made = make_plan(dataset, Request(strategy=make_strategy("auto"), fraction=0.1))
    assert "200 (10.0%) by auto" in shown(made)
    assert "memory of a worker" in shown(made)


def test_search__picture_trials_and_verdict(dataset):
    found = search_strategy(dataset, fraction=0.1, trials=3)
    text = shown(found)
    assert text.startswith("<p><b>")
    assert "<svg" in text
    assert found.best()[0].strategy in text
    # twice on a page, two pictures do not share names
    other = dataclasses.replace(found, size=found.size + 1)
    ids = [set(Page(each._repr_html_()).ids) for each in (found, other)]
    assert not ids[0] & ids[1]


def test_curve__picture_and_table(dataset):
    found = size_curve(
        dataset, sizes=[0.05, 0.2], strategies="random", models=LogisticRegression(), seeds=2
    )
    assert "<svg" in shown(found)


def test_growth__how_many_batches(labelled):
    X, y = labelled.X[:900], labelled.y[:900]
    coreset = grow(X[:500], y[:500], size=40).update(X[500:], y[500:])
    assert "2 batches" in shown(coreset)


def test_notebooks__without_matplotlib_there_is_no_picture(dataset, monkeypatch):
    import sys

    found = size_curve(
        dataset, sizes=[0.05], strategies="random", models=LogisticRegression(), seeds=2
    )
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "<svg" not in shown(found)
