"""Select from 50,000 to a million rows, and judge models by what probabilities are judged by.

    python benchmarks/quality/large.py                      # hours on one core
    python benchmarks/quality/large.py --sets flights --seeds 1
    python benchmarks/quality/large.py --sets made:0.2 made:0:0.2 --seeds 2
    python benchmarks/quality/large.py --report             # large.md and large.png again

Models that results-large-sets.csv has already of a cut are not trained again. ``flights:10000``
takes so many rows to select from; ``made:OVERLAP:WRONG:ROWS`` is a made set of known Bayes error,
and with wrong labels at a known rate among the rows to select from. Tests have right labels.
"""

import argparse
import csv
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import sets
from blocks import Source, Spec
from models import brier_score, log_loss, roc_auc
from scipy import stats
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score
from sklearn.neighbors import KNeighborsClassifier
from summary import BASELINE, interval
from threadpoolctl import threadpool_limits

HERE = Path(__file__).parent
SETS = (
    "flights", "flights:1000", "flights:10000", "flights:100000", "diamonds", "fashion", "paper",
    "made:0", "made:0.1", "made:0.2", "made:0.3", "made:0:0.2", "made:0.1:0.2",
)  # fmt: skip
EARLIER = "auto:trust=0.3,tilt=0.5,pick=0.7"
STRATEGIES = ("auto", EARLIER, "auto:trust=1", "gradient:sample=true")
MODELS = ("boosting", "larger boosting", "logistic", "knn")
DRAWS = 3
# of how many test rows kNN is asked
_ASKED = 10_000
_LEAST_ROWS = 30
_TESTS = {"flights": 60_000, "diamonds": 5_000, "fashion": 10_000, "paper": 20_000}
_ROWS = {"flights": 250_000}
_MADE, _MADE_TESTS, _FEATURES = 1_000_000, 100_000, 10
# the part of rows that the more frequent class would have without overlap
_SHARE = 0.6

# column, title, what differences are multiplied by, decimals
METRICS = (
    ("accuracy", "accuracy", 100, 2),
    ("balanced", "balanced accuracy", 100, 2),
    ("roc_auc", "AUC", 100, 2),
    ("log_loss", "log loss", -100, 2),
    ("average_precision", "average precision, rarest", 100, 2),
)
FIELDS = (
    "set", "n", "seed", "strategy", "draw", "fraction", "size", "way", "model",
    *(name for name, *_ in METRICS), "brier", "rarest_kept", "fit_seconds", "select_seconds",
)  # fmt: skip


def made(n, overlap, rng):
    """Rows of two classes whose Bayes error is as asked.

    The log odds are a non-linear score (sines, a product, a distance), negative for 60 % of the
    rows, over a scale that brings the mean of min(p, 1 - p) to the overlap; at 0 the score's sign
    is the class.
    """
    X = rng.standard_normal((n, _FEATURES), np.float32)
    score = (
        1.5 * np.sin(2 * X[:, 0])
        + X[:, 1] * X[:, 2]
        + np.abs(X[:, 3])
        + 0.5 * X[:, 4] ** 2
        - np.cos(1.5 * X[:, 5])
        + 0.8 * X[:, 6]
    ).astype(np.float64)
    score -= np.quantile(score, _SHARE)
    score /= score.std()
    if not overlap:
        return X, (score > 0).astype(np.int64)
    some = score[:100_000]
    scale = brentq(lambda s: expit(-np.abs(some) / s).mean() - overlap, 1e-3, 50)
    return X, (rng.random(n) < expit(score / scale)).astype(np.int64)


def cut(name, seed):
    """Rows to select from and rows to test on, standardised by the former."""
    rng = np.random.default_rng(1000 + seed)
    kind, *numbers = name.split(":")
    wrong = 0.0
    if kind == "made":
        overlap, wrong, rows = [*map(float, numbers), *(0.0, 0.0, _MADE)[len(numbers) :]]
        tests, rows = _MADE_TESTS, int(rows)
        X, y = made(rows + tests, overlap, rng)
    else:
        X, y = sets.load("paper120" if kind == "paper" else kind)
        tests = _TESTS[kind]
        shuffled = rng.permutation(len(y))
        X, y = X[shuffled], y[shuffled]
        rows = int(numbers[0]) if numbers else _ROWS.get(kind, len(y) - tests)
    X_test, y_test = X[:tests], y[:tests]
    X, y = X[tests:][:rows], y[tests:][:rows].copy()
    hit = rng.random(len(y)) < wrong
    classes = int(y.max()) + 1
    y[hit] = (y[hit] + rng.integers(1, classes, hit.sum())) % classes
    mean, scale = X.mean(0), X.std(0)
    scale[scale == 0] = 1
    return (X - mean) / scale, y, (X_test - mean) / scale, y_test


def make(name, seed):
    """A model, with scikit-learn's early stopping where it boosts."""
    if name == "logistic":
        return LogisticRegression(C=1.0, max_iter=150, tol=1e-3)
    if name == "knn":
        return KNeighborsClassifier(15, algorithm="brute")
    larger = {"max_iter": 300, "max_leaf_nodes": 63} if name == "larger boosting" else {}
    return HistGradientBoostingClassifier(early_stopping=True, random_state=seed, **larger)


def judged(name, X, y, weights, test, seed):
    """Metrics of a model that is trained on these rows, as a part of a row of results."""
    X_test, y_test, bins = test
    model, fitted_to = make(name, seed), {}
    if name == "knn":
        X_test, y_test = X_test[:_ASKED], y_test[:_ASKED]
    elif weights is not None:
        fitted_to = {"sample_weight": weights / weights.mean()}
    if "boosting" in name:
        X, X_test = bins(X), bins(X_test)
    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(X, y, **fitted_to)
    seconds = time.process_time() - started
    P, classes = model.predict_proba(X_test), model.classes_
    right = classes[P.argmax(axis=1)] == y_test
    rarest = np.bincount(y_test).argmin()
    own = np.where(classes == rarest, P, 0).sum(axis=1)
    return {
        "accuracy": right.mean(),
        "balanced": np.mean([right[y_test == c].mean() for c in np.unique(y_test)]),
        "roc_auc": roc_auc(P, classes, y_test),
        "log_loss": log_loss(P, classes, y_test),
        "average_precision": average_precision_score(y_test == rarest, own),
        "brier": brier_score(P, classes, y_test),
        "fit_seconds": seconds,
    }


def binning(X):
    """Number of a value's quantile among all rows; scikit-learn bins weighted rows slowly."""
    rows = X[:: max(1, len(X) // 100_000)]
    edges = [np.unique(c) for c in np.quantile(rows, np.linspace(0, 1, 256)[1:-1], axis=0).T]
    return lambda V: np.column_stack(
        [np.searchsorted(e, V[:, j], side="right") for j, e in enumerate(edges)]
    ).astype(np.float32)


def measure(name, seed, given, models):
    """All rows of results of one cut."""
    X, y, X_test, y_test = cut(name, seed)
    source = Source(X, y, None, seed)
    test = X_test, y_test, binning(X)
    rarest = np.bincount(y_test).argmin()
    for fraction in given.fractions:
        size = round(fraction * len(y))
        if size < _LEAST_ROWS:
            continue
        for text in (BASELINE, *given.strategies):
            plain = text == BASELINE
            for draw in range(DRAWS if plain else 1):
                started = time.process_time()
                # the survey of a cut is made once, and draws differ by the question's seed alone
                found = source.select(Spec.parse(text), size, draw)
                seconds = time.process_time() - started
                rows = found.rows
                kept = (y[rows] == rarest).mean() / (y == rarest).mean()
                way = found.facts.get("decision", {}).get("way", "")
                for model in models:
                    weights = None if plain else found.weights
                    told = judged(model, X[rows], y[rows], weights, test, seed)
                    numbers = {k: round(float(v), 5) for k, v in told.items()}
                    yield {
                        "set": name, "n": len(y), "seed": seed, "strategy": text, "draw": draw,
                        "fraction": fraction, "size": len(rows), "way": way, "model": model,
                        **numbers, "rarest_kept": round(kept, 4),
                        "select_seconds": round(seconds, 3),
                    }  # fmt: skip


def leads(table):
    """By cut, fraction, model and strategy: each metric less the mean of the stratified draws."""
    by = ["set", "n", "seed", "fraction", "model"]
    names = [name for name, *_ in METRICS]
    base = table[table.strategy == BASELINE].groupby(by)[names].mean()
    others = table[table.strategy != BASELINE].set_index([*by, "strategy"])
    found = (others[names] - base.reindex(others.index.droplevel("strategy")).to_numpy()).copy()
    for name, _title, factor, _digits in METRICS:
        found[name] *= factor
    found["rarest_kept"], found["way"] = others.rarest_kept, others.way
    return found.reset_index()


def shown(values, digits=2):
    """Mean with its interval; two seeds tell nothing of that."""
    mean, half = interval(values)
    return f"{mean:+.{digits}f}" + (f" ± {half:.{digits}f}" if len(values) > 2 else "")


def markdown(table):
    """Tables by set: the mean of the models, then each model; and where `auto` is behind."""
    head = ["rows to select from", "selected", "strategy", "which does", "seeds",
            *(title for _, title, *_ in METRICS), "rarest class kept"]  # fmt: skip
    text = [
        "# Sets of up to a million rows",
        "",
        f"Made by `large.py` from results-large-sets.csv. `stratified`: the mean of {DRAWS} draws, "
        "in per cent (log loss: in hundredths of a nat). The others: points above that (log loss: "
        "hundredths of a nat better), ± a 95 % interval over seeds where there are three; more is "
        "better. *Rarest class kept*: its share of the rows selected over its share of all.",
        "",
    ]
    found = pd.concat([_absolute(table), leads(table)])
    found["label"] = [_label(s, n) for s, n in zip(found.set, found.n, strict=True)]
    found["kind"] = found.set.str.partition(":")[0]
    for model in ("mean of the models", *MODELS):
        # the larger one is not trained everywhere
        part = found[found.model == model if model in MODELS else found.model != MODELS[1]]
        if part.empty:
            continue
        title = {"knn": "kNN"}.get(model, model[0].upper() + model[1:])
        text += [f"## {title}", "", _row(head), "|" + "---|" * len(head)]
        keys = ["kind", "n", "set", "label", "fraction", "strategy"]
        order = part.strategy.map({BASELINE: 0, "auto": 1}).fillna(2)
        part = part.assign(order=order).sort_values([*keys[:-1], "order", "strategy"])
        for (*_, label, fraction, strategy), rows in part.groupby(keys, sort=False):
            text.append(_row([label, f"{fraction:.0%}", f"`{strategy}`", *_cells(strategy, rows)]))
        text.append("")
    return "\n".join([*text, *behind(table)])


def _absolute(table):
    """The baseline as it is, in per cent."""
    plain = table[table.strategy == BASELINE].copy()
    for name, *_ in METRICS:
        plain[name] *= 100
    return plain


def _cells(strategy, rows):
    """What auto decided on, seeds, each metric, and what is kept of the rarest class."""
    names = [name for name, *_ in METRICS]
    seeds = rows.groupby("seed")[[*names, "rarest_kept"]].mean()
    ways = "/".join(sorted(set(rows.way.dropna()) - {""}))
    if strategy == BASELINE:
        cells = [f"{seeds[name].mean():.2f}" for name in names]
    else:
        cells = [shown(seeds[name], digits) for name, _, _, digits in METRICS]
    return [ways, len(seeds), *cells, f"{seeds.rarest_kept.mean():.0%}"]


def behind(table):
    """Where `auto` is behind by more than 99 % of stratified draws would be of their like."""
    by = ["set", "n", "fraction", "model"]
    drawn = table[table.strategy == BASELINE]
    ours = leads(table)
    ours = ours[ours.strategy == "auto"].groupby(by)
    lines = []
    for name, title, factor, _digits in METRICS:
        spread = (drawn.groupby([*by, "seed"])[name].std() * factor).pow(2).groupby(by).mean()
        for key, rows in ours:
            seeds = len(rows)
            # one selection against the mean of the draws, by seed
            error = np.sqrt(spread[key] * (1 + 1 / DRAWS) / seeds)
            half = stats.t.ppf(0.995, (DRAWS - 1) * seeds) * error
            if rows[name].mean() + half < 0:
                points = f"{rows[name].mean():+.2f} ± {half:.2f}"
                place = [_label(*key[:2]), f"{key[2]:.0%}", key[3], "/".join(sorted(set(rows.way)))]
                lines.append(_row([*place, title, points, seeds]))
    head = ["rows to select from", "selected", "model", "auto does", "metric", "points", "seeds"]
    return [
        "## Where `auto` is behind",
        "",
        "By more than 99 % of what a further stratified draw would differ from the mean of the "
        f"{DRAWS} by (Student, from the spread of the draws). Of {len(ours) * len(METRICS)} "
        "figures one in two hundred would be here by chance.",
        "",
        _row(head),
        "|" + "---|" * len(head),
        *sorted(lines),
        "",
    ]


def _label(name, n):
    kind, *numbers = name.split(":")
    if kind != "made":
        return f"{kind}, {n:,}"
    wrong = f", {float(numbers[1]):.0%} wrong labels" if len(numbers) > 1 else ""
    return f"made, {n:,}, Bayes error {float(numbers[0]):.0%}{wrong}"


def _row(cells):
    return f"| {' | '.join(map(str, cells))} |"


def picture(table, path):
    """Lead over stratified by how many flights there are to select from, in three metrics."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    found = leads(table)
    found = found[found.set.str.startswith("flights") & (found.model != MODELS[1])]
    figure, axes = plt.subplots(1, 3, figsize=(11, 4), sharex=True)
    kinds = {"auto": ("auto", "#1b6ca8"), EARLIER: ("auto as it was before", "#d1495b")}
    sides = {
        "accuracy": "accuracy, points better",
        "roc_auc": "AUC, points better",
        "log_loss": "log loss, hundredths of a nat better",
    }
    for axis, (name, title) in zip(axes, sides.items(), strict=True):
        for shift, (strategy, (label, colour)) in enumerate(kinds.items()):
            for fraction, line in ((0.1, "-"), (0.01, "--")):
                part = found[(found.strategy == strategy) & np.isclose(found.fraction, fraction)]
                by_seed = part.groupby(["n", "seed"])[name].mean()
                if by_seed.empty:
                    continue
                spread = {n: interval(v) for n, v in by_seed.groupby("n")}
                n = np.array(list(spread))
                mean, half = np.array(list(spread.values())).T
                place = n * 1.06 ** (2 * shift - 1.5 + (fraction < 0.1))
                axis.errorbar(
                    place, mean, half, color=colour, linestyle=line, marker="o", elinewidth=0.8,
                    markersize=4, capsize=2, label=f"{label}, {fraction:.0%} selected",
                )  # fmt: skip
        axis.axhline(0, color="black", linewidth=0.8)
        axis.set_xscale("log")
        ticks = sorted(found.n.unique())
        labels = [f"{tick:,}" for tick in ticks]
        axis.set_xticks(ticks, labels, rotation=40, ha="right", rotation_mode="anchor")
        axis.minorticks_off()
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("flights to select from")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("against class-stratified random")
    figure.tight_layout(rect=(0, 0.08, 1, 1))
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="lower center", ncols=4, frameon=False, fontsize=9)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sets", nargs="+", default=SETS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--fractions", nargs="+", type=float, default=[0.01, 0.1])
    parser.add_argument("--strategies", nargs="+", default=STRATEGIES)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    parser.add_argument("--out", type=Path, default=HERE / "results-large-sets.csv")
    parser.add_argument("--report", action="store_true", help="of what there is, without a run")
    given = parser.parse_args()
    known = set()
    if given.out.exists():
        before = pd.read_csv(given.out)
        known = set(zip(before.set, before.seed, before.model, strict=True))
    cuts = [] if given.report else [(name, seed) for seed in given.seeds for name in given.sets]
    for name, seed in cuts:
        models = [model for model in given.models if (name, seed, model) not in known]
        if not models:
            continue
        rows = list(measure(name, seed, given, models))
        new = not given.out.exists()
        with open(given.out, "a", newline="") as file:
            table = csv.DictWriter(file, FIELDS)
            if new:
                table.writeheader()
            table.writerows(rows)
        print(time.strftime("%H:%M:%S"), name, seed, f"{time.process_time():.0f} s", flush=True)
    table = pd.read_csv(given.out)
    (given.out.parent / "large.md").write_text(markdown(table))
    picture(table, given.out.parent / "large.png")


if __name__ == "__main__":
    with threadpool_limits(1):
        main()
