"""The command line: thin commands, which import the library when they run, to start fast."""

from dask_distill.cli.main import cli, main

__all__ = ["cli", "main"]
