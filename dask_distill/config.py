"""Settings in the `distill` namespace of Dask's configuration."""

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
    try:
        return dask.config.get(f"distill.{key}")
    except KeyError:
        _register()
        return dask.config.get(f"distill.{key}")


def _register() -> None:
    """Put our defaults below what the user has set; not at import, and again where they are lost.

    A `dask.config.set` that came before them takes them away at its end.
    """
    text = Path(__file__).with_name("distill.yaml").read_text(encoding="utf-8")
    dask.config.update_defaults(yaml.safe_load(text))
