"""Processes and mounts, read from /proc; and waiting for a condition."""

import ctypes
import os
import re
import socket
import time
from dataclasses import dataclass

# In the environment of programs that belong to the test set-up itself (registries), which nobody should count.
SUPPORT_MARK = {"DAGGER_TEST_SUPPORT": "1"}

_PR_SET_CHILD_SUBREAPER = 36


def eventually(condition, timeout: float, what: str):
    """Calls `condition` until it gives something true, and returns that; TimeoutError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    pause = 0.001
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout} s for {what}")
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


def adopt_orphans():
    """Makes this process the parent of every descendant whose own parent ends, so that nothing that a test starts can
    leave its tree: `descendants()` finds daemons too."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


@dataclass(frozen=True)
class Process:
    pid: int
    parent: int
    state: str
    command: tuple[str, ...]
    executable: str

    def environment(self) -> dict[str, str]:
        data = _read(f"/proc/{self.pid}/environ")
        return dict(item.split("=", 1) for item in data.split("\0") if "=" in item)

    def __str__(self):
        return f"{self.pid} {' '.join(self.command) or self.executable or '(kernel or ended)'}"


def _read(path: str) -> str:
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except OSError:  # ended in between
        return ""


def _process(pid: int) -> Process | None:
    status = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    if not status:
        return None
    try:
        executable = os.readlink(f"/proc/{pid}/exe")
    except OSError:
        executable = ""
    command = tuple(_read(f"/proc/{pid}/cmdline").split("\0")[:-1])
    return Process(pid, int(status[1]), status[0], command, executable)


def descendants(root: int | None = None) -> list[Process]:
    """All living processes below `root` (this process), parents first; no zombies."""
    root = root or os.getpid()
    children: dict[int, list[Process]] = {}
    for name in os.listdir("/proc"):
        process = _process(int(name)) if name.isdigit() else None
        if process:
            children.setdefault(process.parent, []).append(process)
    found, todo = [], [root]
    while todo:
        for process in children.get(todo.pop(0), []):
            todo.append(process.pid)
            if process.state not in "ZX":
                found.append(process)
    return found


def reap_orphans(except_for: set[int]):
    """Takes note of the end of adopted processes, which are zombies until then. Children that somebody waits for by
    other means are named in `except_for`."""
    for name in os.listdir("/proc"):
        process = _process(int(name)) if name.isdigit() else None
        if process and process.parent == os.getpid() and process.state == "Z" and process.pid not in except_for:
            try:
                os.waitpid(process.pid, os.WNOHANG)
            except ChildProcessError:
                pass


def accepts(host: str) -> bool:
    """Whether somebody listens on unix:///path or tcp://address:port."""
    scheme, _, place = host.partition("://")
    family = socket.AF_UNIX if scheme == "unix" else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        if scheme == "unix":
            target = place
        else:
            address, _, port = place.rpartition(":")
            target = (address, int(port))
        return connection.connect_ex(target) == 0


def mounts(mentioning: str) -> list[str]:
    """The lines of this mount namespace's table that hold `mentioning`."""
    return [line for line in _read("/proc/self/mountinfo").splitlines() if mentioning in line]


def mounts_everywhere(mentioning: str) -> list[str]:
    """Those of every mount namespace that some process is in."""
    found, seen = [], set()
    for name in os.listdir("/proc"):
        try:
            namespace = os.readlink(f"/proc/{name}/ns/mnt") if name.isdigit() else ""
        except OSError:  # ended in between
            namespace = ""
        if namespace and namespace not in seen:
            table = _read(f"/proc/{name}/mountinfo").splitlines()
            found += [f"{namespace} {line}" for line in table if mentioning in line]
            if table:
                seen.add(namespace)
    return found


def cgroups_of(processes: list[Process]) -> set[str]:
    """The directories of the groups that the engine made (dagger-*) for these processes, in every hierarchy."""
    names = set()
    for process in processes:
        names.update(part for part in re.split(r"[/\n]", _read(f"/proc/{process.pid}/cgroup")) if part.startswith("dagger-"))
    if not names:
        return set()
    return {
        os.path.join(parent, name) for parent, below, _ in os.walk("/sys/fs/cgroup") for name in below if name in names
    }


def in_cgroups(groups: set[str]) -> list[str]:
    """The ids of the processes in these groups and those below them."""
    return [
        f"{parent}: {id}"
        for group in groups
        for parent, _, _ in os.walk(group)
        for id in _read(f"{parent}/cgroup.procs").split()
    ]
