"""Metrics of classification by name: words, which way is better, and scorers of the user's own."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dask_distill.errors import InputError
from dask_distill.support.text import likely

# before the name of a class: its recall is a metric, too
RECALL = "recall:"
Scorer = Callable[..., float]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """What a number is called, and how it is read.

    Attributes
    ----------
    name, words : str
        In Python and JSON; for people.
    higher_is_better : bool
    percent : bool
        Whether it is a part of 1, which people read in per cent.
    of : callable, optional
        What it is of a model's `Prediction`, (m,) class numbers of the test rows, their weights or
        None, and the number of classes; of those without it `metrics_of` has the number.
    """

    name: str
    words: str
    higher_is_better: bool = True
    percent: bool = True
    of: Callable[[Any, Any, Any, int], float] | None = None

    @property
    def sign(self) -> int:
        """1 where higher is better, otherwise -1."""
        return 1 if self.higher_is_better else -1


METRICS = {
    metric.name: metric
    for metric in (
        Metric(name="accuracy", words="accuracy"),
        Metric(name="balanced_accuracy", words="balanced accuracy"),
        Metric(name="worst_class_recall", words="worst class recall"),
        Metric(name="roc_auc", words="ROC AUC"),
        Metric(name="average_precision", words="average precision"),
        Metric(name="log_loss", words="log loss", higher_is_better=False, percent=False),
        Metric(name="brier", words="Brier score", higher_is_better=False, percent=False),
        Metric(name="calibration_error", words="calibration error", higher_is_better=False),
    )
}
# others, each with what it is: told with these of every model, and taken to judge by
MORE: dict[str, Metric] = {}
# what was measured before there were others, and what is told of synthetic rows
RIGHT = ("accuracy", "balanced_accuracy", "worst_class_recall")


def more_of(answer: Any, codes: Any, weights: Any, classes: int) -> dict[str, float]:
    """What each of `MORE` is of a model's answer; see `Metric`."""
    told = {name: metric.of for name, metric in MORE.items() if metric.of is not None}
    return {name: float(of(answer, codes, weights, classes)) for name, of in told.items()}


def metric_named(name: str) -> Metric:
    """A metric by its name; what is not known is a scorer of the user's, higher is better.

    Examples
    --------
    >>> metric_named("log_loss").higher_is_better, metric_named("recall:late").words
    (False, 'recall of class late')
    """
    if name in METRICS or name in MORE:
        return METRICS.get(name) or MORE[name]
    if name.startswith(RECALL):
        return Metric(name=name, words=f"recall of class {name.removeprefix(RECALL)}")
    return Metric(name=name, words=name, percent=False)


def as_metrics(metric: Any) -> dict[str, Scorer | None]:
    """What is asked for beside what is always measured, the first one first.

    Parameters
    ----------
    metric : str, callable, dict or sequence of str, or None
        Names of `METRICS` or of scikit-learn's scorers (several in a list, or separated by
        commas), a scorer (estimator, X, y) -> float, or a dict of them; higher is better.

    Returns
    -------
    dict of scorers by name
        None for what `METRICS` has.

    Raises
    ------
    InputError

    Examples
    --------
    >>> found = as_metrics("log_loss,f1_macro")
    >>> list(found), found["log_loss"] is None
    (['log_loss', 'f1_macro'], True)
    """
    if metric is None:
        return {}
    if isinstance(metric, str):
        metric = [word.strip() for word in metric.split(",")]
    if isinstance(metric, Mapping):
        ours = (*METRICS, *MORE)
        own = [name for name, scorer in metric.items() if name in ours and scorer != name]
        if own:
            raise InputError(
                f"metric must not call a scorer {own[0]!r}, which is measured already; choose "
                "another name"
            )
        named = {str(name): scorer for name, scorer in metric.items()}
    elif callable(metric):
        named = {getattr(metric, "__name__", type(metric).__name__): metric}
    elif isinstance(metric, list | tuple):
        named = {str(name): name for name in metric}
    else:
        named = {"metric": metric}
    odd = [
        name
        for name, scorer in named.items()
        if scorer != name
        and (name.startswith(RECALL) or not name.isprintable() or not name.strip())
    ]
    if odd:
        raise InputError(
            f"metric must call scorers by printable names that do not begin with '{RECALL}', got "
            f"{odd[0]!r}; choose another name"
        )
    if not named:
        raise InputError(f"metric must name at least one metric, got {metric!r}; try 'log_loss'")
    return {name: _scorer(name, scorer) for name, scorer in named.items()}


def _scorer(name: str, scorer: Any) -> Scorer | None:
    if isinstance(scorer, str):
        if scorer in (*METRICS, *MORE) and scorer == name:
            return None
        from sklearn.metrics import get_scorer, get_scorer_names

        if scorer in get_scorer_names():
            found: Scorer = get_scorer(scorer)
            return found
    elif callable(scorer) and not isinstance(scorer, type):
        known: Scorer = scorer
        return known
    meant = likely(scorer, [*METRICS, *MORE]) if isinstance(scorer, str) else ""
    raise InputError(
        f"metric must be one of {', '.join((*METRICS, *MORE))}, the name of a scikit-learn scorer "
        f"such as f1_macro, a scorer (estimator, X, y) -> float, or a dict of them, got {scorer!r}"
        f"{meant}"
    )


def takes_weights(scorer: Scorer) -> bool:
    """Whether a scorer can weigh the rows that it is given.

    Examples
    --------
    >>> from sklearn.metrics import get_scorer
    >>> takes_weights(get_scorer("f1_macro")), takes_weights(lambda estimator, X, y: 0.0)
    (True, False)
    """
    try:
        return "sample_weight" in inspect.signature(scorer).parameters
    except (TypeError, ValueError):
        return False


def shown_value(name: str, value: float | None, half: float | None = None) -> str:
    """A mean as people read it, with half of its interval; '-' where it is not known.

    Examples
    --------
    >>> shown_value("accuracy", 0.9123, 0.004), shown_value("log_loss", 0.31234, 0.01)
    ('91.2±0.4', '0.312±.010')
    >>> shown_value("log_loss", None)
    '-'
    """
    if value is None:
        return "-"
    return f"{_number(name, value)}{_half(name, half)}"


def shown_gap(name: str, value: float, half: float | None = None) -> str:
    """A difference as people read it, with half of its interval.

    Examples
    --------
    >>> shown_gap("accuracy", -0.0123, 0.004), shown_gap("log_loss", 0.25)
    ('−1.2±0.4', '+.250')
    """
    text = signed_number(name, value)
    if not metric_named(name).percent:
        # as in its interval: the table has six columns, and a terminal 80 or 100
        text = text.replace("+0.", "+.").replace("−0.", "−.")
    return f"{text}{_half(name, half)}"


def signed_number(name: str, value: float) -> str:
    """A difference with its sign: in points of per cent where the metric is a part of 1.

    Examples
    --------
    >>> signed_number("accuracy", 0.0123), signed_number("log_loss", -0.25)
    ('+1.2', '−0.250')
    """
    text = _number(name, abs(value))
    if not text.strip("0."):
        return text
    return f"{'−' if value < 0 else '+'}{text}"


def _number(name: str, value: float) -> str:
    text = f"{100 * value:.1f}" if metric_named(name).percent else f"{value:.3f}"
    return text.replace("-", "−")


def _half(name: str, half: float | None) -> str:
    if half is None:
        return ""
    text = _number(name, half)
    return f"±{text if metric_named(name).percent else text.removeprefix('0')}"
