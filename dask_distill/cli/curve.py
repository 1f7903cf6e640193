"""The command that draws a curve. Nothing heavy is imported here."""

import json
from typing import Any

import click

from dask_distill.cli.help import OptionGroup, command, option
from dask_distill.cli.judged import found_names, opened, read_as, test_rows_of
from dask_distill.cli.options import (
    COLUMNS,
    DRAWS,
    EVERYTHING,
    FEATURES,
    JSON,
    LABELS,
    METRICS,
    MODELS,
    QUIET,
    SAMPLE_WEIGHT,
    SPLIT,
    STORAGE_OPTION,
    TEST,
)
from dask_distill.cli.place import Place, takes_place
from dask_distill.errors import InputError

# what a curve is told by the same names
_DRAWN = ("seeds", "seed", "test_rows", "max_rows", "everything")


@command(
    "dask-distill curve flights/ --labels late --sizes 1%,5%,10% -o curve.svg",
    "dask-distill curve data.zarr --sizes 500,5000 --strategy auto \\",
    "    --strategy kcenter:scale=standard",
    summary="Select at several sizes and train: how many rows are enough?",
)
@click.argument("source")
@click.argument("more", nargs=-1, metavar="")
@option(
    OptionGroup.OUTPUT,
    "-o",
    "--output",
    metavar="FILE",
    help="Picture (.svg, .png) or page (.html).",
)
@option(
    OptionGroup.SIZE,
    "--sizes",
    default="1%,5%,10%",
    show_default=True,
    metavar="LIST",
    help="Parts (5% or 0.05) or numbers of rows (500), separated by commas.",
)
@option(
    OptionGroup.STRATEGY,
    "--strategy",
    "strategies",
    multiple=True,
    default=("auto", "stratified", "random"),
    show_default=True,
    metavar="NAME",
    help="May be repeated; with options as NAME:KEY=VALUE,KEY=VALUE.",
)
@MODELS
@METRICS
@TEST
@FEATURES
@COLUMNS
@LABELS
@SPLIT
@SAMPLE_WEIGHT
@DRAWS
@EVERYTHING
@takes_place
@STORAGE_OPTION
@JSON
@QUIET
def curve(
    source: str,
    more: tuple[str, ...],
    output: str | None,
    sizes: str,
    strategies: tuple[str, ...],
    models: tuple[str, ...],
    tests: tuple[str, ...],
    place: Place,
    as_json: bool,
    quiet: bool,
    **arguments: Any,
) -> None:
    """Select from SOURCE at several sizes and train: how many rows are enough?"""
    from dask_distill.curve import size_curve
    from dask_distill.evaluation.training import standard_models_named
    from dask_distill.support.files import checked_file

    if more and not tests:
        raise click.UsageError(f"one SOURCE is wanted, got {' '.join((source, *more))}")
    if output is not None and not output.lower().endswith((".svg", ".png", ".html")):
        raise InputError(f"output must end in .svg, .png or .html, got '{output}'; choose one")
    if output is not None:
        checked_file(output)
    parts, chosen = _sizes(sizes), dict(map(_strategy, strategies))
    named = standard_models_named(models) if models else None
    names = arguments["features"], arguments["labels"]
    read = read_as(arguments) | {name: arguments[name] for name in ("split", "where")}
    weight = arguments["sample_weight"]
    dataset = opened(source, *names, arguments["storage"], weight=weight, **read)
    known = found_names(dataset, source, names)
    words = (*tests, *more)
    test = test_rows_of(source, words, known, arguments["storage"], dataset.profile)
    with place.display() as progress:
        found = size_curve(
            dataset,
            sizes=parts,
            strategies=chosen,
            test=test,
            models=named,
            metric=list(arguments["metrics"]) or None,
            progress=progress,
            **{key: arguments[key] for key in _DRAWN},
        )
    if output is not None:
        _write_curve(found, output)
    if as_json:
        click.echo(json.dumps(found.as_dict()))
    elif not quiet:
        from dask_distill.cli.show import terminal_width

        click.echo(found.as_text(terminal_width()))
        if output is not None:
            click.echo(f"wrote {output}")


def _write_curve(found: Any, output: str) -> None:
    from dask_distill.report.page import write_curve

    if output.lower().endswith(".html"):
        write_curve(found, output)
    else:
        found.plot(output)


def _sizes(text: str) -> list[float]:
    """Parts as floats, numbers of rows as ints."""
    found: list[float] = []
    for word in text.split(","):
        plain = word.strip()
        try:
            if plain.endswith("%"):
                found.append(float(plain[:-1]) / 100)
            else:
                found.append(int(plain) if plain.isdecimal() else float(plain))
        except ValueError:
            raise InputError(
                f"sizes must be parts such as 5% or 0.05, or numbers of rows, got '{plain}'; "
                "separate them by commas"
            ) from None
    return found


def _strategy(text: str) -> tuple[str, Any]:
    """A strategy by the name that the user has given it, with its options."""
    from dask_distill.strategies import make_strategy

    name, _, rest = text.partition(":")
    values = {}
    for word in filter(None, rest.split(",")):
        key, sign, value = word.partition("=")
        if not sign:
            raise InputError(
                f"strategy must be NAME or NAME:KEY=VALUE,KEY=VALUE, got '{text}'; give {key} a "
                "value"
            )
        values[key] = value
    return text, make_strategy(name, values)
