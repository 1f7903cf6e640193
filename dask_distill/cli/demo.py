"""The main job on real data."""

import click

from dask_distill.cli.help import OptionGroup, PartOfRows, command, option
from dask_distill.cli.options import PROGRAM, WORKERS
from dask_distill.cli.place import Place
from dask_distill.cli.run import run_request
from dask_distill.cli.verify import verify


@command(
    "dask-distill demo --fraction 5%",
    summary="Run the main job on real data: a year of flights.",
)
@click.argument("folder", default="distill-demo", metavar="[DIR]")
@option(OptionGroup.SIZE, "--fraction", type=PartOfRows(), default=0.1, show_default=True)
@WORKERS
def demo(folder: str, fraction: float, workers: int | None) -> None:
    """Run the main job on real data: all flights out of New York in 2013.

    Writes monthly parquet files, and a table of the selected rows, below DIR.
    """
    from pathlib import Path

    from dask_distill.cli.flights import flights_table, write_partitions
    from dask_distill.cli.show import print_result
    from dask_distill.storage import group as store

    source, target = Path(folder) / "flights", Path(folder) / "selected.parquet"
    # an earlier demo's output may go, anything else may not
    store.check_target(target, overwrite=True, sources=[str(source)])
    click.echo("Flights out of New York in 2013, with the weather: which will be late?")
    files = write_partitions(flights_table(), source)
    click.echo(f"wrote {files} monthly parquet files to {source}")
    click.echo(
        f"\n$ {PROGRAM} run {source} {target} --labels late --carry flight "
        f"--fraction {fraction:g} --overwrite"
    )
    result = run_request(
        str(source),
        str(target),
        features=None,
        labels="late",
        carry=("flight",),
        fraction=fraction,
        size=None,
        strategy="auto",
        options={},
        seed=0,
        certify=False,
        on_invalid=None,
        place=Place(workers=workers),
        storage={},
        overwrite=True,
        quiet=False,
    )
    print_result(result)
    click.echo(f"\n$ {PROGRAM} verify {target}")
    click.get_current_context().invoke(verify, target=str(target), storage={}, as_json=False)
