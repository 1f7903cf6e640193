"""The command that makes synthetic rows. Nothing heavy is imported here."""

import json
from typing import Any

import click

from dask_distill.cli.help import NumberOfRows, OptionGroup, PartOfRows, command, option
from dask_distill.cli.options import (
    JSON,
    QUIET,
    SEED,
    STORAGE_OPTION,
    pairs,
)
from dask_distill.cli.place import Place, takes_place
from dask_distill.errors import InputError
from dask_distill.support.text import shown_bytes


@command(
    "dask-distill synthesize selected.zarr made.zarr --per-class 500",
    "dask-distill evaluate made.zarr --subset selected.zarr --source data.zarr",
    summary="Make rows that are like those of SUBSET, kept apart.",
)
@click.argument("subset")
@click.argument("target")
@option(
    OptionGroup.STRATEGY,
    "--method",
    default="diffusion",
    show_default=True,
    metavar="NAME",
    help="gan, diffusion or condensation.",
)
@option(
    OptionGroup.SIZE,
    "--fraction",
    type=PartOfRows(),
    metavar="F",
    help="Part of the rows selected from.",
)
@option(
    OptionGroup.SIZE,
    "--size",
    type=NumberOfRows(),
    metavar="K",
    help="Number of rows; the subset's unless given.",
)
@option(
    OptionGroup.SIZE,
    "--per-class",
    multiple=True,
    metavar="ROWS",
    help="Rows of each class, or LABEL=ROWS for one; may be repeated.",
)
@option(
    OptionGroup.STRATEGY,
    "--balance",
    metavar="HOW",
    help="Classes by the square root (sqrt), or equal.",
)
@option(
    OptionGroup.STRATEGY,
    "--option",
    "options",
    multiple=True,
    callback=pairs,
    metavar="KEY=VALUE",
    help="Option of the method, e.g. steps=5000 or by_class=true.",
)
@SEED
@option(
    OptionGroup.INPUT,
    "--max-rows",
    type=int,
    default=100_000,
    show_default=True,
    help="Most rows to learn from.",
)
@takes_place
@STORAGE_OPTION
@option(
    OptionGroup.OUTPUT, "--overwrite", is_flag=True, help="Replace synthetic rows that are there."
)
@JSON
@QUIET
def synthesize(
    subset: str,
    target: str,
    method: str,
    per_class: tuple[str, ...],
    options: dict[str, str],
    storage: dict[str, str],
    overwrite: bool,
    place: Place,
    as_json: bool,
    quiet: bool,
    **arguments: Any,
) -> None:
    """Make rows that are like those of SUBSET and none of them; write them to TARGET.

    Needs the extra torch. The subset stays as it is. Are the rows worth having? evaluate TARGET
    compares them with the subset.
    """
    from dataclasses import replace

    from dask_distill.coreset import open_coreset
    from dask_distill.storage.location import Location
    from dask_distill.synthesis.amounts import check_amounts
    from dask_distill.synthesis.columns import refuse_columns
    from dask_distill.synthesis.methods import make_method, require_torch
    from dask_distill.synthesis.rows import check_target, learnt_from

    made_by = make_method(method, options)
    amounts = {key: arguments[key] for key in ("fraction", "size", "balance")}
    amounts["per_class"] = _per_class(per_class)
    check_amounts(**amounts)
    coreset = open_coreset(subset, storage_options=storage)
    refuse_columns(coreset)
    told = learnt_from(coreset, 0) | {"subset": Location(subset).shown}
    check_target(target, {"learnt_from": told}, overwrite, storage)
    require_torch(made_by.name)
    wanted = {key: arguments[key] for key in ("seed", "max_rows")} | amounts
    with place.display() as progress:
        made = coreset.synthesize(method=made_by, progress=progress, **wanted)
        # a subset that is opened does not know where it lies
        known = made.provenance["learnt_from"] | {"subset": told["subset"]}
        made = replace(made, provenance=made.provenance | {"learnt_from": known})
        receipt = made.to_zarr(target, storage, overwrite, progress=progress)
    if as_json:
        click.echo(json.dumps({"synthetic": True} | receipt | made.provenance))
    elif not quiet:
        click.echo(
            f"made {len(made):,} synthetic rows by {made_by.name} from {known['rows']:,} real ones "
            f"in {made.provenance['seconds']:.1f} s"
        )
        if known.get("profile"):
            click.echo(
                f"as numbers that columns are read as: {made.feature_name} has "
                f"{made.features.shape[1]} of them, named in the provenance"
            )
        click.echo(f"wrote {shown_bytes(receipt['bytes_written'])} to {receipt['target']}")


def _per_class(words: tuple[str, ...]) -> Any:
    """One number for all classes, or numbers by label."""
    if not words:
        return None
    found: dict[str, int] = {}
    for word in words:
        label, sign, count = word.rpartition("=")
        if not count.isdecimal() or (not sign and len(words) > 1):
            raise InputError(
                f"per_class must be ROWS, or LABEL=ROWS for each class named, got '{word}'"
            )
        if not sign:
            return int(count)
        found[label] = int(count)
    return found
