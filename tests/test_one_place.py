"""What CONTRIBUTING says begins in one file, and ends there: changed there, the rest follows."""

import dask.array as da
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import matthews_corrcoef

from dask_distill import distill, open_coreset, open_dataset, score, verify
from dask_distill.cli.score import score as score_command
from dask_distill.data.dataset import as_dataset
from dask_distill.errors import IncompleteOutput, InputError
from dask_distill.evaluation.evaluate import evaluate
from dask_distill.proxy.criteria import CRITERIA, Criterion
from dask_distill.report import columns
from dask_distill.report.page import render
from dask_distill.sources import open as opening
from dask_distill.spaces import reductions, words
from dask_distill.storage import form
from dask_distill.support.metrics import MORE, Metric

rng = np.random.default_rng(0)
X = rng.normal(size=(2000, 4))
Y = (X[:, 0] + X[:, 1] > 0).astype(int)


def certainty(tile):
    return tile.top[0].astype(np.float32)


def test_criterion__is_scored_by_its_name(monkeypatch):
    monkeypatch.setitem(CRITERIA, "certainty", Criterion(certainty))
    found = score(da.from_array(X, chunks=(700, 4)), Y, ["certainty", "doubt"])
    np.testing.assert_allclose(
        found["certainty"].compute(), 1 - found["doubt"].compute(), atol=1e-6
    )
    with pytest.raises(InputError, match="trust_gap, certainty, got 'sure'"):
        score(X, Y, ["sure"])


def test_criteria__are_named_by_the_command_line():
    (told,) = [option.help for option in score_command.params if option.name == "criteria"]
    assert f"of {', '.join(CRITERIA)}." in told


def matthews(answer, codes, weights, classes):
    return matthews_corrcoef(codes, answer.predicted, sample_weight=weights)


def test_metric__is_told_with_the_others_and_judged_by(monkeypatch):
    metric = Metric(name="matthews", words="Matthews correlation", percent=False, of=matthews)
    monkeypatch.setitem(MORE, "matthews", metric)
    coreset, dataset = distill(X, Y, size=200), as_dataset(X, Y)
    how = {"models": {"m": LogisticRegression()}, "seeds": 3, "metric": "matthews"}
    found = evaluate(coreset, dataset, **how)
    assert found.objective == "matthews"
    assert 0.8 < found.score("subset").value("matthews") <= 1
    assert "Matthews correlation" in found.verdict
    assert "Matthews correlation" in render(coreset, evaluation=found)
    with pytest.raises(InputError, match="calibration_error, matthews, the name of a scikit-learn"):
        evaluate(coreset, dataset, metric="mathews")


def test_source__is_opened_by_the_end_of_its_name(monkeypatch, tmp_path):
    def open_text(location, features, labels, carry, weight):
        return as_dataset(np.loadtxt(location.url))

    monkeypatch.setitem(opening.READERS, ".numbers", open_text)
    np.savetxt(tmp_path / "a.numbers", X)
    found = open_dataset(tmp_path / "a.numbers")
    np.testing.assert_allclose(found.features.compute(), X)


@pytest.mark.parametrize("name", ["out.zarr", "out.parquet"])
def test_marker__is_known_in_one_place(name, monkeypatch, tmp_path):
    """Another word for it, and writers, readers and checks go by that."""
    monkeypatch.setattr(form, "_COMMIT", "sealed")
    coreset = distill(X, Y, size=50)
    write = coreset.to_zarr if name.endswith("zarr") else coreset.to_parquet
    write(tmp_path / name)
    root = next(file for file in (tmp_path / name).iterdir() if "json" in file.name)
    assert '"sealed"' in root.read_text()
    assert '"commit"' not in root.read_text()
    assert verify(tmp_path / name).ok
    np.testing.assert_array_equal(open_coreset(tmp_path / name).indices, coreset.indices)
    assert open_dataset(tmp_path / name).n == 50
    monkeypatch.undo()
    with pytest.raises(IncompleteOutput, match="commit marker"):
        open_coreset(tmp_path / name)
    assert not verify(tmp_path / name).ok


def test_report__tells_of_columns_what_one_table_has(monkeypatch):
    pd = pytest.importorskip("pandas")
    line = columns._line
    monkeypatch.setitem(columns.HEADS, "Letters", "number")
    monkeypatch.setattr(columns, "_line", lambda name, *more: (*line(name, *more), str(len(name))))
    frame = pd.DataFrame({"length": X[:, 0], "breadth": X[:, 1], "label": Y})
    page = render(distill(frame, "label", size=50))
    assert '<th scope="col" class="number">Letters</th>' in page
    assert '<td class="number">7</td></tr>' in page


def test_reductions__of_a_number_of_features_go_by_their_name():
    kinds = [
        kind
        for kind in vars(reductions).values()
        if isinstance(kind, type) and issubclass(kind, reductions.Sized) and "name" in vars(kind)
    ]
    assert len(kinds) >= 4
    for kind in kinds:
        assert isinstance(words.make_reduction(f"{kind.name}:2"), kind)
