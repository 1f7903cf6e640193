"""Hosts for tests: network namespaces, each with an address of its own, joined by a bridge.

The bridge lives in a namespace too, so nothing of the machine's own network is touched. Hosts
share the file system, as machines with a network file system do; what they read from it does
not cross the interfaces. Needs root and iproute2.
"""

import itertools
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass

# of an Ethernet, an IPv4 and a TCP header, the last with time stamps
HEADER_BYTES = 14 + 20 + 32
_NETWORK = "10.77.0"
_COMMAND_SECONDS = 20
_numbers = itertools.count()


def reason_to_skip():
    """Why there can be no such hosts here; None where there can."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need iproute2"
    probe = f"distill-probe-{os.getpid()}"
    tried = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True)
    if tried.returncode != 0:
        return f"network namespaces are not allowed here: {tried.stderr.strip()}"
    subprocess.run(["ip", "netns", "delete", probe], capture_output=True)
    return None


@dataclass(frozen=True)
class Traffic:
    """What hosts have sent so far, as their interfaces count it."""

    nbytes: int
    packets: int

    def __sub__(self, other):
        return Traffic(self.nbytes - other.nbytes, self.packets - other.packets)

    @property
    def payload(self):
        """Bytes without headers: what processes have handed to their sockets.

        The kernel counts what it hands over in one piece (up to 64 KiB: no wire cuts it here)
        as one packet with one set of headers.
        """
        return self.nbytes - self.packets * HEADER_BYTES


class Hosts:
    """So many hosts, up while the context lasts."""

    def __init__(self, count):
        self._prefix = f"dd{os.getpid() % 100_000}x{next(_numbers)}"
        self._switch = f"{self._prefix}s"
        self._count = count
        self._processes = []

    def __enter__(self):
        try:
            self._build()
        except BaseException:
            self._tear_down()
            raise
        return self

    def __exit__(self, *_):
        self._tear_down()

    def address(self, host):
        """Of a host by number."""
        return f"{_NETWORK}.{10 + host}"

    def start(self, host, command, **options):
        """Start a process on a host; it is killed at the end."""
        process = subprocess.Popen(
            ["ip", "netns", "exec", self._name(host), *command], start_new_session=True, **options
        )
        self._processes.append(process)
        return process

    def traffic(self):
        """Sent by all hosts so far."""
        sent = [self._sent(host) for host in range(self._count)]
        return Traffic(sum(s.nbytes for s in sent), sum(s.packets for s in sent))

    def cut(self, host):
        """Pull the cable."""
        _ip("-n", self._switch, "link", "set", f"v{host}", "down")

    def _name(self, host):
        return f"{self._prefix}h{host}"

    def _build(self):
        _ip("netns", "add", self._switch)
        _ip("-n", self._switch, "link", "add", "br0", "type", "bridge")
        _ip("-n", self._switch, "link", "set", "br0", "up")
        for host in range(self._count):
            name, cable = self._name(host), f"v{host}"
            _ip("netns", "add", name)
            ends = ["type", "veth", "peer", "name", "eth0", "netns", name]
            _ip("link", "add", cable, "netns", self._switch, *ends)
            _ip("-n", self._switch, "link", "set", cable, "master", "br0")
            _ip("-n", self._switch, "link", "set", cable, "up")
            _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", name, "address", "add", f"{self.address(host)}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")

    def _sent(self, host):
        told = _ip("netns", "exec", self._name(host), "cat", "/proc/net/dev")
        line = next(line for line in told.splitlines() if line.strip().startswith("eth0:"))
        fields = line.partition(":")[2].split()
        return Traffic(int(fields[8]), int(fields[9]))

    def _tear_down(self):
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in self._processes:
                if process.poll() is None:
                    _signal_group(process.pid, number)
            deadline = time.monotonic() + 5
            for process in self._processes:
                try:
                    process.wait(max(0.1, deadline - time.monotonic()))
                except subprocess.TimeoutExpired:
                    continue
        for process in self._processes:
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        names = [self._switch, *(self._name(host) for host in range(self._count))]
        for name in names:
            # whatever a process has started in a session of its own
            for pid in _ip("netns", "pids", name, check=False).split():
                _signal(int(pid), signal.SIGKILL)
            _ip("netns", "delete", name, check=False)


def _ip(*arguments, check=True):
    done = subprocess.run(
        ["ip", *arguments], capture_output=True, text=True, timeout=_COMMAND_SECONDS
    )
    if check and done.returncode != 0:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def _signal_group(pid, number):
    try:
        os.killpg(pid, number)
    except ProcessLookupError:
        return


def _signal(pid, number):
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
