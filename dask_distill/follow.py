"""Data that grows: begin with a batch; follow a source, take what is new, commit, and wait.

All that must be known to go on lies in the target: a follower that is killed is started again.
"""

import logging
import threading
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from dask_distill.coreset import Coreset, open_coreset
from dask_distill.data.dataset import Dataset
from dask_distill.errors import InputError
from dask_distill.growing.pieces import Look, Pieces, pieces_of
from dask_distill.growing.start import summary_of
from dask_distill.growing.update import grown
from dask_distill.runtime.progress import Progress
from dask_distill.selection.select import SelectionWarning
from dask_distill.selection.shares import share_warning
from dask_distill.selection.warned import warned_after
from dask_distill.sources.frames import Given, as_named_dataset
from dask_distill.storage import group as store
from dask_distill.storage.location import Location
from dask_distill.storage.remote import finish
from dask_distill.storage.targets import refuse_folder
from dask_distill.subset.stored import names_of, write_subset
from dask_distill.subset.summary import Settings, Summary
from dask_distill.survey.validity import OnInvalid
from dask_distill.tables.profile import Profile

MOST_ROWS = 1_000_000
# what places beside the target are called where a batch is written until it is committed
_RUN = "follow-"
# looks in a row that may find a source that cannot be used
_PATIENCE = 10

logger = logging.getLogger("dask_distill")


@dataclass(frozen=True)
class Committed:
    """One batch, taken and committed.

    Attributes
    ----------
    coreset : Coreset
    receipt : dict
        As from `Coreset.to_zarr`.
    new_rows : int
    seconds : float
    """

    coreset: Coreset
    receipt: dict[str, Any]
    new_rows: int
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        told = self.coreset.provenance
        return {
            "batch": told["growing"]["batches"],
            "new_rows": self.new_rows,
            "rows": told["rows"],
            "selected": told["selected"],
            "kept": told["growing"]["kept"],
            **told["growing"].get("last_batch", {}),
            "underrepresented": told.get("underrepresented"),
            "target": self.receipt["target"],
            "digest": self.receipt["digest"],
            "seconds": round(self.seconds, 3),
        }


def follow(
    source: str,
    target: str,
    settings: Settings,
    *,
    opening: Mapping[str, Any] | None = None,
    storage_options: Mapping[str, Any] | None = None,
    interval: float = 60.0,
    once: bool = False,
    max_rows: int = MOST_ROWS,
    stop: threading.Event | None = None,
    progress: Progress | None = None,
) -> Iterator[Committed]:
    """Take what is new in a source, batch by batch, and commit after each.

    Parameters
    ----------
    source : path or URL
        A zarr group whose arrays are appended to, or a folder that gets parquet or .npz files.
        Files whose names begin with "_" or "." are not looked at.
    target : path or URL
        Of the subset. One that this has written is gone on with: nothing else may be there.
    settings : Settings
        As for `grow`.
    opening : mapping, optional
        How to open the source: features, labels, carry, time, on_missing; see `open_dataset`.
    storage_options : mapping, optional
    interval : float
        Seconds between two looks. What is new is taken once two looks have found the same of
        it, so that nothing is taken which is still being written. Once something was
        taken, ten looks in a row may find a source that cannot be used.
    once : bool
        Take what is there, without a second look, and end.
    max_rows : int
        A batch ends with the file that reaches so many, or at this row of a zarr group.
    stop : Event, optional
        Ends the wait, and what follows it.
    progress : Progress, optional

    Returns
    -------
    iterator of Committed
        Works as it is asked for the next; source and target are checked before. A
        `SelectionWarning` tells when a class begins to be kept at under half of its share.

    Raises
    ------
    InputError
        Where source or target cannot be used, or the target follows another source or other
        settings. What was committed stays.
    """
    options = dict(storage_options or {})
    place = Location(source, options)
    stop = stop or threading.Event()
    _check(interval, max_rows)
    summary = _begun(place, target, settings)
    # rows whose chunks are not there are still to come
    opening = {"on_missing": "error"} | dict(opening or {})
    _refuse_reading(summary, opening)
    pieces = pieces_of(place, opening)
    # of a follower that was killed; of one that is alive, that ends it
    store.discard_unfinished(target, _RUN, storage_options=options)
    run = f"{_RUN}{uuid.uuid4().hex[:12]}"
    commit = partial(_commit, run=run, target=target, storage_options=options, progress=progress)
    return _followed(pieces, summary, commit, interval, once, max_rows, stop)


def _followed(
    pieces: Pieces,
    summary: Summary,
    commit: Callable[..., tuple[Summary, Committed]],
    interval: float,
    once: bool,
    max_rows: int,
    stop: threading.Event,
) -> Iterator[Committed]:
    before: Look | None = None
    working, failures = False, 0
    # classes that a warning has named: the next batch does not name them again
    named: set[Any] = set()
    while True:
        begun = time.perf_counter()
        try:
            look = pieces.look()
            settled = look if once else look.settled(before)
            before = look
            new = pieces.batches(settled, summary.taken, max_rows, summary.dataset)
            for batch, taken in new:
                summary, committed = commit(summary, batch, taken, begun)
                working = True
                named = _warn(committed.coreset.provenance, named)
                yield committed
                begun = time.perf_counter()
                if stop.is_set():
                    return
            failures = 0
        except InputError as error:
            # before anything was taken it is the user's; after that a writer may be at it
            failures += 1
            if once or not working or failures > _PATIENCE:
                raise
            logger.warning("%s; looking again (%d of %d)", error, failures, _PATIENCE)
        if once or stop.wait(interval):
            return


def _warn(told: Mapping[str, Any], named: set[Any]) -> set[Any]:
    """Of classes that are kept far below their share, where one is new; gives all of them."""
    short = {entry["label"] for entry in told.get("underrepresented") or ()}
    line = share_warning(told)
    if line is not None and short - named:
        # of who asks for the next batch
        warnings.warn(line, SelectionWarning, stacklevel=3)
    return short


def _check(interval: float, max_rows: int) -> None:
    if not 0 < interval < float("inf"):
        raise InputError(f"interval must be a number of seconds above 0, got {interval}")
    if max_rows < 1:
        raise InputError(f"max_rows must be at least 1, got {max_rows}")


def _refuse_reading(summary: Summary, opening: Mapping[str, Any]) -> None:
    """Refuse another way to read columns than that of the rows taken before."""
    if summary.dataset is None or summary.dataset.profile is None:
        return
    before = Profile.parse(summary.dataset.profile)
    given = opening.get("profile")
    if given is not None and Profile.parse(given).features != before.features:
        raise InputError(
            "profile must be as it was when the target began, got another; leave it out: what is "
            "added is read as the first batch was"
        )
    kinds = {column.name: column.kind for column in before.columns}
    for name, kind in (opening.get("columns") or {}).items():
        if kinds.get(name, kind) != kind:
            raise InputError(
                f"column {name!r} must be read as {kinds[name]}, as it was when the target began, "
                f"got {kind}; choose another target, or leave it out"
            )


def _begun(
    place: Location,
    target: str,
    settings: Settings,
) -> Summary:
    """What is known of rows taken before: of none, where nothing is there."""
    options = place.options
    refuse_folder(target, "the subset of a source that is followed")
    there = Location(target.rstrip("/") or "/", options)
    if not target or not there.exists():
        store.check_target(target, storage_options=options, sources=[place.url])
        return Summary.begin(settings)
    store.check_target(target, overwrite=True, storage_options=options, sources=[place.url])
    finish(there)
    summary = open_coreset(target, options).summary
    if summary is None or summary.taken.get("source") != place.resolved().shown:
        followed = "none" if summary is None else summary.taken.get("source", "none")
        raise InputError(
            f"target '{there.shown}' must follow the source '{place.resolved().shown}', got a "
            f"subset that follows {followed}; choose another target"
        )
    for name in settings.__dataclass_fields__:
        now, then = getattr(settings, name), getattr(summary.settings, name)
        # found out from the first batch, where nothing was said
        found_out = name == "on_invalid" and now is None
        if now != then and not found_out:
            raise InputError(
                f"{name} must be {then!r} as it was when '{there.shown}' began, got {now!r}; "
                "choose another target, or leave it as it was"
            )
    return summary


def _commit(
    summary: Summary,
    batch: Dataset,
    taken: Mapping[str, Any],
    begun: float,
    *,
    run: str,
    target: str,
    storage_options: Mapping[str, Any],
    progress: Progress | None,
) -> tuple[Summary, Committed]:
    """One batch, selected anew with all before it, in the target's place."""
    coreset = grown(summary, batch, progress=progress)
    coreset = replace(coreset, summary=replace(summary_of(coreset), taken=dict(taken)))
    if summary.batches == 0:
        names_of(coreset).warn(stacklevel=2)
    receipt = write_subset(
        coreset, target, storage_options, overwrite=summary.batches > 0, progress=progress, run=run
    )
    # what comes next reads these rows from the target: nothing piles up in memory
    written = open_coreset(target, storage_options)
    return summary_of(written), Committed(written, receipt, batch.n, time.perf_counter() - begun)


def grow(
    features: Any,
    labels: Any = None,
    *,
    fraction: float | None = None,
    size: int | None = None,
    strategy: str = "auto",
    options: Mapping[str, Any] | None = None,
    carry: Mapping[str, Any] | None = None,
    time: Any = None,
    oversample: float | None = None,
    window: int | None = None,
    half_life: float | None = None,
    seed: int = 0,
    on_invalid: OnInvalid | None = None,
    progress: Progress | None = None,
) -> Coreset:
    """Select rows of a first batch, so that `Coreset.update` can add others.

    Besides the subset some more rows are kept, and what each of them stands for: its `summary`.
    Every batch is read when it comes, and never again. Rows are numbered in the order in which
    they come, over all batches.

    Most strategies choose from a random sample: which rows are in it depends on seed and row
    numbers alone, so that fifty batches give the rows and weights of the same data in one, bit
    for bit. ``kcenter`` keeps rows far from each other; its certificate then states a bound
    instead of a measured radius, see the guide on growing data.

    Parameters
    ----------
    features, labels, carry, time, seed, on_invalid, progress
        As for `dask_distill.distill`. All batches have the same columns and types.
    fraction : float, optional
        Part of the rows that have come, 0 < fraction <= 1: the subset grows with them.
    size : int, optional
        Rows to select, as soon as there are so many (for ``kcenter``, so many distinct ones); what
        is kept stays bounded. Exactly one of ``fraction`` and ``size`` is given.
    strategy : str
        kcenter, auto, coverage, hierarchical, kmeans, kmedoids, periods, random, spaced, strata
        or stratified.
    options : dict, optional
        Of the strategy.
    oversample : float, optional
        Rows kept for each one selected: 10 unless given, fewer where that is more than 40 %
        of all rows.
    window : int, optional
        Only the last so many rows count, by their numbers. Needs ``size``.
    half_life : float, optional
        Rows count for half as much when so many have come after them. Needs ``size``.

    Returns
    -------
    Coreset
        With a ``summary``. Weights sum to the rows that count: with a half-life to all rows,
        though old ones have a smaller part in that.

    Raises
    ------
    InputError
        For input or parameters that cannot be used, before any selection starts.

    References
    ----------
    Duffield, Lund, Thorup (2007), Priority sampling for estimation of arbitrary subset sums;
    Charikar, Chekuri, Feder, Motwani (2004), Incremental clustering and dynamic information
    retrieval.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.random.default_rng(0).normal(size=(3000, 4))
    >>> y = (X[:, 0] > 0).astype(int)
    >>> coreset = grow(X[:1000], y[:1000], size=100)
    >>> coreset = coreset.update(X[1000:], y[1000:])
    >>> len(coreset), float(round(coreset.weights.sum())), coreset.provenance["rows"]
    (100, 3000.0, 3000)
    """
    more: dict[str, Any] = {"window": window, "half_life": half_life, "seed": seed}
    more["on_invalid"] = on_invalid
    settings = Settings.of(strategy, options, fraction, size, oversample, **more)
    given = Given(features=features, labels=labels, carry=carry, time=time)
    found = grown(Summary.begin(settings), as_named_dataset(given), progress=progress)
    for line in warned_after(found.provenance):
        warnings.warn(line, SelectionWarning, stacklevel=2)
    return Coreset.of(found)
