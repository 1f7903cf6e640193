"""What a run is asked for: all that decides which rows are selected, but the data.

Made where users come in (`distill`, the command line, scoring, a search, data that grows), and
handed on whole.
"""

from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

import numpy as np

from dask_distill.data.blocks import block_bounds
from dask_distill.data.dataset import Dataset
from dask_distill.data.labels import UNSET, MissingLabel
from dask_distill.data.size import resolve_size
from dask_distill.data.times import Span
from dask_distill.errors import InputError
from dask_distill.kernels.timeline import FREQUENCIES
from dask_distill.proxy.estimator import check_estimator
from dask_distill.selection.marks import Marks, Protection, as_initial, describe
from dask_distill.selection.subsets import check_subsets, check_weights
from dask_distill.spaces.reduce import Space
from dask_distill.spaces.reductions import Reduction, Sized
from dask_distill.spaces.scales import KINDS, check_scale
from dask_distill.strategies import STRATEGIES
from dask_distill.strategies.base import Strategy, describe_options
from dask_distill.survey.validity import OnInvalid

TASKS = ("classification", "regression", "multilabel")


@dataclass(frozen=True, kw_only=True)
class Request:
    """What is asked of a data set.

    Attributes
    ----------
    strategy : Strategy
    fraction, size : float or None, int or None
        Exactly one of them.
    certify : bool
    seed : int
    proxy : fitted estimator or None
    on_invalid : "raise", "drop", "fill" or None
        None for what fits the data set: "fill" for tables, "raise" for plain arrays.
    protect, initial, task : as for `distill`
    target : dask array or None
        What is to be predicted, where it is no class; see `task`.
    reduce : Reduction or None
    time_scale : float, text or timedelta, "auto", or None
        After how long rows are no longer alike, for distances that know the time.
    scale : "auto", "standard", "robust", "log", "rank" or "none"
        How features are scaled before rows are compared.
    missing_label : number, text, NaN, None or MissingLabel
        What stands for no label; not given, every label is one.
    subsets : int
        How many subsets; fraction and size are of each.
    scores : Scores or None
        Of all rows, where they are there already.
    """

    strategy: Strategy
    fraction: float | None = None
    size: int | None = None
    certify: bool = False
    seed: int = 0
    proxy: Any = None
    on_invalid: OnInvalid | None = None
    protect: Any = field(default=None, compare=False)
    initial: Any = field(default=None, compare=False)
    reduce: Reduction | None = None
    task: str = "classification"
    target: Any = field(default=None, compare=False, repr=False)
    time_scale: Any = None
    scale: str = "auto"
    missing_label: Any = UNSET
    subsets: int = 1
    scores: Any = field(default=None, compare=False)

    @property
    def sets_apart(self) -> bool:
        """Whether some rows are kept from the strategy."""
        return self.protect is not None or self.initial is not None

    @property
    def uses_seed(self) -> bool:
        """Whether another seed can give other rows: what is fitted is fitted to a sample."""
        fitted = self.reduce is not None or self.time_scale is not None or self.scale in KINDS
        return fitted or self.strategy.uses_seed

    @property
    def fits_all_rows(self) -> bool:
        """Whether a reduction is fitted on all rows, for which they are read once more."""
        return self.reduce is not None and self.reduce.fits_all_rows

    @property
    def allows_unread(self) -> bool:
        """Whether a strategy that draws rows by their numbers need not look at features.

        Who sets rows apart, or deals them out by their groups, looks at them; and of rows that are
        left out for a feature it is not known which these are.
        """
        reduced = self.reduce is not None or self.time_scale is not None
        return not (self.sets_apart or self.subsets > 1 or reduced or self.on_invalid == "drop")

    @property
    def goes_unread(self) -> bool:
        """Whether features are read for the survey alone, and for a certificate."""
        return self.allows_unread and self.strategy.draws_by_number

    @property
    def passes(self) -> int:
        """Times that features are read before the selected rows are written, and labels too.

        Where it `goes_unread`, labels are read once more.
        """
        if self.reduce is not None or self.time_scale is not None:
            # reduced blocks are held; a function of the user's sees rows as they are
            plain = callable(self.protect) and not hasattr(self.protect, "__array__")
            return 2 + plain + self.fits_all_rows
        return 2 + self.certify + self.sets_apart - self.goes_unread

    def of(self, dataset: Dataset) -> "Asked":
        """What is asked of this data set; refuses what cannot work, without reading a row.

        Raises
        ------
        InputError
        """
        check_subsets(self.subsets, apart=self.sets_apart)
        check_weights(self.subsets, self.rows(dataset.n))
        seed = self.seed
        number = isinstance(seed, int | np.integer) and not isinstance(seed, bool)
        if not number or not 0 <= seed < 2**63:
            raise InputError(f"seed must be an int from 0 to 2**63 - 1, got {seed!r}; try seed=0")
        dataset, on_invalid = self._valid(dataset)
        if self.task not in TASKS:
            raise InputError(f"task must be one of {', '.join(TASKS)}, got {self.task!r}")
        check_scale(self.scale)
        self._check_scale()
        self.strategy.check_size(self.rows(dataset.n), dataset.n)
        if self.proxy is not None:
            check_estimator(self.proxy)
        protection = Protection()
        if self.protect is not None:
            protection = Protection.of(self.protect, dataset)
        initial = None if self.initial is None else as_initial(self.initial, dataset)
        if self.reduce is not None:
            self.reduce.check(dataset)
        if self.strategy.needs_novelty and not (self.reduce and self.reduce.reconstructs):
            found = "none" if self.reduce is None else self.reduce.label
            width = min(32, max(1, dataset.d // 2))
            raise InputError(
                f"strategy {self.strategy.name} needs a reduction that makes rows again, got "
                f'{found}; pass reduce="pca:{width}" or reduce="autoencoder:{width}"'
            )
        if dataset.sample_weight is not None and not self.strategy.takes_weights:
            raise InputError(
                f"strategy {self.strategy.name} takes no sample weights, got {dataset.weight_name};"
                " choose the strategy first, or pass sample_weight=False / --sample-weight '' to "
                "count rows alike"
            )
        self._check_time(dataset)
        self._check_missing_label(dataset)
        if dataset.labels is None and self.strategy.requires_labels(self.proxy):
            others = [name for name, kind in STRATEGIES.items() if kind.works_alone()]
            raise InputError(
                f"strategy {self.strategy.name} needs labels, got none; pass labels=, or use one "
                f"of {', '.join(others)}"
            )
        request, own = replace(self, on_invalid=on_invalid), getattr(self.strategy, "scale", None)
        if own is not None and self.scale in ("standard", "none"):
            request = replace(request, strategy=replace(self.strategy, **{"scale": self.scale}))
        return Asked(dataset, request, protection, initial, block_bounds(dataset.n, dataset.d))

    def _valid(self, dataset: Dataset) -> tuple[Dataset, OnInvalid]:
        """The data set with missing values as they are wanted, and what is done with them."""
        wanted = self.on_invalid or ("raise" if dataset.unfilled is None else "fill")
        if wanted not in ("raise", "drop", "fill"):
            raise InputError(
                f'on_invalid must be "raise", "drop" or "fill", got {self.on_invalid!r}'
            )
        if wanted == "fill" and dataset.unfilled is None:
            raise InputError(
                'on_invalid must be "raise" or "drop" where features are an array, got "fill": '
                "fill in what is missing before, or pass a DataFrame or table"
            )
        if wanted != "fill" and dataset.unfilled is not None:
            dataset = replace(dataset, features=dataset.unfilled(), unfilled=None)
        return dataset, wanted

    def _check_scale(self) -> None:
        if self.reduce is None or isinstance(self.reduce, Sized):
            return
        if self.scale != "auto":
            raise InputError(
                f"scale must be left out beside a reduction of your own, got {self.scale} and "
                f"{self.reduce.label}; scale within it"
            )

    @property
    def standardises(self) -> bool:
        """Whether features are divided by their standard deviation, where nothing else is said."""
        if self.reduce is not None:
            return isinstance(self.reduce, Sized) and self.reduce.scale == "standard"
        return self.strategy.standardises

    @property
    def none(self) -> MissingLabel | None:
        """What stands for no label, where something was given."""
        given = self.missing_label
        if given is UNSET or isinstance(given, MissingLabel):
            return None if given is UNSET else given
        return MissingLabel.of(given)

    def _check_missing_label(self, dataset: Dataset) -> None:
        if self.none is None:
            return
        if self.task != "classification" or dataset.labels is None:
            found = "no labels" if self.task == "classification" else f'task="{self.task}"'
            raise InputError(
                f"missing_label must be given with labels that are classes, got {found}; leave it "
                "out"
            )

    @property
    def filled(self) -> bool:
        """Whether NaN in features are the reduction's to fill in: rows are judged behind it."""
        return self.reduce is not None and self.reduce.fills and self.on_invalid == "raise"

    def _check_time(self, dataset: Dataset) -> None:
        span = self.time_span()
        if dataset.time is not None:
            dates = dataset.time.dtype.kind == "M"
            self.strategy.check_time(dates)
            if span is not None:
                span.check("time_scale", dates)
            return
        for wants, what in (
            (self.strategy.needs_time, f"strategy {self.strategy.name}"),
            (self.time_scale is not None, f"time_scale={self.time_scale}"),
        ):
            if wants:
                raise InputError(
                    f"{what} needs to know when each row was, got no time; pass time= / --time"
                )

    def time_span(self) -> Span | None:
        """The time scale as a number, where one was given."""
        if self.time_scale is None or self.time_scale == "auto":
            return None
        return Span.of(self.time_scale, "time_scale")

    def rows(self, n: int) -> int:
        """Rows to select from n, for all subsets together.

        Raises
        ------
        InputError
            Unless exactly one of fraction and size is given, and within its range.
        """
        return min(n, self.subsets * self.each(n))

    def each(self, n: int) -> int:
        """Rows of one subset."""
        return resolve_size(self.fraction, self.size, n)

    def space(self, shape: tuple[int, ...]) -> Space | None:
        """Where rows of a shape are compared; None for the features as they are."""
        span = self.time_span()
        length = None if span is None else span.length
        return Space.of(self.reduce, self.time_scale is not None, length, shape)

    def reduced_width(self, d: int) -> int:
        """Features of a row where it is compared; 0 where that is the source's own form."""
        if self.reduce is None and self.time_scale is None:
            return 0
        width = d if self.reduce is None else self.reduce.width or d
        return width + (0 if self.time_scale is None else 2 * FREQUENCIES)

    def describe(self) -> dict[str, Any]:
        """JSON-able form, for provenance and to compare two runs by."""
        return {
            "strategy": self.strategy.name,
            "options": describe_options(self.strategy),
            "fraction": None if self.fraction is None else float(self.fraction),
            "size": None if self.size is None else int(self.size),
            "certify": self.certify,
            "seed": int(self.seed),
            "on_invalid": self.on_invalid,
            "proxy": None if self.proxy is None else type(self.proxy).__name__,
            "task": self.task,
            "protect": describe(self.protect),
            "initial": describe(self.initial),
            "time_scale": None if self.time_scale is None else str(self.time_scale),
            "reduce": None if self.reduce is None else self.reduce.describe(),
            "scale": self.scale,
            **({} if self.none is None else {"missing_label": self.none.value}),
            **({} if self.subsets == 1 else {"subsets": int(self.subsets)}),
            **({} if self.scores is None else {"scores": list(self.scores)}),
        }


@dataclass(frozen=True, eq=False)
class Asked:
    """A request against its data set: checked and resolved, once; every stage works from it.

    Attributes
    ----------
    dataset : Dataset
    request : Request
    protection : Protection
        Rows that are never dropped.
    initial : Marks or None
        Rows that are chosen already.
    bounds : tuple of int
        Rows of each block.
    """

    dataset: Dataset
    request: Request
    protection: Protection
    initial: Marks | None
    bounds: tuple[int, ...]

    @property
    def starts(self) -> list[int]:
        """The first row of each block."""
        return [0, *accumulate(self.bounds[:-1])]

    def rows(self, n: int) -> int:
        """Rows to select from n."""
        return self.request.rows(n)

    def digests(self) -> dict[str, str]:
        """Of masks and row numbers, to tell two runs apart; reads masks of dask arrays."""
        marks = {"protect": self.protection.marks, "initial": self.initial}
        return {f"{name} digest": one.digest for name, one in marks.items() if one is not None}
