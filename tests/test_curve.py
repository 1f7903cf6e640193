"""How many rows are enough? Known data, so that the order of the strategies is known, too."""

import json
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

from dask_distill import InputError, SizeCurve, distill, size_curve
from dask_distill.cli.main import cli
from dask_distill.evaluation.curve_result import curve_drawing
from dask_distill.evaluation.curve_verdict import verdict_on_curve
from dask_distill.evaluation.statistics import ALL_MODELS, interval
from dask_distill.report.page import render, render_curve
from dask_distill.report.pictures import save_pictures
from dask_distill.selection.select import SelectionWarning
from dask_distill.strategies import Auto, KCenter, Stratified, make_strategy

LINEAR = make_pipeline(StandardScaler(), LogisticRegression())
TWO = {"linear": LINEAR, "tree": DecisionTreeClassifier(max_depth=5)}
FAST = {"models": TWO, "seeds": 3, "sizes": (0.02, 300), "strategies": ("stratified", "strata")}


@pytest.fixture(scope="module")
def small(labelled):
    return labelled.X[:5000], labelled.names[:5000]


@pytest.fixture(scope="module")
def found(small):
    return size_curve(*small, **FAST)


def without_seconds(curve):
    points = [replace(p, training_seconds=0, selection_seconds=0) for p in curve.points]
    return replace(curve, points=tuple(points), notes=())


# ---------------------------------------------------------------- what is measured


def test_curve__has_every_strategy_size_and_model(found):
    assert found.strategies == ("stratified", "strata", "random")
    assert found.models == (ALL_MODELS, "linear", "tree")
    assert found.selected_from + found.test_rows == found.rows == 5000
    for name in found.strategies:
        for model in found.models:
            assert [point.rows for point in found.line(name, model)] == [80, 300]
    (full,) = found.line("everything")
    assert (full.rows, full.share, full.kept, full.gain) == (4000, 1.0, 1.0, None)
    assert "18 selections, and 42 trainings" in found.notes[-1]


def test_curve__is_what_selecting_and_training_by_hand_gives(small):
    """One seed's accuracy from the public pieces alone."""
    from dask_distill.evaluation.splits import pool_rows, split_rows

    X, names = small
    y = np.unique(names, return_inverse=True)[1]
    accuracies = []
    for seed in range(2):
        rows = pool_rows(5000, 50_000, 0)
        split = split_rows(rows, y, np.empty(0, np.int64), seed, 1, 50_000, None)
        rest = split.everything
        coreset = distill(X[rest], y[rest], size=200, strategy="strata", seed=seed)
        mine = rest[coreset.indices]
        assert not np.isin(mine, split.test).any()
        weights = coreset.weights / coreset.weights.mean()
        model = make_pipeline(StandardScaler(), LogisticRegression(random_state=seed))
        model.fit(X[mine], y[mine], logisticregression__sample_weight=weights)
        accuracies.append(model.score(X[split.test], y[split.test]))
    curve = size_curve(X, names, sizes=[200], strategies="strata", models=LINEAR, seeds=2)
    (point,) = curve.line("strata")
    assert point.accuracy == pytest.approx(np.mean(accuracies), abs=1e-12)


def test_curve__worse_rows_are_told_from_random_ones(small):
    """The rows of highest gradient are those of wrong labels."""
    with pytest.warns(SelectionWarning) as caught:
        curve = size_curve(*small, **FAST | {"strategies": ["gradient"]})
    # once, not for every selection, and at the caller's line
    assert [warning.filename for warning in caught] == [__file__]
    for worse, random in zip(curve.line("gradient"), curve.line("random"), strict=True):
        assert worse.gain_low < worse.gain < worse.gain_high < 0
        assert random.accuracy + worse.gain == pytest.approx(worse.accuracy)
        assert random.gain is None
    assert curve.verdict.endswith("against random rows it is worse at 80 and 300 rows.")


def test_curve__random_against_random_is_not_told_apart(small):
    strategies = {"random again": Stratified(), "random": "random"}
    curve = size_curve(*small, sizes=[100], strategies=strategies, models=LINEAR, seeds=4)
    assert curve.verdict.endswith("against random rows it is not told apart from it at 100 rows.")


@pytest.mark.slow
def test_curve__clean_rows_are_better_where_labels_are_wrong():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(8000, 5))
    truth = (X[:, 0] + X[:, 1] > 0).astype(int)
    y = np.where(rng.random(len(X)) < 0.2, 1 - truth, truth)
    clean = X[:500], truth[:500]
    curve = size_curve(
        X[500:], y[500:], test=clean, models=DecisionTreeClassifier(), sizes=[0.03], seeds=5
    )
    assert curve.line("auto")[0].gain_low > 0
    assert curve.test_rows == 500
    assert curve.verdict.startswith("auto keeps")
    assert curve.verdict.endswith("against random rows it is better at 225 rows.")


def test_curve__same_for_the_same_seed_on_a_cluster_too(small, local_client):
    few = {"sizes": [100], "strategies": "strata", "models": LINEAR, "seeds": 2}
    here, again = (without_seconds(size_curve(*small, **few)) for _ in range(2))
    local_client(2)
    assert without_seconds(size_curve(*small, **few)) == here == again


def test_curve__a_bounded_part_is_said_to_be_one(small):
    curve = size_curve(*small, **FAST | {"max_rows": 500, "sizes": [0.1]})
    assert curve.selected_from == 500
    assert curve.line("strata")[0].rows == 50
    assert "Selected from 500 of 5,000 rows" in curve.notes[0]


def test_curve__invalid_rows_are_left_out(small):
    X, y = small[0].copy(), small[1]
    X[::7, 1] = np.nan
    curve = size_curve(X, y, **FAST | {"sizes": [100]})
    assert curve.selected_from + curve.test_rows == 5000 - len(X[::7])


def test_curve__strategies_may_be_objects_by_name(small):
    strategies = {"exact": KCenter(exact=True), "equal": Auto(balance="equal")}
    curve = size_curve(*small, sizes=[60], strategies=strategies, models=LINEAR, seeds=2)
    assert curve.strategies == ("exact", "equal", "random")


def test_curve__a_search_is_a_strategy_like_others(small):
    pytest.importorskip("optuna")
    search = make_strategy("search", {"trials": 2, "seeds": 2, "max_rows": 500})
    search = replace(search, model=LINEAR)
    found = size_curve(*small, sizes=[200], strategies={"s": search}, models=LINEAR, seeds=2)
    assert [point.rows for point in found.line("s", "all models")] == [200]


def test_interval__resplits_of_the_same_rows_are_less_certain():
    gaps = [0.01, 0.02, 0.04]
    plain, corrected = interval(gaps), interval(gaps, overlap=0.25)
    ratio = (corrected[2] - corrected[1]) / (plain[2] - plain[1])
    assert ratio == pytest.approx(np.sqrt((1 / 3 + 0.25) * 3))
    assert interval([0.01, 0.01], least=1e-4)[2] > 0.01


def test_verdict__names_the_first_strategy_that_is_not_random(found):
    names = ["random", "strata", "stratified"]
    assert verdict_on_curve(found.points, names).startswith("strata keeps")
    only = verdict_on_curve(found.points, ["random"])
    assert only.startswith("random keeps")
    assert "against" not in only


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"sizes": []}, "sizes must be at least one part or number of rows"),
        ({"sizes": [1.5]}, "sizes must be parts above 0 and at most 1, or whole numbers"),
        ({"sizes": [0]}, "sizes must be parts above 0"),
        ({"sizes": [True]}, "sizes must be parts above 0"),
        ({"sizes": [4001]}, "sizes must be at most the 4,000 rows that are selected from"),
        ({"strategies": ["best"]}, "strategy must be one of"),
        ({"strategies": {"everything": "auto"}}, "strategies must not be named 'everything'"),
        ({"strategies": {"majority": "auto"}}, "strategies must not be named 'majority'"),
        ({"metric": "f2"}, "metric must be one of accuracy"),
        ({"seeds": 1}, "seeds must be an int of at least 2"),
        ({"seed": -1}, "seed must be an int of at least 0"),
        ({"max_rows": 10}, "max_rows must be an int of at least 100"),
        ({"models": 3}, "models must be scikit-learn classifiers"),
        ({"test": np.zeros((5, 6))}, "size_curve needs the labels of the test rows"),
        ({"test": (np.zeros((5, 2)), np.array(["a"] * 5))}, "test must have the 6 features"),
        ({"test": (np.full((5, 6), np.nan), np.array(["a"] * 5))}, "test must have no NaN"),
    ],
)
def test_curve__refuses_in_one_sentence(small, arguments, sentence):
    with pytest.raises(InputError, match=sentence):
        size_curve(*small, **FAST | arguments)


def test_curve__refuses_the_unlabelled(small):
    with pytest.raises(InputError, match="size_curve needs the labels of the source, got none"):
        size_curve(small[0])


# ---------------------------------------------------------------- how it is shown


def test_curve__goes_through_json(found):
    assert SizeCurve.from_dict(json.loads(json.dumps(found.as_dict()))) == found


def test_tables__hold_what_the_points_hold(found):
    frame = found.to_dataframe()
    # the majority is the same for all models
    assert len(frame) == len(found.points) == 3 * 2 * 3 + 3 + 1
    assert frame.iloc[0].to_dict() == found.points[0].flat()
    low, high = found.points[0].intervals["log_loss"]
    assert (frame.log_loss_low[0], frame.log_loss_high[0]) == (low, high)
    table = found.table("linear")
    names = ["everything", *(name for name in found.strategies for _ in range(2))]
    assert table.strategy.tolist() == names
    assert found.table().strategy.tolist() == [names[0], "majority", *names[1:]]
    assert table.rows.tolist() == [4000, 80, 300, 80, 300, 80, 300]
    text = str(found)
    assert text.splitlines()[0].split()[:3] == ["trained", "on", "rows"]
    assert found.verdict in text


def test_plot__svg_and_png_the_same_each_time(found, tmp_path):
    found.plot(tmp_path / "curve.svg")
    root = ElementTree.parse(tmp_path / "curve.svg").getroot()
    assert root.tag.endswith("svg")
    assert "for stratified, strata, random and everything" in (tmp_path / "curve.svg").read_text()
    found.plot(tmp_path / "curve.png", metric="balanced_accuracy", model="tree")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    first = (tmp_path / "curve.svg").read_bytes()
    found.plot(tmp_path / "curve.svg")
    assert (tmp_path / "curve.svg").read_bytes() == first
    assert sorted(p.name for p in tmp_path.iterdir()) == ["curve.png", "curve.svg"]
    for arguments, sentence in [
        ({"path": "c.pdf"}, r"path must end in \.svg or \.png"),
        ({"path": "c.svg", "metric": "f1"}, "metric must be one of accuracy, balanced_accuracy"),
        ({"path": "c.svg", "model": "x"}, "model must be one of all models, linear, tree"),
        ({"path": tmp_path / "no" / "c.svg"}, "path must be a file in a folder that exists"),
    ]:
        with pytest.raises(InputError, match=sentence):
            found.plot(**arguments)


def drawn(curve, metric="accuracy"):
    figure = Figure()
    axes = figure.add_subplot()
    drawing = curve_drawing(curve, metric=metric)
    drawing.draw(axes, *drawing.arguments)
    return axes


def test_plot__everything_and_the_majority_are_there_and_no_part_is_above_all(found):
    axes = drawn(found)
    words = " ".join(text.get_text().replace("\n", " ") for text in axes.texts)
    assert "everything (4,000 rows)" in words
    assert "frequent class" in words
    low, high = axes.get_ylim()
    assert low >= 0
    assert high <= 101
    ends = np.concatenate([bars.get_segments() for bars in axes.collections])[..., 1]
    assert ends.min() >= 0
    assert ends.max() <= 100


def test_plot__a_majority_far_below_does_not_press_the_others_together(found):
    (point,) = found.line("majority")
    far = [p if p != point else replace(p, accuracy=0.01) for p in found.points]
    near = [
        p if p != point else replace(p, accuracy=found.points[0].accuracy) for p in found.points
    ]
    for points, words in ((far, "is lower: 1.0"), (near, "the most\nfrequent class")):
        axes = drawn(replace(found, points=tuple(points)))
        assert any(words in text.get_text() for text in axes.texts)
        assert axes.get_ylim()[0] > 10


class Tags(HTMLParser):
    """Elements that are opened and not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.ids = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.ids += [value for name, value in attributes if name == "id"]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_pages__are_well_formed_and_escaped(found, small):
    evil = "<script>$x$"
    named = replace(
        found,
        points=tuple(
            replace(p, strategy=evil) if p.strategy == "strata" else p for p in found.points
        ),
    )
    coreset = distill(*small, fraction=0.02, strategy="random")
    report = render(coreset, curve=named)
    other = replace(named, rows=1)
    for shown in (render_curve(named), report, named._repr_html_() + other._repr_html_()):
        tags = Tags(shown)
        assert tags.open == []
        assert len(set(tags.ids)) == len(tags.ids)
        # the report has one of its own
        assert shown.count("<script") == (shown is report)
        assert "&lt;script&gt;" in shown
    assert "<h2>How many rows are enough</h2>" in report
    assert "<h2>How many rows are enough</h2>" not in render(coreset)


def test_pictures__each_as_a_file(found, small, tmp_path):
    coreset = distill(*small, fraction=0.02)
    for kind in ("svg", "png"):
        files = save_pictures(coreset, tmp_path / "new", curve=found, kind=kind)
        scores = [f"{what}/{name}" for name in coreset.scores for what in ("score", "where")]
        assert sorted(files) == sorted(["curve", "where", "weights", *scores])
        assert all(file.stat().st_size > 2000 for file in files.values())
        assert all(file.suffix == f".{kind}" for file in files.values())
    with pytest.raises(InputError, match='kind must be "svg" or "png"'):
        save_pictures(coreset, tmp_path, kind="pdf")
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="folder must be one that can be made"):
        save_pictures(coreset, tmp_path / "file" / "folder")


# ---------------------------------------------------------------- the command


@pytest.fixture
def command(small, tmp_path, monkeypatch):
    """Run the command on this process's threads, with one quick model."""
    from contextlib import nullcontext

    monkeypatch.chdir(tmp_path)
    np.savez("in.npz", X=small[0], y=small[1], A=small[0][:300], b=small[1][:300])
    monkeypatch.setattr("dask_distill.clusters.connect.connect", lambda **places: nullcontext())
    monkeypatch.setattr(
        "dask_distill.evaluation.training.standard_models", lambda: {"logistic": LINEAR}
    )

    def run(*arguments):
        return CliRunner().invoke(cli, ["curve", *arguments])

    return run


FEW = ["--sizes", "2%,100", "--seeds", "2", "--strategy", "strata"]


def test_command__json_is_one_object_that_the_report_shows(command, small):
    done = command("in.npz", *FEW, "--json", "-o", "curve.svg")
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    found = SizeCurve.from_dict(json.loads(done.stdout))
    assert [point.rows for point in found.line("strata")] == [80, 100]
    with open("found.json", "w", encoding="utf-8") as file:
        file.write(done.stdout)
    ElementTree.parse("curve.svg")
    distill(*small, fraction=0.02).to_zarr("out.zarr")
    shown = CliRunner().invoke(
        cli, ["report", "out.zarr", "--curve", "found.json", "--pictures", "drawn", "--kind", "png"]
    )
    assert shown.exit_code == 0, shown.output
    assert "drawn/curve.png" in shown.stdout
    with open("out.html", encoding="utf-8") as file:
        assert "How many rows are enough" in file.read()


def test_command__table_page_and_options_of_a_strategy(command):
    strategy = ["--strategy", "kcenter:exact=true", "--model", "logistic", "-o", "curve.html"]
    done = command("in.npz", *FEW, *strategy, "--test", "A", "b")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("trained on")
    assert "kcenter:exact=true" in done.stdout
    assert "tested on 300 rows each" in done.stdout
    assert done.stdout.endswith("wrote curve.html\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["in.npz", "-o", "c.pdf"], "output must end in .svg, .png or .html"),
        (["in.npz", "-o", "no/c.svg"], "path must be a file in a folder that exists"),
        (["in.npz", "--sizes", "ten"], "sizes must be parts such as 5% or 0.05"),
        (["in.npz", "--sizes", "200%"], "sizes must be parts above 0 and at most 1"),
        (["in.npz", "--strategy", "best"], "strategy must be one of"),
        (["in.npz", "--strategy", "auto:trust"], "strategy must be NAME or NAME:KEY=VALUE"),
        (
            ["in.npz", "--model", "x"],
            "model must be one of logistic, sgd, naive-bayes, neural-network, got 'x'",
        ),
        (["in.npz", "more"], "one SOURCE is wanted, got in.npz more"),
        (["nowhere.npz"], "nowhere.npz"),
    ],
)
def test_command__bad_input_is_one_sentence(command, arguments, sentence):
    done = command(*arguments)
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1
    assert sentence in done.stderr
