"""The strategy that is not decided yet: options of a search, whose outcome takes its place."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from dask_distill.errors import InputError
from dask_distill.strategies.auto import Auto
from dask_distill.strategies.base import Footprint, Strategy
from dask_distill.support.metrics import as_metrics
from dask_distill.support.options import Interval, OneOf, option

METHODS = ("tpe", "nsga2")


@dataclass(frozen=True, kw_only=True)
class Search(Strategy):
    """Try strategies and their options on a part of the data, and use the best one found.

    Every trial selects from a bounded part of the rows, trains models on what it selected, and
    is judged on rows that were held out. ``auto`` with its defaults is the first trial; what is
    used in the end is the best trial, unless it is worse than ``auto`` on rows that no trial has
    seen. Needs optuna: ``pip install "dask-distill[search]"``.

    Parameters
    ----------
    method : "tpe" or "nsga2"
        Bayesian search for the metric alone; or genetic search for the metric, few rows and few
        bytes moved at once, which tries fewer rows, too, and gives a front.
    trials : int
        From 2 to 10,000.
    minutes : float
        No batch of trials begins after so long; 0 for no limit. What is found then depends on
        how fast the machine is.
    metric : str, callable or dict of them
        What trials are judged by: a name of `dask_distill.support.metrics.METRICS` or of a
        scikit-learn scorer, or a scorer (estimator, X, y) -> float, higher is better. Of several
        (in a dict, or separated by commas) the first; the others are told of the best trial.
    seeds : int
        Held-out parts that each trial is judged on, at least 2.
    max_rows : int
        Most rows that a trial selects from.
    study : str
        A local file that takes what finished batches have found; a search of the same data and
        options goes on from there. '' for none.
    model : scikit-learn classifier, dict of them, or str, optional
        Or names of `dask_distill.evaluation.training.standard_models`, separated by commas.
        Logistic regression and boosting unless given.

    Notes
    -----
    Same data, seed and options try the same trials and find the same strategy on any number of
    workers, unless ``minutes`` ends the search: batches have a fixed size, and seconds are
    told, but steer nothing.

    References
    ----------
    Bergstra, Bardenet, Bengio, Kégl (2011), Algorithms for hyper-parameter optimization; Deb,
    Pratap, Agarwal, Meyarivan (2002), A fast and elitist multiobjective genetic algorithm:
    NSGA-II; Akiba, Sano, Yanase, Ohta, Koyama (2019), Optuna.
    """

    method: str = option("tpe", OneOf(*METHODS, listed=True))
    trials: int = option(32, Interval(2, 10_000))
    minutes: float = option(0.0, Interval(0, closed="left"), way_out="0 is no limit")
    metric: str | Mapping[str, Any] | Callable[..., float] = "accuracy"
    seeds: int = option(2, Interval(2, 100))
    max_rows: int = option(20_000, Interval(500, 1_000_000))
    study: str = ""
    model: str | object = None

    name: ClassVar[str] = "search"
    when: ClassVar[str] = "what is best for your model, at the price of many trials"
    needs_labels: ClassVar[bool] = True
    uses_proxy: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        as_metrics(self.metric)

    @property
    def settled(self) -> str | None:
        """Trials of its own take the place of the sample."""
        return "it tries strategies when it runs"

    def ask(self, schema: Any, size: int, proxy: Any) -> Any:
        """Not a conversation itself."""
        raise InputError(
            "strategy search must be decided before it can select; pass it to distill, or call "
            "dask_distill.search_strategy for the strategy it finds"
        )

    def footprint(self, n: int, d: int, classes: int, size: int) -> Footprint:
        """As that of auto, the likeliest outcome; trials hold a bounded part."""
        return Auto().footprint(n, d, classes, size)
