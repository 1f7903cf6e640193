"""A picture before it has a format."""

import hashlib
import io
import os
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path
from typing import Any

from dask_distill.errors import InputError
from dask_distill.support.files import write_whole

FORMATS = ("svg", "png")
MISSING = (
    "the report needs jinja2 and matplotlib, which are not all installed; "
    'run pip install "dask-distill[report]"'
)
_INK = "#010203"
ACCENT = "#2f7fc1"
_COLORED = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
# distinct for most colour-blind eyes, on white and on black
COLORS = (
    "#2f7fc1",
    "#e08214",
    "#1b9e77",
    "#d6457f",
    "#8c6bd1",
    "#b8a000",
    "#7f8c8d",
    "#a0522d",
)
MARKERS = "osD^vPX*"
_SIZE = (4.6, 2.9)
_DOTS_PER_INCH = 200


@dataclass(frozen=True)
class Drawing:
    """A picture before it has a format.

    Attributes
    ----------
    name : str
        Of the picture, and of what in an SVG has to have a name of its own.
    title : str
        What it shows, for those who do not see it.
    draw : callable
        Takes matplotlib's axes and ``arguments``.
    arguments : tuple
    """

    name: str
    title: str
    draw: Callable[..., None]
    arguments: tuple[Any, ...]

    def inline(self) -> str:
        """SVG text for a page, which gives it its width and colours."""
        return _inline(self._rendered("svg", transparent=True).decode(), self.name, self.title)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an .svg or .png file, on white.

        Parameters
        ----------
        path : path
            A file that is there is replaced.

        Raises
        ------
        InputError
            For another ending, or where the file cannot be written.
        """
        kind = Path(path).suffix.lower().removeprefix(".")
        if kind not in FORMATS:
            raise InputError(f"path must end in .svg or .png, got '{path}'; choose one of them")
        write_whole(path, self._rendered(kind, transparent=False))

    def _rendered(self, kind: str, *, transparent: bool) -> bytes:
        from matplotlib import rc_context
        from matplotlib.figure import Figure

        ink = _INK if transparent else "#1c2024"
        style: Any = {
            "svg.fonttype": "none" if transparent else "path",
            "svg.hashsalt": self.name,
            "font.size": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
            **dict.fromkeys(_COLORED, ink),
        }
        dated = {"Date": None, "Creator": None, "Title": self.title}
        buffer = io.BytesIO()
        with rc_context(style), warnings.catch_warnings():
            # fonts are the reader's, not ours
            warnings.simplefilter("ignore")
            figure = Figure(figsize=_SIZE)
            self.draw(figure.add_subplot(), *self.arguments)
            figure.savefig(
                buffer,
                format=kind,
                transparent=transparent,
                bbox_inches="tight",
                dpi=_DOTS_PER_INCH,
                metadata=dated if kind == "svg" else {"Software": None, "Title": self.title},
            )
        return buffer.getvalue()


def notebook_picture(make: Callable[[], Drawing], content: object) -> str:
    """A picture for a cell's output; nothing where it cannot be drawn.

    Parameters
    ----------
    make : callable
        Gives the drawing.
    content : object
        Whose ``repr`` tells the picture from others on the page: what is named in an SVG is named
        for the page.
    """
    try:
        drawing = make()
    except InputError:
        return ""
    key = hashlib.blake2b(repr(content).encode(), digest_size=6).hexdigest()
    svg = replace(drawing, name=f"{drawing.name}-{key}").inline()
    return f'<div style="max-width:34rem">{svg}</div>'


def require_matplotlib() -> None:
    """End with an error that says what to install, where it is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise InputError(MISSING) from None


def plain_label(text: str) -> str:
    """A label as matplotlib shows it: no markup, nothing that XML cannot hold."""
    shown = "".join(letter for letter in text if letter.isprintable())
    shown = shown if len(shown) <= 28 else f"{shown[:27]}…"
    # it leaves labels that start with an underscore out of the legend
    shown = f"\u200b{shown}" if shown.startswith("_") else shown
    return shown.replace("$", r"\$") or "(empty)"


def _inline(svg: str, name: str, title: str) -> str:
    """An SVG file as part of a page: ids of its own, the page's ink and font, a title."""
    key = re.sub(r"\W", "-", name)
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="', f'id="{key}-', svg)
    svg = svg.replace("url(#", f"url(#{key}-").replace('xlink:href="#', f'href="#{key}-')
    svg = svg.replace('xlink:href="data:', 'href="data:')
    svg = re.sub(r'\s+xmlns(:\w+)?="[^"]*"', "", svg)
    svg = svg.replace(_INK, "currentColor")
    svg = re.sub(r"(font: [\d.]+px) [^;\"]*", r"\1 system-ui, sans-serif", svg)
    # the page sets the width
    svg = re.sub(r'(<svg [^>]*?)\s(?:width|height)="[^"]*"', r"\1", svg)
    svg = re.sub(r'(<svg [^>]*?)\s(?:width|height)="[^"]*"', r"\1", svg)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-labelledby="{key}-title" '
    svg = svg.replace("<svg ", head, 1)
    start = svg.index(">") + 1
    return f'{svg[:start]}<title id="{key}-title">{escape(title)}</title>{svg[start:]}'
