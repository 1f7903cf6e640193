"""What a user is warned of, a line each: before the work starts, and once it is done."""

from collections.abc import Iterator, Mapping
from typing import Any

from dask_distill.selection.provenance import gone_classes
from dask_distill.selection.request import Request
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
    if gone := gone_classes(provenance):
        listed = ", ".join(f"{entry['label']!r} ({entry['rows']:,} rows)" for entry in gone[:5])
        yield (
            f"no row is left of class {listed}{', …' if len(gone) > 5 else ''}: all hold NaN or "
            'infinite values, and on_invalid="drop" leaves them out; fill them in, or leave out '
            "the columns that provenance['dropped'] names"
        )
