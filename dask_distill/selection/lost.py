"""What a selection has lost: classes, and dense groups of rows, of which no row is selected.

Rows of each group are counted on the way; see `watched`.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from dask_distill.selection.watched import Groups
from dask_distill.survey.schema import Outline

Counts = npt.NDArray[np.int64]
# a group that a random subset would hold fewer rows of is not dense
_EXPECTED = 5


def lost(
    groups: Groups,
    counts: Counts,
    outline: Outline,
    taken: Counts | None,
    size: int,
    *,
    sampled: bool = False,
) -> dict[str, Any]:
    """For the provenance: classes and dense groups without a selected row.

    Parameters
    ----------
    groups : Groups
    counts : (2, G) int64 array
        Rows of each group, all and selected.
    outline : Outline
    taken : (C,) int64 array or None
        Rows selected of each class.
    size : int
        Rows selected.
    sampled : bool
        Whether groups are counted in the survey's sample alone; their rows are an estimate then.

    Returns
    -------
    dict
        ``classes``: labels; ``groups``: for each its ``rows``, ``near_row`` (a row in its middle)
        and that row's ``label``, the largest first; ``groups_measured`` and ``measure``.
    """
    classes: list[Any] = []
    if taken is not None and outline.classes is not None and outline.counts is not None:
        classes = outline.classes[(taken == 0) & (outline.counts > 0)].tolist()
    found = []
    if counts.shape[1]:
        every, selected = counts
        among, drawn = (int(every.sum()), int(selected.sum())) if sampled else (outline.n, size)
        dense = every * drawn >= _EXPECTED * among
        missing = np.flatnonzero(dense & (selected == 0))
        rows = {int(g): round(int(every[g]) * outline.n / among) for g in missing}
        found = [_described(groups, g, rows[g], outline) for g in rows]
    found.sort(key=lambda entry: (-entry["rows"], entry["near_row"]))
    return {
        "classes": classes,
        "groups": found,
        "groups_measured": counts.shape[1],
        "measure": (
            f"groups by k-means of the survey's sample, standardised; lost are those of which a "
            f"random subset would hold {_EXPECTED} rows or more and this one holds none"
            + (", counted among the rows of that sample" if sampled else "")
        ),
    }


def shown(told: dict[str, Any] | None) -> str:
    """One line for people; empty where nothing is lost."""
    if not told:
        return ""
    parts = []
    if told["classes"]:
        names = ", ".join(str(label) for label in told["classes"][:5])
        more = ", …" if len(told["classes"]) > 5 else ""
        noun = "class" if len(told["classes"]) == 1 else "classes"
        parts.append(f"no row of {len(told['classes'])} {noun} ({names}{more})")
    if found := told.get("labels"):
        names = ", ".join(
            f"{'without' if entry['without'] else 'with'} {entry['label']} ({entry['rows']:,})"
            for entry in found[:5]
        )
        noun = "label" if len(found) == 1 else "labels"
        parts.append(f"no row of {len(found)} {noun} ({names}{', …' if len(found) > 5 else ''})")
    if told["groups"]:
        rows = sum(entry["rows"] for entry in told["groups"])
        parts.append(
            f"no row of {len(told['groups'])} of {told['groups_measured']} groups ({rows:,} rows, "
            f"such as row {told['groups'][0]['near_row']})"
        )
    return "; ".join(parts)


def _described(groups: Groups, group: int, rows: int, outline: Outline) -> dict[str, Any]:
    label = None
    if groups.codes is not None and outline.classes is not None:
        label = outline.classes[groups.codes[group]].item()
    return {"rows": rows, "near_row": int(groups.near[group]), "label": label}
