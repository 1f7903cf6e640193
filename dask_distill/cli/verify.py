"""The command that verifies. Nothing heavy is imported here."""

import json

import click

from dask_distill.cli.help import command
from dask_distill.cli.options import JSON, STORAGE_OPTION


@command(
    "dask-distill verify selected.parquet",
    summary="Check that TARGET is complete and unchanged.",
)
@click.argument("target")
@STORAGE_OPTION
@JSON
def verify(target: str, storage: dict[str, str], as_json: bool) -> None:
    """Check that TARGET is complete and unchanged: digests, counts, invariants.

    TARGET is a zarr group or a folder of parquet files, of selected rows or of scores.
    """
    from dask_distill.cli.show import print_paragraph
    from dask_distill.storage import group as store
    from dask_distill.storage.form import FOLDER
    from dask_distill.storage.targets import form_of, located

    found = store.verify(target, storage_options=storage)
    if as_json:
        from dataclasses import asdict

        click.echo(json.dumps(asdict(found)))
    elif found.ok:
        kind = "synthetic rows" if found.synthetic else "rows"
        scores = "scores of all " if found.scores else ""
        part = "file" if form_of(located(target, storage)) is FOLDER else "chunk"
        parts = part if found.chunks == 1 else f"{part}s"
        print_paragraph(
            f"{target}: complete, {scores}{found.rows:,} {kind}, {found.chunks} {parts} checked, "
            f"digest {found.digest}"
        )
    else:
        for problem in found.problems:
            click.echo(f"{target}: {problem}", err=True)
    if not found.ok:
        raise click.exceptions.Exit(1)
