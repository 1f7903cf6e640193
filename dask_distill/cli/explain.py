"""What `plan --explain` finds out and says. Nothing heavy is imported here."""

from contextlib import nullcontext
from typing import Any

import click

from dask_distill.cli.options import progress_display
from dask_distill.cli.place import Place
from dask_distill.support.text import shown_table


def explained(dataset: Any, request: Any, workers: int | None, quiet: bool) -> Any:
    """The decision, on as many workers as are asked for, or on threads of this process."""
    from dask_distill.selection.decision import explain

    place = nullcontext() if workers is None else Place(workers=workers, quiet=quiet).connect()
    with place, progress_display(quiet) as progress:
        return explain(dataset, request, progress=progress)


def print_decision(dataset: Any, request: Any, decision: dict[str, Any] | None) -> None:
    """What is decided and on which figures, or why there is nothing to decide."""
    from dask_distill.cli.show import print_table
    from dask_distill.selection.decision import nothing_left, told

    if decision is None:
        why = nothing_left(request.of(dataset)) or "protected rows fill the size"
        name = request.strategy.name
        print_table([("decision", f"strategy {name} has nothing to decide: {why}")])
        return
    words = told(decision)
    lines = [("decision", words.why), ("labels", words.labels)]
    print_table([*lines, ("trial", words.trial)] if words.trial else lines)
    if words.leads:
        _print_leads(words)


def _print_leads(words: Any) -> None:
    """Ways down, metrics across."""
    from dask_distill.cli.show import terminal_width

    lines = [("lead", *words.metrics), *((name, *cells) for name, cells in words.leads)]
    for text in shown_table(lines, terminal_width()):
        click.echo(text)
