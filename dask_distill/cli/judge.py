"""The commands that judge: evaluate, curve, report. Nothing heavy is imported here."""

import json
from typing import Any

import click

from dask_distill.cli.judged import (
    found_names,
    names_in_source,
    opened,
    read_as,
    source_name,
    test_rows_of,
    weight_name,
)
from dask_distill.cli.options import (
    COLUMNS,
    FEATURES,
    JSON,
    LABELS,
    METRICS,
    MODELS,
    QUIET,
    SAMPLE_WEIGHT,
    SPLIT,
    STORAGE_OPTION,
    Place,
    one_or_several,
    options,
    progress_display,
    takes_place,
)
from dask_distill.errors import InputError

_FEATURES = click.option(
    "--features", metavar="NAME", help="Array or columns of the source; as selected unless given."
)
_LABELS = click.option(
    "--labels", metavar="NAME", help="Array or column of the source; as selected unless given."
)

_TEST = click.option(
    "--test",
    "tests",
    multiple=True,
    metavar="NAME",
    help="Held-out rows: another source, or two arrays of this one (features and labels). "
    "Rows that were not selected unless given.",
)
_DRAWS = options(
    click.option("--seeds", type=int, default=5, show_default=True, help="Draws and trainings."),
    click.option("--seed", type=int, default=0, show_default=True, help="The first of them."),
    click.option("--test-rows", type=int, metavar="N", help="To hold out for each seed."),
    click.option(
        "--max-rows",
        type=int,
        metavar="N",
        help="Most rows of one training: 50,000, or what a GiB holds four of, unless given.",
    ),
)

_EVERYTHING = click.option(
    "--everything",
    default="part",
    show_default=True,
    metavar="all",
    help="Whether everything is at most --max-rows of its rows, or all, block by block (all:3 for "
    "three passes), by models that can: sgd, naive-bayes, neural-network.",
)
# of a curve, what it is told by the same names
_DRAWN = ("seeds", "seed", "test_rows", "max_rows", "everything")


@click.command()
@click.argument("target")
@click.argument("more", nargs=-1, metavar="")
@click.option(
    "--source",
    required=True,
    multiple=True,
    callback=one_or_several,
    metavar="SOURCE",
    help="What was selected from; may be repeated, as SOURCE of run.",
)
@click.option(
    "--subset",
    metavar="SUBSET",
    help="What synthetic rows were made from; as recorded in TARGET unless given.",
)
@MODELS
@METRICS
@_TEST
@_FEATURES
@_LABELS
@SAMPLE_WEIGHT
@_DRAWS
@_EVERYTHING
@takes_place
@STORAGE_OPTION
@JSON
@QUIET
def evaluate(
    target: str,
    more: tuple[str, ...],
    source: str | list[str],
    subset: str | None,
    models: tuple[str, ...],
    metrics: tuple[str, ...],
    tests: tuple[str, ...],
    place: Place,
    as_json: bool,
    quiet: bool,
    **arguments: Any,
) -> None:
    """Train on TARGET, on random subsets and on everything: what does the subset cost?"""
    from dask_distill.coreset import open_coreset
    from dask_distill.evaluation.origin import refuse_without_classes
    from dask_distill.evaluation.training import standard_models_named
    from dask_distill.synthesis.rows import is_synthetic
    from dask_distill.synthesis.synthetic import open_synthetic

    if more and not tests:
        raise click.UsageError(f"one TARGET is wanted, got {' '.join((target, *more))}")
    storage = arguments["storage"]
    named = standard_models_named(models) if models else None
    judged: Any = None
    if is_synthetic(target, storage):
        _refuse_for_synthetic(metrics, arguments["everything"])
        judged = open_synthetic(target, storage)
        target = _made_from(judged, target, subset)
    elif subset is not None:
        raise InputError(
            f"subset must be given for synthetic rows only, got '{target}' with selected ones; "
            "leave --subset out"
        )
    coreset = open_coreset(target, storage_options=storage)
    refuse_without_classes(coreset)
    names = names_in_source(coreset, source, arguments["features"], arguments["labels"])
    told, given = coreset.provenance.get("input", {}), arguments["sample_weight"]
    weight = weight_name(source, told.get("sample_weight"), given)
    read = {name: told.get(name) for name in ("split", "where", "profile")}
    read["time"] = source_name(coreset, told.get("time"))
    dataset = opened(source, *names, storage, weight=weight, **read)
    # `--test X_test y_test` leaves the second name among the arguments
    test = test_rows_of(source, (*tests, *more), names, storage, dataset.profile)
    draws = {key: arguments[key] for key in ("seeds", "seed", "test_rows", "max_rows")}
    with place.connect(), progress_display(quiet or as_json) as progress:
        how = {"test": test, "models": named, "progress": progress, **draws}
        how |= {} if given is None else {"sample_weight": dataset.sample_weight if given else False}
        if judged is not None:
            found = judged.evaluate(coreset, dataset, **how)
        else:
            how["everything"] = arguments["everything"]
            found = coreset.evaluate(dataset, metric=list(metrics) or None, **how)
    if as_json:
        click.echo(json.dumps(found.as_dict()))
    elif not quiet:
        click.echo(str(found))


def _refuse_for_synthetic(metrics: tuple[str, ...], everything: str) -> None:
    if metrics:
        raise InputError(
            "metric must be left out for synthetic rows, which are judged by accuracy, got "
            f"{', '.join(metrics)}; name the subset instead, or leave --metric out"
        )
    if everything != "part":
        raise InputError(
            "everything must be left out for synthetic rows, which are judged beside a part, got "
            f"'{everything}'; name the subset instead, or leave --everything out"
        )


def _made_from(judged: Any, target: str, subset: str | None) -> str:
    """Where the subset lies that synthetic rows were made from."""
    known = subset or judged.provenance.get("learnt_from", {}).get("subset")
    if not known:
        raise InputError(
            f"subset must say what the synthetic rows in '{target}' were made from, which they do "
            "not know; pass --subset"
        )
    return str(known)


@click.command()
@click.argument("source")
@click.argument("more", nargs=-1, metavar="")
@click.option("-o", "--output", metavar="FILE", help="Picture (.svg, .png) or page (.html).")
@click.option(
    "--sizes",
    default="1%,5%,10%",
    show_default=True,
    metavar="LIST",
    help="Parts (5% or 0.05) or numbers of rows (500), separated by commas.",
)
@click.option(
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
@_TEST
@FEATURES
@COLUMNS
@LABELS
@SPLIT
@SAMPLE_WEIGHT
@_DRAWS
@_EVERYTHING
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
    with place.connect(), progress_display(quiet or as_json) as progress:
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
        click.echo(str(found))
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


@click.command()
@click.argument("target")
@click.option("-o", "--output", metavar="FILE", help="TARGET's name with .html unless given.")
@click.option("--source", metavar="SOURCE", help="Shows a sample of it behind the selected rows.")
@click.option(
    "--evaluation", metavar="FILE", help="What evaluate --json has printed, to be shown, too."
)
@click.option("--curve", metavar="FILE", help="What curve --json has printed, to be shown, too.")
@click.option(
    "--synthetic",
    metavar="FILE",
    help="What evaluate --json has printed of synthetic rows made from TARGET, to be shown, too.",
)
@click.option("--pictures", metavar="DIR", help="Writes every picture there, too.")
@click.option(
    "--kind", type=click.Choice(["svg", "png"]), default="svg", show_default=True, help="Of those."
)
@_FEATURES
@STORAGE_OPTION
@QUIET
def report(
    target: str,
    output: str | None,
    source: str | None,
    evaluation: str | None,
    curve: str | None,
    synthetic: str | None,
    pictures: str | None,
    kind: str,
    features: str | None,
    storage: dict[str, str],
    quiet: bool,
) -> None:
    """Write one HTML file on TARGET: what was selected, from what, and how well."""
    from pathlib import PurePosixPath

    from dask_distill.coreset import open_coreset

    coreset = open_coreset(target, storage_options=storage)
    file = output or f"{PurePosixPath(target.rstrip('/')).stem or 'report'}.html"
    dataset = None
    if source is not None:
        told = coreset.provenance.get("input", {})
        read = {name: told.get(name) for name in ("split", "where", "profile")}
        names = names_in_source(coreset, source, features, None)
        dataset = opened(source, *names, storage, **read)
    from dask_distill.evaluation.curve_result import SizeCurve
    from dask_distill.evaluation.result import Evaluation
    from dask_distill.synthesis.judged import SyntheticEvaluation

    found = None if evaluation is None else _read(Evaluation, evaluation, "evaluate", "evaluation")
    drawn = None if curve is None else _read(SizeCurve, curve, "curve", "curve")
    beside = None
    if synthetic is not None:
        beside = _read(SyntheticEvaluation, synthetic, "evaluate", "synthetic")
    coreset.report(file, dataset=dataset, evaluation=found, curve=drawn, synthetic=beside)
    written = [file]
    if pictures is not None:
        from dask_distill.report.pictures import save_pictures

        made = save_pictures(coreset, pictures, dataset=dataset, curve=drawn, kind=kind)
        written += map(str, made.values())
    if not quiet:
        click.echo(f"wrote {', '.join(written)}")


def _read(kind: Any, file: str, command: str, what: str) -> Any:
    from pathlib import Path

    try:
        return kind.from_dict(json.loads(Path(file).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(
            f"{what} must be a file that {command} --json has printed, got '{file}'; write it "
            f"with dask-distill {command} ... --json > FILE"
        ) from None
