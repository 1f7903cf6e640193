"""Where a run takes place: a cluster that we start, or one that is there."""

import importlib.util
import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from dask.utils import parse_timedelta

from dask_distill.clusters import CLUSTERS
from dask_distill.config import setting
from dask_distill.errors import DistillError, InputError
from dask_distill.runtime.failures import ended_without_workers

logger = logging.getLogger(__name__)


@contextmanager
def connect(
    *,
    cluster: str | None = None,
    workers: int | None = None,
    scheduler_address: str | None = None,
    scheduler_file: str | None = None,
    tls: bool = False,
    security: Any = None,
) -> Iterator[Any]:
    """A `distributed.Client`, on a cluster that is started for it or on one that is there.

    Parameters
    ----------
    cluster : {"local", "slurm", "kubernetes"}, optional
        Where to start workers; on this machine unless given. Settings are those of
        ``distill.local``, ``distill.slurm`` and ``distill.kubernetes`` in Dask's configuration.
    workers : int, optional
        Worker processes to start. Unless given, one a core of this machine; on Slurm and
        Kubernetes as many as there is work for, within the settings.
    scheduler_address : str, optional
        Of a running scheduler, such as ``tcp://10.0.0.1:8786``.
    scheduler_file : str, optional
        A file that a running scheduler has written.
    tls : bool
        Encrypt what travels in a cluster that is started on this machine, and let nobody in who
        has not its certificate, which is made for the run and kept in memory.
    security : distributed.Security, optional
        Certificate and key for a scheduler that is joined.

    Yields
    ------
    distributed.Client
        Closed at the end, and the cluster with it if it was started here.

    Raises
    ------
    InputError
        Where more than one place is named, the number of workers is no number above 0, or the
        library that a kind of cluster needs is not installed.
    DistillError
        Where the scheduler cannot be reached, or no worker comes up.
    """
    _check(cluster, workers, scheduler_address, scheduler_file)
    joined = scheduler_address is not None or scheduler_file is not None
    _check_tls(tls, security, cluster, joined)
    from distributed import Client

    if scheduler_address is None and scheduler_file is None:
        started = _started(cluster or "local", workers, **({"tls": True} if tls else {}))
        with (
            closed_quietly(started) as place,
            closed_quietly(Client(place)) as client,
            _watched(client),
        ):
            logger.debug("%s cluster, %s", cluster or "local", client.dashboard_link)
            yield client
        return
    security = security or _configured(scheduler_address or "")
    try:
        client = Client(scheduler_address, scheduler_file=scheduler_file, security=security)
    except (OSError, ValueError) as error:
        place = scheduler_address or scheduler_file
        raise DistillError(f"no scheduler can be reached at '{place}': {error}") from None
    with closed_quietly(client), _watched(client):
        yield client


@contextmanager
def closed_quietly(context: AbstractContextManager[Any]) -> Iterator[Any]:
    """A context whose end cannot fail what was done in it.

    Workers that are slow to stop make Dask raise a TimeoutError after the last result is written:
    what is committed is a success, and what failed before has its own error.
    """
    value = context.__enter__()
    failed: BaseException | None = None
    try:
        yield value
    except BaseException as error:
        failed = error
        raise
    finally:
        kind = None if failed is None else type(failed)
        try:
            context.__exit__(kind, failed, None if failed is None else failed.__traceback__)
        except Exception as error:
            if error is not failed:
                logger.info("closing %s failed: %r", type(value).__name__, error)


def _check(
    cluster: str | None,
    workers: int | None,
    scheduler_address: str | None,
    scheduler_file: str | None,
) -> None:
    named = [value for value in (workers, scheduler_address, scheduler_file) if value is not None]
    if len(named) > 1:
        raise InputError(
            "at most one of workers, scheduler_address and scheduler_file may be given, got "
            f"{len(named)}; workers is for a cluster that is started here"
        )
    joined = scheduler_address is not None or scheduler_file is not None
    if cluster is not None and joined:
        raise InputError(
            "at most one of cluster, scheduler_address and scheduler_file may be given, got 2; "
            "cluster is for a cluster that is started for the run"
        )
    if workers is not None and workers < 1:
        raise InputError(f"workers must be at least 1, got {workers}")
    if scheduler_file is not None and not os.path.isfile(scheduler_file):
        raise InputError(f"scheduler_file must be a file, got '{scheduler_file}'; check the path")
    if cluster is None:
        return
    if cluster not in CLUSTERS:
        raise InputError(f"cluster must be one of {', '.join(CLUSTERS)}, got '{cluster}'")
    library, extra = CLUSTERS[cluster]
    if importlib.util.find_spec(library) is None:
        raise InputError(
            f"cluster '{cluster}' needs {library.replace('_', '-')}, which is not installed; "
            f'pip install "dask-distill[{extra}]"'
        )


def tls_files(ca_file: str | None, certificate: str | None, key: str | None) -> Any:
    """A `distributed.Security` of three files of PEM; None where none is given.

    Raises
    ------
    InputError
        Where one is missing, or is no file.
    """
    files = {"tls_ca_file": ca_file, "tls_cert": certificate, "tls_key": key}
    if not any(files.values()):
        return None
    for name, path in files.items():
        if path is None:
            raise InputError(
                f"{name} must be given with the other two of {', '.join(files)}, got none"
            )
        if not os.path.isfile(path):
            raise InputError(f"{name} must be a file, got '{path}'; check the path")
    from distributed.security import Security

    return Security(
        tls_ca_file=ca_file,
        tls_client_cert=certificate,
        tls_client_key=key,
        require_encryption=True,
    )


def _configured(address: str) -> Any:
    """What Dask's configuration has for a scheduler that is joined."""
    from distributed.security import Security

    security = Security()
    context = security.get_connection_args("client").get("ssl_context")
    if address.startswith("tls://") and context is None:
        # a client that fails for want of it would stay the active one
        raise InputError(
            f"scheduler '{address}' must be joined with certificates, got none; pass tls_ca_file, "
            "tls_cert and tls_key, or set distributed.comm.tls in Dask's configuration"
        )
    return security


def _check_tls(tls: bool, security: Any, cluster: str | None, joined: bool) -> None:
    if security is not None and not joined:
        raise InputError(
            "tls_ca_file, tls_cert and tls_key must come with a scheduler that is joined, got "
            "none; pass scheduler_address or scheduler_file, or tls for a cluster of our own"
        )
    if not tls:
        return
    if joined or cluster not in (None, "local"):
        other = "a scheduler that is joined" if joined else f"cluster '{cluster}'"
        raise InputError(
            f"tls must be for a cluster that is started on this machine, got {other}; give its "
            "certificates (tls_ca_file, tls_cert, tls_key, or distributed.comm.tls in Dask's "
            "configuration)"
        )
    if importlib.util.find_spec("cryptography") is None:
        raise InputError(
            'tls needs cryptography, which is not installed; pip install "dask-distill[tls]"'
        )


def _started(cluster: str, workers: int | None, **options: Any) -> AbstractContextManager[Any]:
    """A cluster of a kind: what `Client` takes."""
    # optional libraries, and the modules that know them, are not imported for other clusters
    module = importlib.import_module(f"dask_distill.clusters.{cluster}")
    start = getattr(module, f"{cluster}_cluster")
    started: AbstractContextManager[Any] = start(workers, **options)
    return started


def _watched(client: Any) -> Any:
    seconds = parse_timedelta(setting("no-workers-timeout"))
    return ended_without_workers(client, seconds)
