"""The command line: thin commands over the library.

Imported by every `dask` command through the entry point, so nothing heavy is imported here.
"""

import json
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NoReturn

import click

from dask_distill._text import shown_bytes
from dask_distill.cli_follow import follow
from dask_distill.cli_judge import curve, evaluate, report
from dask_distill.cli_options import (
    CLUSTER_OPTIONS,
    JSON,
    ON_INVALID,
    ON_MISSING,
    QUIET,
    ROWS_APART,
    SOURCE_OPTIONS,
    STORAGE_OPTION,
    TASK,
    WORKERS,
    progress_display,
)
from dask_distill.cli_synthesize import synthesize
from dask_distill.errors import DistillError, InputError

_PROGRAM = "dask-distill"
_PASSES = {2: "two", 3: "three", 4: "four"}


class _Group(click.Group):
    """Turns our errors into one line on stderr and an exit code, also below `dask`."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            _fail(error.format_message(), 2)
        except InputError as error:
            _fail(str(error), 2)
        except DistillError as error:
            _fail(str(error), 1)
        except (click.exceptions.Exit, click.Abort, KeyboardInterrupt):
            raise
        except Exception as error:
            import traceback

            traceback.print_exc()
            _fail(f"the run failed: {type(error).__name__}: {error}", 1)


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"{_PROGRAM}: error: {' '.join(message.split())}", err=True)
    raise click.exceptions.Exit(code)


@click.group(name="distill", cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dask-distill", prog_name=_PROGRAM)
def cli() -> None:
    """Select the rows of a data set that are worth training on, where the data lies."""


@cli.command()
@click.argument("source")
@click.argument("target")
@SOURCE_OPTIONS
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--certify", is_flag=True, help="Measure and prove how well the rows cover all.")
@ON_INVALID
@TASK
@ON_MISSING
@ROWS_APART
@CLUSTER_OPTIONS
@STORAGE_OPTION
@click.option("--resume", is_flag=True, help="Go on with a run that died.")
@click.option("--overwrite", is_flag=True, help="Replace a subset that is there.")
@click.option(
    "--performance-report",
    metavar="FILE",
    help="HTML file on what each worker did when; needs bokeh.",
)
@JSON
@QUIET
def run(source: str, target: str, as_json: bool, quiet: bool, **arguments: Any) -> None:
    """Select rows of SOURCE and write them, with weights, to the zarr group TARGET."""
    result = _run(source, target, quiet=quiet or as_json, **arguments)
    if as_json:
        click.echo(json.dumps(result))
    elif not quiet:
        _print_result(result)


@cli.command()
@click.argument("source")
@SOURCE_OPTIONS
@TASK
@ON_MISSING
@ROWS_APART
@WORKERS
@STORAGE_OPTION
@JSON
def plan(source: str, as_json: bool, workers: int | None, **arguments: Any) -> None:
    """Tell what run would do with SOURCE; computes nothing."""
    from dask_distill.cli_request import prepared
    from dask_distill.plan import make_plan

    dataset, request = prepared(source, arguments, read=False)
    _tell_missing(dataset)
    made = make_plan(dataset, request, workers=workers or 1)
    if as_json:
        click.echo(json.dumps(made.as_dict()))
        return
    _print_table(
        [
            ("rows", f"{made.rows:,} × {made.features:,} features"),
            ("to select", f"{made.size:,} ({made.size / made.rows:.1%}) by {made.strategy}"),
            ("blocks", f"{made.blocks:,} of {made.block_rows:,} rows"),
            ("tasks", f"about {made.tasks:,}"),
            ("memory of a worker", f"up to {shown_bytes(made.worker_bytes)}"),
            ("memory of the coordinator", f"up to {shown_bytes(made.coordinator_bytes)}"),
            (
                "read",
                f"{shown_bytes(made.bytes_read)}, in {_PASSES[made.passes]} passes; to write, up "
                f"to {shown_bytes(made.bytes_read_to_write)} more",
            ),
            (
                "moved",
                f"about {shown_bytes(made.bytes_moved)} "
                f"(all the data: {shown_bytes(made.bytes_to_gather_everything)})",
            ),
            ("written", f"about {shown_bytes(made.bytes_written)}"),
        ]
    )


@cli.command()
@click.argument("target")
@STORAGE_OPTION
@JSON
def verify(target: str, storage: dict[str, str], as_json: bool) -> None:
    """Check that TARGET is complete and unchanged: digests, counts, invariants."""
    from dask_distill import store

    found = store.verify(target, storage_options=storage)
    if as_json:
        import dataclasses

        click.echo(json.dumps(dataclasses.asdict(found)))
    elif found.ok:
        kind = "synthetic rows" if found.synthetic else "rows"
        click.echo(
            f"{target}: complete, {found.rows:,} {kind}, {found.chunks} chunks checked, "
            f"digest {found.digest}"
        )
    else:
        for problem in found.problems:
            click.echo(f"{target}: {problem}", err=True)
    if not found.ok:
        raise click.exceptions.Exit(1)


@cli.command()
@click.argument("folder", default="distill-demo", metavar="[DIR]")
@click.option("--fraction", type=float, default=0.1, show_default=True)
@WORKERS
def demo(folder: str, fraction: float, workers: int | None) -> None:
    """Run the main job on real data: all flights out of New York in 2013.

    Writes monthly parquet files and the selected rows below DIR.
    """
    from pathlib import Path

    from dask_distill import store
    from dask_distill.demo import flights_table, write_partitions

    source, target = Path(folder) / "flights", Path(folder) / "selected.zarr"
    # an earlier demo's output may go, anything else may not
    store.check_target(target, overwrite=True, sources=[str(source)])
    click.echo("Flights out of New York in 2013, with the weather: which will be late?")
    files = write_partitions(flights_table(), source)
    click.echo(f"wrote {files} monthly parquet files to {source}")
    click.echo(
        f"\n$ {_PROGRAM} run {source} {target} --labels late --carry flight "
        f"--fraction {fraction:g} --overwrite"
    )
    result = _run(
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
        on_invalid="raise",
        cluster=None,
        workers=workers,
        scheduler_address=None,
        scheduler_file=None,
        storage={},
        overwrite=True,
        quiet=False,
    )
    _print_result(result)
    click.echo(f"\n$ {_PROGRAM} verify {target}")
    click.get_current_context().invoke(verify, target=str(target), storage={}, as_json=False)


cli.add_command(evaluate)
cli.add_command(curve)
cli.add_command(report)
cli.add_command(synthesize)
cli.add_command(follow)


def main() -> None:
    """Entry point of ``dask-distill``."""
    try:
        sys.exit(cli.main(prog_name=_PROGRAM, standalone_mode=False))
    except click.UsageError as error:
        click.echo(f"{_PROGRAM}: error: {' '.join(error.format_message().split())}", err=True)
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo(f"{_PROGRAM}: stopped; what is finished is kept for --resume", err=True)
        sys.exit(1)


def _run(
    source: str,
    target: str,
    *,
    cluster: str | None,
    workers: int | None,
    scheduler_address: str | None,
    scheduler_file: str | None,
    overwrite: bool,
    quiet: bool,
    resume: bool = False,
    tls: bool = False,
    tls_ca_file: str | None = None,
    tls_cert: str | None = None,
    tls_key: str | None = None,
    performance_report: str | None = None,
    **arguments: Any,
) -> dict[str, Any]:
    """Check everything that can be checked, then start or join a cluster, select and write."""
    import time

    from dask_distill.cli_request import prepared
    from dask_distill.cluster import connect, tls_files
    from dask_distill.performance import check_performance_report, performance_recorded
    from dask_distill.resume import distill_to_zarr, open_checkpoint
    from dask_distill.wire import joined

    started = time.perf_counter()
    check_performance_report(performance_report)
    dataset, request = prepared(source, arguments, read=True)
    _tell_missing(dataset)
    place: dict[str, Any] = {
        "resume": resume,
        "overwrite": overwrite,
        "storage_options": arguments["storage"],
    }
    checkpoint = open_checkpoint(dataset, target, request, **place)
    with (
        connect(
            cluster=cluster,
            workers=workers,
            scheduler_address=scheduler_address,
            scheduler_file=scheduler_file,
            tls=tls,
            security=tls_files(tls_ca_file, tls_cert, tls_key),
        ) as client,
        progress_display(quiet) as progress,
        _warnings_as_lines(),
        performance_recorded(performance_report),
    ):
        coreset, receipt = distill_to_zarr(
            dataset, target, request, **place, progress=progress, checkpoint=checkpoint
        )
        seconds = coreset.provenance["seconds"] | {
            "write": receipt.pop("seconds"),
            "total": round(time.perf_counter() - started, 3),
        }
        count = len(client.scheduler_info(n_workers=-1)["workers"])
    sent = coreset.provenance.get("bytes_on_the_wire")
    if "bytes_on_the_wire" in receipt:
        sent = joined(sent, receipt["bytes_on_the_wire"])
    certificate = coreset.certificate
    return {
        "resumed": resume,
        **receipt,
        "bytes_on_the_wire": sent,
        **{
            key: coreset.provenance[key]
            for key in (
                "rows",
                "rows_dropped",
                "selected",
                "classes",
                "lost",
                "bytes_read",
                "bytes_moved",
                "bytes_to_gather_everything",
                "parameters",
                "seed",
            )
        },
        "workers": count,
        "seconds": seconds,
        "certificate": None if certificate is None else certificate.as_dict(),
        "search": coreset.provenance.get("search"),
    }


def _tell_missing(dataset: Any) -> None:
    for line in dataset.missing_lines():
        click.echo(f"{_PROGRAM}: warning: {line}; --on-missing error refuses them", err=True)


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Our warnings as one line each, whatever the filters of the process."""
    import warnings

    from dask_distill.pipeline import SelectionWarning

    with ExitStack() as stack:
        caught = stack.enter_context(warnings.catch_warnings(record=True))
        warnings.simplefilter("always", SelectionWarning)
        try:
            yield
        finally:
            for warning in caught:
                click.echo(f"{_PROGRAM}: warning: {warning.message}", err=True)


def _print_result(result: dict[str, Any]) -> None:
    from dask_distill.lost import shown as shown_lost

    rows, selected = result["rows"], result["selected"]
    seconds = result["seconds"]
    phases = ", ".join(f"{name} {value:.1f}" for name, value in seconds.items() if name != "total")
    lines = [
        (
            "selected",
            f"{selected:,} of {rows:,} rows ({selected / rows:.1%}) "
            f"by {result['parameters']['strategy']}",
        ),
    ]
    if result["rows_dropped"]:
        lines.append(("left out", f"{result['rows_dropped']:,} rows with invalid values"))
    for number, entry in enumerate((result["classes"] or [])[:10]):
        name = "classes" if number == 0 else ""
        lines.append((name, f"{entry['label']}: {entry['selected']:,} of {entry['rows']:,}"))
    if len(result["classes"] or []) > 10:
        lines.append(("", f"and {len(result['classes']) - 10} more"))
    if missing := shown_lost(result["lost"]):
        lines.append(("lost", missing))
    if result["search"] is not None:
        lines.append(("search", result["search"]["verdict"]))
    certificate = result["certificate"]
    if certificate is not None:
        lines.append(
            (
                "coverage",
                f"every row within {certificate['radius']:.4g} of a selected one "
                f"({_random(certificate)}no subset of this size below "
                f"{certificate['lower_bound']:.4g})",
            )
        )
    lines += [
        ("time", f"{seconds['total']:.1f} s on {result['workers']} workers ({phases})"),
        (
            "moved",
            f"{shown_bytes(result['bytes_moved'])} of questions, answers and candidates "
            f"(all the data: {shown_bytes(result['bytes_to_gather_everything'])})",
        ),
        ("on the wire", _sent(result)),
        ("written", f"{shown_bytes(result['bytes_written'])} to {result['target']}"),
    ]
    _print_table(lines)


def _random(certificate: dict[str, Any]) -> str:
    radius = certificate["random_radius"]
    return "" if radius is None else f"random subset: {radius:.4g}; "


def _sent(result: dict[str, Any]) -> str:
    sent = result["bytes_on_the_wire"]
    if sent is None:
        return "not measured"
    return (
        f"{shown_bytes(sent['total'])}, {shown_bytes(sent['classes']['worker-worker'])} of it "
        f"between workers (all the data: {shown_bytes(result['bytes_to_gather_everything'])})"
    )


def _print_table(lines: list[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        click.echo(f"{name:<{width}}  {text}")
