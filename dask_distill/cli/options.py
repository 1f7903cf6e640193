"""Options that several commands share, and how progress shows. Nothing heavy is imported here."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from dask_distill.cli.help import (
    Choice,
    Command,
    Decorator,
    NumberOfRows,
    OptionGroup,
    PartOfRows,
    option,
)

PROGRAM = "dask-distill"


def pairs(ctx: click.Context, option: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """KEY=VALUE options as a dict."""
    found = {}
    for value in values:
        key, sign, text = value.partition("=")
        if not sign or not key:
            raise click.UsageError(f"{option.opts[0]} must be KEY=VALUE, got one without '='")
        found[key] = text
    return found


def storage_pairs(
    ctx: click.Context, option: click.Parameter, values: tuple[str, ...]
) -> dict[str, Any]:
    """Options for fsspec; in a chain of URLs, those of one protocol are named with it: s3.anon."""
    found: dict[str, Any] = {}
    for key, text in pairs(ctx, option, values).items():
        protocol, dot, name = key.rpartition(".")
        if dot:
            found.setdefault(protocol, {})[name] = text
        else:
            found[key] = text
    return found


def one_or_several(ctx: click.Context, option: click.Parameter, values: tuple[str, ...]) -> Any:
    """A word, or a list where there are more: files as a shell lists them."""
    return values[0] if len(values) == 1 else list(values)


def options(*decorators: Decorator) -> Decorator:
    """Several options as one decorator."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            command = decorator(command)
        return command

    return decorate


# by option: what it means alone, and the words it takes
OPTIONAL_WORDS = {"--scores": ("selected", "all")}


class OptionalWords(Command):
    """A command of which some options may stand alone, or before one of a few words.

    Any other word behind such an option is none of its.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """With the word that each such option means."""
        found, rest = [], list(args)
        while rest:
            word = rest.pop(0)
            if word == "--":
                found += [word, *rest]
                break
            if word in OPTIONAL_WORDS:
                known = OPTIONAL_WORDS[word]
                word = f"{word}={rest.pop(0) if rest and rest[0] in known else known[0]}"
            found.append(word)
        return super().parse_args(ctx, found)


METRICS = option(
    OptionGroup.JUDGING,
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME",
    help="Judged by the first: accuracy, balanced_accuracy, roc_auc, average_precision, log_loss, "
    "brier, calibration_error, or a scikit-learn scorer such as f1_macro; may be repeated.",
)
MODELS = option(
    OptionGroup.JUDGING,
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    help="logistic-regression, boosting, neighbours, neural-network, sgd, naive-bayes; may be "
    "repeated.",
)
TEST = option(
    OptionGroup.JUDGING,
    "--test",
    "tests",
    multiple=True,
    metavar="NAME",
    help="Held-out rows: another source, or two arrays of this one (features and labels). "
    "Rows that were not selected unless given.",
)
DRAWS = options(
    option(
        OptionGroup.JUDGING,
        "--seeds",
        type=int,
        default=5,
        show_default=True,
        help="Draws and trainings.",
    ),
    option(
        OptionGroup.JUDGING,
        "--seed",
        type=int,
        default=0,
        show_default=True,
        help="The first of them.",
    ),
    option(
        OptionGroup.JUDGING, "--test-rows", type=int, metavar="N", help="To hold out for each seed."
    ),
    option(
        OptionGroup.JUDGING,
        "--max-rows",
        type=int,
        metavar="N",
        help="Most rows of one training: 50,000, or what a GiB holds four of, unless given.",
    ),
)

EVERYTHING = option(
    OptionGroup.JUDGING,
    "--everything",
    default="part",
    show_default=True,
    metavar="all",
    help="Whether everything is at most --max-rows of its rows, or all, block by block (all:3 for "
    "three passes), by models that can: sgd, naive-bayes, neural-network.",
)
WRITTEN = option(
    OptionGroup.OUTPUT,
    "--columns",
    "written",
    metavar="NAMES",
    help="Of a table, the columns to write, comma-separated or globs; all unless given. Labels and "
    "what is carried are written in any case, features are as without it.",
)
KEEP_ENCODED = option(
    OptionGroup.OUTPUT,
    "--keep-encoded",
    is_flag=True,
    help="Of a table, write the numbers that its columns are read as, too, as the array X.",
)
SOURCES = click.argument("source", nargs=-1, required=True, callback=one_or_several)
FEATURES = option(
    OptionGroup.INPUT,
    "--features",
    metavar="NAME",
    help="Array, or comma-separated columns or globs.",
)
LABELS = option(OptionGroup.INPUT, "--labels", metavar="NAME", help="Array or column.")
FRACTION = option(
    OptionGroup.SIZE,
    "--fraction",
    type=PartOfRows(),
    metavar="F",
    help="Part of the rows, e.g. 0.1 or 10%.",
)
SIZE = option(
    OptionGroup.SIZE, "--size", type=NumberOfRows(), metavar="K", help="Number of rows instead."
)
SPLIT = options(
    option(
        OptionGroup.INPUT,
        "--split",
        metavar="NAME",
        help="Of a folder of tables, those files named by it: train, validation, test, …",
    ),
    option(
        OptionGroup.INPUT,
        "--where",
        metavar="CONDITIONS",
        help='Of a folder of tables, those files of whose folders it holds: "year>=2020 and '
        'country in (de, fr)".',
    ),
)
SAMPLE_WEIGHT = option(
    OptionGroup.INPUT,
    "--sample-weight",
    metavar="NAME",
    help="Array or column that says how many rows each row stands for; '' for none. A subset that "
    "run has written brings its weights unless given.",
)
COLUMNS = options(
    option(
        OptionGroup.INPUT,
        "--column",
        "columns",
        multiple=True,
        callback=pairs,
        metavar="NAME=KIND",
        help="How a column of a table is read: number, boolean, category, date, text, embedding, "
        "id or leave-out; found out unless given.",
    ),
    option(
        OptionGroup.INPUT,
        "--profile",
        metavar="FILE",
        help="Read columns as this file says, which plan --write-profile has written.",
    ),
)
SPACE = options(
    option(
        OptionGroup.STRATEGY,
        "--reduce",
        metavar="SPEC",
        help="Space to compare and judge rows in: pca:32, svd:32, random-projection:64, "
        "autoencoder:32, module:function; pca:32:all and svd:32:all are fitted on all rows.",
    ),
    option(
        OptionGroup.INPUT,
        "--time",
        metavar="NAME",
        help="Array or column that says when rows were.",
    ),
    option(
        OptionGroup.STRATEGY,
        "--time-scale",
        metavar="LENGTH",
        help='After how long rows are no longer alike: a number, "6h", or auto.',
    ),
)
SOURCE_OPTIONS = options(
    FEATURES,
    COLUMNS,
    option(OptionGroup.INPUT, "--labels", metavar="NAME", help="Array or column; '' for none."),
    option(
        OptionGroup.INPUT,
        "--carry",
        metavar="NAME",
        multiple=True,
        help="More arrays or columns to write.",
    ),
    SPLIT,
    SAMPLE_WEIGHT,
    FRACTION,
    SIZE,
    option(
        OptionGroup.STRATEGY,
        "--strategy",
        default="auto",
        show_default=True,
        metavar="NAME",
        help="How rows are chosen: dask-distill strategies lists the ways.",
    ),
    option(
        OptionGroup.STRATEGY,
        "--option",
        "options",
        multiple=True,
        callback=pairs,
        metavar="KEY=VALUE",
        help="Option of the strategy: dask-distill strategies NAME tells which it has; may be "
        "repeated.",
    ),
    SPACE,
)
SEED = option(
    OptionGroup.STRATEGY,
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Of what is drawn by chance: the same seed gives the same rows.",
)
SCALE = option(
    OptionGroup.STRATEGY,
    "--scale",
    type=Choice(["auto", "standard", "robust", "log", "rank", "none"]),
    default="auto",
    show_default=True,
    help="How features are scaled before rows are compared.",
)
TASK = option(
    OptionGroup.INPUT,
    "--task",
    type=Choice(["classification", "regression", "multilabel"]),
    default="classification",
    show_default=True,
    help="What labels are; for multilabel --labels may name several columns.",
)
ON_INVALID = option(
    OptionGroup.INPUT,
    "--on-invalid",
    type=Choice(["raise", "drop", "fill"]),
    help="What to do with rows that have NaN or infinite values, or nulls: fill for tables unless "
    "given (for the selection alone; what is written is as it was), raise for arrays.",
)
MISSING_LABEL = option(
    OptionGroup.INPUT,
    "--missing-label",
    metavar="LABEL",
    help="What stands for no label, such as -1 or nan: rows with it are left out, and told.",
)
ON_MISSING = option(
    OptionGroup.INPUT,
    "--on-missing",
    type=Choice(["fill", "error"]),
    default="fill",
    show_default=True,
    help="What a chunk that is not stored means in zarr: its fill value, or a loss.",
)
ROWS_APART = options(
    option(
        OptionGroup.SIZE,
        "--protect",
        multiple=True,
        metavar="NAME",
        help="Rows never dropped: a boolean column, or class=LABEL, rare=ROWS or sparse=PART.",
    ),
    option(
        OptionGroup.SIZE,
        "--initial",
        multiple=True,
        metavar="NAME",
        help="Rows chosen already: a boolean column; or, once or more often, an .npy of row "
        "numbers or of a mask, or a subset that run has written.",
    ),
)
SUBSETS = option(
    OptionGroup.SIZE,
    "--subsets",
    type=int,
    default=1,
    show_default=True,
    metavar="N",
    help="Subsets for an ensemble, each of that size, with no row in common where possible.",
)
STORAGE_OPTION = option(
    OptionGroup.INPUT,
    "--storage-option",
    "storage",
    multiple=True,
    callback=storage_pairs,
    metavar="KEY=VALUE",
    help="For fsspec, e.g. anon=true, or s3.anon=true in zip://a.zarr::s3://b/c.zip. Never stored "
    "or shown.",
)
WORKERS = option(
    OptionGroup.CLUSTER, "--workers", type=int, metavar="N", help="Worker processes to start."
)
JSON = option(
    OptionGroup.OUTPUT, "--json", "as_json", is_flag=True, help="One JSON object on stdout."
)
QUIET = option(OptionGroup.OUTPUT, "--quiet", is_flag=True, help="No progress, no summary.")


def progress_display(quiet: bool) -> Any:
    """A bar on a terminal, log lines elsewhere, nothing when quiet; a context."""
    from dask_distill.runtime.progress import show_progress

    return show_progress(quiet=quiet)


@contextmanager
def timed_display(quiet: bool) -> Iterator[Any]:
    """The same, which knows how long each phase took, from the start of the program on."""
    from dask_distill.runtime.phases import Timed

    # of the program where it is one of its own, and of the command in another's
    began = click.get_current_context().find_root().obj or time.perf_counter()
    with progress_display(quiet) as progress:
        yield Timed(progress, began)
