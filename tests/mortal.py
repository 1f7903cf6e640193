"""Processes that change a folder, and to which something happens at the n-th change.

A `Host` is a process that has imported everything, and forks one child for each deed: a death
is a real one, by SIGKILL, and costs no start. Changes are counted by an audit hook, whichever
library makes them; in an object store they are its requests. They come in the same order
whenever the same deeds are done one after the other, so that numbers replay: threads take turns,
and names that are made up are those of the deed's number.
"""

import asyncio
import errno
import json
import os
import random
import signal
import subprocess
import sys
import traceback
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).parent
_CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate"}
_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


@dataclass(frozen=True)
class Strike:
    """What happens at which change.

    "die" kills the process before it, "tear" within it, where that is a file being written:
    it is there, and empty. "fail" makes it an input/output error. "hold" lets the process wait
    until it is told to go on.
    """

    kind: str
    at: int


class Watch:
    """Counts changes below a folder; strikes at one of them."""

    def __init__(self, folder, strike):
        self.folder = os.path.realpath(folder)
        self.strike = strike
        self.seen, self.struck, self.asleep = 0, None, False

    def hook(self, event, arguments):
        if self.asleep:
            return
        if event == "open":
            path, _, flags = arguments
            if flags & _WRITES:
                self.change("write", path)
        elif event in _CHANGES:
            self.change(event, arguments[0], arguments[-1] if event != "os.rename" else -1)
        elif event == "ctypes.dlsym" and arguments[-1] == "renameat2":
            # two folders are about to change places
            self.change("exchange", self.folder)

    def change(self, call, path, folder=-1):
        path = _whole(path, folder)
        if path is None or not f"{path}/".startswith(f"{self.folder}/"):
            return
        if call == "os.mkdir" and os.path.isdir(path):
            # nothing changes
            return
        self.asleep = True
        try:
            self.count(call, path)
        finally:
            self.asleep = False

    def count(self, call, path):
        self.seen += 1
        if self.strike is None or self.seen != self.strike.at:
            return
        self.struck = f"{call} {os.path.relpath(path, self.folder)}"
        kind = self.strike.kind
        if kind == "tear" and call == "write":
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
        if kind in ("die", "tear"):
            say({"struck": self.struck})
            os.kill(os.getpid(), signal.SIGKILL)
        elif kind == "fail":
            raise OSError(errno.EIO, "Input/output error", path)
        else:
            say({"held": self.struck})
            sys.stdin.readline()


def _whole(path, folder):
    """An absolute path; None where it is not known."""
    if not isinstance(path, str | bytes | os.PathLike):
        return None
    path = os.fsdecode(path)
    if isinstance(folder, int) and folder >= 0 and not os.path.isabs(path):
        try:
            path = os.path.join(os.readlink(f"/proc/self/fd/{folder}"), path)
        except OSError:
            return None
    return os.path.abspath(path)


def say(told):
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()


class Host:
    """Does deeds in processes of their own; one at a time."""

    def __init__(self):
        # a thread that waits does not live on in a child
        threads = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "NUMBA")}
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", HERE / "mortal.py"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | threads,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(30)

    def do(self, deed, *, folder, number=0, strike=None, **arguments):
        """What came of a deed: ``done``, ``refused`` or ``failed`` with what was said, ``died``,
        or ``held``: then `go_on` tells."""
        order = {"deed": deed, "folder": str(folder), "number": number, "arguments": arguments}
        return self._ask(order | {"strike": strike and asdict(strike)})

    def go_on(self):
        return self._ask("go on")

    def _ask(self, order):
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        told = self._told()
        if "struck" in told and "calls" not in told:
            # the last words of a child; its host says how it ended
            told |= self._told()
        return told

    def _told(self):
        line = self.process.stdout.readline()
        assert line, "the host has ended"
        return json.loads(line)


# ---------------------------------------------------------------- in the host's process


def serve():
    import gc

    import deeds

    deeds.warm_up()
    gc.collect()
    gc.freeze()
    while line := sys.stdin.readline():
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            live(deeds, order)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status:
            say({"died": status})


def live(deeds, order):
    """One deed, and the end."""
    from bucket import Bucket

    from dask_distill.errors import DistillError, InputError

    same_again(order["number"])
    strike = order["strike"] and Strike(**order["strike"])
    watch = Watch(order["folder"], strike)
    if order["arguments"].get("remote"):
        Bucket.about_to = staticmethod(
            lambda call, key: watch.count(call, os.path.join(watch.folder, key))
        )
    else:
        sys.addaudithook(watch.hook)
    try:
        told = {"done": getattr(deeds, order["deed"])(**order["arguments"])}
    except DistillError as error:
        kind = "refused" if isinstance(error, InputError) else "failed"
        told = {kind: str(error)}
    except BaseException:
        told = {"crashed": traceback.format_exc()}
    watch.asleep = True
    say(told | {"calls": watch.seen, "struck": watch.struck})
    os._exit(0)


def same_again(number):
    """What is done concurrently, or named by chance, comes as it came before."""

    async def at_once(function, /, *arguments, **options):
        return function(*arguments, **options)

    # what zarr and fsspec bring their calls to the disk away with
    asyncio.to_thread = at_once
    chance = random.Random(number)
    uuid.uuid4 = lambda: uuid.UUID(int=chance.getrandbits(128), version=4)


if __name__ == "__main__":
    sys.path.insert(0, str(HERE))
    serve()
