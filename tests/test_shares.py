"""Classes kept at under half of their share are told, with figures; what is asked for is not."""

import json
import re
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from scipy.stats import binom

from dask_distill import SelectionWarning, distill, grow, open_coreset
from dask_distill.cli.main import cli
from dask_distill.follow import follow
from dask_distill.selection.shares import rare_classes, share_warning, shown, underrepresented
from dask_distill.strategies import STRATEGIES, make_strategy
from dask_distill.subset.summary import Settings

N, SIZE = 20_000, 2_000
rng = np.random.default_rng(0)
X = rng.normal(size=(N, 6))
# a class of 4 % that lies amid the other one: to a model its rows are the hardest
DEPTH = 1.2 * X[:, 0] + 0.8 * X[:, 1] + rng.logistic(size=N)
Y = (np.quantile(DEPTH, 0.96) < DEPTH).astype(int)
RARE = int(Y.sum())
LINE = (
    r"1 class is kept at under half of its share: 1 \(0 of 800 rows, share 80\); "
    r'strategy="stratified" / --strategy stratified keeps every class at its share, protect= / '
    r"--protect keeps any rows that you name$"
)


def quiet(*args, **more):
    """A coreset, and the lines of our warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", SelectionWarning)
        coreset = distill(*args, **more)
    return coreset, [str(w.message) for w in caught if "under half" in str(w.message)]


def table(rows, selected, weights=None):
    entries = [
        {"label": number, "rows": row, "selected": kept}
        for number, (row, kept) in enumerate(zip(rows, selected, strict=True))
    ]
    if weights is None:
        return entries
    return [entry | {"weight": w} for entry, w in zip(entries, weights, strict=True)]


def labels(found):
    return [entry["label"] for entry in found]


def test_distill__a_class_without_a_row_is_told_with_its_share():
    with pytest.warns(SelectionWarning, match=LINE):
        coreset = distill(X, Y, size=SIZE, strategy="strata")
    assert RARE == 800
    assert int((coreset.labels.compute() == 1).sum()) == 0
    told = coreset.provenance["underrepresented"]
    assert told == [{"label": 1, "rows": 800, "selected": 0, "share": 80.0}]


@pytest.mark.parametrize("options", [{}, {"floor": 600}, {"floor": 1}])
@pytest.mark.parametrize("weighted", [False, True])
def test_distill__stratified_says_nothing_whatever_its_floor(options, weighted):
    weight = np.where(Y == 1, 9.0, 0.5) if weighted else None
    coreset, lines = quiet(
        X, Y, size=SIZE, strategy="stratified", options=options, sample_weight=weight
    )
    assert coreset.provenance["underrepresented"] == []
    assert lines == []


def test_distill__a_share_is_of_weight_where_rows_have_weights():
    # the class has a 25th of the rows, and a third of the weight
    weight = np.where(Y == 1, 12.0, 1.0)
    with pytest.warns(SelectionWarning, match=r"1 \(\d+ of 800 rows, share 667\); ") as caught:
        coreset = distill(X, Y, size=SIZE, strategy="strata", sample_weight=weight)
    assert len(caught) == 1
    (entry,) = coreset.provenance["underrepresented"]
    assert entry["selected"] == int((coreset.labels.compute() == 1).sum()) < 333
    assert entry["share"] == 666.7
    # drawn by weight, they are kept by it
    drawn, lines = quiet(X, Y, size=SIZE, strategy="random", sample_weight=weight)
    assert lines == drawn.provenance["underrepresented"] == []


def test_underrepresented__a_share_of_weight_is_at_most_all_rows():
    heavy = table([100, 900], [30, 470], [900.0, 100.0])
    (found,) = underrepresented(heavy, 500, make_strategy("random"))
    assert found == {"label": 0, "rows": 100, "selected": 30, "share": 100.0}
    # the same rows, alike
    assert underrepresented(table([100, 900], [30, 470]), 500, make_strategy("random")) == []


def test_underrepresented__counts_from_half_of_a_share_that_chance_does_not_explain():
    strategy = make_strategy("random")

    def found(rows, selected, size):
        return labels(underrepresented(table(rows, selected), size, strategy))

    assert found([9000, 1000], [951, 49], 1000) == [1]
    assert found([9000, 1000], [950, 50], 1000) == []
    # 4 rows would be fewer than 5; 6 are kept as 0 by chance in 1 of 400 draws
    assert found([9960, 40], [1000, 0], 1000) == []
    assert found([9940, 60], [1000, 0], 1000) == [1]
    # one half of 12 is within chance
    assert found([9880, 120], [995, 5], 1000) == []


def test_underrepresented__a_random_draw_is_hardly_ever_told():
    told = 0
    for seed in range(300):
        draw = np.random.default_rng(seed)
        rows = np.array([50] * 100 + [5000])
        selected = draw.multivariate_hypergeometric(rows, 2000)
        told += bool(underrepresented(table(rows, selected), 2000, make_strategy("random")))
    assert told <= binom.ppf(0.999, 300, 0.01)


def test_underrepresented__the_worst_first_and_five_are_named():
    rows, kept = [1000] * 8 + [92_000], [40, 0, 10, 20, 30, 49, 45, 48, 9758]
    found = underrepresented(table(rows, kept), 10_000, make_strategy("random"))
    assert labels(found) == [1, 2, 3, 4, 0, 6, 7, 5]
    coreset, _ = quiet(X, Y, size=10, strategy="random")
    coreset.provenance["underrepresented"] = found
    line = share_warning(coreset.provenance)
    assert line.startswith("8 classes are kept at under half of their shares: 1 (0 of 1,000 rows, ")
    assert ", 0 (40 of 1,000 rows, share 100), and 3 more; " in line


@pytest.mark.parametrize("strategy", ["auto", "combined", "coverage"])
@pytest.mark.parametrize("balance", ["equal", "sqrt"])
def test_distill__a_balance_that_was_asked_for_is_no_loss(strategy, balance):
    names = np.where(np.arange(N) % 50 == 0, "few", "many")
    for rare in (0.5, 3.0):
        shifted = X + (names == "few")[:, None] * rare
        coreset, lines = quiet(
            shifted, names, size=400, strategy=strategy, options={"balance": balance}
        )
        selected = {entry["label"]: entry["selected"] for entry in coreset.provenance["classes"]}
        assert selected["few"] > 25
        assert lines == []


def test_underrepresented__what_is_lost_beyond_the_balance_counts():
    equal = make_strategy("auto", {"balance": "equal"})
    assert underrepresented(table([900, 9100], [500, 500]), 1000, equal) == []
    (found,) = underrepresented(table([900, 9100], [900, 100]), 1000, equal)
    assert (found["label"], found["share"]) == (1, 500.0)
    # of no help to a class that would get more than its share
    (found,) = underrepresented(table([900, 9100], [10, 990]), 1000, equal)
    assert (found["label"], found["share"]) == (0, 90.0)


def test_underrepresented__balances_and_floors_of_other_things_do_not_count():
    lost = table([5000, 5000], [900, 100])
    for strategy in (
        make_strategy("dbscan", {"balance": "equal"}),
        make_strategy("periods", {"balance": "equal"}),
        make_strategy("gradient", {"floor": 1.0}),
    ):
        assert labels(underrepresented(lost, 1000, strategy)) == [1]
    assert make_strategy("gradient", {"floor": 1.0}).class_floor is None


@pytest.mark.parametrize("name", [name for name in STRATEGIES if name != "spaced"])
def test_strategies__floors_are_of_classes_where_they_are_rows(name):
    strategy = make_strategy(name)
    assert strategy.class_balance == "proportional"
    if strategy.class_floor is not None:
        assert name in ("auto", "stratified", "combined", "active")


def test_distill__protected_rows_take_no_share_from_others():
    many = {"class": 1}
    coreset, lines = quiet(X, Y, size=900, strategy="random", protect=many)
    selected = {entry["label"]: entry["selected"] for entry in coreset.provenance["classes"]}
    # under half of what 900 rows would have of it, and nearly all that was left to choose
    assert selected == {0: 100, 1: 800}
    assert lines == []


def test_distill__says_of_the_floor_how_high_if_there_is_room():
    with pytest.warns(SelectionWarning, match="under half") as caught:
        distill(X, Y, size=SIZE, strategy="combined", options={"trust": 0.0})
    (line,) = [str(w.message) for w in caught]
    assert 'options={"floor": 80} / --option floor=80 keeps as many of each' in line
    kept, lines = quiet(X, Y, size=SIZE, strategy="combined", options={"trust": 0.0, "floor": 80})
    assert lines == kept.provenance["underrepresented"] == []


def test_distill__regression_has_no_classes_to_tell_of():
    coreset, lines = quiet(X, DEPTH, size=200, strategy="kmeans", task="regression")
    assert coreset.provenance["underrepresented"] is None
    assert lines == []


def test_distill__several_labels_are_told_each_by_itself():
    near = np.linalg.norm(X, axis=1)
    # rows in the middle, of which a traversal from the outskirts takes few
    several = np.stack([near < np.quantile(near, 0.2), near > 0, X[:, 0] > 0], axis=1).astype(int)
    coreset, lines = quiet(X, several, size=400, strategy="kcenter", task="multilabel")
    (entry,) = coreset.provenance["underrepresented"]
    table_ = coreset.provenance["labels"][0]
    assert entry == {
        "label": "0",
        "rows": 4000,
        "selected": table_["selected"],
        "without": False,
        "share": 80.0,
    }
    assert entry["selected"] < 40
    assert lines[0].startswith("1 label is kept at under half of its share: '0' (")
    assert quiet(X, several, size=400, strategy="random", task="multilabel")[1] == []


def test_underrepresented__a_hundred_thousand_classes_are_cheap_and_do_not_flood():
    rows = [20] * 100_000
    entries = table(rows, [10, 0] * 50_000)
    started = time.perf_counter()
    found = underrepresented(entries, 1_000_000, make_strategy("auto"))
    assert time.perf_counter() - started < 5
    assert len(found) == 50_000
    assert len(shown(found)) < 300
    assert shown(found).endswith(", and 49,995 more")


def test_rare_classes__the_three_smallest_under_a_twentieth():
    entries = table([300, 200, 100, 50, 9350, 0], [30, 20, 10, 9, 931, 0])
    assert [(e["label"], e["share"]) for e in rare_classes(entries, 1000)] == [
        (3, 5.0),
        (2, 10.0),
    ]
    assert rare_classes(table([500, 500], [5, 5]), 10) == []
    assert rare_classes(None, 10) == rare_classes([], 10) == []


@pytest.fixture
def folder(tmp_path, monkeypatch, threads_for_a_cluster):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dask_distill.clusters.connect.connect", threads_for_a_cluster)
    np.savez("in.npz", X=X, y=Y)
    return tmp_path


def run(*words):
    done = CliRunner().invoke(cli, list(words))
    assert done.exit_code == 0, done.output
    return done


def test_run__warns_and_tells_of_rare_classes(folder):
    words = ("run", "in.npz", "out.zarr", "--size", str(SIZE))
    done = run(*words, "--strategy", "strata")
    (line,) = [line for line in done.stderr.splitlines() if "under half" in line]
    assert line == (
        "dask-distill: warning: 1 class is kept at under half of its share: 1 (0 of 800 rows, "
        "share 80); --strategy stratified keeps every class at its share, --protect keeps any "
        "rows that you name"
    )
    assert re.search(r"^rare +1: 0 of 800 rows are kept, 80 by its share$", done.stdout, re.M)
    done = run(*words, "--strategy", "stratified", "--overwrite")
    assert "under half" not in done.stderr
    assert re.search(r"^rare +1: 80 of 800 rows are kept, 80 by its share$", done.stdout, re.M)


def test_run__json_has_what_the_warning_says_and_so_has_the_report(folder):
    words = ("run", "in.npz", "out.zarr", "--size", str(SIZE), "--strategy", "strata", "--json")
    done = run(*words)
    result = json.loads(done.stdout)
    expected = [{"label": 1, "rows": 800, "selected": 0, "share": 80.0}]
    assert result["underrepresented"] == expected
    assert "under half of its share: 1 (0 of 800" in done.stderr
    coreset = open_coreset("out.zarr")
    assert coreset.provenance["underrepresented"] == expected
    coreset.report("report.html")
    text = Path("report.html").read_text()
    assert "kept at under half of its share: 1 (0 of 800 rows, share 80)" in text
    # of a subset that was written before there was such a list
    del coreset.provenance["underrepresented"]
    coreset.report("report.html")
    assert "under half" not in Path("report.html").read_text()


def test_run__multilabel_and_regression_have_no_rare_classes(folder):
    np.savez("several.npz", X=X, y=np.stack([Y, 1 - Y], axis=1))
    for source, task in (("several.npz", "multilabel"), ("in.npz", "regression")):
        done = run("run", source, f"{task}.zarr", "--size", "100", "--task", task)
        assert not re.search("^rare", done.stdout, re.M)


def batch(start, stop):
    return X[start:stop], Y[start:stop]


def test_grow__and_update_tell_of_all_rows_that_came():
    more = {"strategy": "strata", "oversample": 5.0}
    with pytest.warns(SelectionWarning, match=r"1 class is kept .*: 1 \(0 of \d+ rows") as caught:
        first = grow(*batch(0, 10_000), size=1000, **more)
    assert all("protect" not in str(w.message) for w in caught)
    with pytest.warns(SelectionWarning, match=r": 1 \(0 of 800 rows, share 40\)"):
        second = first.update(*batch(10_000, N))
    assert second.provenance["underrepresented"] == [
        {"label": 1, "rows": 800, "selected": 0, "share": 40.0}
    ]


def test_grow__with_a_half_life_rows_count_for_what_is_left_of_them():
    # the second class came first, and is long past
    late = np.sort(Y)[::-1]
    with warnings.catch_warnings():
        warnings.simplefilter("error", SelectionWarning)
        coreset = grow(X[:5000], late[:5000], size=400, strategy="random", half_life=200)
        for start in range(5000, N, 5000):
            coreset = coreset.update(X[start : start + 5000], late[start : start + 5000])
    counts = {entry["label"]: entry["selected"] for entry in coreset.provenance["classes"]}
    assert counts[1] < 10
    assert coreset.provenance["underrepresented"] == []


def test_follow__names_a_class_once(tmp_path):
    source, target = tmp_path / "source", tmp_path / "target.zarr"
    source.mkdir()
    for number in range(3):
        X_, Y_ = batch(number * 6000, (number + 1) * 6000)
        np.savez(source / f"{number}.npz", X=X_, y=Y_)
    settings = Settings.of("strata", None, None, 1200, 5.0)
    following = follow(str(source), str(target), settings, once=True, max_rows=6000)
    with pytest.warns(SelectionWarning, match=r"1 class is kept .*: 1 \(") as caught:
        done = list(following)
    assert len(done) == 3
    assert all(each.as_dict()["underrepresented"][0]["label"] == 1 for each in done)
    assert len([w for w in caught if w.category is SelectionWarning]) == 1
    assert caught[0].filename == __file__


def test_cli_follow__warns_in_a_line(folder):
    Path("source").mkdir()
    np.savez("source/0.npz", X=X, y=Y)
    done = run(
        *("follow", "source", "out.zarr", "--size", str(SIZE), "--strategy", "strata"),
        *("--oversample", "5", "--once"),
    )
    (line,) = [line for line in done.stderr.splitlines() if "under half" in line]
    assert line.startswith("dask-distill: warning: 1 class is kept at under half of its share: 1 (")
    assert "--strategy stratified keeps every class" in line
    assert "protect" not in line


def test_distill__labels_of_text_are_named_as_such():
    names = np.where(Y == 1, "it's rare", "fine")
    _, lines = quiet(X, names, size=SIZE, strategy="strata")
    assert """: "it's rare" (0 of 800 rows""" in lines[0]
