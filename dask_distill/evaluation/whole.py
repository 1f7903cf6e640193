"""Trainings on all rows, block by block, where "everything" is everything.

Models that have ``partial_fit`` go through blocks cut at fixed multiples of the row number, by
dask-ml's `Incremental`. That alone would read ahead without bounds; so a few blocks are read at a
time, for all models and seeds, and learnt from before the next ones are read.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from typing import Any

import dask
import dask.array as da
import numpy as np

from dask_distill.conversation.run import Run
from dask_distill.data.blocks import as_features, block_bounds
from dask_distill.data.dataset import Dataset
from dask_distill.errors import InputError
from dask_distill.evaluation.learner import ABOUT, Learner, about_rows
from dask_distill.evaluation.metrics import Measures
from dask_distill.evaluation.splits import Rows, Split
from dask_distill.evaluation.training import LabelledRows, Trained, Trial, as_models, block_models
from dask_distill.kernels.streams import Generator
from dask_distill.runtime.handle import Handle
from dask_distill.runtime.silence import allowing_large_graphs

# blocks in memory at a time, each of 32 MiB of float32
TOGETHER = 4
# rows whose blocks tell more of their class lie sorted by it
_SORTED = 0.1


def passes_of(everything: Any) -> int:
    """How often all rows are gone through; 0 where a bounded part stands for them.

    Raises
    ------
    InputError

    Examples
    --------
    >>> passes_of("part"), passes_of("all"), passes_of("all:3")
    (0, 1, 3)
    """
    if everything == "part":
        return 0
    name, sign, count = str(everything).partition(":")
    if name == "all" and (not sign or (count.isdecimal() and int(count) > 0)):
        return int(count or 1)
    raise InputError(
        f'everything must be "part", "all" or "all:3" (any number of passes), got {everything!r}'
    )


def models_for(models: Any, passes: int) -> dict[str, Any]:
    """The user's estimators by name, or those of ours that suit.

    Raises
    ------
    InputError
        Where one cannot learn block by block and should.
    """
    if not passes:
        return as_models(models)
    named = block_models() if models is None else as_models(models)
    lacking = [name for name, model in named.items() if not hasattr(_last(model), "partial_fit")]
    if lacking:
        ours = ", ".join(name.replace(" ", "-") for name in block_models())
        raise InputError(
            f"everything='all' needs models that learn block by block (partial_fit), got "
            f"{', '.join(lacking)}; choose others (models= / --model), such as {ours}"
        )
    return named


def _last(model: Any) -> Any:
    from sklearn.pipeline import Pipeline

    return model.steps[-1][1] if isinstance(model, Pipeline) else model


def blocks_of(dataset: Dataset, classes: Sequence[Any], seed: int, passes: int) -> Iterator[Any]:
    """All rows, a few fixed blocks at a time, in an order drawn anew for each pass.

    Parameters
    ----------
    dataset : Dataset
        With labels.
    classes : sequence of labels
    seed, passes : int

    Yields
    ------
    X : (m, d) dask array of floats
        A chunk a block.
    about : (m,) dask array of `ABOUT`
        In the same chunks.
    """
    bounds = block_bounds(dataset.n, dataset.d)
    rng = np.random.default_rng([seed % 2**63, Generator.EVERYTHING])
    starts = np.cumsum((0, *bounds))
    for _ in range(passes):
        order = rng.permutation(len(bounds))
        for at in range(0, len(order), TOGETHER):
            these = [(int(starts[one]), bounds[one]) for one in order[at : at + TOGETHER]]
            yield _features(dataset, these), _about(dataset, these, tuple(classes))


def _joined(array: da.Array, these: Sequence[tuple[int, int]]) -> da.Array:
    """Some blocks of an array, a chunk each, whatever its own chunks are."""
    whole = dict.fromkeys(range(array.ndim), -1)
    parts = [array[start : start + rows].rechunk(whole) for start, rows in these]
    return da.concatenate(parts)


def _features(dataset: Dataset, these: Sequence[tuple[int, int]]) -> da.Array:
    array = _joined(dataset.features, these)
    dtype = as_features(np.empty((0, 1), array.dtype)).dtype
    flat: da.Array = da.map_blocks(
        as_features,
        array,
        chunks=(array.chunks[0], (dataset.d,)),
        drop_axis=list(range(1, array.ndim)),
        new_axis=1,
        meta=np.empty((0, 0), dtype),
    )
    return flat


def _about(
    dataset: Dataset, these: Sequence[tuple[int, int]], classes: tuple[Any, ...]
) -> da.Array:
    beside = (dataset.labels, dataset.sample_weight, dataset.time)
    numbers = [da.arange(start, start + rows, chunks=rows) for start, rows in these]
    about: da.Array = da.map_blocks(
        about_rows,
        da.concatenate(numbers),
        *(None if array is None else _joined(array, these) for array in beside),
        classes=classes,
        meta=np.empty(0, ABOUT),
    )
    return about


def train_on_all(
    run: Run,
    dataset: Dataset,
    models: Mapping[str, Any],
    splits: Sequence[Split],
    pool_rows: Rows,
    fixed: Sequence[Handle[Any]],
    passes: int,
) -> tuple[list[Trial], tuple[str, ...]]:
    """Every model for every seed on all rows but those it is tested on.

    Parameters
    ----------
    run : Run
    dataset : Dataset
    models : dict of estimators with ``partial_fit``, or pipelines that end in one
    splits : sequence of Split
    pool_rows : (p,) int64 array
        Global numbers of the rows at hand.
    fixed : handles of `Measures`, of the `LabelledRows` of the rows at hand, and more
        As a `Bench` has them.
    passes : int

    Returns
    -------
    trials : list of Trial
    notes : tuple of str
        For people.
    """
    measures: Measures = run.fetch(fixed[0])
    named = {name: run.constant(model) for name, model in models.items()}
    learners: list[Learner] = run.fetch_all(
        [
            run.call(
                "prepare",
                Learner.prepared,
                *(name, model, run.constant(split), fixed[1]),
                *(pool_rows[split.test], len(measures.labels)),
            )
            for split in splits
            for name, model in named.items()
        ]
    )
    learners = learnt(run, dataset, learners, measures.labels, splits[0].seed, passes)
    trials = [
        run.call("judge", _judged, learner.trained(passes), splits[at // len(named)], *fixed)
        for at, learner in enumerate(learners)
    ]
    return run.fetch_all(trials), _notes(dataset, learners[0], passes)


def learnt(
    run: Run,
    dataset: Dataset,
    learners: Sequence[Learner],
    classes: Sequence[Any],
    seed: int,
    passes: int,
) -> list[Learner]:
    """Learners that have seen all rows, by dask-ml's `Incremental`; each block is read once."""
    from dask_ml.wrappers import Incremental

    # blocks come in a drawn order already, the same for all schedulers
    jobs = [Incremental(learner, shuffle_blocks=False) for learner in learners]
    blocks = -(-len(block_bounds(dataset.n, dataset.d)) // TOGETHER) * passes
    run.progress.start("train on all rows", blocks)
    with allowing_large_graphs(), ThreadPoolExecutor(run.runner.parallelism()) as threads:
        for X, about in blocks_of(dataset, classes, seed, passes):
            held = dask.persist(X, about)
            list(threads.map(_learn, jobs, repeat(held)))
            # before the next ones are read
            del held
            run.progress.advance()
    run.progress.finish()
    return [job.estimator_ for job in jobs]


def _learn(job: Any, held: tuple[da.Array, da.Array]) -> None:
    job.partial_fit(*held)


def _judged(
    trained: Trained,
    split: Split,
    measures: Measures,
    pool: LabelledRows,
    subset: LabelledRows,
    held_out: LabelledRows | None = None,
) -> Trial:
    return trained.judged(pool.take(split.test) if held_out is None else held_out, measures)


def _notes(dataset: Dataset, learner: Learner, passes: int) -> tuple[str, ...]:
    rows = int(learner.counts.sum()) // passes
    often = "once" if passes == 1 else f"{passes:,} times"
    left = dataset.n - rows - len(learner.tests)
    notes = [f"Everything is {rows:,} of {dataset.n:,} rows, learnt block by block, {often}"]
    if learner.until is None and left:
        notes[0] += f"; {left:,} have no class, no weight, or values that are missing"
    notes[0] += "."
    told = learner.sorted_by_class()
    if told > _SORTED:
        notes.append(
            f"Rows lie sorted by class (a block tells {told:.0%} of it), which models that learn "
            "block by block forget by: shuffle the source, or judge by everything='part'."
        )
    return tuple(notes)
