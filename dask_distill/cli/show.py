"""What a run says to people."""

from typing import Any

import click

from dask_distill.support.text import left_aligned, shown_bytes, wrapped

# columns of a table that plan lists
_COLUMNS = 60


def print_result(result: dict[str, Any]) -> None:
    """What a run has come to: rows, classes, losses, time, bytes."""
    from dask_distill.data.uses import WEIGHT, ColumnUse, told
    from dask_distill.selection.lost import shown as shown_lost
    from dask_distill.selection.provenance import shown_filled

    rows, selected = result["rows"], result["selected"]
    lines = [
        (
            "selected",
            f"{selected:,} of {rows:,} rows ({selected / rows:.1%}) "
            f"by {result['parameters']['strategy']}",
        ),
    ]
    lines += _subsets(result)
    if decision := result.get("decision"):
        lines.append(("strategy", decision["why"]))
    uses = [ColumnUse(**use) for use in result.get("columns", ())]
    said = told(uses, 5, result["parameters"].get("on_invalid"))
    lines += [line for line in said if line[0] not in ("carried", WEIGHT)]
    if weights := result.get("sample_weight"):
        lines += _weights(weights, [use.why for use in uses if use.role == WEIGHT and use.why])
    if result.get("attributes_left_out"):
        odd = [f"{', '.join(a)} of {name}" for name, a in result["attributes_left_out"].items()]
        lines.append(("attributes", f"not kept, as they need not hold of a part: {'; '.join(odd)}"))
    if result["rows_dropped"]:
        lines += left_out(result)
    if filled := shown_filled(result.get("filled")):
        lines.append(("filled in", f"{filled}, to compare rows; they are written as they are"))
    for number, entry in enumerate((result["classes"] or [])[:10]):
        name = "classes" if number == 0 else ""
        lines.append((name, f"{entry['label']}: {entry['selected']:,} of {entry['rows']:,}"))
    if len(result["classes"] or []) > 10:
        lines.append(("", f"and {len(result['classes']) - 10} more"))
    lines += _labels(result.get("labels") or [])
    lines += _rare(result)
    if scaled := _scaled(result.get("scaling")):
        lines.append(("scaled", scaled))
    if missing := shown_lost(result["lost"]):
        lines.append(("lost", missing))
    if result["search"] is not None:
        lines.append(("search", result["search"]["verdict"]))
    lines += _coverage(result["certificate"])
    lines += [
        ("time", shown_time(result)),
        (
            "moved",
            f"{shown_bytes(result['bytes_moved'])} of questions, answers and candidates "
            f"(all the data: {shown_bytes(result['bytes_to_gather_everything'])})",
        ),
        ("on the wire", _sent(result)),
        ("written", f"{shown_bytes(result['bytes_written'])} to {result['target']}"),
    ]
    if beside := result.get("scores_of_all"):
        written = f"{shown_bytes(beside['bytes_written'])} to {beside['target']}"
        lines.append(("", f"{written}: the scores of all rows"))
    print_table(lines)


def shown_time(result: dict[str, Any]) -> str:
    """Seconds from the start of the program on, and of each phase, such that they add up.

    Examples
    --------
    >>> shown_time({"seconds": {"load": 0.14, "write": 0.14, "total": 0.28}, "workers": 2})
    '0.3 s on 2 workers (load 0.2, write 0.1)'
    """
    total, *_ = (value for name, value in result["seconds"].items() if name == "total")
    parts = {name: value for name, value in result["seconds"].items() if name != "total"}
    # in tenths; those that are missing go to who lost most to rounding
    tenths = {name: int(10 * value) for name, value in parts.items()}
    lost = sorted(parts, key=lambda name: 10 * parts[name] - tenths[name], reverse=True)
    for name in lost[: round(10 * total) - sum(tenths.values())]:
        tenths[name] += 1
    phases = ", ".join(f"{name} {count / 10:.1f}" for name, count in tenths.items())
    return f"{round(10 * total) / 10:.1f} s on {result['workers']} workers ({phases})"


def _coverage(certificate: dict[str, Any] | None) -> list[tuple[str, str]]:
    """How far any row is from a selected one, where that was proven."""
    if certificate is None:
        return []
    told = (
        f"every row within {certificate['radius']:.4g} of a selected one "
        f"({_random(certificate)}no subset of this size below {certificate['lower_bound']:.4g})"
    )
    return [("coverage", told)]


def _subsets(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Into how many the rows are dealt out, where more than one was asked for."""
    from dask_distill.selection.subsets import shown_subsets

    return [("subsets", shown_subsets(result["subsets"]))] if result.get("subsets") else []


def _weights(weights: dict[str, Any], why: list[str]) -> list[tuple[str, str]]:
    """Which sample weights there are, what they come to, and why they are taken up."""
    from dask_distill.data.uses import WEIGHT
    from dask_distill.data.weights import weight_line

    none = weights["rows_of_weight_0"]
    left = f"; {none:,} rows of weight 0 left out" if none else ""
    line = weight_line(weights["name"], weights["sum"])
    return [(WEIGHT, line + left), *(("", each) for each in why)]


def _scaled(scaling: dict[str, Any] | None) -> str:
    """Features whose spread a few rows make, and what was done to them."""
    entries = (scaling or {"columns": []})["columns"]
    told = [f"{entry['column']} ({entry['scale']})" for entry in entries[:5]]
    more = f", and {len(entries) - 5:,} more" if len(entries) > 5 else ""
    return f"{', '.join(told)}{more}: a few rows make the spread" if told else ""


def _labels(table: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Of several labels a row, the rarest ones."""
    rarest = sorted(table, key=lambda entry: entry["rows"])[:5]
    lines = [
        (
            "" if number else "labels",
            f"{entry['label']}: {entry['selected']:,} of {entry['rows']:,}",
        )
        for number, entry in enumerate(rarest)
    ]
    return [*lines, ("", f"and {len(table) - 5} more")] if len(table) > 5 else lines


def _rare(result: dict[str, Any]) -> list[tuple[str, str]]:
    """The smallest classes: what is kept of them, and what is their share."""
    from dask_distill.selection.shares import rare_classes

    if result["parameters"].get("task") == "regression" or result.get("labels"):
        # these are strata, not classes
        return []
    return [
        (
            "" if number else "rare",
            f"{entry['label']}: {entry['selected']:,} of {entry['rows']:,} rows are kept, "
            f"{entry['share']:,g} by its share",
        )
        for number, entry in enumerate(rare_classes(result["classes"], result["selected"]))
    ]


def left_out(result: dict[str, Any]) -> list[tuple[str, str]]:
    """Rows with invalid values: how many, in which columns, of which classes."""
    lines = [("left out", f"{result['rows_dropped']:,} rows with invalid values or no label")]
    dropped = result.get("dropped") or {"columns": [], "classes": [], "without_label": 0}
    columns = sorted(dropped["columns"], key=lambda entry: -entry["rows"])
    told = [f"{entry['rows']:,} in column {entry['column']}" for entry in columns[:5]]
    if dropped["without_label"]:
        told.append(f"{dropped['without_label']:,} without a label")
    if told:
        lines.append(("", ", ".join(told) + (", …" if len(columns) > 5 else "")))
    classes = sorted(dropped["classes"], key=lambda entry: entry["left"] / entry["rows"])
    for entry in classes[:5]:
        of = entry["rows"] + entry["left"]
        none = "" if entry["left"] else ": none is left"
        lines.append(("", f"{entry['label']}: {entry['rows']:,} of {of:,}{none}"))
    if len(classes) > 5:
        lines.append(("", f"and of {len(classes) - 5} more classes"))
    return lines


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


def print_columns(dataset: Any) -> None:
    """What becomes of each column of a table: one line each, up to a number of them."""
    if dataset.profile is None:
        return
    lines = [("column", "type", "read as", "nulls", "distinct", "")]
    for use in dataset.uses[:_COLUMNS]:
        nulls = "" if use.nulls is None else f"{use.nulls:.1%}" if use.nulls else "none"
        distinct = "" if not use.distinct else f"{use.distinct:,}"
        becomes = use.role if use.role == "feature" else f"{use.role}: {use.why}".rstrip(": ")
        read = use.read_as if use.role == "feature" else ""
        lines.append((use.name, use.kind, read, nulls, distinct, becomes))
    for text in left_aligned(lines, terminal_width()):
        click.echo(text)
    if len(dataset.uses) > _COLUMNS:
        click.echo(f"and {len(dataset.uses) - _COLUMNS:,} more; --json lists all")
    n, looked = dataset.n, dataset.profile["sampled"]
    if looked < n:
        click.echo(f"nulls and distinct values: of {looked:,} rows, spread over all {n:,}")
    click.echo("")


def print_table(lines: list[tuple[str, str]]) -> None:
    """Names and texts, side by side."""
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        for line in wrapped(f"{name:<{width}}  ", text, terminal_width()):
            click.echo(line)


def print_paragraph(text: str) -> None:
    """A text in the width of the terminal."""
    for line in wrapped("", text, terminal_width()):
        click.echo(line)


def terminal_width() -> int | None:
    """Columns of the terminal; None where what is printed goes elsewhere, and lines stay whole."""
    import shutil
    import sys

    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
