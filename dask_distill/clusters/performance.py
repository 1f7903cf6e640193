"""What each worker did when: the performance report of `dask.distributed`, on request."""

import importlib.util
import logging
from collections.abc import Iterator
from contextlib import contextmanager

from dask_distill.errors import InputError
from dask_distill.support.files import checked_file

logger = logging.getLogger("dask_distill")


def check_performance_report(file: str | None) -> None:
    """Refuse a report that cannot be made, before the run.

    Raises
    ------
    InputError
        Where the file cannot be, or bokeh is not installed.
    """
    if file is None:
        return
    checked_file(file)
    if importlib.util.find_spec("bokeh") is None:
        raise InputError(
            "a performance report needs bokeh, which is not installed; "
            'run pip install "dask-distill[performance]"'
        )


@contextmanager
def performance_recorded(file: str | None) -> Iterator[None]:
    """Write an HTML file on what happens within: task stream, profiles, bandwidth.

    Parameters
    ----------
    file : path or None
        None for no report. The file holds its scripts and loads nothing; it names tasks, workers'
        addresses and versions, so mind who gets it.
    """
    if file is None:
        yield
        return
    from distributed import performance_report

    report = performance_report(filename=file, mode="inline")
    report.__enter__()
    try:
        yield
    finally:
        # of a run that failed it tells most; and one that is done must not fail for it
        try:
            report.__exit__(None, None, None)
        except Exception as error:
            logger.warning("the performance report could not be written: %s", error)
