"""Numbers and tables as people read them."""

import difflib
import re
import textwrap
from collections.abc import Sequence

# the space between a number and its unit, and around ±
_UNIT = re.compile(r"(?<=\d) (?=(?:[KMGT]i)?B\b|(?:ms|s|min|h)\b|%|±)|(?<=±) (?=\d)")
_LEAST_ROOM = 20


def shown_bytes(count: float) -> str:
    """A number of bytes in the unit that suits it.

    Examples
    --------
    >>> shown_bytes(900), shown_bytes(5 * 2**20)
    ('900 B', '5.0 MiB')
    """
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def likely(name: str, names: Sequence[str]) -> str:
    """What may have been meant, in words; "" where nothing is like it.

    Examples
    --------
    >>> likely("strat", ("strata", "stratified", "random"))
    " (did you mean 'strata'?)"
    """
    found = difflib.get_close_matches(name, names, n=1)
    return f" (did you mean {found[0]!r}?)" if found else ""


def wrapped(head: str, text: str, width: int | None) -> list[str]:
    """A text behind its head, in lines that fit: all but the first are indented as wide.

    Numbers stay with their units.

    Parameters
    ----------
    head : str
    text : str
    width : int, optional
        Columns; one line where it is None.

    Examples
    --------
    >>> wrapped("moved  ", "all that there is: 8.5 MiB", 30)
    ['moved  all that there is:', '       8.5 MiB']
    """
    if width is None:
        return [f"{head}{text}".rstrip()]
    # what stays together has no plain space
    whole = _UNIT.sub("\u00a0", text)
    # a screen that is narrow has lines of its own, however deep they would be indented
    room = max(width - len(head), _LEAST_ROOM)
    lines = textwrap.wrap(whole, room, break_on_hyphens=False, break_long_words=False) or [""]
    heads = (head, *(" " * len(head),) * (len(lines) - 1))
    return [
        f"{front}{line}".replace("\u00a0", " ").rstrip()
        for front, line in zip(heads, lines, strict=True)
    ]


def left_aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    """Lines of cells in columns, all left-aligned.

    Examples
    --------
    >>> left_aligned([("a", "int64", "x"), ("city", "string", "")])
    ['a     int64   x', 'city  string']
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def shown_table(lines: Sequence[Sequence[str]]) -> list[str]:
    """Lines of cells in columns, the first one left-aligned.

    Parameters
    ----------
    lines : sequence of equally many cells

    Examples
    --------
    >>> shown_table([("a", "rows"), ("b c", "1")])
    ['a    rows', 'b c     1']
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            f"{cell:<{width}}" if column == 0 else f"{cell:>{width}}"
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
