"""The commands that judge: evaluate, report. Nothing heavy is imported here."""

import json
from typing import Any

import click

from dask_distill.cli.help import Choice, OptionGroup, command, option
from dask_distill.cli.judged import (
    RECORDED,
    names_in_source,
    opened,
    recorded_source,
    source_name,
    test_rows_of,
    weight_name,
)
from dask_distill.cli.options import (
    DRAWS,
    EVERYTHING,
    JSON,
    METRICS,
    MODELS,
    QUIET,
    SAMPLE_WEIGHT,
    STORAGE_OPTION,
    TEST,
    one_or_several,
)
from dask_distill.cli.place import Place, takes_place
from dask_distill.errors import InputError

_FEATURES = option(
    OptionGroup.INPUT,
    "--features",
    metavar="NAME",
    help="Array or columns of the source; as selected unless given.",
)
_LABELS = option(
    OptionGroup.INPUT,
    "--labels",
    metavar="NAME",
    help="Array or column of the source; as selected unless given.",
)


@command(
    "dask-distill evaluate selected.parquet",
    "# the source has moved; judged by log loss first, on rows of its own",
    "dask-distill evaluate selected.parquet --source /new/flights \\",
    "    --metric log_loss --metric accuracy --test /new/flights-2014",
    summary="Train on TARGET, on random rows, on all: what does it cost?",
)
@click.argument("target")
@click.argument("more", nargs=-1, metavar="")
@option(
    OptionGroup.INPUT,
    "--source",
    multiple=True,
    callback=one_or_several,
    metavar="SOURCE",
    help="What was selected from, where TARGET does not say it or it has moved; may be repeated, "
    "as SOURCE of run.",
)
@option(
    OptionGroup.JUDGING,
    "--subset",
    metavar="SUBSET",
    help="What synthetic rows were made from; as recorded in TARGET unless given.",
)
@MODELS
@METRICS
@TEST
@_FEATURES
@_LABELS
@SAMPLE_WEIGHT
@DRAWS
@EVERYTHING
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
    source = source or recorded_source(coreset, target)
    names = names_in_source(coreset, source, arguments["features"], arguments["labels"])
    told, given = coreset.provenance.get("input", {}), arguments["sample_weight"]
    weight = weight_name(source, told.get("sample_weight"), given)
    read = {name: told.get(name) for name in ("split", "where", "profile")}
    read["time"] = source_name(coreset, told.get("time"))
    dataset = opened(source, *names, storage, weight=weight, **read)
    # `--test X_test y_test` leaves the second name among the arguments
    test = test_rows_of(source, (*tests, *more), names, storage, dataset.profile)
    draws = {key: arguments[key] for key in ("seeds", "seed", "test_rows", "max_rows")}
    with place.display() as progress:
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
        from dask_distill.cli.show import terminal_width

        click.echo(found.as_text(terminal_width()))


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


@command(
    "dask-distill report selected.parquet --source flights/ -o selected.html",
    summary="Write one HTML file on TARGET: what was selected, how well.",
)
@click.argument("target")
@option(
    OptionGroup.OUTPUT,
    "-o",
    "--output",
    metavar="FILE",
    help="TARGET's name with .html unless given.",
)
@option(
    OptionGroup.INPUT,
    "--source",
    metavar="SOURCE",
    help="Shows a sample of it behind the selected rows, for which it is read; the word recorded "
    "for the one that TARGET names.",
)
@option(
    OptionGroup.OUTPUT,
    "--evaluation",
    metavar="FILE",
    help="What evaluate --json has printed, to be shown, too.",
)
@option(
    OptionGroup.OUTPUT,
    "--curve",
    metavar="FILE",
    help="What curve --json has printed, to be shown, too.",
)
@option(
    OptionGroup.OUTPUT,
    "--synthetic",
    metavar="FILE",
    help="What evaluate --json has printed of synthetic rows made from TARGET, to be shown, too.",
)
@option(OptionGroup.OUTPUT, "--pictures", metavar="DIR", help="Writes every picture there, too.")
@option(
    OptionGroup.OUTPUT,
    "--kind",
    type=Choice(["svg", "png"]),
    default="svg",
    show_default=True,
    help="Of those.",
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
        where = recorded_source(coreset, target) if source == RECORDED else source
        names = names_in_source(coreset, where, features, None)
        dataset = opened(where, *names, storage, **read)
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
