"""Settings in the `distill` namespace of Dask's configuration."""

from functools import cache
from pathlib import Path
from typing import Any

import dask.config
import yaml


def setting(key: str) -> Any:
    """A setting, by its key below `distill`.

    Examples
    --------
    >>> setting("local.allowed-failures")
    20
    """
    # every time: a `dask.config.set` that named the first of our keys takes all away with it
    dask.config.update(dask.config.config, _defaults(), priority="old")
    return dask.config.get(f"distill.{key}")


@cache
def _defaults() -> dict[str, Any]:
    """What holds where the user has set nothing."""
    text = Path(__file__).with_name("distill.yaml").read_text(encoding="utf-8")
    defaults: dict[str, Any] = yaml.safe_load(text)
    return defaults
