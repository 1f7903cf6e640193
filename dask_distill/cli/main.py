"""The command line: thin commands over the library.

Imported by every `dask` command through the entry point, so nothing heavy is imported here.
"""

import os
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import click

from dask_distill.cli.curve import curve
from dask_distill.cli.demo import demo
from dask_distill.cli.follow import follow
from dask_distill.cli.help import Commands
from dask_distill.cli.judge import evaluate, report
from dask_distill.cli.logs import warn
from dask_distill.cli.options import PROGRAM
from dask_distill.cli.run import plan, run
from dask_distill.cli.score import score
from dask_distill.cli.search import search
from dask_distill.cli.strategies import strategies
from dask_distill.cli.synthesize import synthesize
from dask_distill.cli.verify import verify
from dask_distill.cli.words import as_words
from dask_distill.errors import DistillError, InputError, InputWarning
from dask_distill.runtime.stopping import exit_code, stoppable

# when the program began, or nearly so
_BEGAN = time.perf_counter()


class _Group(Commands):
    """Turns our errors into one line on stderr and an exit code, also below `dask`."""

    def chosen(self, ctx: click.Context) -> click.Command | None:
        """The command that is run."""
        return self.commands.get(ctx.invoked_subcommand or "")

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _warnings_as_lines(self, ctx):
                return super().invoke(ctx)
        except click.UsageError as error:
            _fail(error.format_message(), 2)
        except InputError as error:
            _fail(as_words(str(error), self.chosen(ctx)), 2)
        except DistillError as error:
            _fail(as_words(str(error), self.chosen(ctx)), 1)
        except (click.exceptions.Exit, click.Abort, KeyboardInterrupt, BrokenPipeError):
            raise
        except Exception as error:
            import traceback

            traceback.print_exc()
            _fail(f"the run failed: {type(error).__name__}: {error}", 1)


@contextmanager
def _warnings_as_lines(group: _Group, ctx: click.Context) -> Iterator[None]:
    """What users should look at in their data as one line each, once."""
    with warnings.catch_warnings():
        warnings.simplefilter("default", InputWarning)
        show = warnings.showwarning

        def tell(message: Any, category: Any, *where: Any, **more: Any) -> None:
            if issubclass(category, InputWarning):
                line = as_words(str(message), group.chosen(ctx))
                warn(line)
            else:
                show(message, category, *where, **more)

        warnings.showwarning = tell
        yield


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f"{PROGRAM}: error: {' '.join(message.split())}", err=True)
    raise click.exceptions.Exit(code)


@click.group(name="distill", cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dask-distill", prog_name=PROGRAM)
def cli() -> None:
    """Select the rows of a data set that are worth training on, where the data lies."""


for each in (
    *(plan, run, verify, strategies),
    *(evaluate, curve, search, report),
    *(score, follow, synthesize, demo),
):
    cli.add_command(each)


def main() -> None:
    """Entry point of ``dask-distill``."""
    try:
        with stoppable():
            code = cli.main(prog_name=PROGRAM, standalone_mode=False, obj=_BEGAN)
        sys.exit(code)
    except click.UsageError as error:
        click.echo(f"{PROGRAM}: error: {' '.join(error.format_message().split())}", err=True)
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        click.echo(f"{PROGRAM}: stopped; what is finished is kept for --resume", err=True)
        sys.exit(exit_code())
    except BrokenPipeError:
        # who was reading has enough; what is left in the buffer must not be flushed at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
