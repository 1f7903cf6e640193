"""The graph that scores all rows, chunk by chunk, with the functions by which strategies do."""

from dataclasses import dataclass
from typing import Any

import dask.array as da
import numpy as np
import numpy.typing as npt
from dask.base import tokenize
from dask.delayed import delayed

from dask_distill.data.blocks import RawBlock, as_features, block_bounds
from dask_distill.data.dataset import Dataset
from dask_distill.data.labels import as_labels
from dask_distill.data.times import as_times
from dask_distill.proxy.estimator import EstimatorProxy
from dask_distill.proxy.target_model import TargetModel
from dask_distill.runtime.threads import single_threaded
from dask_distill.spaces.reduce import Reducing, SpaceQuestion
from dask_distill.spaces.scales import Scales, scaled_block
from dask_distill.strategies.parts.scorers import Scorer
from dask_distill.survey.schema import Outline
from dask_distill.survey.survey import valid_rows


@dataclass(frozen=True, eq=False, kw_only=True)
class ChunkScorer:
    """Scores a chunk of the source, as strategies score a block.

    Attributes
    ----------
    scorer : Scorer or TargetModel
        The latter judges by targets that are no classes.
    outline : Schema
        What the survey found, without its sample.
    scales : tuple
        `Scales` and the user's model that judges before them; empty where features stay as they
        are.
    criteria : tuple of str
    starts : (p,) int64 array
        The first row of each chunk.
    all_valid : bool
    d : int
    reducing : SpaceQuestion or None
        The space in which rows are judged.
    """

    scorer: Scorer | TargetModel
    outline: Outline
    scales: tuple[Scales, EstimatorProxy | None] | tuple[()]
    criteria: tuple[str, ...]
    starts: npt.NDArray[np.int64]
    all_valid: bool
    d: int
    reducing: SpaceQuestion | None = None

    @property
    def by_blocks(self) -> bool:
        """Whether chunks must be blocks, since bits of a reduction or of a target hang on them."""
        return self.reducing is not None or isinstance(self.scorer, TargetModel)

    def __call__(
        self,
        X: npt.NDArray[Any],
        y: npt.NDArray[Any] | None,
        number: int,
        time: npt.NDArray[Any] | None = None,
        target: npt.NDArray[Any] | None = None,
    ) -> npt.NDArray[np.float32]:
        """(m, c) scores of chunk ``number``; NaN for rows that cannot be used."""
        labels = None if y is None else as_labels(y).reshape(-1)
        start = int(self.starts[number])
        times = None if time is None else as_times(time.reshape(-1))
        raw = RawBlock(number=number, start=start, X=as_features(X), y=labels, time=times)
        block = valid_rows(raw, self.outline, self.all_valid)
        if self.scales:
            block = scaled_block(block, *self.scales)
        with single_threaded():
            if self.reducing is not None:
                block = Reducing().observe(block, self.reducing)
            if isinstance(self.scorer, TargetModel):
                wanted = np.asarray(target)[block.rows - start]
                found = {"gradient": self.scorer.gradient_norm(block.X, wanted)}
            else:
                found = self.scorer.named(block, self.criteria)
        # each criterion in one piece
        out = np.full((len(self.criteria), len(X)), np.nan, np.float32)
        rows = slice(None) if len(block.rows) == len(X) else block.rows - start
        for name, values in zip(self.criteria, out, strict=True):
            values[rows] = found[name]
        return out.T


def scored(dataset: Dataset, scorer: ChunkScorer, target: da.Array | None = None) -> da.Array:
    """(n, c) scores of a data set by `map_blocks`, in its chunks; ``target`` is of (n, T)."""
    features, rows = dataset.features, dataset.features.chunks[0]
    bounds = _bounds(dataset, by_blocks=scorer.by_blocks)
    features = features.rechunk({0: bounds})
    if features.ndim > 2:
        features = da.map_blocks(
            as_features,
            features,
            drop_axis=list(range(2, features.ndim)),
            chunks=(features.chunks[0], (dataset.d,)),
            dtype=np.float64,
            meta=np.empty((0, 0)),
        )
    timed = scorer.reducing is not None and scorer.reducing.timeline is not None
    beside = {"y": dataset.labels, "time": dataset.time if timed else None}
    there = {name: _column(array, bounds) for name, array in beside.items() if array is not None}
    if target is not None:
        there["target"] = target.rechunk({0: bounds, 1: -1}, method="tasks")
    arrays = [features, *there.values()]
    token = tokenize([array.name for array in arrays], scorer)
    table: da.Array = da.map_blocks(
        _score_chunk,
        *arrays,
        names=tuple(there),
        # once in the graph, whole
        scorer=delayed(scorer, name=f"proxy-{token}", traverse=False),
        chunks=(features.chunks[0], (len(scorer.criteria),)),
        dtype=np.float32,
        meta=np.empty((0, 0), np.float32),
        name=f"score-{token}",
    )
    return table.rechunk({0: rows})


def starts_of(dataset: Dataset, *, by_blocks: bool) -> npt.NDArray[np.int64]:
    """The first row of each chunk that is scored."""
    return np.cumsum((0, *_bounds(dataset, by_blocks=by_blocks)[:-1]))


def _bounds(dataset: Dataset, *, by_blocks: bool) -> tuple[int, ...]:
    chunks: tuple[int, ...] = dataset.features.chunks[0]
    return block_bounds(dataset.n, dataset.d) if by_blocks else chunks


def _column(array: da.Array, bounds: tuple[int, ...]) -> da.Array:
    """One column in the chunks of features, to be mapped over beside them."""
    array = array.rechunk((bounds,))
    column: da.Array = da.map_blocks(
        _as_column,
        array,
        new_axis=1,
        chunks=(bounds, (1,)),
        dtype=array.dtype,
        meta=np.empty((0, 1), array.dtype),
    )
    return column


def _score_chunk(
    X: Any,
    *beside: Any,
    names: tuple[str, ...],
    scorer: ChunkScorer,
    block_id: tuple[int, ...],
) -> npt.NDArray[np.float32]:
    given = dict(zip(names, beside, strict=True))
    return scorer(X, given.pop("y", None), block_id[0], **given)


def _as_column(values: Any) -> Any:
    return values[:, None]
