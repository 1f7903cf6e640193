"""Rows at hand to train and test on: a part of the source, the subset, and what is held out.

Features are gathered once, where the tasks run; labels alone come here.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import dask
import numpy as np
import numpy.typing as npt

from dask_distill.conversation.run import Run
from dask_distill.data.dataset import Dataset
from dask_distill.data.labels import MissingLabel
from dask_distill.data.rows import take_rows
from dask_distill.data.times import as_times
from dask_distill.errors import InputError
from dask_distill.evaluation.bench import Bench
from dask_distill.evaluation.copies import Copies
from dask_distill.evaluation.splits import (
    Rows,
    Split,
    finite_rows,
    first_by_hash,
    forward_cuts,
    gather_features,
    gather_labels,
    hashed_rows,
    pool_rows,
    split_rows,
    valid_rows,
    weights_here,
)
from dask_distill.evaluation.statistics import rarest_classes
from dask_distill.evaluation.training import LabelledRows
from dask_distill.kernels.streams import Stream
from dask_distill.runtime.handle import Handle
from dask_distill.subset.subset import Subset

Features = npt.NDArray[np.floating]


@dataclass
class Gathering:
    """Brings the rows together that trainings need, where the tasks run."""

    run: Run
    coreset: Subset
    dataset: Dataset
    max_rows: int
    seed: int

    def __post_init__(self) -> None:
        self.pool = pool_rows(self.dataset.n, self.max_rows, self.seed)
        indices = self.coreset.indices
        self.part = first_by_hash(
            np.arange(len(indices)), indices, self.seed, Stream.JUDGE_PART, self.max_rows
        )
        self.part.sort()
        # positions of those without NaN, which a reduction may have filled in to compare rows
        self.complete = np.arange(len(self.part))
        self.weights = weights_here(self.dataset, self.pool)
        self.held_weights: Any = None

    def usable(self, codes: Any) -> Rows:
        """The pool with -1 in place of rows without a label, or that stand for nothing."""
        pool = valid_rows(self.pool, codes)
        return pool if self.weights is None else np.where(self.weights > 0, pool, -1)

    def gather(self, held_out: Dataset | None) -> tuple[list[Any], list[Handle[Features]]]:
        """Labels of pool, subset and test, here; features of the same, as handles."""
        coreset, dataset = self.coreset, self.dataset
        chosen: list[tuple[Any, Rows]] = [(dataset, self.pool), (coreset, self.part)]
        if held_out is not None:
            tests = hashed_rows(held_out.n, self.max_rows, self.seed, Stream.JUDGE_TEST)
            self.held_weights = weights_here(held_out, tests)
            chosen.append((held_out, tests))
        features: list[Handle[Features]] = []
        labels: list[Handle[npt.NDArray[Any]]] = []
        for origin, rows in chosen:
            features.append(gather_features(self.run, take_rows(origin.features, rows)))
            labels.append(gather_labels(self.run, take_rows(origin.labels, rows)))
        kept = [*self.run.held(*features, *labels)]
        features, labels = kept[: len(chosen)], kept[len(chosen) :]
        # which pool rows the subset has, too: they must be the same
        both, mine, its = np.intersect1d(
            self.pool, coreset.indices[self.part], assume_unique=True, return_indices=True
        )
        differing, valid, complete, *found = self.run.fetch_all(
            [
                self.run.call("compare", _differing, *features[:2], mine, its),
                *(self.run.call("valid", finite_rows, each) for each in features[:2]),
                *labels,
            ]
        )
        if differing:
            raise InputError(
                "the source must be what the subset was selected from, got other values in "
                f"{differing} of {len(both)} rows that were looked at; check the path and the names"
            )
        told = self.coreset.provenance.get("parameters", {})
        if "missing_label" in told:
            valid = valid & ~MissingLabel(told["missing_label"]).among(found[0])
        found[0] = np.where(valid, found[0].astype(object), None)
        self.complete = np.flatnonzero(complete)
        return found, features

    @property
    def size(self) -> int:
        """Rows of the subset that one training takes."""
        return min(len(self.complete), self.max_rows)

    def splits(
        self, codes: Any, seeds: int, test_rows: int | None, held_out: Dataset | None
    ) -> list[Split]:
        """Each seed's rows, those tested on later than those trained on where rows have times."""
        forward = [None] * seeds if held_out else forward_cuts(self.times(), seeds)
        pool, chosen = self.usable(codes), self.coreset.indices
        rows = self.size, self.max_rows, test_rows, held_out
        return self._with_complete(
            [
                split_rows(pool, codes, chosen, one, *rows, cut)
                for one, cut in enumerate(forward, self.seed)
            ]
        )

    def _with_complete(self, splits: Sequence[Split]) -> list[Split]:
        """Splits that train on the subset's complete rows alone, as on the pool's."""
        if len(self.complete) == len(self.part):
            return list(splits)
        if len(self.complete) == 0:
            raise InputError(
                "evaluate needs rows without NaN, got a subset in which each row has some; fill "
                "them in, and select again"
            )
        return [
            replace(
                split,
                subset=self.complete
                if split.subset is None
                else np.intersect1d(split.subset, self.complete),
            )
            for split in splits
        ]

    def tables(
        self, handles: Sequence[Handle[Features]], codes: Sequence[Any]
    ) -> list[Handle[LabelledRows]]:
        """What was gathered, with class numbers and weights."""
        own = (self.weights, self.coreset.weights[self.part], self.held_weights)
        weights = own[: len(codes)]
        return [
            self.run.call("table", LabelledRows, *each)
            for each in zip(handles, codes, weights, strict=True)
        ]

    def unlike(self) -> bool:
        """Whether the subset's rows differ in weight."""
        own = self.coreset.weights[self.part]
        # float32: weights that are meant to be alike differ by rounding
        return bool(own.max() > own.min() * (1 + 1e-5))

    def rarest(self, splits: Sequence[Split], codes: Sequence[Any], classes: int) -> list[int]:
        """Class numbers that occur in the tests, the rarest first."""
        if len(codes) > 2:
            return rarest_classes([codes[2]], [self.held_weights], classes)
        tests = np.concatenate([split.test for split in splits])
        weights = None if self.weights is None else self.weights[tests]
        return rarest_classes([codes[0][tests]], [weights], classes)

    def copies(self, split: Split, tables: Sequence[Handle[LabelledRows]]) -> Copies:
        """Copies of test rows among all that are trained on, for one of the splits."""
        own = self.coreset.indices[self.part]
        allowed = np.arange(len(own)) if split.subset is None else split.subset
        fresh = allowed[~np.isin(own[allowed], self.pool[split.everything])]
        return Bench.of(self.run, tables).copies(split, fresh)

    def times(self) -> tuple[Any, Any] | None:
        """Times of the pool and of the subset, here; None where rows have none."""
        if self.dataset.time is None:
            return None
        chosen = (self.pool, self.coreset.indices[self.part])
        found = dask.compute(*(take_rows(self.dataset.time, rows) for rows in chosen))
        return as_times(found[0]), as_times(found[1])


def _differing(pool: Any, subset: Any, mine: Rows, its: Rows) -> int:
    one, other = pool[mine], subset[its]
    # NaN is the same value as NaN here
    return int(((one != other) & ~(np.isnan(one) & np.isnan(other))).any(axis=1).sum())
