"""The command that tells of strategies. Nothing heavy is imported here."""

import json
import re
from typing import Any

import click

from dask_distill.cli.help import command
from dask_distill.cli.options import JSON

# a section of numpydoc: its name, and a line below it
_SECTION = re.compile(r"^(\w[\w ]*)\n-{3,}\n", flags=re.MULTILINE)
_PARAMETER = re.compile(r"^([\w, ]+?)(?: : .*)?\n((?:    .*\n?|\n)+)", flags=re.MULTILINE)


@command(
    "dask-distill strategies",
    "dask-distill strategies kcenter",
    summary="List strategies; of one, its options and when to take it.",
)
@click.argument("name", required=False)
@JSON
def strategies(name: str | None, as_json: bool) -> None:
    """List the strategies that run --strategy takes, or tell of NAME: options, ranges, defaults."""
    from dask_distill.cli.show import print_table
    from dask_distill.strategies import STRATEGIES, strategy_named

    if name is not None:
        told = described(strategy_named(name))
        if as_json:
            click.echo(json.dumps(told))
        else:
            _print_one(told)
        return
    listed = [described(kind) for kind in STRATEGIES.values()]
    if as_json:
        click.echo(json.dumps({"strategies": listed}))
        return
    print_table([(each["name"], each["when"]) for each in listed])
    click.echo("\nMore of one: dask-distill strategies NAME")


def described(kind: Any) -> dict[str, Any]:
    """What a strategy says of itself, JSON-able.

    Examples
    --------
    >>> from dask_distill.strategies import STRATEGIES
    >>> told = described(STRATEGIES["stratified"])
    >>> told["when"], told["options"][0]["allowed"], told["options"][0]["default"]
    ('something to compare with: each class in proportion', 'at least 1', 1)
    """
    from dataclasses import fields
    from inspect import getdoc

    from dask_distill.support.options import in_words, rules_of

    _, *parts = _SECTION.split(f"Text\n----\n{getdoc(kind)}\n")
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    about, rules = _parameters(sections.get("Parameters", "")), rules_of(kind)
    paragraphs = [_plain(text) for text in sections["Text"].strip().split("\n\n")]
    options = [
        {
            "name": each.name,
            "default": each.default,
            "allowed": _allowed(each.default, in_words(rules[each.name])),
            "about": about.get(each.name, ""),
        }
        for each in fields(kind)
    ]
    return {
        "name": kind.name,
        "when": kind.when,
        "labels": _labels(kind),
        "about": paragraphs,
        "options": options,
    }


def _labels(kind: Any) -> str:
    """Which labels it takes, in words."""
    takes = ["classes", *sorted(kind.tasks, reverse=True)]
    needs = "needed" if not kind.works_alone() and kind.needs_labels else "taken, where there are"
    return f"{needs}: {', '.join(takes)}"


def _allowed(default: Any, words: str) -> str:
    return words or ("true or false" if isinstance(default, bool) else "")


def _parameters(section: str) -> dict[str, str]:
    """What a section of numpydoc says of each parameter."""
    found: dict[str, str] = {}
    for names, text in _PARAMETER.findall(section):
        found |= dict.fromkeys(names.replace(" ", "").split(","), _plain(text))
    return found


def _plain(text: str) -> str:
    """A paragraph of a docstring without its marks, as the command line says it."""
    from dask_distill.cli.run import run
    from dask_distill.cli.words import as_words

    words = " ".join(re.sub(r"`+~?", "", text).split())
    return as_words(words, run)


def _print_one(told: dict[str, Any]) -> None:
    from dask_distill.cli.show import print_paragraph, print_table

    summary, *more = told["about"]
    print_table(
        [(told["name"], summary), ("take it for", told["when"]), ("labels", told["labels"])]
    )
    for text in more:
        click.echo("")
        print_paragraph(text)
    if not told["options"]:
        click.echo("\nIt has no options.")
        return
    click.echo("\nOptions, each as --option NAME=VALUE:\n")
    lines = []
    for each in told["options"]:
        default = each["default"]
        given = "" if default in ("", None) else f"; {_shown(default)} unless given"
        lines.append((each["name"], f"{each['allowed'] or 'any'}{given}"))
        lines += [("", each["about"])] if each["about"] else []
    print_table(lines)


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
