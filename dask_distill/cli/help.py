"""Help: options in groups, summaries whole, examples at the end. Nothing heavy is imported here."""

from collections.abc import Callable
from enum import StrEnum
from typing import Any

import click

from dask_distill.support.text import likely

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class OptionGroup(StrEnum):
    """What an option is about, in the order of the help."""

    INPUT = "Input"
    SIZE = "Size"
    STRATEGY = "Strategy"
    JUDGING = "Judging"
    CLUSTER = "Cluster"
    OUTPUT = "Output"
    OTHER = "Other"


class Option(click.Option):
    """An option that stands in a group of the help."""

    def __init__(self, *words: Any, group: OptionGroup, **how: Any) -> None:
        super().__init__(*words, **how)
        self.group = group


def option(group: OptionGroup, *words: str, **how: Any) -> Decorator:
    """An option of a command, in a group of the help; all else as of `click.option`."""
    return click.option(*words, cls=Option, group=group, **how)


class Command(click.Command):
    """A command whose help has its options in groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one list for each group, and what belongs to none at the end."""
        told: dict[OptionGroup, list[tuple[str, str]]] = {group: [] for group in OptionGroup}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record is not None:
                told[getattr(param, "group", OptionGroup.OTHER)].append(record)
        for group, records in told.items():
            if records:
                with formatter.section(f"{group} options"):
                    formatter.write_dl(records)


def command(
    *examples: str, summary: str, cls: type[click.Command] = Command
) -> Callable[[Callable[..., Any]], click.Command]:
    """A command with a line for the list of commands, and examples.

    Parameters
    ----------
    *examples : str
        Lines of a shell, each in 78 columns; a line that begins with ``#`` says what follows.
    summary : str
        What it does, in 64 characters.
    cls : class
    """
    lines = "\n".join(("Examples:", *(f"  {line}" for line in examples)))
    return click.command(cls=cls, short_help=summary, epilog=f"\b\n{lines}")


class Commands(click.Group):
    """A group of commands that lists them in the order of their use, each on a line of its own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, as they were added."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write what each does, whole."""
        with formatter.section("Commands"):
            formatter.write_dl(
                [(name, each.short_help or "") for name, each in self.commands.items()]
            )


class Choice(click.Choice[str]):
    """One of a few words; says which may have been meant."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """With the word that is most like it."""
        words = [str(choice) for choice in self.choices]
        meant = likely(str(value), words)
        return f"{str(value)!r} is not one of {', '.join(map(repr, words))}{meant}."


class PartOfRows(click.ParamType):  # type: ignore[type-arg]
    """A part of the rows: 0.1, or 10%."""

    name = "part"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """The number; 7% is the same one as 0.07.

        Examples
        --------
        >>> [PartOfRows().convert(text, None, None) for text in ("0.1", "10%", "0.07", "7 %")]
        [0.1, 0.1, 0.07, 0.07]
        """
        from decimal import Decimal

        text = str(value).strip()
        try:
            # in decimals: what is rounded twice is another number
            if text.endswith("%"):
                return float(Decimal(text[:-1].strip()) / 100)
            return float(text)
        except (ValueError, ArithmeticError):
            self.fail(f"{text!r} is no part; give one such as 0.1 or 10%", param, ctx)


class NumberOfRows(click.ParamType):  # type: ignore[type-arg]
    """A number of rows."""

    name = "rows"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """The number; a part of the rows is another option's matter."""
        text = str(value).strip()
        try:
            return int(text)
        except ValueError:
            part = "; for a part of them: --fraction" if text.endswith("%") else ""
            self.fail(f"{text!r} is no number of rows{part}", param, ctx)
