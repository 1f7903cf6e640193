"""Draw the pictures of guides from what their code computes: python docs/pictures.py [FOLDER]."""

import doctest
import hashlib
import re
import sys
from pathlib import Path

import numpy as np
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure

from dask_distill import candidates
from dask_distill.kernels.farthest_first import FarthestFirst
from dask_distill.kernels.nearest import nearest_center
from dask_distill.support.drawing import COLORS

GUIDES = Path(__file__).parent / "guides"
# what a picture was drawn from, as text in its file
DIGEST = "Drawn-from"
INK, FAINT = "#202020", "#b8c4cc"


def computed(page):
    """Names that a page's code leaves behind."""
    names = {}
    text = (GUIDES / page).read_text("utf-8")
    for block in re.findall(r"^```python\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL):
        for example in doctest.DocTestParser().get_examples(block):
            exec(compile(example.source, page, "exec"), names)
    return names


def plane(axes):
    """Without what tells nothing of positions in a plane."""
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)


def draw_blocks(axes, page):
    """Rows and candidates, block by block."""
    X, frame = page["X"], page["frame"]
    edges = np.cumsum([0, *frame.groupby("_block")["_weight"].sum()]).astype(int)
    for block in range(len(edges) - 1):
        rows = X[edges[block] : edges[block + 1]]
        color, mine = COLORS[block], frame[frame["_block"] == block]
        axes.scatter(*rows.T, s=1.5, color=color, alpha=0.25, linewidths=0, rasterized=True)
        label = f"block {block}: {len(mine)} candidates"
        axes.scatter(mine["x0"], mine["x1"], s=26, color=color, edgecolors=INK, label=label)
    plane(axes)
    axes.legend(loc="upper left", bbox_to_anchor=(0.98, 1), frameon=False)
    return [frame["_index"]]


def draw_radii(axes, page):
    """What blocks tell of their traversals, and where they are cut."""
    frame, features = page["frame"], page["features"]
    whole = candidates(features, 60, common_radius=False).compute()
    for block, mine in whole.groupby("_block"):
        offered = int((frame["_block"] == block).sum())
        radii = mine["_insertion_radius"].to_numpy()
        picks = np.arange(1, len(radii) + 1)
        axes.plot(picks[1:], radii[1:], color=COLORS[block], alpha=0.45)
        axes.plot(
            picks[1:offered],
            radii[1:offered],
            color=COLORS[block],
            linewidth=2.2,
            label=f"block {block}",
        )
        axes.plot(offered, radii[offered - 1], "o", color=COLORS[block], markeredgecolor=INK)
    cut = frame["_insertion_radius"].min()
    axes.axhline(cut, color=INK, linestyle="--", linewidth=1)
    axes.text(60, cut * 1.05, "the common cut", ha="right", color=INK)
    axes.set_yscale("log")
    ticks = [5, 10, 20, 50, 100]
    axes.set_yticks(ticks, labels=map(str, ticks))
    axes.set_yticks([], minor=True)
    axes.set_xlabel("pick of the block")
    axes.set_ylabel("insertion radius")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return [whole["_index"], frame["_index"]]


def draw_merge(axes, page):
    """Centers among the candidates, and what they cover."""
    X, frame, centers = page["X"], page["frame"], page["centers"]
    radius = page["covering_radius"](centers)
    at = centers[["x0", "x1"]].to_numpy()
    axes.scatter(*X.T, s=1.5, color=FAINT, linewidths=0, rasterized=True)
    axes.add_collection(
        EllipseCollection(
            *[np.full(len(at), 2 * radius)] * 2,
            np.zeros(len(at)),
            units="xy",
            offsets=at,
            offset_transform=axes.transData,
            facecolors="none",
            edgecolors=COLORS[0],
            linewidths=0.7,
            alpha=0.6,
        )
    )
    left = ~frame["_index"].isin(centers["_index"])
    axes.scatter(
        frame["x0"][left],
        frame["x1"][left],
        s=16,
        facecolors="white",
        edgecolors=INK,
        label="candidate, not chosen",
    )
    axes.scatter(*at.T, s=26, color=COLORS[1], edgecolors=INK, zorder=3, label="center")
    plane(axes)
    axes.set_xlim(at[:, 0].min() - radius, at[:, 0].max() + radius)
    axes.set_ylim(at[:, 1].min() - radius, at[:, 1].max() + radius)
    axes.legend(loc="upper left", bbox_to_anchor=(0.98, 1), frameon=False)
    return [centers["_index"], frame["_index"]]


def draw_repair(axes, page):
    """How far rows are from the nearest center."""
    X = page["X"]
    sequential = FarthestFirst(X)
    sequential.extend(60)
    drawn = []
    for name, frame, color in (
        ("merged", page["centers"], COLORS[1]),
        ("repaired", page["repaired"], COLORS[0]),
        ("one traversal over all rows", None, COLORS[6]),
    ):
        at = X[sequential.indices] if frame is None else frame[["x0", "x1"]].to_numpy()
        far = np.sqrt(np.sort(nearest_center(X, at)[1])[::-1])
        axes.plot(np.arange(1, len(far) + 1), far, color=color, label=f"{name}: {far[0]:.2f}")
        drawn.append(at)
    axes.set_xscale("log")
    axes.set_xlim(1, len(X))
    axes.set_xlabel("rows, the farthest first")
    axes.set_ylabel("distance to the nearest center")
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return drawn


PICTURES = {
    "two-rounds.md": {
        "two-rounds-blocks": (draw_blocks, (6.4, 4.2)),
        "two-rounds-radii": (draw_radii, (6.4, 3.8)),
        "two-rounds-merge": (draw_merge, (6.4, 4.2)),
        "two-rounds-repair": (draw_repair, (6.4, 3.6)),
    }
}


def draw_all(folder):
    """Draw each picture; a digest of what it shows lies in the file."""
    folder.mkdir(parents=True, exist_ok=True)
    for page, pictures in PICTURES.items():
        names = computed(page)
        for name, (draw, size) in pictures.items():
            figure = Figure(figsize=size, layout="constrained")
            drawn = draw(figure.add_subplot(), names)
            digest = hashlib.sha256()
            for values in drawn:
                digest.update(np.ascontiguousarray(values).tobytes())
            told = {DIGEST: digest.hexdigest()[:32], "Software": None}
            figure.savefig(folder / f"{name}.png", dpi=120, metadata=told, bbox_inches="tight")


if __name__ == "__main__":
    draw_all(Path(sys.argv[1]) if len(sys.argv) > 1 else GUIDES / "pictures")
