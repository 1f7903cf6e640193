"""The command that searches for a strategy. Nothing heavy is imported here."""

import json
from typing import Any

import click

from dask_distill.cli.help import OptionGroup, command, option
from dask_distill.cli.judged import opened, read_as
from dask_distill.cli.options import (
    COLUMNS,
    FEATURES,
    FRACTION,
    JSON,
    LABELS,
    METRICS,
    MODELS,
    QUIET,
    SEED,
    SIZE,
    SOURCES,
    SPLIT,
    STORAGE_OPTION,
    pairs,
)
from dask_distill.cli.place import Place, takes_place
from dask_distill.errors import InputError


@command(
    "dask-distill search flights/ --labels late --fraction 10% --metric log_loss",
    "dask-distill search data.zarr --size 5000 --option trials=16 -o trials.svg",
    summary="Try strategies on a part of SOURCE: which one keeps most?",
)
@SOURCES
@FRACTION
@SIZE
@MODELS
@METRICS
@option(
    OptionGroup.STRATEGY,
    "--option",
    "options",
    multiple=True,
    callback=pairs,
    metavar="KEY=VALUE",
    help="Option of the search: method, trials, minutes, seeds, max_rows, study.",
)
@SEED
@option(
    OptionGroup.OUTPUT, "-o", "--output", metavar="FILE", help="Picture of the trials (.svg, .png)."
)
@FEATURES
@COLUMNS
@LABELS
@SPLIT
@takes_place
@STORAGE_OPTION
@JSON
@QUIET
def search(
    source: str | list[str],
    models: tuple[str, ...],
    metrics: tuple[str, ...],
    options: dict[str, str],
    output: str | None,
    place: Place,
    as_json: bool,
    quiet: bool,
    **arguments: Any,
) -> None:
    """Try strategies and options on a part of SOURCE: which one keeps most?"""
    from dask_distill.search.run import search_strategy
    from dask_distill.strategies import make_strategy
    from dask_distill.support.files import checked_file

    if output is not None:
        if not output.lower().endswith((".svg", ".png")):
            raise InputError(f"output must end in .svg or .png, got '{output}'; choose one")
        checked_file(output)
    more = {"metric": ",".join(metrics), "model": ",".join(models)}
    asked = make_strategy("search", options | {key: text for key, text in more.items() if text})
    names = arguments["features"], arguments["labels"]
    how = {"split": arguments["split"], "where": arguments["where"], **read_as(arguments)}
    dataset = opened(source, *names, arguments["storage"], **how)
    how = {key: arguments[key] for key in ("fraction", "size", "seed")}
    with place.display() as progress:
        found = search_strategy(dataset, progress=progress, **how, **vars(asked))
    if output is not None:
        found.plot(output)
    if as_json:
        click.echo(json.dumps(found.as_dict()))
    elif not quiet:
        from dask_distill.cli.show import terminal_width

        click.echo(found.as_text(terminal_width()))
        if output is not None:
            click.echo(f"wrote {output}")
