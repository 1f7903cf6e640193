"""Bytes on the wire, by class of connection, while a run is on.

Counted where Dask hands messages to a socket and takes them from it: framing included, TCP/IP
headers and what TLS adds (some tenth of a percent) not. Data between workers, peer-to-peer
shuffles, questions, heartbeats and task messages are all in it, and whatever else the same
workers do for others meanwhile. Every connection is counted, both ways, by the process that
opened it, since that one knows whom it called. So nannies and other clients, which take no part,
count nothing, and a process that dies takes its count since the last phase with it.

Nothing is counted outside `measured`. Where a version of distributed lacks what this relies on,
or workers use another transport than TCP, the figures are None: not measured.
"""

import asyncio
import functools
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

from distributed.comm.addressing import resolve_address, unparse_host_port
from distributed.diagnostics.plugin import WorkerPlugin

CLASSES = ("worker-worker", "worker-scheduler", "client-scheduler", "client-worker")
_BETWEEN_HOSTS = "between hosts"
_HANDLER = "dask_distill_wire"
# a worker that does not answer is asked again after the next phase: counts only grow
_PATIENCE_SECONDS = 5.0


class Wire:
    """The figures of one run."""

    def __init__(self, client: Any, measured: bool = True) -> None:
        self._client = client
        self._phases: dict[str, Counter[str]] = {}
        self._before: dict[str, Counter[str]] = {}
        self._measured = measured

    def mark(self, phase: str) -> None:
        """What was sent since the last mark belongs to this phase."""
        sent = self._phases.setdefault(phase, Counter())
        if self._client is None or not self._measured:
            return
        for process, counts in self._tables().items():
            sent += counts - self._before.get(process, Counter())
            self._before[process] = counts

    def figures(self) -> dict[str, Any] | None:
        """Bytes in total, between hosts, by class, and by phase and class.

        Returns
        -------
        dict or None
            ``total``, ``between_hosts`` (connections whose ends have different addresses),
            ``classes`` and ``phases``; all 0 where the run took place in this process, None
            where it was not measured.
        """
        if not self._measured:
            return None
        every: Counter[str] = sum(self._phases.values(), Counter())
        return {
            "total": sum(every[name] for name in CLASSES),
            "between_hosts": every[_BETWEEN_HOSTS],
            "classes": {name: every[name] for name in CLASSES},
            "phases": {
                phase: {name: sent[name] for name in CLASSES}
                for phase, sent in self._phases.items()
            },
        }

    def _begin(self, plugin: "_WorkerMeter") -> None:
        if self._client is None:
            return
        with self._unless_it_fails():
            _METER.open(plugin.name, self._client.scheduler.address)
            self._client.run_on_scheduler(_open_on_scheduler, plugin.name)
            self._client.register_plugin(plugin, name=plugin.name)
        # what the other processes had on their way counts for nothing
        self._before = self._tables() if self._measured else {}

    def _end(self, plugin: "_WorkerMeter") -> None:
        if self._client is None:
            return
        _METER.close(plugin.name)
        # one may fail and the others be needed all the same
        with self._unless_it_fails():
            self._client.unregister_worker_plugin(plugin.name)
        with self._unless_it_fails():
            self._client.run_on_scheduler(_close_on_scheduler, plugin.name)

    def _tables(self) -> dict[str, Counter[str]]:
        """Counts of every process, by a name that no other process has had."""
        tables: dict[str, Counter[str]] = {}
        with self._unless_it_fails():
            found = self._client.run_on_scheduler(_collect)
            _METER.workers = {_place(address) for address in found["workers"]}
            for table in (*found["tables"], _METER.table()):
                self._measured &= table["able"]
                tables[table["process"]] = Counter(table["counts"])
        return tables

    @contextmanager
    def _unless_it_fails(self) -> Iterator[None]:
        try:
            yield
        except Exception:
            self._measured = False


@contextmanager
def measured(client: Any) -> Iterator[Wire]:
    """Count the bytes that the processes of a client's cluster send to each other.

    Workers that join meanwhile count too. Neither installing nor reading can make a run fail.

    Parameters
    ----------
    client : distributed.Client or None
        None for a run in this process, where nothing is sent.

    Yields
    ------
    Wire

    Examples
    --------
    >>> with measured(None) as wire:
    ...     wire.mark("survey")
    >>> wire.figures()["total"]
    0
    """
    address = getattr(getattr(client, "scheduler", None), "address", "")
    wire = Wire(None if address.startswith("inproc://") else client)
    if client is not None and (client.asynchronous or not address):
        wire = Wire(None, measured=False)
    plugin = _WorkerMeter(f"dask-distill-wire-{uuid.uuid4().hex}")
    wire._begin(plugin)
    try:
        yield wire
    finally:
        wire._end(plugin)


def joined(first: dict[str, Any] | None, second: dict[str, Any] | None) -> dict[str, Any] | None:
    """The figures of two stretches of a run as one; None unless both were measured.

    Examples
    --------
    >>> with measured(None) as wire:
    ...     wire.mark("write")
    >>> list(joined(wire.figures(), wire.figures())["phases"])
    ['write']
    """
    if first is None or second is None:
        return None
    classes = [dict(first["classes"]), dict(second["classes"])]
    phases = {phase: Counter(sent) for phase, sent in first["phases"].items()}
    for phase, sent in second["phases"].items():
        phases.setdefault(phase, Counter()).update(sent)
    return {
        "total": first["total"] + second["total"],
        "between_hosts": first["between_hosts"] + second["between_hosts"],
        "classes": {name: classes[0][name] + classes[1][name] for name in CLASSES},
        "phases": {phase: dict(sent) for phase, sent in phases.items()},
    }


class _Meter:
    """What this process counts; there is one a process, for as many runs as are on."""

    def __init__(self) -> None:
        self.process = uuid.uuid4().hex
        self.able = True
        # where workers listen, as far as the client knows them
        self.workers: set[str] = set()
        self._scheduler: set[str] = set()
        self._worker: Any = None
        self._server: Any = None
        self._counts: Counter[str] = Counter()
        self._kinds: WeakKeyDictionary[Any, tuple[str, ...]] = WeakKeyDictionary()
        self._runs: set[str] = set()
        self._lock = threading.Lock()
        self._undo: list[tuple[Any, str, Any]] = []

    def open(self, run: str, scheduler: str, *, worker: Any = None, server: Any = None) -> None:
        """Begin to count for a run: as a client, or as a worker or scheduler, too."""
        with self._lock:
            self._runs.add(run)
            self._scheduler |= {_place(scheduler), _place(resolve_address(scheduler))}
            self._worker, self._server = worker or self._worker, server or self._server
            # roles have changed
            self._kinds = WeakKeyDictionary()
            self.able = _can_count(scheduler)
            if self.able and not self._undo:
                self._undo = _install(self.add)

    def close(self, run: str) -> None:
        """Stop counting, when the last run is over."""
        with self._lock:
            self._runs.discard(run)
            if self._runs:
                return
            for owner, name, original in self._undo:
                setattr(owner, name, original)
            self._undo, self._worker, self._server = [], None, None
            self._scheduler, self.workers = set(), set()

    def add(self, stream: Any, nbytes: int) -> None:
        """Count what went through a connection, or came."""
        kinds = self._kinds.get(stream)
        if kinds is None:
            kinds = self._kinds_of(stream)
            if kinds is None:
                return
            self._kinds[stream] = kinds
        if kinds:
            with self._lock:
                for kind in kinds:
                    self._counts[kind] += nbytes

    def table(self) -> dict[str, Any]:
        """The counts so far, in plain types."""
        with self._lock:
            counts = dict(self._counts)
        return {"process": self.process, "able": self.able, "counts": counts}

    def _kinds_of(self, stream: Any) -> tuple[str, ...] | None:
        """The class of a connection, and whether it leaves the host; None where not known yet.

        Nothing for one that others have opened, and that they count.
        """
        try:
            here, there = stream.socket.getsockname()[:2], stream.socket.getpeername()[:2]
        except (AttributeError, OSError):
            return None
        servers = [server for server in (self._worker, self._server) if server is not None]
        if any(server.port == here[1] for server in servers):
            return ()
        kind = self._kind(unparse_host_port(*there))
        if kind is None:
            return () if servers else None
        return (kind,) if here[0] == there[0] else (kind, _BETWEEN_HOSTS)

    def _kind(self, peer: str) -> str | None:
        if self._worker is not None:
            if peer == _place(self._worker.nanny or ""):
                return None
            return "worker-scheduler" if peer in self._scheduler else "worker-worker"
        if peer in self._scheduler:
            return "client-scheduler"
        if self._server is not None:
            known = {_place(address) for address in self._server.workers}
            return "worker-scheduler" if peer in known else None
        return "client-worker" if peer in self.workers else None


class _WorkerMeter(WorkerPlugin):
    """Has a worker count, from when it joins."""

    def __init__(self, name: str) -> None:
        self.name = name

    def setup(self, worker: Any) -> None:
        """Count, and answer the scheduler; a plugin that fails would end the worker."""
        try:
            _METER.open(self.name, worker.scheduler.address, worker=worker)
            worker.handlers[_HANDLER] = _METER.table
        except Exception:
            _METER.able = False

    def teardown(self, worker: Any) -> None:
        """Stop."""
        _METER.close(self.name)


def _open_on_scheduler(run: str, dask_scheduler: Any) -> None:
    _METER.open(run, dask_scheduler.address, server=dask_scheduler)


def _close_on_scheduler(run: str, dask_scheduler: Any) -> None:
    _METER.close(run)


async def _collect(dask_scheduler: Any) -> dict[str, Any]:
    """Tables of the scheduler and of the workers that answer in time."""
    workers = list(dask_scheduler.workers)

    async def ask(address: str) -> Any:
        asked = dask_scheduler.broadcast(msg={"op": _HANDLER}, workers=[address], on_error="return")
        return (await asyncio.wait_for(asked, _PATIENCE_SECONDS))[address]

    answers = await asyncio.gather(*map(ask, workers), return_exceptions=True)
    tables = [answer for answer in answers if isinstance(answer, dict) and "process" in answer]
    return {"workers": workers, "tables": [*tables, _METER.table()]}


def _can_count(address: str) -> bool:
    """Whether this version of distributed has what is relied on, and uses it."""
    try:
        from distributed.comm import tcp
        from distributed.comm.registry import backends
    except ImportError:
        return False
    needed = ("TCP", "TCPBackend", "TLSBackend", "read_bytes_rw")
    if not all(hasattr(tcp, name) for name in needed) or not hasattr(tcp.TCP, "write"):
        return False
    kinds = {"tcp": tcp.TCPBackend, "tls": tcp.TLSBackend}
    scheme = address.partition("://")[0]
    return scheme in kinds and type(backends.get(scheme)) is kinds[scheme]


def _install(add: Any) -> list[tuple[Any, str, Any]]:
    """Count in `TCP.write` (TLS inherits it) and `read_bytes_rw`; tells how to undo it."""
    from distributed.comm import tcp

    write: Any = tcp.TCP.write
    read: Any = tcp.read_bytes_rw

    @functools.wraps(write)
    async def counted_write(self: Any, *arguments: Any, **options: Any) -> Any:
        stream = self.stream
        nbytes = await write(self, *arguments, **options)
        add(stream, nbytes)
        return nbytes

    @functools.wraps(read)
    async def counted_read(stream: Any, n: int) -> Any:
        values = await read(stream, n)
        add(stream, n)
        return values

    undo: list[tuple[Any, str, Any]] = [(tcp.TCP, "write", write), (tcp, "read_bytes_rw", read)]
    for (owner, name, _), counted in zip(undo, (counted_write, counted_read), strict=True):
        setattr(owner, name, counted)
    return undo


def _place(address: str) -> str:
    """Host and port of an address."""
    return address.rpartition("://")[2]


_METER = _Meter()
