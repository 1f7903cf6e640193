"""The frame that rounds give and take: which columns it has, and which rows can be in it."""

from collections.abc import Sequence
from typing import Any

import dask.dataframe as dd
import numpy as np
import numpy.typing as npt
import pandas as pd

from dask_distill.data.blocks import Block, RawBlock
from dask_distill.data.dataset import Dataset
from dask_distill.errors import InputError
from dask_distill.kernels.distances import LARGEST
from dask_distill.storage.variables import INDEX_COLUMN, WEIGHT_COLUMN
from dask_distill.strategies.parts.metric import MetricSpace
from dask_distill.survey.validity import invalid_rows

Features = npt.NDArray[np.floating]
Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

ROW, BLOCK, WEIGHT = INDEX_COLUMN, "_block", WEIGHT_COLUMN
INSERTION, COVERING = "_insertion_radius", "_covering_radius"
OURS = (ROW, BLOCK, INSERTION, COVERING, WEIGHT)
# of rows of length 1, what rounding leaves
_UNIT = 1e-3


def as_candidates(values: Any) -> Any:
    """A dask DataFrame of candidates."""
    if isinstance(values, pd.DataFrame):
        values = dd.from_pandas(values, npartitions=1, sort=False)
    if not isinstance(values, dd.DataFrame):
        raise InputError(
            "candidates must be a DataFrame as dask_distill.candidates gives it, got "
            f"{type(values).__name__}; take them of the features first"
        )
    missing = [name for name in OURS if name not in values.columns]
    others = [name for name in values.columns if name not in OURS]
    odd = [str(name) for name in others if values.dtypes[name].kind != "f"]
    if missing or odd or not others:
        found = f"no {', '.join(missing)}" if missing else f"no number in {', '.join(odd)}"
        raise InputError(
            f"candidates must have {', '.join(OURS)} and coordinates, got "
            f"{found if missing or odd else 'no coordinates'}; leave the columns as "
            "dask_distill.candidates gives them"
        )
    return values


def coordinate_names(dataset: Dataset) -> tuple[str, ...]:
    """Names of the coordinates, none of which is one of ours."""
    names = dataset.columns or tuple(f"x{number}" for number in range(dataset.d))
    taken = [name for name in names if name in OURS]
    if taken:
        raise InputError(
            f"features must not have columns named {', '.join(OURS)}, got {', '.join(taken)}; "
            "rename them, or leave them out"
        )
    return names


def coordinates(frame: pd.DataFrame, names: Sequence[str], space: MetricSpace) -> Features:
    """(p, d) coordinates, which must be of the metric."""
    X = np.ascontiguousarray(frame[list(names)].to_numpy())
    if space.metric == "cosine":
        lengths = np.linalg.norm(X, axis=1)
        wrong = (np.abs(lengths - 1) > _UNIT) & (lengths > 0)
        if wrong.any():
            raise InputError(
                'candidates must have rows of length 1 for metric="cosine", got '
                f'{lengths[wrong][0]:.3g}; take them with metric="cosine", too'
            )
    return X


def frame_of(
    rows: Rows,
    blocks: int | Rows,
    X: Features,
    radii: Floats,
    reaches: Floats,
    weights: Floats,
    names: Sequence[str],
) -> pd.DataFrame:
    """Candidates, or centers, in the order of picking."""
    numbers = np.broadcast_to(np.asarray(blocks, np.int32), len(rows))
    values = (rows, numbers, radii, reaches, weights)
    ours = pd.DataFrame(dict(zip(OURS, values, strict=True)))
    return pd.concat([ours, pd.DataFrame(X, columns=list(names))], axis=1)


def checked_block(raw: RawBlock, space: MetricSpace, columns: tuple[str, ...] | None) -> Block:
    """The block, where distances can be taken of all its rows."""
    _, invalid = invalid_rows(raw)
    if invalid.first is not None:
        row, column = invalid.first
        value = raw.X[row - raw.start, column]
        raise InputError(
            f"features must be finite, got {value} in row {row}, column "
            f"{column if columns is None else repr(columns[column])}; clean them, or leave the row "
            "out"
        )
    largest = float(np.abs(raw.X).max(initial=0))
    if space.metric == "euclidean" and largest >= LARGEST:
        raise InputError(
            f"features must be below {LARGEST:g} in size, so that their squares are finite, got "
            f"{largest:g} between rows {raw.start} and {raw.start + len(raw.X) - 1}; scale them"
        )
    return Block(
        number=raw.number,
        rows=raw.start + np.arange(len(raw.X), dtype=np.int64),
        X=raw.X,
        codes=None,
    )
