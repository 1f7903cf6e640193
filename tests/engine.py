"""An engine of a few lines, written from `Runner`'s docstring: it counts, it copies, it fails.

Calls run on threads, on copies of what they are given, as on workers of another process. Each is
made as often as a script says, with the results of all times but the last thrown away; those must
all be the same, and what was given unchanged. Nothing of it knows Dask's graphs.
"""

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property, partial
from types import FunctionType, MethodType

import cloudpickle
import numpy as np
from dask.delayed import delayed

from dask_distill.runtime.handle import Handle
from dask_distill.runtime.inline import Inline

HERE = "the only worker"


class WorkerDied(Exception):  # noqa: N818
    """A call has failed more often than it is tried."""


class Future(Handle):
    """A result on its way, as bytes: each who takes it has a copy."""

    def __init__(self, future):
        self.future = future

    def value(self):
        return cloudpickle.loads(self.future.result())


class Engine:
    """Tasks on threads; a fault is a name, the number of its call, and how often that call fails.

    Parameters
    ----------
    faults : mapping of (name, number) to times, or a function of both
    tries : int
        After so many a call fails for good.
    """

    def __init__(self, faults=None, tries=4, threads=2):
        self.rows = []
        self.called, self.invoked = Counter(), Counter()
        self.wrong = []
        self.faults = faults if callable(faults) else dict(faults or {}).get
        self.tries = tries
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads)
        self._lock = threading.Lock()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._pool.shutdown()

    def call(self, name, function, *args, at=None, chunk=None):
        assert at in (None, HERE)
        number, self.called[name] = self.called[name], self.called[name] + 1
        times = self.faults((name, number)) or 0
        return Future(self._pool.submit(self._made, name, times, function, args))

    def constant(self, value):
        return value if isinstance(value, Handle) else self.call("constant", lambda: value)

    def places(self, results):
        return [HERE if isinstance(result, Future) else None for result in results]

    def settle(self, watched, kept):
        for result in (*watched, *kept):
            # a refusal is told to whoever fetches it
            result.future.exception()
        return [*watched, *kept]

    def parallelism(self):
        return self._threads

    def fetch(self, result):
        return result.value()

    def fetch_all(self, results):
        return [result.value() for result in results]

    def from_dask(self, part):
        return self.call("from-dask", partial(part.compute, scheduler="sync"))

    def to_dask(self, result):
        return delayed(result.value, pure=False)()

    def _made(self, name, times, function, args):
        """What a call gives, as bytes; made once more for each time that it fails."""
        sent = cloudpickle.dumps((function, [_without_handles(argument) for argument in args]))
        results = []
        for _ in range(min(times + 1, self.tries)):
            with self._lock:
                self.invoked[name] += 1
            called, given = cloudpickle.loads(sent)
            results.append(called(*map(_evaluated, given)))
            if not same(given, cloudpickle.loads(sent)[1]):
                self.wrong.append(f"{name} changes what it is given")
        if not all(same(results[0], result) for result in results[1:]):
            self.wrong.append(f"{name} gives another result when it is made again")
        if times >= self.tries:
            raise WorkerDied(name)
        return cloudpickle.dumps(results[-1])


def _without_handles(argument):
    """An argument with values in place of handles; of several refusals the first is raised."""
    if isinstance(argument, Inline):
        return Inline(argument.function, *map(_without_handles, argument.arguments))
    return argument.value() if isinstance(argument, Future) else argument


def _evaluated(argument):
    if isinstance(argument, Inline):
        return argument.function(*map(_evaluated, argument.arguments))
    return argument


def same(one, other):
    """Whether two values are alike, bit for bit."""
    if type(one) is not type(other):
        return False
    if isinstance(one, np.ndarray) and one.dtype.kind != "O":
        alike = one.dtype == other.dtype and one.shape == other.shape
        return alike and one.tobytes() == other.tobytes()
    if isinstance(one, str | bytes | type) or np.isscalar(one):
        return one == other or (one != one and other != other)
    if isinstance(one, Mapping):
        return list(one) == list(other) and same(list(one.values()), list(other.values()))
    if isinstance(one, Sequence | np.ndarray):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, FunctionType):
        return one.__code__ == other.__code__
    if isinstance(one, MethodType):
        return one.__func__ is other.__func__ and same(one.__self__, other.__self__)
    if not hasattr(one, "__dict__"):
        return cloudpickle.dumps(one) == cloudpickle.dumps(other)
    return same(_state(one), _state(other))


def _state(value):
    """What an object is made of, without what it has worked out of that for itself."""
    kinds = [vars(kind) for kind in type(value).__mro__[:-1]]
    if any("__getstate__" in kind for kind in kinds):
        return value.__getstate__()
    return {
        name: part
        for name, part in vars(value).items()
        if not any(isinstance(kind.get(name), cached_property) for kind in kinds)
    }


def by_stage(counts):
    """Counts of names without "-2-of-5": how many, and of how many parts."""
    found = Counter()
    for name, count in counts.items():
        words = name.split("-")
        found["-".join(words[:-3]) if words[-2:-1] == ["of"] else name] += count
    return found
