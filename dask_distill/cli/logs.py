"""What a command tells beside its result: where to watch, and logs.

Everything goes through Python's logging, below ``dask_distill``; here it is sent to a screen or to
a file. Nothing heavy is imported here.
"""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import click

from dask_distill.cli.help import OptionGroup, option
from dask_distill.cli.options import PROGRAM, options
from dask_distill.errors import InputError

# what is on the screen in any case is logged by this name, for files
_SHOWN = logging.getLogger("dask_distill.cli")
# where nothing else handles them, logging shows warnings by itself: a second time
_SHOWN.addHandler(logging.NullHandler())
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

LOGS = options(
    option(
        OptionGroup.OUTPUT,
        "--verbose",
        is_flag=True,
        help="Tell of every step and of the cluster on standard error, also with --quiet.",
    ),
    option(
        OptionGroup.OUTPUT,
        "--log-file",
        metavar="FILE",
        help="Write the same to FILE, behind what is there, and of what fails the traceback.",
    ),
)


class _Screen(logging.Handler):
    """Standard error as it is when something is told: a display of progress takes its place."""

    def emit(self, record: logging.LogRecord) -> None:
        click.echo(self.format(record), err=True)


class _Relay(logging.Handler):
    """Passes Dask's own records on, also where a cluster silences what it finds.

    A cluster that is started on this machine raises the level of each handler of Dask's logger.
    """

    def __init__(self, to: logging.Handler) -> None:
        super().__init__()
        self._to = to

    def setLevel(self, level: int | str) -> None:  # noqa: N802
        """Nothing: what is asked for is told."""

    def emit(self, record: logging.LogRecord) -> None:
        self._to.handle(record)


@contextmanager
def logged(verbose: bool, log_file: str | None) -> Iterator[None]:
    """Send logs where they are wanted, while a command runs.

    Raises
    ------
    InputError
        Where the file cannot be written.
    """
    handlers: list[logging.Handler] = []
    if log_file is not None:
        handlers.append(_file(log_file))
    if verbose:
        handlers.append(_Screen())
        handlers[-1].addFilter(lambda record: record.name != _SHOWN.name)
    for handler in handlers:
        handler.setFormatter(logging.Formatter(_FORMAT))
    if not handlers:
        yield
        return
    with ExitStack() as stack:
        ours, dasks = logging.getLogger("dask_distill"), logging.getLogger("distributed")
        stack.enter_context(_sent(ours, logging.DEBUG, handlers))
        stack.enter_context(_sent(dasks, dasks.level, [_Relay(handler) for handler in handlers]))
        for handler in handlers:
            stack.callback(handler.close)
        _tell_versions()
        try:
            yield
        except Exception:
            logging.getLogger("dask_distill").debug("the command has failed", exc_info=True)
            raise


def _file(path: str) -> logging.Handler:
    from dask_distill.support.files import checked_file

    try:
        return logging.FileHandler(checked_file(path), encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"log_file must be a file that can be written, got '{path}': {error.strerror}; "
            "choose another"
        ) from None
    except InputError:
        raise InputError(
            f"log_file must be a file in a folder that exists, got '{path}'; choose another"
        ) from None


@contextmanager
def _sent(
    logger: logging.Logger, level: int, handlers: Sequence[logging.Handler]
) -> Iterator[None]:
    """A logger's records from a level on, to more handlers."""
    before = logger.level
    logger.setLevel(level)
    for handler in handlers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        logger.setLevel(before)
        for handler in handlers:
            logger.removeHandler(handler)


def _tell_versions() -> None:
    """What runs, and on what: never how it was called, since options may be secrets."""
    import platform
    from importlib.metadata import version

    command = click.get_current_context().info_name
    found = ", ".join(f"{name} {version(name)}" for name in ("dask", "distributed", "numpy"))
    logging.getLogger("dask_distill").debug(
        "%s %s %s, Python %s, %s",
        PROGRAM,
        version(PROGRAM),
        command,
        platform.python_version(),
        found,
    )


def warn(line: str) -> None:
    """A line on what users should look at."""
    _say(f"{PROGRAM}: warning: {line}")
    _SHOWN.warning(line)


def tell_where_to_watch(client: Any) -> None:
    """The address at which Dask shows what each worker does."""
    from importlib.util import find_spec

    # a scheduler may have been started without
    link = getattr(client, "dashboard_link", None)
    if not link:
        return
    if find_spec("bokeh") is None:
        # there without it
        link = link.replace("/status", "/info/main/workers.html")
    _say(f"watch: {link}")
    _SHOWN.info("watch: %s", link)


def _say(line: str) -> None:
    """On standard error, above the bars where there are some: click writes past who draws them."""
    sys.stderr.write(f"{line}\n")
