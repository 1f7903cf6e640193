"""From results.csv: paired differences to class-stratified random, as a table and a picture.

A difference is that of one cut into training and test rows, against the mean of several
stratified draws from the same rows. Intervals are of 95 %: over sets (each set's mean is one
observation) in the first table, over seeds where it is about one set.

    python benchmarks/quality/summary.py [results.csv ...]
    python benchmarks/quality/summary.py --strategies results-strategies.csv.gz
"""

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

BASELINE = "stratified"
LOSSES = ("brier", "log_loss")
_CUT = ["set", "noise", "rare", "seed", "fraction", "model"]
_COLOURS = ("#1b6ca8", "#d1495b", "#66a182", "#edae49")


def differences(table, measure="accuracy"):
    """One row a cut, fraction, model and strategy: points above the baseline."""
    subsets = table[table.strategy != "full"]
    means = subsets.groupby([*_CUT, "strategy"])[measure].mean().unstack()
    above = means.drop(columns=BASELINE).sub(means[BASELINE], axis=0) * 100
    return above.stack().dropna().rename("points").reset_index()


def turned(table, measure):
    """With losses turned round, so that more is better; without rows that lack the measure."""
    known = table.dropna(subset=measure)
    return known.assign(**{measure: -known[measure]}) if measure in LOSSES else known


def interval(values):
    """Mean and half the width of its 95 % interval, by Student."""
    values = np.asarray(values, float)
    if len(values) < 2:
        return float(values.mean()), float("nan")
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(half)


def over_sets(found):
    """Mean over sets, each the mean over its seeds and models."""
    rows = []
    for key, part in found.groupby(["rare", "noise", "strategy", "fraction"]):
        by_set = part.groupby("set").points.mean()
        rows.append((*key, len(by_set), *interval(by_set), int((by_set > 0).sum()), by_set.min()))
    names = ["rare", "noise", "strategy", "fraction", "sets", "mean", "half", "ahead", "worst"]
    return pd.DataFrame(rows, columns=names)


def over_seeds(found, by):
    """Mean over seeds; ``by`` is the set, or the set and the model."""
    rows = []
    for key, part in found.groupby(["rare", "noise", "strategy", "fraction", *by]):
        rows.append((*key, *interval(part.groupby("seed").points.mean())))
    return pd.DataFrame(
        rows, columns=["rare", "noise", "strategy", "fraction", *by, "mean", "half"]
    )


def kept_accuracy(table):
    """Accuracy by set at each fraction over that of all rows, mean over models and seeds."""
    clean = table[(table.noise == 0) & (table.rare == 0)]
    full = clean[clean.strategy == "full"].groupby(["set", "seed", "model"]).accuracy.mean()
    subsets = clean[clean.strategy != "full"]
    means = subsets.groupby(["strategy", "fraction", "set", "seed", "model"]).accuracy.mean()
    ratio = means.div(full).groupby(["strategy", "fraction", "set"]).mean()
    return (100 * ratio).rename("kept").reset_index()


def markdown(table, by_set=True):
    """All tables; those of single sets only where that is wanted."""
    lines = []
    titles = {
        "accuracy": "Accuracy: points above class-stratified random, mean of the models",
        "balanced": "Balanced accuracy: points above class-stratified random, mean of the models",
        "brier": "Brier score: hundredths better than class-stratified random, mean of the models",
        "roc_auc": "Area under the ROC curve: points above class-stratified random, "
        "mean of the models",
        "log_loss": "Log loss: hundredths of a nat better than class-stratified random, "
        "mean of the models",
    }
    for measure, title in titles.items():
        # results of earlier versions have fewer columns
        if measure not in table or table[measure].isna().all():
            continue
        found = differences(turned(table, measure), measure)
        if measure != "balanced":
            # where a class is thinned in training alone, only the balanced one tells
            found = found[found.rare == 0]
        lines += [f"## {title}", ""]
        lines += _table(
            ["labels", "strategy", "fraction", "sets", "points", "ahead on", "worst set"],
            [
                (
                    _labels(r),
                    f"`{r.strategy}`",
                    f"{r.fraction:.0%}",
                    r.sets,
                    f"{r.mean:+.2f} ± {r.half:.2f}",
                    f"{r.ahead} of {r.sets}",
                    f"{r.worst:+.2f}",
                )
                for r in over_sets(found).itertuples()
            ],
        )
    found = differences(table)
    found = found[found.rare == 0]
    if by_set:
        lines += ["## Accuracy by set, mean of the models, ± over seeds", ""]
        each = over_seeds(found, ["set"])
        for (_rare, _noise, strategy), part in each.groupby(["rare", "noise", "strategy"]):
            lines += [f"`{strategy}`, {_labels(part.iloc[0])}", ""]
            cells = part.assign(text=[f"{r.mean:+.2f} ± {r.half:.2f}" for r in part.itertuples()])
            wide = cells.pivot(index="set", columns="fraction", values="text").fillna("")
            lines += _table(
                ["set", *[f"{f:.0%}" for f in wide.columns]],
                [(name, *row) for name, row in zip(wide.index, wide.to_numpy(), strict=True)],
            )
    lines += ["## Accuracy by model, mean over sets", ""]
    models = found.groupby(["rare", "noise", "strategy", "fraction", "model"]).points.mean()
    wide = models.unstack()
    lines += _table(
        ["labels", "strategy", "fraction", *wide.columns],
        [
            (
                _labels(pd.Series({"rare": key[0], "noise": key[1]})),
                f"`{key[2]}`",
                f"{key[3]:.0%}",
                *[f"{v:+.2f}" for v in row],
            )
            for key, row in zip(wide.index, wide.to_numpy(), strict=True)
        ],
    )
    if not by_set:
        return "\n".join(lines)
    lines += ["## Set and model below -0.3 points, beyond the interval over seeds", ""]
    lines += _table(
        ["labels", "strategy", "fraction", "set", "model", "metric", "points"],
        _worse(table, titles),
    )
    kept = kept_accuracy(table).dropna()
    if len(kept):
        lines += ["## Accuracy kept, in % of that on all rows, mean of the models", ""]
        wide = kept[kept.strategy.isin(["auto", BASELINE])].pivot(
            index="set", columns=["strategy", "fraction"], values="kept"
        )
        lines += _table(
            ["set", *[f"{s} {f:.0%}" for s, f in wide.columns]],
            [
                (name, *[f"{v:.1f}" for v in row])
                for name, row in zip(wide.index, wide.to_numpy(), strict=True)
            ],
        )
    return "\n".join(lines)


def _worse(table, measures):
    """Lines of what is behind, in any metric but where a class is rare."""
    for measure in measures:
        if measure not in table or table[measure].isna().all():
            continue
        found = differences(turned(table, measure), measure)
        each = over_seeds(found[found.rare == 0], ["set", "model"])
        for r in each[(each["mean"] < -0.3) & (each["mean"] + each.half < 0)].itertuples():
            points = f"{r.mean:+.2f} ± {r.half:.2f}"
            name = f"`{r.strategy}`"
            yield _labels(r), name, f"{r.fraction:.0%}", r.set, r.model, measure, points


def picture(table, path):
    """Points above the baseline by fraction, and by wrong labels at 10 %: the mean, each set."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    found = differences(table)
    found = found[found.rare == 0]
    sides = [(found[found.noise == 0], "fraction", "rows selected"),
             (found[found.fraction == 0.1], "noise", "wrong labels, 10 % selected")]  # fmt: skip
    sides = [side for side in sides if len(side[0])]
    if not sides:
        return
    figure, axes = plt.subplots(1, len(sides), figsize=(4.4 * len(sides), 3.6), squeeze=False)
    for axis, (part, by, label) in zip(axes[0], sides, strict=True):
        for colour, (strategy, rows) in zip(_COLOURS, part.groupby("strategy"), strict=False):
            by_set = rows.groupby([by, "set"]).points.mean().unstack()
            x = 100 * by_set.index.to_numpy()
            if strategy == "auto":
                axis.plot(x, by_set.to_numpy(), color=colour, alpha=0.25, linewidth=0.8)
            mean, half = np.array([interval(v.dropna()) for _, v in by_set.iterrows()]).T
            axis.errorbar(x, mean, half, color=colour, marker="o", capsize=3, label=strategy)
        axis.axhline(0, color="black", linewidth=0.8)
        if by == "fraction":
            axis.set_xscale("log")
        axis.set_xticks(x, [f"{value:g} %" for value in x])
        axis.minorticks_off()
        axis.set_xlabel(label)
        axis.spines[["top", "right"]].set_visible(False)
    axes[0, 0].set_ylabel("accuracy, points above\nclass-stratified random")
    axes[0, 0].legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def picture_of_strategies(table, path):
    """Each strategy's mean over sets by fraction, the best at 10 % on top."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    found = over_sets(differences(table[(table.noise == 0) & (table.rare == 0)]))
    wide = found.pivot(index="strategy", columns="fraction", values="mean").sort_values(0.1)
    figure, axis = plt.subplots(figsize=(7, 0.34 * len(wide) + 1.2))
    for colour, fraction in zip(_COLOURS, wide.columns, strict=False):
        axis.plot(wide[fraction], wide.index, "o", color=colour, label=f"{fraction:.0%}")
    axis.axvline(0, color="black", linewidth=0.8)
    axis.set_xscale("symlog", linthresh=2, linscale=0.8)
    ticks = [-50, -20, -10, -5, -2, -1, 0, 1, 2, 5]
    axis.set_xticks(ticks, [f"{tick:+d}" if tick else "0" for tick in ticks])
    axis.minorticks_off()
    axis.set_xlabel("accuracy, points above class-stratified random (mean over sets and models)")
    axis.grid(axis="y", alpha=0.3)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(title="rows selected", frameon=False, loc="upper left")
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def _labels(row):
    noise = f"{row.noise:.0%} wrong" if row.noise else "as they are"
    return f"{noise}, class at 0.1 %" if row.rare else noise


def _table(head, rows):
    lines = [f"| {' | '.join(map(str, head))} |", f"|{'---|' * len(head)}"]
    return [*lines, *[f"| {' | '.join(map(str, row))} |" for row in rows], ""]


def write(files, folder=Path(__file__).parent, strategies=False):
    """summary.md and picture.png of these results, or summary-strategies.md and its picture."""
    table = pd.concat([pd.read_csv(file) for file in files])
    if strategies:
        (folder / "summary-strategies.md").write_text(markdown(table, by_set=False) + "\n")
        picture_of_strategies(table, folder / "strategies.png")
    else:
        (folder / "summary.md").write_text(markdown(table) + "\n")
        picture(table, folder / "picture.png")
    print(over_sets(differences(table)).round(2).to_string())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="*", default=[Path(__file__).parent / "results.csv"])
    parser.add_argument("--strategies", action="store_true", help="every strategy: without sets")
    given = parser.parse_args()
    write(given.files, strategies=given.strategies)
