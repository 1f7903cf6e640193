"""Messages as the command line says them: options, where Python has parameters."""

import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

import click

from dask_distill.cli.logs import warn

# both, as in: overwrite=True / --overwrite
_BOTH = re.compile(r"""[a-z_]+(?:=(?:"[^"]*"|\{[^{}]*\}|[\w.:]*))? / (--[a-z-]+)""")
_ONE = re.compile(
    r"""(?<!--option )(?<![\w("'./=-])([a-z_]+)=("[^"]*"|'[^']*'|[\w.:*-]*\w|)(?![\w("'])"""
)

# a parameter's name as it stands in a sentence: with an underscore it is no plain word
_ALONE = re.compile(r"""(?<!--option )(?<![\w("'./=-])[a-z]+(?:_[a-z]+)+(?![\w("'=./-])""")


def as_words(message: str, command: click.Command | None) -> str:
    """A message of the library in the words of a command.

    Examples
    --------
    >>> @click.command()
    ... @click.option("--on-invalid")
    ... @click.option("--overwrite", is_flag=True)
    ... def run(): ...
    >>> as_words('clean them, or pass on_invalid="drop"', run)
    'clean them, or pass --on-invalid drop'
    >>> as_words("choose another, or pass overwrite=True / --overwrite", run)
    'choose another, or pass --overwrite'
    >>> as_words("on_invalid must be a word", run)
    '--on-invalid must be a word'
    """
    options = _options(command)

    def word(found: re.Match[str]) -> str:
        name, value = found[1], found[2].strip("\"'")
        if name in options:
            return _option(*options[name], value)
        if "option" in options and name in _strategy_options():
            return f"--option {name}={value.lower() if value in ('True', 'False') else value}"
        return found[0]

    def alone(found: re.Match[str]) -> str:
        return options[found[0]][0] if found[0] in options else found[0]

    return _ALONE.sub(alone, _ONE.sub(word, _BOTH.sub(r"\1", message)))


@contextmanager
def warnings_as_lines(*, at_once: bool = False) -> Iterator[None]:
    """Our warnings as one line each on stderr, whatever the filters of the process.

    When all is done, or ``at_once``, for who may be at work for days.
    """
    from dask_distill.selection.select import SelectionWarning

    command, lines = click.get_current_context().command, []

    def show(message: Any, category: Any, *where: Any, **more: Any) -> None:
        lines.append(as_words(str(message), command))
        if at_once:
            warn(lines.pop())

    with warnings.catch_warnings():
        warnings.simplefilter("always", SelectionWarning)
        warnings.showwarning = show
        try:
            yield
        finally:
            for line in lines:
                warn(line)


def _options(command: click.Command | None) -> dict[str, tuple[str, bool]]:
    """Options of a command by the names of parameters, and whether they take no value."""
    return {
        word.removeprefix("--").replace("-", "_"): (word, bool(param.is_flag))
        for param in (() if command is None else command.params)
        if isinstance(param, click.Option)
        for word in param.opts
        if word.startswith("--")
    }


def _option(word: str, is_flag: bool, value: str) -> str:
    if value in ("None", "False"):
        return f"{word} ''" if word == "--labels" else f"no {word}"
    return word if is_flag or not value else f"{word} {value}"


def _strategy_options() -> set[str]:
    """Of all strategies; none where none has been imported, and so none can be meant."""
    known: Any = getattr(sys.modules.get("dask_distill.strategies"), "STRATEGIES", {})
    return {field.name for strategy in known.values() for field in fields(strategy)}
