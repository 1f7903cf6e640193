"""Numbers and tables as people read them."""

import difflib
import re
import textwrap
from collections.abc import Sequence

# the space between a number and its unit, and around ±
_UNIT = re.compile(r"(?<=\d) (?=(?:[KMGT]i)?B\b|(?:ms|s|min|h)\b|%|±)|(?<=±) (?=\d)")
_LEAST_ROOM, _LEAST_CELL = 20, 8


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


def as_page(table: Sequence[str], told: Sequence[str], width: int | None) -> str:
    """Lines of tables, and below them sentences, each in lines that fit."""
    return "\n".join([*table, "", *(line for text in told for line in wrapped("", text, width))])


def left_aligned(lines: Sequence[Sequence[str]], width: int | None = None) -> list[str]:
    """Lines of cells in columns, all left-aligned.

    Parameters
    ----------
    lines : sequence of equally many cells
    width : int, optional
        Columns of the screen: the widest columns are cut to fit, and the last one goes on below.

    Examples
    --------
    >>> left_aligned([("a", "int64", "x"), ("city", "string", "")])
    ['a     int64   x', 'city  string']
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    *leading, last = widths
    room = None if width is None else width - min(last, _LEAST_ROOM) - 2 * len(leading)
    while room is not None and sum(leading) > room and max(leading) > _LEAST_CELL:
        leading[leading.index(max(leading))] -= 1
    heads = [
        "".join(f"{_cut(cell, most):<{most}}  " for cell, most in zip(line, leading, strict=False))
        for line in lines
    ]
    ends = [line[-1] for line in lines]
    return [one for head, end in zip(heads, ends, strict=True) for one in wrapped(head, end, width)]


def shown_table(lines: Sequence[Sequence[str]], width: int | None = None) -> list[str]:
    """Lines of cells in columns, the first one left-aligned.

    Parameters
    ----------
    lines : sequence of equally many cells
    width : int, optional
        Columns of the screen: where they do not suffice, columns stand closer; where that does not
        either, those that are too many follow below, with the first one again.

    Examples
    --------
    >>> shown_table([("a", "rows"), ("b c", "1")])
    ['a    rows', 'b c     1']
    >>> shown_table([("a", "rows", "seconds"), ("b c", "1", "2")], 12)
    ['a    rows', 'b c     1', '', 'a    seconds', 'b c        2']
    """
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    if width is None or sum(widths) + 2 * (len(widths) - 1) <= width:
        return _columns(lines, widths, range(len(widths)), 2)
    if sum(widths) + len(widths) - 1 <= width:
        return _columns(lines, widths, range(len(widths)), 1)
    shown: list[str] = []
    block: list[int] = []
    for column in range(1, len(widths)):
        if block and widths[0] + sum(widths[each] + 2 for each in (*block, column)) > width:
            shown += [*_columns(lines, widths, (0, *block), 2), ""]
            block = []
        block.append(column)
    return [*shown, *_columns(lines, widths, (0, *block), 2)]


def _columns(
    lines: Sequence[Sequence[str]], widths: Sequence[int], chosen: Sequence[int], gap: int
) -> list[str]:
    """Some columns of a table, so far apart."""
    return [
        (" " * gap)
        .join(
            f"{line[each]:>{widths[each]}}" if each else f"{line[each]:<{widths[each]}}"
            for each in chosen
        )
        .rstrip()
        for line in lines
    ]


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
