"""Whether rows and labels can be used: what is wrong, how often, where first; and the refusal."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dask_distill.data.blocks import RawBlock, tile_rows
from dask_distill.data.labels import MissingLabel, missing_labels
from dask_distill.errors import InputError
from dask_distill.kernels.moments import tiles

_FIRST = re.compile(r"(first in row \d+, column )(\d+);")

# "fill": what is missing in features was filled in before; a missing label is as for "raise"
OnInvalid = Literal["raise", "drop", "fill"]


@dataclass(frozen=True, kw_only=True)
class Invalid:
    """Values that cannot be used: how many, and where the first one is.

    ``columns`` are the rows that hold some by column, ``labels`` those by label. ``gaps`` are
    rows that hold NaN which a reduction is to fill in, by column: these are not invalid.
    ``unlabelled`` are rows with what the user has said stands for no label; ``weightless`` valid
    rows of sample weight 0, which stand for nothing.
    """

    nan: int = 0
    infinite: int = 0
    first: tuple[int, int] | None = None
    missing: int = 0
    first_missing: int | None = None
    rows: int = 0
    columns: Mapping[int, int] = field(default_factory=Counter)
    labels: Mapping[Any, int] = field(default_factory=Counter)
    weightless: int = 0
    gaps: Mapping[int, int] = field(default_factory=Counter)
    first_gap: tuple[int, int] | None = None
    unlabelled: int = 0

    def filled(self) -> dict[str, Any] | None:
        """What a reduction is to fill in: rows by column, and where the first is; or None."""
        if self.first_gap is None:
            return None
        return {"columns": dict(sorted(self.gaps.items())), "first": self.first_gap}

    def told(self) -> dict[str, Any] | None:
        """By column that has some, by label, and without one; None where all can be used."""
        if not self.rows:
            return None
        return {
            "columns": dict(sorted(self.columns.items())),
            "classes": dict(self.labels),
            "without_label": self.missing + self.unlabelled,
        }


def invalid_rows(
    block: RawBlock,
    *,
    filled: bool = False,
    none: MissingLabel | None = None,
    clean: bool = False,
) -> tuple[npt.NDArray[np.bool_] | None, Invalid]:
    """Mask of unusable rows (None where all are fine), and what is wrong with them.

    ``clean`` tells that all features are known to be finite.

    Where NaN in features are ``filled`` in later, they are counted and nothing is wrong with them.
    Rows with a label that stands for ``none`` are left out, and nothing is wrong with them either.
    """
    bad = None
    invalid = Invalid()
    # a sum is finite only if all its terms are: one cheap pass clears almost every block
    with np.errstate(over="ignore", invalid="ignore"):
        suspicious = not clean and not all(
            np.isfinite(tile.sum(dtype=np.float64))
            for tile in tiles(block.X, tile_rows(block.X.shape[1]))
        )
    if suspicious:
        finite = np.isfinite(block.X)
        if filled:
            gaps = np.isnan(block.X)
            finite |= gaps
            invalid = Invalid(gaps=_by_column(gaps), first_gap=_first(gaps, block.start))
        bad = ~finite.all(axis=1)
        if bad.any():
            row = int(bad.argmax())
            nan = int(np.isnan(block.X[bad]).sum())
            invalid = replace(
                invalid,
                nan=nan,
                infinite=int((~finite[bad]).sum()) - nan,
                first=(block.start + row, int((~finite[row]).argmax())),
                columns=_by_column(~finite[bad]),
            )
    if block.y is not None:
        missing = missing_labels(block.y)
        left_out = missing
        if none is not None:
            unlabelled = none.among(block.y)
            missing, left_out = missing & ~unlabelled, missing | unlabelled
            invalid = replace(invalid, unlabelled=int(unlabelled.sum()))
            bad = unlabelled if bad is None else bad | unlabelled
        if missing.any():
            bad = missing if bad is None else bad | missing
            invalid = replace(
                invalid,
                missing=int(missing.sum()),
                first_missing=block.start + int(missing.argmax()),
            )
    if bad is None or not bad.any():
        return None, invalid
    labels: Counter[Any] = Counter()
    if block.y is not None:
        labels = Counter(block.y[bad & ~left_out].tolist())
    return bad, replace(invalid, rows=int(bad.sum()), labels=labels)


def unused_rows(
    block: RawBlock,
    *,
    filled: bool = False,
    none: MissingLabel | None = None,
    clean: bool = False,
) -> tuple[npt.NDArray[np.bool_] | None, Invalid]:
    """Mask of rows that are not chosen from (None for none): unusable ones, and of weight 0."""
    bad, invalid = invalid_rows(block, filled=filled, none=none, clean=clean)
    if block.weight is None:
        return bad, invalid
    empty = block.weight == 0
    if bad is not None:
        empty &= ~bad
    if not empty.any():
        return bad, invalid
    return empty if bad is None else bad | empty, replace(invalid, weightless=int(empty.sum()))


def merge_invalid(left: Invalid, right: Invalid) -> Invalid:
    """Counts added, the first of the firsts."""
    firsts = [i.first for i in (left, right) if i.first is not None]
    missing = [i.first_missing for i in (left, right) if i.first_missing is not None]
    return Invalid(
        nan=left.nan + right.nan,
        infinite=left.infinite + right.infinite,
        first=min(firsts, default=None),
        missing=left.missing + right.missing,
        first_missing=min(missing, default=None),
        rows=left.rows + right.rows,
        columns=Counter(left.columns) + Counter(right.columns),
        labels=Counter(left.labels) + Counter(right.labels),
        weightless=left.weightless + right.weightless,
        gaps=Counter(left.gaps) + Counter(right.gaps),
        first_gap=min(
            (i.first_gap for i in (left, right) if i.first_gap is not None), default=None
        ),
        unlabelled=left.unlabelled + right.unlabelled,
    )


def _first(wrong: npt.NDArray[np.bool_], start: int) -> tuple[int, int] | None:
    """Row and column of the first one."""
    rows = np.flatnonzero(wrong.any(axis=1))
    return (start + int(rows[0]), int(wrong[rows[0]].argmax())) if len(rows) else None


def _by_column(wrong: npt.NDArray[np.bool_]) -> Counter[int]:
    """Rows by the number of the column, where there are some."""
    rows = wrong.sum(axis=0)
    return Counter({number: int(rows[number]) for number in np.flatnonzero(rows).tolist()})


@contextmanager
def columns_named(columns: Sequence[str] | None) -> Iterator[None]:
    """Name the column of a value that cannot be used: blocks, which find it, know its number alone.

    Raises
    ------
    InputError
    """
    try:
        yield
    except InputError as error:
        found = _FIRST.search(str(error))
        if columns is None or found is None:
            raise
        number = int(found[2])
        named = _FIRST.sub(lambda _: f"{found[1]}{columns[number]!r};", str(error))
        raise InputError(named) from None


def refuse_invalid(invalid: Invalid, on_invalid: OnInvalid) -> None:
    """End the run where a value is invalid, unless such rows are dropped."""
    if on_invalid == "drop":
        return
    if invalid.first is not None:
        row, column = invalid.first
        counts = [
            f"{count:,} {name}"
            for count, name in ((invalid.nan, "NaN"), (invalid.infinite, "infinite"))
            if count
        ]
        values = "value" if invalid.nan + invalid.infinite == 1 else "values"
        raise InputError(
            f"features has {' and '.join(counts)} {values}, first in row {row}, column "
            f'{column}; clean them, or pass on_invalid="drop"'
        )
    if invalid.first_missing is not None:
        raise InputError(
            f"labels has {invalid.missing:,} missing, first in row {invalid.first_missing}; "
            'fill them, or pass on_invalid="drop"'
        )


def refuse_classes(classes: npt.NDArray[np.generic], n: int) -> None:
    """End the run where labels are no classes to choose from."""
    if classes.dtype.kind == "f":
        numbers = classes.astype(np.float64)
        whole = np.isfinite(numbers) & (numbers == np.rint(numbers))
        if not whole.all():
            raise InputError(
                f"labels must be classes (ints or strings), got {classes.dtype} such as "
                f'{classes[~whole][0]}; for a regression target pass task="regression"'
            )
    if len(classes) == 1:
        raise InputError(
            f"labels must have at least two classes, got only {classes[0].item()!r} in {n:,} "
            "rows; pass labels=None to select without labels"
        )
    if len(classes) > max(2, n // 2):
        raise InputError(
            f"labels must be classes with rows to choose from, got {len(classes):,} different "
            f"values in {n:,} rows; for a regression target pass "
            'task="regression", for an id labels=None'
        )
