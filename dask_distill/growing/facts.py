"""What the rows of a batch are, block by block: whether they can be used, and their labels."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from dask_distill.data.blocks import RawBlock
from dask_distill.data.labels import as_labels
from dask_distill.errors import InputError
from dask_distill.growing.tables import Listed
from dask_distill.survey.fingerprint import block_checksum
from dask_distill.survey.validity import Invalid, invalid_rows, merge_invalid

Features = npt.NDArray[np.floating]
Labels = npt.NDArray[np.generic]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Of the rows of some blocks.

    Attributes
    ----------
    checksums : tuple of (block number, checksum)
    invalid : Invalid
    valid : int
    labels, counts : arrays or None
        Labels, sorted, and the rows of each.
    other : dict
        Rows of values that a profile does not list, by category.
    """

    checksums: tuple[tuple[int, int], ...]
    invalid: Invalid
    valid: int
    labels: Labels | None
    counts: Rows | None
    other: Mapping[str, int] = field(default_factory=Counter)

    @classmethod
    def of(
        cls, block: RawBlock, categories: Sequence[Listed] = ()
    ) -> tuple["Facts", Rows, Features, Labels | None]:
        """Of one block; and its valid rows, numbered from the start of the batch."""
        bad, invalid = invalid_rows(block)
        rows = block.start + np.arange(len(block.X), dtype=np.int64)
        X, labels = block.X, block.y
        if bad is not None:
            rows, X = rows[~bad], np.ascontiguousarray(X[~bad])
            labels = None if labels is None else labels[~bad]
        names = counts = None
        if labels is not None:
            labels = as_labels(labels)
            names, counts = np.unique(labels, return_counts=True)
        checksum = (block.number, block_checksum(block))
        other = Counter({column.name: column.unlisted(X) for column in categories})
        facts = cls(
            checksums=(checksum,),
            invalid=invalid,
            valid=len(rows),
            labels=names,
            counts=counts,
            other=+other,
        )
        return facts, rows, X, labels

    @property
    def tally(self) -> tuple[Labels, Rows] | None:
        """Labels, and the rows of each; None of rows without."""
        return None if self.labels is None or self.counts is None else (self.labels, self.counts)

    def merge(self, other: "Facts") -> "Facts":
        """They add up."""
        names = counts = None
        mine, its = self.tally, other.tally
        if mine is not None and its is not None:
            names, inverse = np.unique(joined_labels(mine[0], its[0]), return_inverse=True)
            counts = np.zeros(len(names), np.int64)
            np.add.at(counts, inverse, np.concatenate([mine[1], its[1]]))
        return Facts(
            checksums=self.checksums + other.checksums,
            invalid=merge_invalid(self.invalid, other.invalid),
            valid=self.valid + other.valid,
            labels=names,
            counts=counts,
            other=Counter(self.other) + Counter(other.other),
        )


def joined_labels(left: Labels, right: Labels) -> Labels:
    """Labels of both; those of no rows have a type that means nothing."""
    if not len(left) or not len(right):
        return left if len(left) else right
    if (left.dtype.kind in "OUST") != (right.dtype.kind in "OUST"):
        raise InputError(
            f"labels must be all ints or all strings, got {left.dtype} and {right.dtype} in "
            "different parts of the data; convert them to one type"
        )
    return np.concatenate([left, right])
