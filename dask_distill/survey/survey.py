"""The first pass: what the data is, whether it can be used, and a bounded sample of it.

A conversation of one question. Every block counts its invalid values, classes and moments,
and offers the rows of lowest hash: as a whole, and in each class, so that rare classes are in
the sample too. Lowest hashes of parts merge to the lowest hashes of all.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.data.blocks import Block, RawBlock, tile_rows
from dask_distill.data.compact import is_compact
from dask_distill.data.groups import Group, grouped_scale
from dask_distill.data.labels import MissingLabel, as_labels, class_codes, unique_labels
from dask_distill.data.weights import Weighing
from dask_distill.errors import InputError
from dask_distill.kernels.hashing import row_hash
from dask_distill.kernels.masses import counted
from dask_distill.kernels.moments import Totals, moments, pool_moments
from dask_distill.kernels.streams import Stream
from dask_distill.survey.compacted import looked_over, moments_of_sample
from dask_distill.survey.fingerprint import block_checksum, fingerprint_of
from dask_distill.survey.offer import (
    FLOOR_ROWS,
    Offer,
    joined,
    lowest_offer,
    merge_offers,
    side_by_side,
)
from dask_distill.survey.sample import sample_of
from dask_distill.survey.schema import Outline, Sample, Schema
from dask_distill.survey.stray import Stray, stray_columns
from dask_distill.survey.validity import (
    Invalid,
    OnInvalid,
    merge_invalid,
    refuse_classes,
    refuse_invalid,
    unused_rows,
)

Floats = npt.NDArray[np.float64]

SAMPLE_ROWS = 10_000
SAMPLE_FLOOR = 20
# the hashes up to which rows are offered leave room above the sample's size
_OFFER = 1.5


@dataclass(frozen=True, kw_only=True)
class SurveyQuestion:
    """What the survey asks of every block."""

    n: int
    d: int
    size: int
    floor: int
    seed: int
    labelled: bool
    on_invalid: OnInvalid
    # whether NaN in features are filled in later
    filled: bool = False
    # what stands for no label
    none: MissingLabel | None = None
    weighing: Weighing | None = None
    # features that are scaled together
    groups: tuple[Group, ...] = ()
    # whether mean and scale are those of the sample: rows of tables are not all encoded for them
    sampled: bool = False


@dataclass(frozen=True, kw_only=True)
class BlockFacts:
    """What one block contributes that is kept apart until the end, in block order."""

    number: int
    start: int
    rows: int
    mean: Floats
    spread: Floats
    least: Floats
    greatest: Floats
    checksum: int
    labels: npt.NDArray[np.generic] | None
    label_counts: npt.NDArray[np.int64] | None
    label_first: npt.NDArray[np.int64] | None
    # of each label (one, where there are none), where rows are not alike
    masses: npt.NDArray[np.int64] | None = None


@dataclass(frozen=True)
class SurveyAnswer:
    """Facts by block, invalid values, and the rows offered for the sample."""

    facts: tuple[BlockFacts, ...]
    invalid: Invalid
    offer: Offer


class Survey:
    """The conversation behind `Schema`."""

    def ask(
        self,
        n: int,
        d: int,
        *,
        labelled: bool,
        seed: int,
        on_invalid: OnInvalid = "raise",
        filled: bool = False,
        none: MissingLabel | None = None,
        size: int = SAMPLE_ROWS,
        floor: int = SAMPLE_FLOOR,
        weighing: Weighing | None = None,
    ) -> SurveyQuestion:
        """The one question."""
        return SurveyQuestion(
            n=n,
            d=d,
            size=size,
            floor=floor,
            seed=seed,
            labelled=labelled,
            on_invalid=on_invalid,
            filled=filled,
            none=none,
            weighing=weighing,
        )

    def observe(self, block: RawBlock, question: SurveyQuestion) -> RawBlock:
        """Nothing is remembered: the block itself is the state."""
        return block

    def answer(self, block: RawBlock, question: SurveyQuestion) -> SurveyAnswer:
        """Count, measure and offer."""
        checksum = block_checksum(block)
        block, ends = looked_over(block)
        d = question.d
        totals = None if ends else Totals.of(block.X, tile_rows(d))
        clean = totals is not None and totals.finite
        bad, invalid = unused_rows(block, filled=question.filled, none=question.none, clean=clean)
        rows = block.start + np.arange(len(block.X), dtype=np.int64)
        X: Any = block.X if block.compact is None else block.compact
        labels, time, mass = block.y, block.time, _masses(block, question.weighing)
        if bad is not None:
            rows, X = rows[~bad], X[~bad]
            ends = X.ends() if ends else None
            totals = None if ends else Totals.of(X, tile_rows(d))
            labels = None if labels is None else labels[~bad]
            time = None if time is None else time[~bad]
            mass = None if mass is None else mass[~bad]
        mean = spread = np.zeros(d)
        if not question.sampled:
            mean, spread = moments(X, tile_rows(d), mass, totals=totals)
        if totals is not None:
            ends = totals.least, totals.greatest
        assert ends is not None
        least, greatest = ends
        names = counts = first = inverse = masses = None
        if labels is not None:
            labels = as_labels(labels)
            names, at, inverse, counts = unique_labels(labels)
            first = rows[at]
        if mass is not None:
            groups = np.zeros(len(rows), np.int64) if inverse is None else inverse
            masses = counted(groups, 1 if names is None else len(names), mass)
        facts = BlockFacts(
            number=block.number,
            start=block.start,
            rows=len(rows),
            mean=mean,
            spread=spread,
            least=least,
            greatest=greatest,
            checksum=checksum,
            labels=names,
            label_counts=counts,
            label_first=first,
            masses=masses,
        )
        offer = _offer(rows, X, labels, time, inverse, question)
        if mass is not None:
            offer = replace(offer, mass=mass[np.searchsorted(rows, offer.rows)])
        return SurveyAnswer((facts,), invalid, offer)

    def combine(self, left: SurveyAnswer, right: SurveyAnswer) -> SurveyAnswer:
        """Facts side by side; of the rows offered, those that are still lowest."""
        merged = SurveyAnswer(
            left.facts + right.facts,
            merge_invalid(left.invalid, right.invalid),
            merge_offers(left.offer, right.offer),
        )
        # labels that are all missing have no type
        named = [f.labels for f in merged.facts if f.labels is not None and len(f.labels)]
        if len({labels.dtype.kind for labels in named}) > 1:
            types = ", ".join(sorted({str(labels.dtype) for labels in named}))
            raise InputError(
                f"labels must be all ints or all strings, got {types} in different parts of the "
                "data; convert them to one type"
            )
        return merged

    def advance(self, question: SurveyQuestion, answer: SurveyAnswer) -> Schema:
        """Judge the input, and make the schema of it."""
        refuse_invalid(answer.invalid, question.on_invalid)
        facts = sorted(answer.facts, key=lambda f: f.number)
        block_counts = np.array([f.rows for f in facts], np.int64)
        n = int(block_counts.sum())
        if n == 0:
            raise InputError(
                f"features has no valid row among {question.n:,}: all hold NaN or infinite "
                "values, or have no label; clean them"
            )
        classes = counts = block_classes = block_masses = None
        if question.labelled:
            classes, counts, block_classes, block_masses = _classes(facts)
            refuse_classes(classes, n)
        else:
            masses = side_by_side([f.masses for f in facts])
            block_masses = None if masses is None else masses[:, None]
        shares = block_counts if block_masses is None else block_masses.sum(axis=1)
        sample = sample_of(answer.offer, classes, counts, question.size, question.floor)
        least = np.min([f.least for f in facts], axis=0)
        greatest = np.max([f.greatest for f in facts], axis=0)
        means, spreads = [f.mean for f in facts], [f.spread for f in facts]
        still = least == greatest
        if question.sampled:
            of_classes = np.array([n]) if counts is None else counts
            if block_masses is not None:
                of_classes = block_masses.sum(axis=0)
            shares, means, spreads = moments_of_sample(sample, of_classes)
            lowest, highest = sample.X.min(axis=0), sample.X.max(axis=0)
            # as the spread is: not all sources look at all rows
            still = lowest == highest
            least, greatest = np.minimum(least, lowest), np.maximum(greatest, highest)
        mean, scale = pool_moments(shares.tolist(), means, spreads)
        scale = grouped_scale(scale, still, question.groups)
        return Schema(
            n_source=question.n,
            n=n,
            d=question.d,
            classes=classes,
            counts=counts,
            block_counts=block_counts,
            block_classes=block_classes,
            mean=mean,
            scale=scale,
            sample=sample,
            dropped=answer.invalid.rows,
            invalid=answer.invalid.told(),
            filled=answer.invalid.filled(),
            none=question.none,
            fingerprint=fingerprint_of(question.n, question.d, [f.checksum for f in facts]),
            seed=question.seed,
            block_starts=np.array([f.start for f in facts], np.int64),
            stray=_stray(sample, mean, scale, least, greatest, question.groups),
            groups=question.groups,
            largest=_largest(least, greatest),
            weighing=question.weighing,
            block_masses=block_masses,
            weightless=answer.invalid.weightless,
        )


def offered_rows(n: int, classes: int) -> int:
    """Most rows that are offered for the sample of a data set, about.

    Examples
    --------
    >>> offered_rows(10**9, 10), offered_rows(10**9, 5_000)
    (15200, 45000)
    """
    floors = min(SAMPLE_FLOOR * classes, max(FLOOR_ROWS, 2 * classes))
    return min(n, int(_OFFER * SAMPLE_ROWS) + floors)


def valid_block(raw: RawBlock, schema: Outline) -> Block:
    """Leave out what the survey found invalid, and put class numbers for labels."""
    return valid_rows(raw, schema, int(schema.block_counts[raw.number]) == len(raw.X))


def valid_rows(raw: RawBlock, schema: Outline, all_valid: bool) -> Block:
    """The same of any run of rows, where it is known whether all of them are valid."""
    rows = raw.start + np.arange(len(raw.X), dtype=np.int64)
    X, labels, time, mass = raw.X, raw.y, raw.time, _masses(raw, schema.weighing)
    bad = None
    if not all_valid:
        bad, _ = unused_rows(raw, filled=schema.filled is not None, none=schema.none)
    if bad is not None:
        rows, X = rows[~bad], np.ascontiguousarray(X[~bad])
        labels = None if labels is None else labels[~bad]
        time = None if time is None else time[~bad]
        mass = None if mass is None else mass[~bad]
    codes = None
    if labels is not None and schema.classes is not None:
        codes = class_codes(labels, schema.classes)
    return Block(number=raw.number, rows=rows, X=X, codes=codes, time=time, mass=mass)


def _masses(raw: RawBlock, weighing: Weighing | None) -> Floats | None:
    """What each row stands for, valid or not; None where rows are alike."""
    return None if raw.weight is None or weighing is None else weighing.masses(raw.weight)


def _offer(
    rows: npt.NDArray[np.int64],
    X: Any,
    labels: npt.NDArray[np.generic] | None,
    time: Floats | None,
    inverse: npt.NDArray[np.intp] | None,
    question: SurveyQuestion,
) -> Offer:
    """The rows of this block that may be in the sample."""
    share = min(1.0, _OFFER * question.size / question.n)
    limit = np.uint64(min(int(share * 2**64), 2**64 - 1))
    hashes = row_hash(rows, question.seed, stream=Stream.SURVEY)
    given = Offer(
        limit=limit,
        floor=question.floor,
        hashes=hashes,
        rows=rows,
        X=X,
        labels=labels,
        time=time,
    )
    found = lowest_offer(given, inverse)
    rows_offered: Any = found.X
    return replace(found, X=rows_offered.dense()) if is_compact(rows_offered) else found


def _classes(
    facts: list[BlockFacts],
) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.int64], npt.NDArray[np.int64], Any]:
    """Classes by first appearance, their counts, and counts and masses by block."""
    names = joined([f.labels for f in facts if f.labels is not None])
    first = np.concatenate([f.label_first for f in facts if f.label_first is not None])
    counts = np.concatenate([f.label_counts for f in facts if f.label_counts is not None])
    blocks = np.repeat(
        np.arange(len(facts)), [0 if f.labels is None else len(f.labels) for f in facts]
    )
    unique, inverse = np.unique(names, return_inverse=True)
    earliest = np.full(len(unique), np.iinfo(np.int64).max)
    np.minimum.at(earliest, inverse, first)
    by_first = np.argsort(earliest)
    number = np.empty(len(unique), np.int64)
    number[by_first] = np.arange(len(unique))
    table = np.zeros((len(facts), len(unique)), np.int64)
    np.add.at(table, (blocks, number[inverse]), counts)
    masses = side_by_side([f.masses for f in facts])
    if masses is not None:
        weighed = np.zeros_like(table)
        np.add.at(weighed, (blocks, number[inverse]), masses)
        masses = weighed
    return unique[by_first], table.sum(axis=0), table, masses


def _stray(
    sample: Sample,
    mean: Floats,
    scale: Floats,
    least: Floats,
    greatest: Floats,
    groups: Sequence[Group],
) -> tuple[Stray, ...]:
    """Of features that are not scaled together with others: a rare category is no stray value."""
    together = {number for group in groups for number in range(group.start, group.stop)}
    found = stray_columns(sample.X, mean, scale, least, greatest)
    return tuple(stray for stray in found if stray.column not in together)


def _largest(least: Floats, greatest: Floats) -> tuple[int, float]:
    """The column with the value of largest size, and that value."""
    values = np.where(greatest >= -least, greatest, least)
    column = int(np.abs(values).argmax())
    return column, float(values[column])
