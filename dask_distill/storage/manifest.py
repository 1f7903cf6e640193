"""What a group says of itself: our attribute, the manifest in it, and what must hold."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import dask.array as da
import numpy as np
import zarr

from dask_distill.errors import IncompleteOutput, InputError
from dask_distill.storage.chunks import Finding, Layout, Receipt, is_plain_name
from dask_distill.storage.form import (
    ATTRIBUTE,
    FORMAT_VERSION,
    differing,
    form_there,
    is_committed,
)
from dask_distill.storage.location import Location
from dask_distill.storage.variables import INDEX, SUBSET_WEIGHT, SUMMARY, WEIGHT
from dask_distill.support.digest import combined_digest

__all__ = ["ATTRIBUTE", "FORMAT_VERSION", "KIND", "SCORES", "STAGED"]
__all__ += ["SYNTHETIC"]
__all__ += ["broken_digests", "broken_invariants", "lay_out", "lengths"]
__all__ += ["make_manifest", "misfit", "open_content", "parse_manifest", "selected_rows"]
__all__ += ["holds_scores", "uncommitted"]

# what a target is, where that is no subset: the scores of all rows
KIND, SCORES = "kind", "scores"
# of groups whose rows were made, not selected
SYNTHETIC = "synthetic"
# of groups that are being put in their place: the name of the neighbour that is whole
STAGED = "staged"
_WEIGHT_TOLERANCE = 1e-6


def lay_out(arrays: Mapping[str, da.Array]) -> dict[str, Layout]:
    """How each array will be stored; refuses names and lengths that make no group."""
    for name in arrays:
        if not is_plain_name(name):
            raise InputError(f"array names must be plain, got {name!r}; rename the array")
        inner = [other for other in arrays if other.startswith(f"{name}/")]
        if inner:
            raise InputError(
                f"array '{name}' must not also be a group, got '{inner[0]}'; rename one"
            )
    layouts = {name: Layout.of(name, array) for name, array in arrays.items()}
    for part in _by_group(layouts):
        if len({layout.shape[0] for layout in part.values()}) > 1:
            raise InputError(f"arrays must have the same number of rows, got {lengths(part)}")
    return layouts


def open_content(location: Location) -> dict[str, Any] | None:
    """What the target that is there says of itself, in either form; None where nothing."""
    shown = location.shown
    with location.guard(f"target '{shown}' must be within reach", InputError):
        if not location.exists():
            raise InputError(f"target '{shown}' does not exist; check the path")
        form = form_there(location)
        system, path = location.filesystem()
        try:
            text = system.cat_file(f"{path.rstrip('/')}/{form.root}")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            return None
    try:
        content = form.content(text)
    except ValueError:
        raise IncompleteOutput(f"target '{shown}' is damaged: {form.root} is no JSON") from None
    if content is None:
        return None
    version = content.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise InputError(
            f"target '{shown}' must have format version {FORMAT_VERSION} at most, got {version}; "
            "update dask-distill"
        )
    return content


def holds_scores(content: Mapping[str, Any]) -> bool:
    """Whether a target says that it has the scores of all rows, and no rows."""
    return content.get(KIND) == SCORES


def make_manifest(
    layouts: Mapping[str, Layout], receipts: Sequence[Receipt]
) -> dict[str, dict[str, Any]]:
    """What is there, and the digest of every chunk."""
    manifest: dict[str, dict[str, Any]] = {}
    for name, layout in layouts.items():
        mine = sorted((r for r in receipts if r.name == name), key=lambda r: r.number)
        assert [receipt.number for receipt in mine] == list(range(layout.count))
        if layout.numpy_dtype.kind == "U":
            # a declared width may be too small, as when labels were read block by block
            widths = [layout.numpy_dtype.itemsize // 4, *(r.text_width for r in mine)]
            layout = replace(layout, dtype=f"{layout.dtype[:2]}{max(widths)}")
        manifest[name] = {
            "shape": list(layout.shape),
            "dtype": layout.dtype,
            "chunks": list(layout.chunks),
            "digests": {str(receipt.number): receipt.digest for receipt in mine},
        }
    return manifest


def parse_manifest(
    location: Location, content: Mapping[str, Any]
) -> tuple[dict[str, Layout], list[str]]:
    """The sound entries of the manifest, and what is missing."""
    manifest = content.get("manifest")
    problems = uncommitted(location, content)
    if content.get(STAGED) or not isinstance(manifest, dict):
        return {}, problems
    layouts = {}
    system, path = location.filesystem()
    for name, entry in manifest.items():
        try:
            layout = Layout.parse(name, entry)
        except IncompleteOutput as error:
            problems.append(str(error))
            continue
        if system.exists(f"{path.rstrip('/')}/{name}/zarr.json"):
            layouts[name] = layout
        else:
            problems.append(f"array '{name}' is missing")
    return layouts, problems


def uncommitted(location: Location, content: Mapping[str, Any]) -> list[str]:
    """What a target lacks that is not committed."""
    if content.get(STAGED):
        whole = f"{location.shown.rpartition('/')[0]}/{content[STAGED]}"
        return [
            "the commit marker is missing, for a process is putting the subset in its place, or "
            f"has died at that: '{whole}' has it whole, and resume=True / --resume, follow, or "
            "whatever writes there next finishes this"
        ]
    problems = [] if is_committed(content) else ["the commit marker is missing"]
    if not isinstance(content.get("manifest"), dict):
        problems.append("the manifest is missing")
    return problems


def broken_digests(content: Mapping[str, Any]) -> list[str]:
    """Whether manifest and attributes are those of the commit."""
    manifest = content.get("manifest")
    if not isinstance(manifest, dict) or not is_committed(content):
        return []
    return differing(content, combined_digest(manifest))


def misfit(location: Location, name: str, layout: Layout) -> str | None:
    """How an array's metadata differ from the manifest."""
    try:
        array = zarr.open_array(**location.child(name).zarr_arguments, mode="r")
    except Exception:
        return f"array '{name}': its metadata cannot be read"
    found = (array.shape, array.chunks, array.dtype)
    expected = (layout.shape, layout.chunks, np.dtype(layout.stored_dtype))
    if found == expected:
        return None
    return (
        f"array '{name}': shape {found[0]}, chunks {found[1]} and type {found[2]} differ from the "
        f"manifest's {expected[0]}, {expected[1]} and {expected[2]}"
    )


def broken_invariants(
    layouts: Mapping[str, Layout],
    findings: Sequence[Finding],
    content: Mapping[str, Any],
    words: str = "array '{}'",
) -> list[str]:
    """What no manifest can tell: lengths that differ, row numbers that do not ascend, weights.

    ``words`` name what holds them.
    """
    problems = []
    problems += [
        f"arrays have different numbers of rows: {lengths(part)}"
        for part in _by_group(layouts)
        if len({layout.shape[0] for layout in part.values()}) > 1
    ]
    if content.get(SYNTHETIC) and INDEX in layouts:
        problems.append(
            f"{words.format(INDEX)} must not be there: synthetic rows are no rows of a source"
        )
    index, weight = ([f for f in findings if f.name == name] for name in (INDEX, WEIGHT))
    if INDEX in layouts and layouts[INDEX].dtype != "<i8":
        problems.append(f"{words.format(INDEX)} must be int64, got {layouts[INDEX].numpy_dtype}")
    if index and all(finding.facts for finding in index):
        runs, firsts, lasts = zip(*(finding.facts for finding in index), strict=True)
        steps = all(last < first for last, first in zip(lasts, firsts[1:], strict=False))
        if not all(runs) or not steps or firsts[0] < 0:
            problems.append(f"{words.format(INDEX)} is not ascending and unique from 0")
    if weight and all(finding.facts for finding in weight):
        sound, sums = zip(*(finding.facts for finding in weight), strict=True)
        if not all(sound):
            problems.append(f"{words.format(WEIGHT)} has values that are not finite and above 0")
        provenance = content.get("provenance")
        due, what = _due(provenance if isinstance(provenance, dict) else {})
        total = math.fsum(sums) if all(sound) else math.nan
        if due and all(sound) and not math.isclose(total, due, rel_tol=_WEIGHT_TOLERANCE):
            problems.append(f"{words.format(WEIGHT)} sums to {total:.6g}, not to {what}")
        several = [finding.facts for finding in findings if finding.name == SUBSET_WEIGHT]
        if several and all(several):
            problems += _broken_subsets(several, total, content, words)
    return problems


def _broken_subsets(
    facts: Sequence[tuple[Any, ...]], total: float, content: Mapping[str, Any], words: str
) -> list[str]:
    """Of several subsets: weights, what each sums to, and how many rows it has."""
    sound, sums, counts = zip(*facts, strict=True)
    if not all(sound):
        return [f"{words.format(SUBSET_WEIGHT)} has values that are not finite and 0 or more"]
    provenance = content.get("provenance")
    told = provenance.get("subsets") if isinstance(provenance, dict) else None
    size = told.get("size") if isinstance(told, dict) else None
    problems = []
    for number, (parts, rows) in enumerate(
        zip(zip(*sums, strict=True), zip(*counts, strict=True), strict=True)
    ):
        found = math.fsum(parts)
        if not math.isclose(found, total, rel_tol=_WEIGHT_TOLERANCE * 10):
            problems.append(f"subset {number} weighs {found:.6g}, all rows weigh {total:.6g}")
        if size is not None and sum(rows) != size:
            problems.append(f"subset {number} has {sum(rows)} rows, not {size}")
    return problems


def _due(provenance: Mapping[str, Any]) -> tuple[float, str]:
    """What weights sum to, and that in words; 0 where it is not known."""
    told = provenance.get("input")
    weights = told.get("sample_weight") if isinstance(told, dict) else None
    if isinstance(weights, dict):
        return float(weights["sum"]), f"the sample weights' {weights['sum']:.6g}"
    rows = provenance.get("rows") or 0
    return rows, f"{rows} rows"


def _by_group(layouts: Mapping[str, Layout]) -> list[dict[str, Layout]]:
    """The selected rows' arrays, and those of rows that are kept beside them."""
    kept = {name: layout for name, layout in layouts.items() if name.startswith(SUMMARY)}
    return [{name: layouts[name] for name in layouts if name not in kept}, kept]


def selected_rows(layouts: Mapping[str, Layout]) -> int:
    """Rows of the subset itself."""
    return max((layout.shape[0] for layout in _by_group(layouts)[0].values()), default=0)


def lengths(layouts: Mapping[str, Layout]) -> str:
    """How many rows each array has."""
    return ", ".join(f"{layout.shape[0]} in '{name}'" for name, layout in layouts.items())
