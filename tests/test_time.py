"""Time: distances that know it, periods, gaps, windows, and tests that lie ahead."""

import datetime

import dask.array as da
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.linear_model import LogisticRegression

from dask_distill import distill, open_coreset
from dask_distill.cli.main import cli
from dask_distill.data.dataset import as_dataset
from dask_distill.data.times import Span, as_times
from dask_distill.data.windows import windows
from dask_distill.errors import InputError
from dask_distill.evaluation.splits import forward_cuts
from dask_distill.kernels.timeline import correlation_time, period_numbers, time_features
from dask_distill.strategies import KCenter, Periods, Spaced

N = 9_000


@pytest.fixture(scope="module")
def series():
    """Four sensors that lose their likeness after 50 readings, and a class that they tell."""
    rng = np.random.default_rng(0)
    kept = np.exp(-1 / 50)
    X = np.empty((N, 4))
    X[0] = rng.normal(size=4)
    steps = rng.normal(size=(N, 4)) * np.sqrt(1 - kept**2)
    for row in range(1, N):
        X[row] = kept * X[row - 1] + steps[row]
    dates = np.datetime64("2023-01-01") + np.arange(N) * np.timedelta64(1, "h")
    return X.astype(np.float32), (X[:, 0] + 0.3 * rng.normal(size=N) > 0).astype(int), dates


def same(left, right):
    assert np.array_equal(left.indices, right.indices)
    assert np.array_equal(left.weights, right.weights)


# ---------------------------------------------------------------- bits


@pytest.mark.parametrize(
    "wanted",
    [
        {"strategy": "auto", "time_scale": "auto"},
        {"strategy": "kcenter", "time_scale": "50h"},
        {"strategy": "periods", "options": {"period": "month"}},
        {"strategy": "periods", "options": {"period": 7}},
        {"strategy": "spaced", "options": {"min_gap": "10h"}},
        {"strategy": "kcenter", "time_scale": "auto", "reduce": "pca:2"},
    ],
    ids=str,
)
def test_time__same_bits_for_any_chunking(series, wanted):
    X, y, dates = series
    # rows need not be in the order of time
    mixed = np.random.default_rng(1).permutation(N)
    found = [
        distill(
            da.from_array(X[mixed], chunks=(chunk, 4)),
            da.from_array(y[mixed], chunks=chunk),
            time=da.from_array(dates[mixed], chunks=other),
            size=120,
            **wanted,
        )
        for chunk, other in ((N, 4321), (777, N))
    ]
    same(*found)
    assert found[0].weights.sum() == pytest.approx(N)
    assert np.array_equal(found[0].carry["time"].compute(), dates[mixed][found[0].indices])


def test_time__same_bits_on_a_cluster(series, local_client):
    X, y, dates = series
    options = {"time": dates, "size": 90, "strategy": Periods("month"), "time_scale": 3600}
    here = distill(X, y, **options)
    local_client(workers=2)
    same(here, distill(da.from_array(X, chunks=(1000, 4)), y, **options))


# ---------------------------------------------------------------- distance


def test_time_features__distances_follow_the_exponential():
    times = np.linspace(0, 5, 400)
    columns = time_features(times, 1.0).astype(float)
    squared = np.square(columns - columns[0]).sum(axis=1)
    assert np.abs(squared - 2 * (1 - np.exp(-times))).max() < 0.5
    assert squared[:20].argmin() == 0
    far = time_features(np.random.default_rng(0).uniform(0, 1e4, 2000), 1.0).astype(float)
    assert np.square(far[:1000] - far[1000:]).sum(axis=1).mean() == pytest.approx(2, rel=0.1)


@pytest.mark.parametrize("unit", [1.0, 3600.0])
def test_correlation_time__finds_how_long_a_series_stays_alike(series, unit):
    times = np.arange(N) * unit
    lag, correlation = correlation_time(times, series[0] / series[0].std(axis=0))
    assert 30 * unit < lag < 75 * unit
    assert correlation > 0.9
    noise = np.random.default_rng(0).normal(size=(N, 4))
    lag, correlation = correlation_time(times, noise)
    assert lag == unit
    assert abs(correlation) < 0.05


def test_time_scale__adds_what_rows_so_far_apart_differ_by(series):
    X, _, dates = series
    coreset = distill(X, time=dates, size=200, strategy="kcenter", time_scale="auto", certify=True)
    told = coreset.provenance["reduction"]
    assert told["space"] == "features and time"
    assert told["features"] == 36
    assert 30 * 3600 < told["time_scale"] < 75 * 3600
    assert coreset.certificate.space == "features and time"
    # of two rows alike but years apart both are wanted; of two neighbours one is enough
    twice = np.concatenate([X[:200], X[:200]])
    hours = np.concatenate([np.arange(200), 100_000 + np.arange(200)]).astype(float)
    plain = distill(twice, size=20, strategy=KCenter(exact=True))
    timed = distill(twice, time=hours, size=20, strategy=KCenter(exact=True), time_scale=50.0)
    assert (plain.indices < 200).all()
    assert 7 <= (timed.indices < 200).sum() <= 13


def test_time_scale__the_users_model_does_not_see_the_columns(series):
    X, y, dates = series
    model = LogisticRegression().fit(X[:500], y[:500])
    coreset = distill(X, y, time=dates, size=50, time_scale="2D", proxy=model)
    P = model.predict_proba(X[coreset.indices])
    assert np.allclose(coreset.scores["entropy"], -(P * np.log(P)).sum(axis=1), atol=1e-5)


# ---------------------------------------------------------------- periods


def test_period_numbers__are_those_of_pandas():
    dates = pd.date_range("1969-12-20", "1971-03-05", freq="7h")
    seconds = as_times(dates.to_numpy())
    for period, name in (("year", "Y"), ("quarter", "Q"), ("month", "M"), ("day", "D")):
        ordinal = np.array([p.ordinal for p in dates.to_period(name)])
        assert np.array_equal(period_numbers(seconds, period), ordinal), period
    weeks = period_numbers(seconds, "week")
    changes = np.flatnonzero(np.diff(weeks)) + 1
    assert (dates[changes].day_of_week == 0).all()


@pytest.mark.parametrize("balance", ["proportional", "equal"])
def test_periods__no_month_is_lost_and_weights_are_its_rows(series, balance):
    X, y, dates = series
    kept = np.ones(N, bool)
    # a quiet month: three rows of May
    may = np.flatnonzero(dates.astype("M8[M]") == np.datetime64("2023-05"))
    kept[may[3:]] = False
    X, y, dates = X[kept], y[kept], dates[kept]
    coreset = distill(X, y, time=dates, size=100, strategy=Periods("month", balance))
    month = dates.astype("M8[M]").astype(int)
    for one in np.unique(month):
        chosen = coreset.weights[month[coreset.indices] == one]
        assert len(chosen) >= 1
        assert chosen.sum() == pytest.approx((month == one).sum(), rel=1e-4)
    if balance == "equal":
        counts = np.bincount(month[coreset.indices] - month.min())
        assert sorted(counts)[1] >= 7


def test_periods__equal_spans_of_numbers(series):
    X = series[0]
    times = np.arange(N, dtype=float) ** 1.5
    coreset = distill(X, time=times, size=50, strategy="periods", options={"period": "5"})
    span = np.minimum((times / times.max() * 5).astype(int), 4)
    expected = np.bincount(span) / N * 50
    assert np.abs(np.bincount(span[coreset.indices]) - expected).max() <= 1


# ---------------------------------------------------------------- gaps


def test_spaced__no_two_rows_are_closer_than_the_gap(series):
    X, _, dates = series
    mixed = np.random.default_rng(2).permutation(N)
    coreset = distill(
        X[mixed], time=dates[mixed], size=400, strategy=Spaced(datetime.timedelta(hours=12))
    )
    chosen = np.sort(dates[mixed][coreset.indices])
    assert np.diff(chosen).min() >= np.timedelta64(12, "h")
    assert coreset.weights.min() >= 1
    left = coreset.provenance["selection"]["rows_far_enough_apart"]
    assert N / 24 <= left <= N / 12
    with pytest.raises(InputError, match=f"at most the {left} rows that are left"):
        distill(X[mixed], time=dates[mixed], size=left + 1, strategy=Spaced("12h"))


# ---------------------------------------------------------------- windows


@pytest.mark.parametrize(
    ("length", "step", "chunk"), [(5, 5, 7), (8, 3, 4), (1, 1, 100), (30, 7, 9)]
)
def test_windows__are_those_of_numpy(length, step, chunk):
    values = np.arange(200.0).reshape(100, 2)
    found = windows(da.from_array(values, chunks=(chunk, 2)), length, step)
    expected = [values[start : start + length] for start in range(0, 101 - length, step)]
    assert found.shape == (len(expected), length, 2)
    assert np.array_equal(found.compute(), np.stack(expected))
    one = windows(values[:, 0], length, step)
    assert np.array_equal(one.compute(), np.stack(expected)[:, :, 0])


def test_windows__are_selected_whole(series):
    seen = windows(da.from_array(series[0], chunks=(1000, 4)), 24)
    coreset = distill(seen, size=20, strategy="kcenter")
    rows = coreset.features.compute()
    assert rows.shape == (20, 24, 4)
    for window, start in zip(rows, coreset.indices * 24, strict=True):
        assert np.array_equal(window, series[0][start : start + 24])


# ---------------------------------------------------------------- evaluate


def test_forward_cuts__tests_are_later_than_all_that_is_trained_on():
    rng = np.random.default_rng(0)
    pool, subset = rng.integers(0, 50, 1000).astype(float), rng.integers(0, 50, 100).astype(float)
    cuts = forward_cuts((pool, subset), 4)
    assert len({cut.before.sum() for cut in cuts}) == 4
    for cut in cuts:
        assert pool[cut.before].max() < pool[cut.after].min()
        assert subset[cut.subset].max() < pool[cut.after].min()
        assert 0.55 < cut.before.mean() < 0.9
        assert 0.1 < cut.after.mean() < 0.3


def test_evaluate__a_series_is_split_forward():
    """Labels change with time: what is near in time tells them, and what lies ahead does not."""
    rng = np.random.default_rng(0)
    n = 4000
    day = np.arange(n) / n
    X = np.stack([100 * day, rng.normal(size=n) / 10], axis=1)
    y = (np.floor(day * 40) % 2).astype(int)
    from sklearn.neighbors import KNeighborsClassifier

    settings = {"models": KNeighborsClassifier(3), "seeds": 3}
    at_random = distill(X, y, fraction=0.3, strategy="stratified").evaluate(X, y, **settings)
    coreset = distill(X, y, time=day, fraction=0.3, strategy="stratified")
    ahead = coreset.evaluate(as_dataset(X, y, time=day), **settings)
    assert at_random.score("everything").accuracy > 0.8
    assert ahead.score("everything").accuracy < 0.65
    assert any("later rows" in note for note in ahead.notes)
    assert not any("later rows" in note for note in at_random.notes)
    again = coreset.evaluate(X, y, time=day, **settings)
    assert again.score("subset").accuracy == ahead.score("subset").accuracy
    with pytest.raises(InputError, match="evaluate needs the time of the source's rows"):
        coreset.evaluate(X, y)


def test_evaluate__a_subset_of_late_rows_cannot_be_tested(series):
    X, y, dates = series
    coreset = distill(X[-50:], y[-50:], time=dates[-50:], size=20, strategy="random")
    late = pd.Series(dates[-50:]).where(np.isin(np.arange(50), coreset.indices), dates[0])
    with pytest.raises(InputError, match="later ones to test on"):
        coreset.evaluate(X[-50:], y[-50:], time=late.to_numpy())


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"time": np.zeros(5)}, r"time must have as many rows as features"),
        ({"time": "when"}, "name of a carried one, got 'when'; carried: none"),
        ({"time": np.array(["a"] * N)}, "time must have one number or date a row"),
        ({"time": np.zeros((N, 2))}, "time must have one number or date a row"),
        ({"time": np.zeros(N), "carry": {"time": np.zeros(N)}}, 'carry must not hold "time"'),
        ({"time": np.full(N, np.nan)}, "time must be known of every row.*in row 0"),
        ({"time": np.full(N, "NaT", "M8[s]")}, "time must be known of every row"),
        ({"time": np.zeros(N), "time_scale": "auto"}, "time must differ between rows"),
        ({"time_scale": "auto"}, "time_scale=auto needs to know when each row was"),
        ({"time": np.arange(N), "time_scale": -1}, "a length of time above 0, got -1"),
        ({"time": np.arange(N), "time_scale": "soon"}, "a length of time above 0, got 'soon'"),
        ({"time": np.arange(N), "time_scale": "6h"}, "a number in the unit of time="),
        ({"strategy": "periods"}, "strategy periods needs to know when each row was"),
        ({"strategy": "periods", "time": np.arange(N)}, "period=month needs dates as time"),
        ({"strategy": "spaced", "time": np.arange(N)}, "needs min_gap, got none"),
        (
            {"strategy": "spaced", "options": {"min_gap": "1h"}, "time": np.arange(N)},
            "min_gap must be a number in the unit",
        ),
    ],
    ids=str,
)
def test_time__bad_input_is_one_sentence(series, options, message):
    with pytest.raises(InputError, match=message):
        distill(series[0], **{"size": 30, "strategy": "random"} | options)


@pytest.mark.parametrize("period", ["season", 0, 2.5, True, 10**6])
def test_periods__unknown_ones_are_refused(period):
    with pytest.raises(InputError, match="period must be one of"):
        Periods(period)


def test_periods__fewer_rows_than_periods_are_refused(series):
    X, _, dates = series
    with pytest.raises(InputError, match=r"size must be at least the number of periods \(375"):
        distill(X, time=dates[:N], size=30, strategy=Periods("day"))
    with pytest.raises(InputError, match="balance must be"):
        Periods("day", "fair")


@pytest.mark.parametrize(
    ("length", "step", "message"),
    [(0, 1, "length must be"), (11, 1, "length must be.*10 rows"), (2, 0, "step must be")],
)
def test_windows__refuse_what_cannot_be_cut(length, step, message):
    with pytest.raises(InputError, match=message):
        windows(np.zeros((10, 2)), length, step)


def test_span__reads_numbers_text_and_timedeltas():
    assert Span.of("2.5", "gap") == Span(2.5, False)
    assert Span.of(np.timedelta64(90, "s"), "gap") == Span(90.0, True)
    assert Span.of(datetime.timedelta(minutes=2), "gap") == Span(120.0, True)
    for bad in ("", "later", 0, float("nan"), True, None, [3]):
        with pytest.raises(InputError, match="gap must be a length of time"):
            Span.of(bad, "gap")


# ---------------------------------------------------------------- the command line


def test_run__time_is_a_column_and_evaluate_finds_it_again(series, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, y, dates = series
    table = pd.DataFrame(X, columns=["a", "b", "c", "d"]).assign(late=y, departed=dates)
    table.to_parquet("log.parquet")
    command = ["run", "log.parquet", "out.zarr", "--labels", "late", "--fraction", "0.05"]
    command += ["--time", "departed", "--time-scale", "2D", "--workers", "1", "--json"]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    coreset = open_coreset("out.zarr")
    assert coreset.provenance["input"]["time"] == "departed"
    assert coreset.features.shape[1] == 4
    assert np.array_equal(coreset.carry["departed"].compute(), dates[coreset.indices])
    here = distill(X, y, time=dates, fraction=0.05, time_scale="2D")
    assert np.array_equal(here.indices, coreset.indices)
    command = ["evaluate", "out.zarr", "--source", "log.parquet", "--seeds", "2", "--workers", "1"]
    done = CliRunner().invoke(cli, [*command, "--max-rows", "1000"])
    assert done.exit_code == 0, done.output
    assert "Tested on later rows" in done.output
