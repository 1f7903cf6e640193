"""The frame that rounds give and take: which columns it has, and which rows can be in it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import dask.dataframe as dd
import numpy as np
import numpy.typing as npt
import pandas as pd

from dask_distill.conversation.converse import converse
from dask_distill.conversation.run import measured_run
from dask_distill.conversation.turns import content
from dask_distill.data.blocks import Block, RawBlock, as_features
from dask_distill.data.dataset import Dataset, as_dataset
from dask_distill.data.weighted import measured, with_weights
from dask_distill.data.weights import Weighing
from dask_distill.data.written import beside_table
from dask_distill.errors import InputError
from dask_distill.kernels.distances import LARGEST
from dask_distill.runtime.client import refuse_asynchronous
from dask_distill.sources.frames import Given, named
from dask_distill.storage.variables import INDEX_COLUMN, WEIGHT_COLUMN
from dask_distill.strategies.base import METRIC, SCALE
from dask_distill.strategies.parts.metric import MetricSpace
from dask_distill.support.options import check_value
from dask_distill.survey.reading import looked_at, raw_blocks
from dask_distill.survey.schema import Outline, Schema
from dask_distill.survey.survey import Survey
from dask_distill.survey.validity import columns_named, refuse_invalid, unused_rows

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


def opened(
    features: Any,
    columns: Mapping[str, str] | None = None,
    profile: Mapping[str, Any] | None = None,
    sample_weight: Any = None,
) -> Dataset:
    """What rounds are of, as a selection without labels has it: of a table its columns as numbers.

    Sample weights are read, to measure what they come to.

    Raises
    ------
    InputError
    """
    read: Any = {"columns": columns, "profile": profile}
    given = named(Given(features=features, sample_weight=sample_weight, **read))
    dataset = as_dataset(beside_table(given.features, None, given.arrays), carry=given.carry)
    dataset = with_weights(dataset, given.sample_weight)
    if dataset.sample_weight is not None:
        refuse_asynchronous()
    return measured(dataset)


def check_space(metric: str, scale: str) -> None:
    """Refuse words for what there is not.

    Raises
    ------
    InputError
    """
    check_value("metric", metric, METRIC)
    check_value("scale", scale, SCALE)


def space_of(
    dataset: Dataset, metric: str, scale: str, reduce: Callable[[Any], Any] | None
) -> MetricSpace:
    """Where distances are measured; for features in units of their spread, all are read once.

    Raises
    ------
    InputError
    """
    check_space(metric, scale)
    if reduce is not None and not callable(reduce):
        raise InputError(f"reduce must be a function of a block, got {reduce!r}")
    if scale == "none":
        return MetricSpace(metric, None, None, reduce)
    refuse_asynchronous()
    with measured_run() as run, clean_told(dataset.columns):
        survey = Survey()
        how: Any = {"labelled": False, "seed": 0, "weighing": dataset.weighing}
        question = survey.ask(dataset.n, dataset.d, **how)
        question = replace(question, groups=dataset.groups, sampled=dataset.profile is not None)
        raw = looked_at(dataset, raw_blocks(dataset, run.runner), run.runner)
        final, _ = converse(survey, raw, question, run, phase="survey", keep=False)
        outline: Outline = run.fetch(run.call("outline", _outline, final))
    return MetricSpace.of(metric, scale, outline, reduce)


def _outline(final: Any) -> Outline:
    schema: Schema = content(final)
    return schema.outline()


def like(X: Any) -> Features:
    """One row as blocks will have it."""
    return as_features(np.zeros((1, *X.shape[1:]), X.dtype))


def coordinate_names(dataset: Dataset, space: MetricSpace) -> tuple[str, ...]:
    """Names of the coordinates, none of which is one of ours."""
    if space.reduce is not None:
        width = space(like(dataset.features)).shape[1]
        return tuple(f"x{number}" for number in range(width))
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


def checked_block(
    raw: RawBlock,
    space: MetricSpace,
    columns: tuple[str, ...] | None,
    weighing: Weighing | None = None,
) -> Block:
    """The block, where distances can be taken of all its rows; without those of weight 0."""
    with clean_told(columns):
        unused, invalid = unused_rows(raw)
        refuse_invalid(invalid, "raise")
    rows, X = raw.start + np.arange(len(raw.X), dtype=np.int64), raw.X
    mass = None if weighing is None or raw.weight is None else weighing.masses(raw.weight)
    if unused is not None:
        rows, X = rows[~unused], np.ascontiguousarray(X[~unused])
        mass = None if mass is None else mass[~unused]
    largest = float(np.abs(X).max(initial=0))
    plain = space.metric == "euclidean" and space.scale is None and space.reduce is None
    if plain and largest >= LARGEST:
        raise InputError(
            f"features must be below {LARGEST:g} in size, so that their squares are finite, got "
            f"{largest:g} between rows {raw.start} and {raw.start + len(raw.X) - 1}; scale them"
        )
    return Block(number=raw.number, rows=rows, X=X, codes=None, mass=mass)


@contextmanager
def clean_told(columns: tuple[str, ...] | None) -> Iterator[None]:
    """Tell of values that cannot be used as the survey does, and what can be done here."""
    try:
        with columns_named(columns):
            yield
    except InputError as error:
        told = str(error).replace('pass on_invalid="drop"', "leave their rows out")
        raise InputError(told) from None
