"""Where a command takes place: options of clusters. Nothing heavy is imported here."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from dask_distill.cli.help import Choice, OptionGroup, option
from dask_distill.cli.logs import LOGS, logged, tell_where_to_watch
from dask_distill.cli.options import WORKERS, options, progress_display
from dask_distill.clusters import CLUSTERS

_PLACE = options(
    option(
        OptionGroup.CLUSTER,
        "--cluster",
        type=Choice(list(CLUSTERS)),
        help="Where to start workers, with the settings of Dask's configuration; local unless "
        "a scheduler is named.",
    ),
    WORKERS,
    option(
        OptionGroup.CLUSTER,
        "--scheduler-address",
        metavar="ADDR",
        help="Of a running Dask scheduler.",
    ),
    option(
        OptionGroup.CLUSTER,
        "--scheduler-file",
        metavar="FILE",
        help="Written by a running Dask scheduler.",
    ),
    option(
        OptionGroup.CLUSTER,
        "--tls",
        is_flag=True,
        help="Encrypt a cluster that is started on this machine.",
    ),
    option(
        OptionGroup.CLUSTER,
        "--tls-ca-file",
        metavar="FILE",
        help="PEM: who vouches for the scheduler.",
    ),
    option(OptionGroup.CLUSTER, "--tls-cert", metavar="FILE", help="PEM: our certificate for it."),
    option(OptionGroup.CLUSTER, "--tls-key", metavar="FILE", help="PEM: its key."),
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
        quiet: bool = False,
        **words: Any,
    ) -> None:
        self._quiet = quiet
        self._files = (tls_ca_file, tls_cert, tls_key)
        # cluster, workers, scheduler_address, scheduler_file and tls
        self._words = words

    def __repr__(self) -> str:
        return f"Place({', '.join(f'{name}={word!r}' for name, word in self._words.items())})"

    @contextmanager
    def connect(self) -> Iterator[Any]:
        """A client there: a context that starts or joins a cluster, and leaves or ends it."""
        with self._joined() as client:
            if not self._quiet:
                tell_where_to_watch(client)
            yield client

    @contextmanager
    def display(self) -> Iterator[Any]:
        """The progress of work there, which may be refused yet: until it begins nothing is told."""
        with self._joined() as client, progress_display(self._quiet) as progress:
            yield progress if self._quiet else _ToldOnce(progress, client)

    def _joined(self) -> Any:
        from dask_distill.clusters.connect import connect, tls_files

        return connect(**self._words, security=tls_files(*self._files))


class _ToldOnce:
    """Progress that tells where to watch it when the first phase begins."""

    def __init__(self, progress: Any, client: Any) -> None:
        self._progress, self._client = progress, client

    def start(self, phase: str, total: int) -> None:
        """Tell, and begin."""
        client, self._client = self._client, None
        if client is not None:
            tell_where_to_watch(client)
        self._progress.start(phase, total)

    def advance(self) -> None:
        """As it is."""
        self._progress.advance()

    def finish(self) -> None:
        """As it is."""
        self._progress.finish()


def takes_place(command: Callable[..., Any]) -> Callable[..., Any]:
    """All options of where a command takes place, which it gets as one `Place`, and of its logs."""

    @wraps(command)
    def placed(**arguments: Any) -> Any:
        words = {name: arguments.pop(name) for name in _PLACE_NAMES}
        quiet = arguments.get("quiet") or arguments.get("as_json") or False
        with logged(arguments.pop("verbose"), arguments.pop("log_file")):
            return command(place=Place(quiet=quiet, **words), **arguments)

    return _PLACE(LOGS(placed))
