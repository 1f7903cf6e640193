"""The command that scores all rows. Nothing heavy is imported here."""

import json
from typing import Any

import click

from dask_distill.cli.help import OptionGroup, command, option
from dask_distill.cli.options import (
    COLUMNS,
    FEATURES,
    JSON,
    LABELS,
    MISSING_LABEL,
    ON_INVALID,
    ON_MISSING,
    QUIET,
    SAMPLE_WEIGHT,
    SCALE,
    SEED,
    SOURCES,
    SPACE,
    SPLIT,
    STORAGE_OPTION,
    timed_display,
)
from dask_distill.cli.place import Place, takes_place
from dask_distill.cli.words import warnings_as_lines
from dask_distill.support.text import shown_bytes

_WORDS = ("seed", "on_invalid", "scale", "time_scale")
# of the provenance, what score --json prints
_TOLD = ("rows", "rows_dropped", "dropped", "scaling", "parameters", "seed", "bytes_on_the_wire")


@command(
    "dask-distill score flights/ scores.parquet --labels late",
    "dask-distill score data.zarr scores.zarr --criteria entropy,margin",
    summary="Score all rows of SOURCE by a model fitted to a sample.",
)
@SOURCES
@click.argument("target")
@FEATURES
@COLUMNS
@LABELS
@SPLIT
@SAMPLE_WEIGHT
@option(
    OptionGroup.STRATEGY,
    "--criteria",
    default="gradient,entropy,el2n,margin",
    show_default=True,
    metavar="NAMES",
    help="Comma-separated, of gradient, entropy, el2n, margin, doubt, trust_gap.",
)
@option(
    OptionGroup.STRATEGY,
    "--proxy",
    default="linear",
    show_default=True,
    metavar="NAME",
    help="Model that judges the rows: linear, as for gradient and entropy, or ensemble, as for "
    "auto.",
)
@SEED
@ON_INVALID
@MISSING_LABEL
@SCALE
@SPACE
@ON_MISSING
@takes_place
@STORAGE_OPTION
@option(OptionGroup.OUTPUT, "--resume", is_flag=True, help="Go on with a run that died.")
@option(OptionGroup.OUTPUT, "--overwrite", is_flag=True, help="Replace scores that are there.")
@JSON
@QUIET
def score(
    source: str | list[str],
    target: str,
    place: Place,
    as_json: bool,
    quiet: bool,
    **arguments: Any,
) -> None:
    """Score all rows of SOURCE by a model that is fitted to a sample, and write that to TARGET.

    TARGET is a folder of parquet files where its name ends in .parquet, with _index, the row's
    number, and _score_NAME. Otherwise it is a zarr group with the arrays score/NAME, a value for
    each row. Rows that cannot be used have NaN.

    SOURCE is a path or URL, a quoted pattern of parquet files, or several of these.
    """
    with timed_display(quiet or as_json) as progress:
        progress.open("load")
        from dask_distill.scoring_run import score_and_write

        progress.open("open")
        job = scoring(source, target, arguments)
        progress.start("start workers")
        with place.connect() as client:
            with warnings_as_lines():
                scores, receipt, _ = score_and_write(job, progress)
            workers = len(client.scheduler_info(n_workers=-1)["workers"])
            progress.start("stop workers")
        progress.finish()
    receipt["seconds"] = progress.seconds()
    told = {key: scores.provenance.get(key) for key in _TOLD}
    result = {"resumed": arguments["resume"], **receipt, **told, "workers": workers}
    if as_json:
        click.echo(json.dumps(result))
    elif not quiet:
        print_scores(result)


def scoring(source: str | list[str], target: str, arguments: dict[str, Any]) -> Any:
    """What is to be scored, checked before a cluster is started."""
    from dask_distill.cli.request import missing_label_of, opened
    from dask_distill.cli.run import tell_doubts
    from dask_distill.scoring_run import scoring_run
    from dask_distill.spaces.words import named_function

    dataset = opened(source, arguments)
    tell_doubts(dataset, arguments["features"])
    words = {name: arguments[name] for name in _WORDS}
    words["reduce"] = named_function(arguments["reduce"])
    if (word := arguments["missing_label"]) is not None:
        words["missing_label"] = missing_label_of(word, dataset)
    how = {name: arguments[name] for name in ("proxy", "resume", "overwrite")}
    criteria = [name.strip() for name in arguments["criteria"].split(",") if name.strip()]
    return scoring_run(
        dataset, target, criteria, words, storage_options=arguments["storage"], **how
    )


def print_scores(result: dict[str, Any]) -> None:
    """What scoring has come to: rows, losses, time, bytes."""
    from dask_distill.cli.show import left_out, print_table, shown_time

    rows = result["rows"]
    lines = [("scored", f"{rows:,} rows by {', '.join(result['parameters']['criteria'])}")]
    if result["rows_dropped"]:
        lines += left_out(result)
        lines.append(("", "their scores are NaN"))
    lines += [
        ("time", shown_time(result)),
        ("written", f"{shown_bytes(result['bytes_written'])} to {result['target']}"),
    ]
    print_table(lines)
