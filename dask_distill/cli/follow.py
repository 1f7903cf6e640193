"""The command that follows data as it grows. Nothing heavy is imported here."""

import json
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from dask_distill.cli.help import Choice, OptionGroup, command, option
from dask_distill.cli.options import (
    JSON,
    ON_INVALID,
    QUIET,
    SEED,
    SOURCE_OPTIONS,
    STORAGE_OPTION,
    progress_display,
)
from dask_distill.cli.place import Place, takes_place
from dask_distill.cli.words import warnings_as_lines
from dask_distill.errors import InputError

_OPENING = ("features", "labels", "carry", "time", "on_missing", "split", "where", "columns")


@command(
    "dask-distill follow incoming/ kept.zarr --labels late --size 10000",
    "# what is there now, from a job that starts every night",
    "dask-distill follow incoming/ kept.zarr --labels late --size 10000 --once",
    summary="Select from SOURCE as it grows, batch after batch.",
)
@click.argument("source")
@click.argument("target")
@SOURCE_OPTIONS
@SEED
@ON_INVALID
@option(
    OptionGroup.INPUT,
    "--on-missing",
    type=Choice(["fill", "error"]),
    default="error",
    show_default=True,
    help="What a chunk that is not stored means in zarr: its fill value, or that it is still to "
    "come.",
)
@option(
    OptionGroup.STRATEGY,
    "--oversample",
    type=float,
    metavar="F",
    help="Rows kept for each one selected.",
)
@option(
    OptionGroup.STRATEGY,
    "--window",
    type=int,
    metavar="ROWS",
    help="Only the last so many rows count.",
)
@option(
    OptionGroup.STRATEGY,
    "--half-life",
    type=float,
    metavar="ROWS",
    help="Rows count for half after so many others.",
)
@option(
    OptionGroup.INPUT,
    "--interval",
    type=float,
    default=60.0,
    show_default=True,
    help="Seconds between two looks.",
)
@option(
    OptionGroup.INPUT,
    "--once",
    is_flag=True,
    help="Take what is there, and end; no writer may be at work.",
)
@option(
    OptionGroup.INPUT,
    "--max-rows",
    type=int,
    default=1_000_000,
    show_default=True,
    help="Most rows of a batch.",
)
@takes_place
@STORAGE_OPTION
@JSON
@QUIET
def follow(
    source: str,
    target: str,
    strategy: str,
    options: dict[str, str],
    storage: dict[str, str],
    place: Place,
    as_json: bool,
    quiet: bool,
    **arguments: Any,
) -> None:
    """Select from SOURCE as it grows; commit to TARGET after each batch.

    SOURCE is a zarr group whose arrays are appended to, or a folder that gets parquet or .npz
    files. What was taken is not read again. It is noted in TARGET: start the command again, after
    Ctrl-C or any death, and it goes on. With --json one object a line, for each batch.
    """
    from dask_distill.cli.request import profile_in
    from dask_distill.cli.show import print_paragraph
    from dask_distill.follow import follow as batches
    from dask_distill.subset.summary import Settings

    for name in ("reduce", "time_scale"):
        if arguments.get(name) is not None:
            raise InputError(
                f"{name} cannot be used on data that grows, got {arguments[name]}: the space that "
                "rows are compared in would change with every batch; leave it out"
            )
    opening = {name: arguments[name] for name in _OPENING}
    opening["profile"] = profile_in(arguments["profile"])
    if (weight := arguments["sample_weight"]) is not None:
        # refused where the source is opened, unless it says that there are none
        opening["sample_weight"] = weight
    settings = Settings.of(
        strategy,
        options,
        arguments["fraction"],
        arguments["size"],
        arguments["oversample"],
        **{name: arguments[name] for name in ("window", "half_life", "seed", "on_invalid")},
    )
    stop = threading.Event()
    taken = 0
    with _stopped_by_signals(stop), progress_display(quiet or as_json) as progress:
        following = batches(
            source,
            target,
            settings,
            opening=opening,
            storage_options=storage,
            interval=arguments["interval"],
            once=arguments["once"],
            max_rows=arguments["max_rows"],
            stop=stop,
            progress=progress,
        )
        with place.connect(), warnings_as_lines(at_once=True):
            for done in following:
                taken += 1
                if as_json:
                    click.echo(json.dumps(done.as_dict()))
                elif not quiet:
                    print_paragraph(_line(done.as_dict()))
    if not as_json and not quiet:
        word = "batch" if taken == 1 else "batches"
        click.echo(f"took {taken} {word}; the same command goes on from there")


@contextmanager
def _stopped_by_signals(stop: threading.Event) -> Iterator[None]:
    """SIGINT and SIGTERM end it when the batch at hand is committed; a second one at once."""

    def tell(number: int, frame: Any) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, tell) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _line(told: dict[str, Any]) -> str:
    more = ""
    if other := told.get("other_values"):
        listed = [f"{name} ({rows:,})" for name, rows in other.items()]
        more += f"; counted as other: {_some(listed)}"
    if missing := told.get("columns_missing"):
        more += f"; without column {_some(missing)}"
    if others := told.get("columns_left_out"):
        more += f"; left out, as not there before: {_some(others)}"
    return (
        f"batch {told['batch']}: {told['new_rows']:,} new rows, {told['rows']:,} in all; selected "
        f"{told['selected']:,}, kept {told['kept']:,}; {told['seconds']:.1f} s{more}"
    )


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
