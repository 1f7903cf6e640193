"""The commands that select and plan."""

import json
from typing import Any

import click

from dask_distill.cli.help import Choice, OptionGroup, command, option
from dask_distill.cli.logs import warn
from dask_distill.cli.options import (
    JSON,
    KEEP_ENCODED,
    MISSING_LABEL,
    ON_INVALID,
    ON_MISSING,
    QUIET,
    ROWS_APART,
    SCALE,
    SEED,
    SOURCE_OPTIONS,
    SOURCES,
    STORAGE_OPTION,
    SUBSETS,
    TASK,
    WORKERS,
    WRITTEN,
    OptionalWords,
    timed_display,
)
from dask_distill.cli.place import Place, takes_place
from dask_distill.cli.words import warnings_as_lines
from dask_distill.errors import InputError
from dask_distill.support.text import shown_bytes

_PASSES = {1: "one pass", 2: "two passes", 3: "three passes", 4: "four passes"}
# of the provenance, what run --json prints
_TOLD = (
    "rows",
    "rows_dropped",
    "dropped",
    "filled",
    "selected",
    "subsets",
    "classes",
    "labels",
    "underrepresented",
    "lost",
    "scaling",
    "bytes_read",
    "bytes_moved",
    "bytes_to_gather_everything",
    "parameters",
    "seed",
)


@command(
    "# a tenth of a folder of parquet files, with all columns",
    "dask-distill run flights/ selected.parquet --labels late --fraction 10%",
    "# 10,000 rows of arrays, on a cluster that is there",
    "dask-distill run s3://b/data.zarr out.zarr --size 10000 \\",
    "    --scheduler-address tcp://10.0.0.1:8786",
    "# rare classes matter; go on with it where it died",
    "dask-distill run flights/ selected.parquet --labels late --fraction 10% \\",
    "    --option balance=sqrt --resume",
    summary="Select rows of SOURCE and write them, with weights, to TARGET.",
    cls=OptionalWords,
)
@SOURCES
@click.argument("target")
@SOURCE_OPTIONS
@WRITTEN
@KEEP_ENCODED
@SEED
@option(
    OptionGroup.STRATEGY,
    "--certify",
    is_flag=True,
    help="Measure and prove how well the rows cover all.",
)
@ON_INVALID
@MISSING_LABEL
@SCALE
@TASK
@ON_MISSING
@ROWS_APART
@SUBSETS
@takes_place
@STORAGE_OPTION
@option(OptionGroup.OUTPUT, "--resume", is_flag=True, help="Go on with a run that died.")
@option(OptionGroup.OUTPUT, "--overwrite", is_flag=True, help="Replace a subset that is there.")
@option(
    OptionGroup.OUTPUT,
    "--scores",
    type=Choice(["selected", "all"]),
    metavar="[all]",
    help="Write each selected row's scores to parquet, too; zarr always has them. With the word "
    "all, the scores of all rows besides, to a target of their own: out.scores.parquet beside "
    "out.parquet.",
)
@option(
    OptionGroup.STRATEGY,
    "--from-scores",
    metavar="SCORES",
    help="Target of score, with scores of all rows of SOURCE: they are read, not made again, by "
    "the strategies that rank by them.",
)
@option(
    OptionGroup.CLUSTER,
    "--performance-report",
    metavar="FILE",
    help="HTML file on what each worker did when; needs bokeh.",
)
@JSON
@QUIET
def run(source: str | list[str], target: str, as_json: bool, quiet: bool, **arguments: Any) -> None:
    """Select rows of SOURCE and write them, with weights, to TARGET.

    TARGET is a folder of parquet files where its name ends in .parquet: all columns of a table
    with their types, and _index and _weight. Otherwise it is a zarr group.

    SOURCE is a path or URL, a quoted pattern of parquet files, or several of these.
    """
    result = run_request(source, target, quiet=quiet or as_json, **arguments)
    if as_json:
        click.echo(json.dumps(result))
    elif not quiet:
        from dask_distill.cli.show import print_result

        print_result(result)


@command(
    "dask-distill plan flights/ --labels late --fraction 10%",
    "# what auto decides, and on which figures: reads the data once",
    "dask-distill plan flights/ --labels late --fraction 10% --explain",
    summary="Tell what run would do: rows, memory, bytes.",
)
@SOURCES
@SOURCE_OPTIONS
@WRITTEN
@SEED
@ON_INVALID
@MISSING_LABEL
@SCALE
@TASK
@ON_MISSING
@ROWS_APART
@SUBSETS
@WORKERS
@STORAGE_OPTION
@option(
    OptionGroup.STRATEGY,
    "--explain",
    is_flag=True,
    help="Read the data once, and tell what auto decides.",
)
@option(
    OptionGroup.OUTPUT,
    "--write-profile",
    metavar="FILE",
    help="JSON file of how the columns of a table are read, for --profile.",
)
@JSON
def plan(
    source: str | list[str],
    as_json: bool,
    workers: int | None,
    explain: bool,
    write_profile: str | None,
    **arguments: Any,
) -> None:
    """Tell what run would do with SOURCE; computes nothing, and reads no array without --explain.

    Of a table some 33,000 rows are read, to find out what its columns are.

    With --explain the data is read once (with --protect or --initial once more), by --workers
    processes or by threads of this one: what auto decides on a sample of it, and on which figures.
    run decides the same.
    """
    from dask_distill.cli.explain import explained, print_decision
    from dask_distill.cli.request import prepared
    from dask_distill.cli.show import print_columns, print_table
    from dask_distill.data.uses import told
    from dask_distill.selection.plan import make_plan

    dataset, request = prepared(source, arguments, read=explain)
    if write_profile is not None:
        _write_profile(write_profile, dataset)
    tell_doubts(dataset, arguments["features"])
    _tell_names(dataset)
    made = make_plan(dataset, request, workers=workers or 1)
    decision = explained(dataset, request, workers, as_json) if explain else None
    if as_json:
        uses = [use.as_dict() for use in dataset.uses]
        weighted = None if dataset.sample_weight is None else {"name": dataset.weight_name}
        told_too = {"columns": uses, "sample_weight": weighted}
        told_too |= {"decision": decision} if explain else {}
        click.echo(json.dumps(made.as_dict() | told_too))
        return
    print_columns(dataset)
    print_table(
        [
            *told(dataset.uses, on_invalid=request.on_invalid),
            ("rows", f"{made.rows:,} × {made.features:,} features"),
            ("to select", f"{made.size:,} ({made.size / made.rows:.1%}) by {made.strategy}"),
            *([("subsets", f"{made.subsets}")] if made.subsets > 1 else []),
            ("blocks", f"{made.blocks:,} of {made.block_rows:,} rows"),
            ("tasks", f"about {made.tasks:,}"),
            ("memory of a worker", f"up to {shown_bytes(made.worker_bytes)}"),
            ("memory of the coordinator", f"up to {shown_bytes(made.coordinator_bytes)}"),
            (
                "read",
                f"{shown_bytes(made.bytes_read)}, in {_PASSES[made.passes]}; to write, up to "
                f"{shown_bytes(made.bytes_read_to_write)} more",
            ),
            (
                "moved",
                f"about {shown_bytes(made.bytes_moved)} "
                f"(all the data: {shown_bytes(made.bytes_to_gather_everything)})",
            ),
            ("written", _written(made)),
            (
                "to watch",
                "run tells the address of Dask's dashboard; --verbose and --log-file more",
            ),
        ]
    )
    if explain:
        print_decision(dataset, request, decision)


def _write_profile(path: str, dataset: Any) -> None:
    """How the columns are read, as a file."""
    from dask_distill.support.files import checked_file

    if dataset.profile is None:
        raise InputError(f"--write-profile must be given for a table, got {dataset}; leave it out")
    checked_file(path)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(dataset.profile, file, indent=1)


def _written(made: Any) -> str:
    """How much is written, and of what the length is not known."""
    told = f"about {shown_bytes(made.bytes_written)}"
    if not made.unmeasured:
        return told
    return f"{told}, or more: nothing tells how long the text is of {', '.join(made.unmeasured)}"


def run_request(
    source: str | list[str],
    target: str,
    *,
    place: Place,
    overwrite: bool,
    quiet: bool,
    resume: bool = False,
    scores: str | None = None,
    keep_encoded: bool = False,
    from_scores: str | None = None,
    performance_report: str | None = None,
    **arguments: Any,
) -> dict[str, Any]:
    """Check everything that can be checked, then start or join a cluster, select and write."""
    with timed_display(quiet) as progress:
        progress.open("load")
        from dask_distill.cli.request import prepared
        from dask_distill.clusters.performance import (
            check_performance_report,
            performance_recorded,
        )
        from dask_distill.pipeline import select_and_write
        from dask_distill.scoring_run import score_and_write, scoring_beside
        from dask_distill.selection.resume import open_checkpoint

        progress.open("open")
        check_performance_report(performance_report)
        dataset, request = prepared(source, arguments, read=True)
        tell_doubts(dataset, arguments["features"])
        _tell_names(dataset, target)
        storage = arguments["storage"]
        if from_scores is not None:
            request = _with_scores(request, from_scores, storage, scores)
        how: Any = {"resume": resume, "overwrite": overwrite, "storage_options": storage}
        all_scores = None if scores != "all" else scoring_beside(dataset, target, request, **how)
        how |= {"scores": "all" if all_scores else bool(scores), "keep_encoded": keep_encoded}
        asked, checkpoint = open_checkpoint(dataset, target, request, **how)
        progress.start("start workers")
        with (
            place.connect() as client,
            warnings_as_lines(),
            performance_recorded(performance_report),
        ):
            # first: where the subset is, they are
            beside, known = None, None
            if all_scores is not None:
                _, beside, known = score_and_write(all_scores, progress)
            coreset, receipt = select_and_write(
                asked, target, checkpoint, storage, progress, scores=bool(scores), known=known
            )
            count = len(client.scheduler_info(n_workers=-1)["workers"])
            progress.start("stop workers")
        progress.finish()
    return {
        "resumed": resume,
        **_told(coreset, receipt, progress.seconds()),
        "columns": [use.as_dict() for use in dataset.uses],
        "workers": count,
        **({} if beside is None else {"scores_of_all": beside}),
    }


def _with_scores(request: Any, place: str, storage: dict[str, str], scores: str | None) -> Any:
    """The request with scores that were written before.

    Raises
    ------
    InputError
    """
    from dataclasses import replace

    from dask_distill.subset.scores import open_scores

    if scores == "all":
        raise InputError(
            "--scores all must be asked for without --from-scores, which has them already; leave "
            "one of both out"
        )
    return replace(request, scores=open_scores(place, storage))


def _told(coreset: Any, receipt: dict[str, Any], seconds: dict[str, float]) -> dict[str, Any]:
    """What a run tells of itself, JSON-able."""
    from dask_distill.runtime.wire import joined

    told, certificate = coreset.provenance, coreset.certificate
    sent = told.get("bytes_on_the_wire")
    if "bytes_on_the_wire" in receipt:
        sent = joined(sent, receipt["bytes_on_the_wire"])
    return {
        **receipt,
        "bytes_on_the_wire": sent,
        **{key: told.get(key) for key in _TOLD},
        "seconds": seconds,
        "certificate": None if certificate is None else certificate.as_dict(),
        "search": told.get("search"),
        "decision": (told.get("selection") or {}).get("decision"),
        "attributes_left_out": told["input"].get("attributes_left_out", {}),
        "sample_weight": told["input"]["sample_weight"],
    }


def tell_doubts(dataset: Any, features: str | None) -> None:
    """Warn of chunks that are not there, and of columns nobody named as features."""
    from dask_distill.data.uses import doubtful_lines

    for line in dataset.missing_lines():
        warn(f"{line}; --on-missing error refuses them")
    for line in doubtful_lines(dataset.uses) if features is None else ():
        warn(line)


def _tell_names(dataset: Any, target: str = "") -> None:
    """Warn of arrays that are written under another name."""
    from dask_distill.storage.form import GROUP, form_wanted
    from dask_distill.subset.names import names_in_output

    for line in names_in_output(dataset).lines() if form_wanted(target) is GROUP else ():
        warn(line)
