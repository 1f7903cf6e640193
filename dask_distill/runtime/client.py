"""Which client is in use, and what its workers may hold."""

from typing import Any

from dask_distill.errors import InputError
from dask_distill.runtime.threads import local_threads


def refuse_asynchronous() -> None:
    """End where the active client cannot be waited for.

    Raises
    ------
    InputError
    """
    client = active_client()
    if client is not None and client.asynchronous:
        raise InputError(
            "the active distributed.Client must be a synchronous one, got "
            "Client(asynchronous=True); make it without asynchronous=True"
        )


def limits_here(client: Any) -> list[tuple[int, int]]:
    """Memory limit and threads of each worker; of this process, where there is no client."""
    if client is not None:
        workers = client.scheduler_info(n_workers=-1)["workers"].values()
        return [(int(w.get("memory_limit") or 0), int(w["nthreads"])) for w in workers]
    from distributed.system import MEMORY_LIMIT

    return [(int(MEMORY_LIMIT), local_threads())]


def active_client() -> Any:
    """The distributed client in use, or None."""
    try:
        from distributed import default_client
    except ImportError:
        return None
    try:
        return default_client()
    except ValueError:
        return None
