"""A real Slurm on this machine: munged, slurmctld and some slurmd, of our own and in a folder of
our own, on ports of our own. Nothing that the machine has of Slurm's is touched."""

import contextlib
import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel", "squeue", "setpriv")
_START_SECONDS = 30
_CONFIGURATION = """\
ClusterName=distill
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_interval=1
SwitchType=switch/none
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool.%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmdParameters=config_overrides
ReturnToService=2
KillWait=2
MinJobAge=300
JobRequeue=1
"""


def missing():
    """Why this machine cannot host it; an empty string where it can."""
    absent = [name for name in PROGRAMS if shutil.which(name, path=_path()) is None]
    if absent:
        return f"no {', '.join(absent)} (Debian: slurm-wlm and munge)"
    if os.geteuid() != 0:
        return "slurmd must be started by root"
    if not os.path.ismount("/sys/fs/cgroup"):
        return "slurmd wants /sys/fs/cgroup mounted"
    return ""


def _path():
    # where daemons are is not always on the path
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


@dataclass(frozen=True)
class Slurm:
    """A Slurm that is up."""

    folder: Path

    @property
    def environment(self):
        return {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": _path()}

    def call(self, *command, seconds=30, **more):
        """Standard output of a command of Slurm's."""
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=seconds,
            env=os.environ | self.environment, **more,
        )  # fmt: skip
        assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def jobs(self):
        """State of each job, by number, those that have ended included."""
        lines = self.call("squeue", "--noheader", "--states=all", "--format=%i %T").splitlines()
        return {int(number): state for number, state in map(str.split, lines)}

    def wait_for(self, number, states, seconds=240):
        """The state of a job, as soon as it is one of these."""
        deadline = time.monotonic() + seconds
        while (state := self.jobs()[number]) not in states:
            assert time.monotonic() < deadline, f"job {number} is {state}, not one of {states}"
            time.sleep(0.2)
        return state

    def cancel_all(self):
        for number, state in self.jobs().items():
            if state in ("PENDING", "RUNNING", "CONFIGURING", "COMPLETING", "SUSPENDED"):
                self.call("scancel", str(number))
        deadline = time.monotonic() + 20
        while self.call("squeue", "--noheader") and time.monotonic() < deadline:
            time.sleep(0.2)


@contextlib.contextmanager
def running(folder, nodes=3, cores=2):
    """A Slurm of so many nodes; all its processes are gone at the end, whatever happened."""
    folder = Path(folder)
    with contextlib.ExitStack() as stack:
        stack.callback(_end_what_is_left, folder)
        slurm = Slurm(folder)
        _configure(folder, nodes, cores)
        munge = folder / "munge"
        start = lambda *command: stack.enter_context(_daemon(slurm, command))  # noqa: E731
        start("munged", "--foreground", "--force", f"--key-file={munge}/key",
              f"--socket={munge}/socket", f"--pid-file={munge}/pid", f"--seed-file={munge}/seed",
              f"--log-file={munge}/log", "--num-threads=2")  # fmt: skip
        _wait_until((munge / "socket").exists, "munged", munge / "log")
        start("slurmctld", "-D", "-f", f"{folder}/slurm.conf")
        for number in range(nodes):
            start("slurmd", "-D", "-N", f"n{number}", "-f", f"{folder}/slurm.conf")

        def idle():
            done = subprocess.run(
                ["sinfo", "--noheader", "--Node", "--format=%T"], capture_output=True, text=True,
                check=False, timeout=20, env=os.environ | slurm.environment,
            )  # fmt: skip
            return done.stdout.split() == ["idle"] * nodes

        _wait_until(idle, "Slurm", folder / "log")
        try:
            yield slurm
        finally:
            slurm.cancel_all()


def _configure(folder, nodes, cores):
    for name in ("munge", "state", *(f"spool.n{number}" for number in range(nodes))):
        (folder / name).mkdir(parents=True)
    # the socket's folder must be open to others, the key must not
    folder.chmod(0o755)
    (folder / "munge").chmod(0o711)
    (folder / "munge" / "key").write_bytes(os.urandom(128))
    (folder / "munge" / "key").chmod(0o600)
    host, ports = socket.gethostname().partition(".")[0], _free_ports(nodes + 1)
    lines = [_CONFIGURATION.format(host=host, port=ports[0], folder=folder)]
    lines += [
        f"NodeName=n{number} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[number + 1]} "
        f"CPUs={cores} RealMemory=8000 State=UNKNOWN\n"
        for number in range(nodes)
    ]
    lines.append(f"PartitionName=short Nodes=n[0-{nodes - 1}] Default=YES State=UP MaxTime=60\n")
    (folder / "slurm.conf").write_text("".join(lines))


def _free_ports(count):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@contextlib.contextmanager
def _daemon(slurm, command):
    program = shutil.which(command[0], path=_path())
    with (slurm.folder / "log").open("a") as log:
        process = subprocess.Popen(
            # ends with this process even if that is killed
            ["setpriv", "--pdeathsig", "KILL", program, *command[1:]],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=slurm.folder,
            env=os.environ | slurm.environment,
        )  # fmt: skip
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _wait_until(condition, what, log):
    deadline = time.monotonic() + _START_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            text = log.read_text()[-2000:] if log.exists() else "it wrote no log"
            raise RuntimeError(f"{what} did not come up in {_START_SECONDS} s: {text}")
        time.sleep(0.1)


def _end_what_is_left(folder):
    """Steps are where their slurmd was started; what they run knows the configuration's path."""
    mark = str(folder / "slurm.conf")
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        with contextlib.suppress(psutil.Error):
            step = process.name() == "slurmstepd" and process.cwd() == str(folder)
            if step or process.environ().get("SLURM_CONF") == mark:
                process.kill()
