"""Choosing files by the names of their folders: ``year>=2020 and country in (de, fr)``.

Partition columns alone: files that are not chosen are not read, and rows are numbered without them.
Nothing is evaluated but comparisons of a name with values.
"""

import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from dask_distill.errors import InputError
from dask_distill.sources.files import DataFile
from dask_distill.support.text import likely

_TOKEN = re.compile(
    r"""\s*(?:(?P<sign>==|!=|<=|>=|[=<>(),])|'(?P<single>[^']*)'|"(?P<double>[^"]*)"|"""
    r"""(?P<word>[^\s=!<>(),'"]+))"""
)
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_FORM = 'such as "year>=2020 and country in (de, fr)"'


@dataclass(frozen=True)
class Condition:
    """A column of partitions, a comparison or ``in``, and what it is compared with."""

    column: str
    sign: str
    values: tuple[str, ...]

    def __str__(self) -> str:
        told = [_told(value) for value in self.values]
        if self.sign == "in":
            return f"{_told(self.column)} in ({', '.join(told)})"
        return f"{_told(self.column)}{self.sign}{told[0]}"

    def holds(self, value: str | None, *, numbers: bool) -> bool:
        """Of a value that the name of a folder tells; of none where it tells of none."""
        if value is None:
            return False
        read: Callable[[str], Any] = float if numbers else str
        if numbers and _WHOLE.fullmatch(value) and all(map(_WHOLE.fullmatch, self.values)):
            # longer than floats are exact
            read = int
        found, values = read(value), [read(one) for one in self.values]
        return found in values if self.sign == "in" else _COMPARE[self.sign](found, values[0])


def conditions(text: str) -> tuple[Condition, ...]:
    """What a text asks for, all of which is to hold.

    Raises
    ------
    InputError
        Where it is no such text.

    Examples
    --------
    >>> [str(one) for one in conditions("year >= 2020 and country in (de,'côte d or')")]
    ['year>=2020', "country in (de, 'côte d or')"]
    """
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"where must be conditions {_FORM}, got {text!r:.60}; give some")
    tokens = _Tokens(text)
    found = [_condition(tokens)]
    while tokens.left:
        tokens.expect("word", "and")
        found.append(_condition(tokens))
    return tuple(found)


def of_partitions(
    files: list[DataFile], where: str | None, source: str, *, waiting: bool = False
) -> list[DataFile]:
    """Files of whose folders' names all conditions hold.

    Parameters
    ----------
    files : list of DataFile
    where : str or None
        None for all files.
    source : str
        For errors.
    waiting : bool
        Whether more files may come, so that none need be left.

    Raises
    ------
    InputError
        Where a column is none of partitions, or no file is left.
    """
    if where is None or (waiting and not files):
        return files
    asked = conditions(where)
    there = list(dict.fromkeys(name for file in files for name, _ in file.partition))
    for condition in asked:
        if condition.column not in there:
            raise InputError(
                f"where must be of columns that folders of '{source}' are named by, as in "
                f"year=2020/, got {condition.column!r}{likely(condition.column, there)}; there "
                f"are: {', '.join(there) or 'none'}"
            )
    numbers = {name for name in there if _all_whole(name, files)}
    for condition in asked:
        wrong = [value for value in condition.values if not _NUMBER.fullmatch(value)]
        if condition.column in numbers and wrong:
            raise InputError(
                f"where must compare {condition.column!r} with numbers, which its values are, got "
                f"{wrong[0]!r}; give a number"
            )
    left = [file for file in files if _chosen(file, asked, numbers)]
    if not left and not waiting:
        told = "; ".join(f"{name}: {_values_told(name, files)}" for name in _names(asked))
        raise InputError(
            f"where must leave some files of '{source}', got {_joined(asked)!r}, of which none "
            f"holds; there are {told}"
        )
    return left


def usual_where(where: str | None) -> str | None:
    """The same conditions, always written alike."""
    return None if where is None else _joined(conditions(where))


class _Tokens:
    """Signs, words and quoted words, one after another."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(self._all())

    def _all(self) -> Iterator[tuple[str, str]]:
        at, text = 0, self._text.rstrip()
        while at < len(text):
            found = _TOKEN.match(text, at)
            if found is None:
                raise self.wrong(text[at:].strip())
            kind = str(found.lastgroup)
            yield "quoted" if kind in ("single", "double") else kind, found[kind]
            at = found.end()

    @property
    def left(self) -> bool:
        """Whether some are left."""
        return bool(self._tokens)

    def take(self, *kinds: str) -> str:
        """The next one, which is to be of one of these kinds."""
        if not self._tokens or self._tokens[0][0] not in kinds:
            raise self.wrong(self._tokens[0][1] if self._tokens else "its end")
        return self._tokens.pop(0)[1]

    def expect(self, kind: str, *words: str) -> str:
        """The next one, which is to be one of these."""
        found = self.take(kind).lower()
        if found not in words:
            raise self.wrong(found)
        return found

    def wrong(self, found: str) -> InputError:
        """The error for what cannot stand where it does."""
        return InputError(
            f"where must be conditions {_FORM}, got {self._text!r:.200}, which cannot be read from "
            f"{found[:40]!r} on; quote values that have signs or blanks"
        )


def _condition(tokens: _Tokens) -> Condition:
    column = tokens.take("word", "quoted")
    sign = tokens.take("sign", "word").lower()
    if sign == "in":
        return Condition(column, "in", _list(tokens))
    sign = "=" if sign == "==" else sign
    if sign not in _COMPARE:
        raise tokens.wrong(sign)
    return Condition(column, sign, (tokens.take("word", "quoted"),))


def _list(tokens: _Tokens) -> tuple[str, ...]:
    tokens.expect("sign", "(")
    values = [tokens.take("word", "quoted")]
    while tokens.expect("sign", ",", ")") == ",":
        values.append(tokens.take("word", "quoted"))
    return tuple(values)


def _all_whole(name: str, files: Sequence[DataFile]) -> bool:
    """Whether all values are whole numbers, as the column then is."""
    values = {dict(file.partition).get(name) for file in files} - {None}
    return bool(values) and all(_WHOLE.fullmatch(str(value)) for value in values)


def _chosen(file: DataFile, asked: Sequence[Condition], numbers: set[str]) -> bool:
    told = dict(file.partition)
    return all(one.holds(told.get(one.column), numbers=one.column in numbers) for one in asked)


def _names(asked: Sequence[Condition]) -> list[str]:
    return list(dict.fromkeys(one.column for one in asked))


def _values_told(name: str, files: Sequence[DataFile]) -> str:
    values = list(dict.fromkeys(str(dict(file.partition).get(name)) for file in files))
    return ", ".join(values[:10]) + (", …" if len(values) > 10 else "")


def _joined(asked: Sequence[Condition]) -> str:
    return " and ".join(map(str, asked))


def _told(word: str) -> str:
    plain = re.fullmatch(r"[^\s=!<>(),'\"]+", word) and word.lower() not in ("and", "in")
    quote = '"' if "'" in word else "'"
    return word if plain else f"{quote}{word}{quote}"
