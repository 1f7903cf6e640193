"""What is remembered of rows that are not read again: some of them, and what each stands for."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt

from dask_distill.data.dataset import Dataset
from dask_distill.data.size import resolve_size
from dask_distill.errors import InputError
from dask_distill.kernels.reservoir import represented
from dask_distill.storage.variables import INDEX, SCORE, SUMMARY, WEIGHT
from dask_distill.strategies import STRATEGIES, make_strategy
from dask_distill.strategies.base import Strategy
from dask_distill.strategies.kcenter import KCenter
from dask_distill.subset.kept import is_plain, of_table, table_as_bytes, table_of_bytes
from dask_distill.subset.names import ArrayNames
from dask_distill.survey.validity import OnInvalid
from dask_distill.tables.lazy import encoded
from dask_distill.tables.profile import Profile

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

# rows of each class that are kept, however rare it is: few, since quotas are of the rows kept
CLASS_FLOOR = 10
_ALL_KEPT = 0.4
# of the group: all columns of the rows that are kept, where these are of a table
_REACH = f"{SCORE}reach"
_TABLE = "table"
# with fewer, what is kept could not be halved and still be enough
_LEAST_SPREAD = 2


def sampled() -> list[str]:
    """Strategies that go on from a sample of the rows, by name."""
    return sorted(
        name for name, kind in STRATEGIES.items() if kind.grows and not issubclass(kind, KCenter)
    )


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What was asked for when the subset began; every update follows it.

    Attributes
    ----------
    strategy, options : str and dict
    fraction, size : float or None, int or None
        Exactly one of them. With ``size``, what is kept does not grow.
    oversample : float
        Rows kept for each one selected.
    window : int or None
        Only the last so many rows count.
    half_life : float or None
        Rows count for half once so many have come after them.
    seed : int
    on_invalid : "raise", "drop", "fill" or None
        None until the first batch: "fill" if it is a table, "raise" if it is arrays.
    """

    strategy: str
    options: dict[str, Any]
    fraction: float | None
    size: int | None
    oversample: float
    window: int | None = None
    half_life: float | None = None
    seed: int = 0
    on_invalid: OnInvalid | None = None

    @classmethod
    def of(
        cls,
        strategy: str,
        options: Mapping[str, Any] | None,
        fraction: float | None,
        size: int | None,
        oversample: float | None,
        **more: Any,
    ) -> "Settings":
        """Checked, with the number of rows that are kept unless it is given.

        Ten for each one selected, as far as that is at most 40 % of the rows; two at least.
        """
        whole = isinstance(size, int | np.integer) and not isinstance(size, bool)
        # the fraction's own errors first
        resolve_size(fraction, size, max(1, int(size)) if whole and size is not None else 1)
        if oversample is None:
            oversample = usual_oversample(fraction)
        plain = {name: _plain(value) for name, value in more.items()}
        made = cls(
            strategy=strategy,
            options=dict(options or {}),
            fraction=_plain(fraction),
            size=_plain(size),
            oversample=_plain(oversample),
            **plain,
        )
        made.check()
        return made

    def check(self) -> None:
        """Refuse what cannot work.

        Raises
        ------
        InputError
        """
        self.made_strategy()
        kept, window, half_life = self.oversample, self.window, self.half_life
        if not _is_number(kept) or not 1 <= kept <= 1000:
            raise InputError(
                f"oversample must be a number from 1 to 1000, got {kept!r}; leave it out for the "
                "default"
            )
        if self.covering and kept < _LEAST_SPREAD:
            raise InputError(
                f"oversample must be at least {_LEAST_SPREAD} for kcenter, got {kept}; leave it "
                "out for the default"
            )
        if window is not None and half_life is not None:
            raise InputError("at most one of window and half_life may be given, got both; drop one")
        if (window or half_life) is not None and self.size is None:
            name = "window" if window is not None else "half_life"
            raise InputError(
                f"{name} needs a subset of fixed size, got fraction={self.fraction}; pass size="
            )
        if window is not None:
            whole = isinstance(window, int | np.integer) and not isinstance(window, bool)
            if not whole or self.size is None or window < self.size:
                raise InputError(
                    f"window must be a number of rows, at least size {self.size}, got {window!r}"
                )
            if self.on_invalid == "drop":
                raise InputError(
                    'on_invalid must be "raise" or "fill" with a window, got "drop": rows that are '
                    "left out would count as part of it; clean them"
                )
        if half_life is not None and not (_is_number(half_life) and half_life > 0):
            raise InputError(f"half_life must be a number of rows above 0, got {half_life!r}")
        if self.covering and (window or half_life) is not None:
            raise InputError(
                "window and half_life need a strategy that samples, got kcenter: what covers a "
                f"row that has left is not known; use one of {', '.join(sampled())}"
            )

    def made_strategy(self) -> Strategy:
        """The strategy, if it can follow data that grows.

        Raises
        ------
        InputError
        """
        strategy = make_strategy(self.strategy, self.options)
        if isinstance(strategy, KCenter):
            unfit = {"scale": ("none",), "exact": (False,), "outliers": (0,), "reduce": (None,)}
            for option, fit in unfit.items():
                found = getattr(strategy, option)
                if found not in fit:
                    raise InputError(
                        f"option {option} of kcenter must be {fit[0]!r} for data that grows, got "
                        f"{found!r}: distances to old rows must stay what they were; leave it out"
                    )
        elif not strategy.grows:
            raise InputError(
                f"strategy {strategy.name} cannot follow data that grows: it depends on rows "
                f"that a sample does not have; use one of kcenter, {', '.join(sampled())}, or run "
                "again on everything"
            )
        return strategy

    @property
    def covering(self) -> bool:
        """Whether rows are kept by how far apart they are, not by chance."""
        return self.strategy == KCenter.name

    def floor(self, classes: int) -> int:
        """Rows of each class that are kept, once there are so many classes.

        None with a window, of which one cannot know in advance which will be the last; nor with
        a half-life, where they would count for more than they do.
        """
        if self.window is not None or self.half_life is not None:
            return 0
        if self.size is None or self.options.get("balance") != "equal":
            return CLASS_FLOOR
        # every class must have what an equal part of the subset asks of it
        return max(CLASS_FLOOR, math.ceil(2 * self.size / max(1, classes)))

    def wanted(self, n: int) -> int:
        """Rows to select of n."""
        if self.size is not None:
            return min(self.size, n)
        return resolve_size(self.fraction, None, n)

    def most(self, n: int) -> int | None:
        """Rows that are kept at most of n; None where a threshold alone decides."""
        if self.window is not None or (self.fraction is not None and not self.covering):
            return None
        return math.ceil(self.oversample * self.wanted(n))

    def least(self, n: int) -> float:
        """Priority that rows must surpass once n have come."""
        if self.window is not None and self.size is not None:
            wanted = self.oversample * self.size
            # which rows are kept is chance: there must not be fewer than are to be selected
            wanted += 4 * math.sqrt(wanted) + 50
            return _threshold(min(self.window, n) / wanted)
        if self.fraction is not None:
            return _threshold(1 / (self.oversample * self.fraction))
        return -math.inf


@dataclass(frozen=True, eq=False, kw_only=True)
class Summary:
    """Rows kept of all that came, and what each stands for.

    Attributes
    ----------
    settings : Settings
    dataset : Dataset or None
        The kept rows, ascending by number; None before the first batch.
    rows : (p,) int64 array
        Their numbers, in the order in which rows came.
    masses : (p,) float64 array
        Rows that each stood for when it came; for ``kcenter``, those nearest to it.
    reach : (p,) float64 array
        How far at most the rows are that each stands for; inf where it is not known.
    least : float
        Priority that kept rows had to surpass; for ``kcenter`` the distance between them.
    n_source, n : int
        Rows that came, and those of them that were valid.
    classes, counts : tuples or None
        Labels in the order of their first batch, and rows of each.
    batches : int
    fingerprint : str
        Of all that came, in batches.
    taken : dict
        What `follow` has taken from its source; see there.
    """

    settings: Settings
    dataset: Dataset | None = None
    rows: Rows = field(default_factory=lambda: np.empty(0, np.int64))
    masses: Floats = field(default_factory=lambda: np.empty(0))
    reach: Floats = field(default_factory=lambda: np.empty(0))
    least: float = -math.inf
    n_source: int = 0
    n: int = 0
    classes: tuple[Any, ...] | None = None
    counts: tuple[int, ...] | None = None
    batches: int = 0
    fingerprint: str = ""
    taken: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def begin(cls, settings: Settings) -> "Summary":
        """Of nothing."""
        return cls(settings=settings)

    def __repr__(self) -> str:
        return (
            f"Summary({len(self.rows):,} rows kept of {self.n:,} in {self.batches:,} batches, "
            f"strategy={self.settings.strategy!r})"
        )

    @property
    def kept(self) -> Dataset:
        """The rows that are kept; refuses where no batch has come."""
        if self.dataset is None:
            raise ValueError("a batch must have come first, got none")
        return self.dataset

    @property
    def counted(self) -> int:
        """Rows that count: all, or those of the window."""
        window = self.settings.window
        return self.n if window is None else min(self.n, window)

    def represented(self) -> Floats:
        """(p,) rows that each kept row stands for by now, up to a common factor."""
        if self.settings.covering:
            return self.masses
        return represented(
            self.rows, self.masses, self.least, self.n_source, self.settings.half_life
        )

    def labels(self) -> npt.NDArray[np.generic] | None:
        """(p,) labels of the kept rows, here."""
        if self.dataset is None or self.dataset.labels is None:
            return None
        return np.asarray(self.dataset.labels.compute())

    def arrays(self, names: ArrayNames) -> dict[str, da.Array]:
        """What is stored, by name in the group."""
        kept = self.kept
        rows, _ = names.arrays(kept.features, kept.labels, kept.carry, kept.without_nulls)
        if not self._features_written:
            del rows[names.features]
        for name, values in ((INDEX, self.rows), (WEIGHT, self.masses), (_REACH, self.reach)):
            rows[name] = da.from_array(values, chunks=-1)
        if self._table is not None:
            rows[_TABLE] = self._table[0]
        return {SUMMARY + name: array for name, array in rows.items()}

    @cached_property
    def _table(self) -> tuple[da.Array, dict[str, Any]] | None:
        """All columns of the kept rows as bytes, and what is said of them."""
        table = None if self.dataset is None else self.dataset.table
        return None if table is None else table_as_bytes(table)

    @property
    def _features_written(self) -> bool:
        """Whether features are columns as they are: what they are read as is made again."""
        return self.kept.profile is None or is_plain(self.kept.profile)

    def attributes(self) -> dict[str, Any]:
        """What is stored beside the arrays, JSON-able."""
        kept = self.kept
        facts = {
            name: getattr(self, name)
            for name in ("n_source", "n", "classes", "counts", "batches", "fingerprint", "taken")
        }
        return facts | {
            "settings": {one.name: getattr(self.settings, one.name) for one in fields(Settings)},
            # infinite numbers are no JSON
            "least": self.least if math.isfinite(self.least) else None,
            "columns": kept.columns,
            "time": kept.time_name,
            **({} if self._table is None else {"profile": kept.profile, "table": self._table[1]}),
        }

    @classmethod
    def stored(
        cls, attributes: Mapping[str, Any], arrays: Mapping[str, da.Array], names: ArrayNames
    ) -> "Summary":
        """What `arrays` and `attributes` have stored; ``names`` are those of the group."""
        told = dict(attributes)
        mine = {
            name.removeprefix(SUMMARY): array
            for name, array in arrays.items()
            if name.startswith(SUMMARY)
        }
        columns = told.pop("columns")
        settings = Settings(**told.pop("settings"))
        table, profile = told.pop("table", None), told.pop("profile", None)
        if table is not None:
            table = table_of_bytes(mine.pop(_TABLE), table)
            if names.features not in mine:
                mine[names.features] = encoded(table, Profile.parse(profile))
        dataset = Dataset(
            **names.fields(mine),
            columns=None if columns is None else tuple(columns),
            time_name=told.pop("time"),
        )
        if table is not None:
            dataset = of_table(dataset, table, profile, settings.on_invalid)
        least, classes, counts = (told.pop(name) for name in ("least", "classes", "counts"))
        return cls(
            settings=settings,
            dataset=dataset,
            rows=np.asarray(mine[INDEX].compute()),
            masses=np.asarray(mine[WEIGHT].compute()),
            reach=np.asarray(mine[_REACH].compute()),
            least=-math.inf if least is None else least,
            classes=None if classes is None else tuple(classes),
            counts=None if counts is None else tuple(counts),
            **told,
        )


def usual_oversample(fraction: float | None) -> float:
    """Rows kept for each one selected, where nothing else is asked for."""
    share = 10.0 if fraction is None else _ALL_KEPT / float(fraction)
    return max(2.0, min(10.0, share))


def _plain(value: Any) -> Any:
    """A number of NumPy's as one of Python's."""
    return value.item() if isinstance(value, np.generic) else value


def _threshold(mass: float) -> float:
    """Priority of a row that stands for so many; none where every row is kept."""
    return math.log2(mass) if mass > 1 else -math.inf


def _is_number(value: Any) -> bool:
    number = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return number and math.isfinite(value)
