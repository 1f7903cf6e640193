"""Options that several commands share, and how progress shows. Nothing heavy is imported here."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import wraps
from typing import Any

import click

from dask_distill.clusters import CLUSTERS

PROGRAM = "dask-distill"
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


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


class OptionalWords(click.Command):
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


METRICS = click.option(
    "--metric",
    "metrics",
    multiple=True,
    metavar="NAME",
    help="Judged by the first: accuracy, balanced_accuracy, roc_auc, average_precision, log_loss, "
    "brier, calibration_error, or a scikit-learn scorer such as f1_macro; may be repeated.",
)
MODELS = click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    help="logistic-regression, boosting, neighbours, neural-network, sgd, naive-bayes; may be "
    "repeated.",
)
WRITTEN = click.option(
    "--columns",
    "written",
    metavar="NAMES",
    help="Of a table, the columns to write, comma-separated or globs; all unless given. Labels and "
    "what is carried are written in any case, features are as without it.",
)
KEEP_ENCODED = click.option(
    "--keep-encoded",
    is_flag=True,
    help="Of a table, write the numbers that its columns are read as, too, as the array X.",
)
SOURCES = click.argument("source", nargs=-1, required=True, callback=one_or_several)
FEATURES = click.option(
    "--features", metavar="NAME", help="Array, or comma-separated columns or globs."
)
LABELS = click.option("--labels", metavar="NAME", help="Array or column.")
FRACTION = click.option("--fraction", type=float, metavar="F", help="Part of the rows, e.g. 0.1.")
SIZE = click.option("--size", type=int, metavar="K", help="Number of rows instead.")
SPLIT = options(
    click.option(
        "--split",
        metavar="NAME",
        help="Of a folder of tables, those files named by it: train, validation, test, …",
    ),
    click.option(
        "--where",
        metavar="CONDITIONS",
        help='Of a folder of tables, those files of whose folders it holds: "year>=2020 and '
        'country in (de, fr)".',
    ),
)
SAMPLE_WEIGHT = click.option(
    "--sample-weight",
    metavar="NAME",
    help="Array or column that says how many rows each row stands for; '' for none. A subset that "
    "run has written brings its weights unless given.",
)
COLUMNS = options(
    click.option(
        "--column",
        "columns",
        multiple=True,
        callback=pairs,
        metavar="NAME=KIND",
        help="How a column of a table is read: number, boolean, category, date, text, embedding, "
        "id or leave-out; found out unless given.",
    ),
    click.option(
        "--profile",
        metavar="FILE",
        help="Read columns as this file says, which plan --write-profile has written.",
    ),
)
SPACE = options(
    click.option(
        "--reduce",
        metavar="SPEC",
        help="Space to compare and judge rows in: pca:32, svd:32, random-projection:64, "
        "autoencoder:32, module:function; pca:32:all and svd:32:all are fitted on all rows.",
    ),
    click.option("--time", metavar="NAME", help="Array or column that says when rows were."),
    click.option(
        "--time-scale",
        metavar="LENGTH",
        help='After how long rows are no longer alike: a number, "6h", or auto.',
    ),
)
SOURCE_OPTIONS = options(
    FEATURES,
    COLUMNS,
    click.option("--labels", metavar="NAME", help="Array or column; '' for none."),
    click.option("--carry", metavar="NAME", multiple=True, help="More arrays or columns to write."),
    SPLIT,
    SAMPLE_WEIGHT,
    FRACTION,
    SIZE,
    click.option("--strategy", default="auto", show_default=True, metavar="NAME"),
    click.option(
        "--option",
        "options",
        multiple=True,
        callback=pairs,
        metavar="KEY=VALUE",
        help="Option of the strategy.",
    ),
    SPACE,
)
SEED = click.option("--seed", type=int, default=0, show_default=True)
SCALE = click.option(
    "--scale",
    type=click.Choice(["auto", "standard", "robust", "log", "rank", "none"]),
    default="auto",
    show_default=True,
    help="How features are scaled before rows are compared.",
)
TASK = click.option(
    "--task",
    type=click.Choice(["classification", "regression", "multilabel"]),
    default="classification",
    show_default=True,
    help="What labels are; for multilabel --labels may name several columns.",
)
ON_INVALID = click.option(
    "--on-invalid",
    type=click.Choice(["raise", "drop", "fill"]),
    help="What to do with rows that have NaN or infinite values, or nulls: fill for tables unless "
    "given (for the selection alone; what is written is as it was), raise for arrays.",
)
MISSING_LABEL = click.option(
    "--missing-label",
    metavar="LABEL",
    help="What stands for no label, such as -1 or nan: rows with it are left out, and told.",
)
ON_MISSING = click.option(
    "--on-missing",
    type=click.Choice(["fill", "error"]),
    default="fill",
    show_default=True,
    help="What a chunk that is not stored means in zarr: its fill value, or a loss.",
)
ROWS_APART = options(
    click.option(
        "--protect",
        multiple=True,
        metavar="NAME",
        help="Rows never dropped: a boolean column, or class=LABEL, rare=ROWS or sparse=PART.",
    ),
    click.option(
        "--initial",
        multiple=True,
        metavar="NAME",
        help="Rows chosen already: a boolean column; or, once or more often, an .npy of row "
        "numbers or of a mask, or a subset that run has written.",
    ),
)
SUBSETS = click.option(
    "--subsets",
    type=int,
    default=1,
    show_default=True,
    metavar="N",
    help="Subsets for an ensemble, each of that size, with no row in common where possible.",
)
STORAGE_OPTION = click.option(
    "--storage-option",
    "storage",
    multiple=True,
    callback=storage_pairs,
    metavar="KEY=VALUE",
    help="For fsspec, e.g. anon=true, or s3.anon=true in zip://a.zarr::s3://b/c.zip. Never stored "
    "or shown.",
)
WORKERS = click.option("--workers", type=int, metavar="N", help="Worker processes to start.")
JSON = click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout.")
QUIET = click.option("--quiet", is_flag=True, help="No progress, no summary.")
_PLACE = options(
    click.option(
        "--cluster",
        type=click.Choice(list(CLUSTERS)),
        help="Where to start workers, with the settings of Dask's configuration; local unless "
        "a scheduler is named.",
    ),
    WORKERS,
    click.option("--scheduler-address", metavar="ADDR", help="Of a running Dask scheduler."),
    click.option("--scheduler-file", metavar="FILE", help="Written by a running Dask scheduler."),
    click.option("--tls", is_flag=True, help="Encrypt a cluster that is started on this machine."),
    click.option("--tls-ca-file", metavar="FILE", help="PEM: who vouches for the scheduler."),
    click.option("--tls-cert", metavar="FILE", help="PEM: our certificate for it."),
    click.option("--tls-key", metavar="FILE", help="PEM: its key."),
)
_PLACE_NAMES = (
    *("cluster", "workers", "scheduler_address", "scheduler_file"),
    *("tls", "tls_ca_file", "tls_cert", "tls_key"),
)


class Place:
    """Where a command takes place, as its options say; for what they mean see `connect`."""

    def __init__(
        self,
        *,
        tls_ca_file: str | None = None,
        tls_cert: str | None = None,
        tls_key: str | None = None,
        **words: Any,
    ) -> None:
        self._files = (tls_ca_file, tls_cert, tls_key)
        # cluster, workers, scheduler_address, scheduler_file and tls
        self._words = words

    def __repr__(self) -> str:
        return f"Place({', '.join(f'{name}={word!r}' for name, word in self._words.items())})"

    def connect(self) -> AbstractContextManager[Any]:
        """A client there: a context that starts or joins a cluster, and leaves or ends it."""
        from dask_distill.clusters.connect import connect, tls_files

        return connect(**self._words, security=tls_files(*self._files))


def takes_place(command: Callable[..., Any]) -> Callable[..., Any]:
    """All options of where a command takes place, which it gets as one `Place`."""

    @wraps(command)
    def placed(**arguments: Any) -> Any:
        words = {name: arguments.pop(name) for name in _PLACE_NAMES}
        return command(place=Place(**words), **arguments)

    return _PLACE(placed)


def progress_display(quiet: bool) -> Any:
    """A bar on a terminal, log lines elsewhere, nothing when quiet; a context."""
    from dask_distill.runtime.progress import show_progress

    return show_progress(quiet=quiet)
