"""The commands that judge a written subset: evaluate, report. Nothing heavy is imported here."""

import json
from typing import Any

import click

from dask_distill.cli_options import CLUSTER_OPTIONS, JSON, QUIET, STORAGE_OPTION, progress_display
from dask_distill.errors import InputError

_FEATURES = click.option(
    "--features", metavar="NAME", help="Array or columns of the source; as selected unless given."
)
_LABELS = click.option(
    "--labels", metavar="NAME", help="Array or column of the source; as selected unless given."
)


@click.command()
@click.argument("target")
@click.argument("more", nargs=-1, metavar="")
@click.option("--source", required=True, metavar="SOURCE", help="What was selected from.")
@click.option(
    "--test",
    "tests",
    multiple=True,
    metavar="NAME",
    help="Held-out rows: another source, or two arrays of this one (features and labels). "
    "Rows that were not selected unless given.",
)
@_FEATURES
@_LABELS
@click.option("--seeds", type=int, default=5, show_default=True, help="Draws and trainings.")
@click.option("--seed", type=int, default=0, show_default=True, help="The first of them.")
@click.option("--test-rows", type=int, metavar="N", help="To hold out for each seed.")
@click.option(
    "--max-rows", type=int, default=50_000, show_default=True, help="Most rows of one training."
)
@CLUSTER_OPTIONS
@STORAGE_OPTION
@JSON
@QUIET
def evaluate(
    target: str,
    more: tuple[str, ...],
    source: str,
    tests: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    **arguments: Any,
) -> None:
    """Train on TARGET, on random subsets and on everything: what does the subset cost?"""
    from dask_distill.cluster import connect
    from dask_distill.coreset import open_coreset

    if more and not tests:
        raise click.UsageError(f"one TARGET is wanted, got {' '.join((target, *more))}")
    storage = arguments["storage"]
    coreset = open_coreset(target, storage_options=storage)
    if coreset.labels is None:
        raise InputError(
            f"evaluate needs labels, got a subset of unlabelled rows in '{target}'; select again "
            "with --labels"
        )
    names = _names(coreset, source, arguments["features"], arguments["labels"])
    dataset = _open(source, *names, storage)
    # `--test X_test y_test` leaves the second name among the arguments
    test = _test_rows(source, (*tests, *more), names, storage)
    wanted = ("cluster", "workers", "scheduler_address", "scheduler_file")
    places = {key: arguments[key] for key in wanted}
    with connect(**places), progress_display(quiet or as_json) as progress:
        found = coreset.evaluate(
            dataset,
            test=test,
            progress=progress,
            **{key: arguments[key] for key in ("seeds", "seed", "test_rows", "max_rows")},
        )
    if as_json:
        click.echo(json.dumps(found.as_dict()))
    elif not quiet:
        click.echo(str(found))


def _names(coreset: Any, source: str, features: str | None, labels: str | None) -> tuple[Any, Any]:
    """Names of features and labels in the source: those of the selection unless given."""
    if not source.endswith(".npy"):
        columns = coreset.provenance.get("input", {}).get("columns")
        features = features or columns or coreset.feature_name
        labels = labels or (None if coreset.labels is None else coreset.label_name)
    return features, labels


def _test_rows(
    source: str, tests: tuple[str, ...], names: tuple[Any, Any], storage: dict[str, str]
) -> Any:
    if not tests:
        return None
    if len(tests) == 1:
        return _open(tests[0], *names, storage)
    if len(tests) > 2:
        raise InputError(
            "test must be one source, or two arrays (features and labels), got "
            f"{len(tests)} names; give one or two"
        )
    if source.endswith(".npy"):
        return _open(tests[0], None, tests[1], storage)
    features, labels = tests
    return _open(source, features, labels, storage)


def _open(source: str, features: Any, labels: Any, storage: dict[str, str]) -> Any:
    from dask_distill.sources import open_dataset

    return open_dataset(source, features=features, labels=labels, storage_options=storage)


@click.command()
@click.argument("target")
@click.option("-o", "--output", metavar="FILE", help="TARGET's name with .html unless given.")
@click.option("--source", metavar="SOURCE", help="Shows a sample of it behind the selected rows.")
@click.option(
    "--evaluation", metavar="FILE", help="What evaluate --json has printed, to be shown, too."
)
@_FEATURES
@STORAGE_OPTION
@QUIET
def report(
    target: str,
    output: str | None,
    source: str | None,
    evaluation: str | None,
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
        dataset = _open(source, *_names(coreset, source, features, None), storage)
    found = None if evaluation is None else _read_evaluation(evaluation)
    coreset.report(file, dataset=dataset, evaluation=found)
    if not quiet:
        click.echo(f"wrote {file}")


def _read_evaluation(file: str) -> Any:
    from pathlib import Path

    from dask_distill.evaluation import Evaluation

    try:
        return Evaluation.from_dict(json.loads(Path(file).read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise InputError(
            f"evaluation must be a file that evaluate --json has printed, got '{file}'; write it "
            "with dask-distill evaluate ... --json > FILE"
        ) from None
