"""Settings in the `distill` namespace of Dask's configuration."""

from functools import cache
from pathlib import Path
from typing import Any

import dask.config
import yaml


def setting(key: str) -> Any:
    """A setting, by its key below `distill`: what the user has set, or our default.

    Examples
    --------
    >>> setting("local.allowed-failures")
    20
    """
    missing = object()
    found = dask.config.get(f"distill.{key}", missing)
    # not put below what the user has set: `dask.config.set` takes away what came meanwhile
    return dask.config.get(key, config=_defaults()) if found is missing else found


@cache
def _defaults() -> dict[str, Any]:
    text = Path(__file__).with_name("distill.yaml").read_text(encoding="utf-8")
    defaults: dict[str, Any] = yaml.safe_load(text)["distill"]
    return defaults
