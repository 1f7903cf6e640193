"""What a user is warned of, a line each: before the work starts, and once it is done."""

from collections.abc import Iterator, Mapping
from typing import Any

from dask_distill.selection.provenance import gone_classes
from dask_distill.selection.request import Request
from dask_distill.selection.shares import share_warning
from dask_distill.spaces.scales import stray_warning


def warned_before(request: Request) -> Iterator[str]:
    """Of what is asked for, known from the request alone."""
    if request.strategy.warning:
        yield request.strategy.warning
    if request.seed and not request.uses_seed:
        yield (
            f"strategy {request.strategy.name} does not use seed: every seed gives the same "
            f"rows, got {request.seed}; leave it out"
        )


def warned_after(provenance: Mapping[str, Any]) -> Iterator[str]:
    """Of what was found in the data."""
    if line := stray_warning(provenance):
        yield line
    yield from _about_missing_labels(provenance)
    if gone := gone_classes(provenance):
        listed = ", ".join(f"{entry['label']!r} ({entry['rows']:,} rows)" for entry in gone[:5])
        yield (
            f"no row is left of class {listed}{', …' if len(gone) > 5 else ''}: all hold NaN or "
            'infinite values, and on_invalid="drop" / --on-invalid drop leaves them out; fill them '
            f"in, or leave out {_worst_column(provenance)}"
        )
    if line := share_warning(provenance):
        yield line


def _about_missing_labels(provenance: Mapping[str, Any]) -> Iterator[str]:
    """A class that looks like no class; or no row without a label where there should be some."""
    parameters, classes = provenance["parameters"], provenance.get("classes")
    if "missing_label" in parameters:
        value = parameters["missing_label"]
        if not (provenance.get("dropped") or {}).get("without_label"):
            yield (
                f"missing_label {value!r} is the label of no row; check how rows without a label "
                "are marked"
            )
        return
    rows = {entry["label"]: entry["rows"] for entry in classes or ()}
    numbers = all(isinstance(label, int | float) for label in rows)
    if numbers and len(rows) > 2 and sorted(rows) == list(range(-1, len(rows) - 1)):
        yield (
            f"labels has -1 in {rows[-1]:,} rows beside classes 0 to {len(rows) - 2}, and it is "
            "taken for a class; if it stands for no label, pass missing_label=-1 / "
            "--missing-label -1"
        )


def _worst_column(provenance: Mapping[str, Any]) -> str:
    """Which column has the most values that cannot be used."""
    worst = max(provenance["dropped"]["columns"], key=lambda entry: int(entry["rows"]))
    return f"column {worst['column']!r}, which has {worst['rows']:,} of these values"
