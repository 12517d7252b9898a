#!/usr/bin/python3
"""A container runtime alone: a bundle with busybox, run again and again.

usage: bare.py RUNTIME BUNDLE RUNS      prints the milliseconds of each run as JSON

Runs in a mount namespace of its own where the cgroup v2 hierarchy of a hybrid host is unmounted, since crun refuses
such hosts.
"""

import ctypes
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

HYBRID = "/sys/fs/cgroup/unified"
CLONE_NEWNS, MS_REC, MS_PRIVATE, MNT_DETACH = 0x20000, 0x4000, 1 << 18, 2


def make_bundle(directory: Path):
    """The runtime's own default configuration, and what an exec of the bench runs."""
    applets = directory / "rootfs" / "bin"
    applets.mkdir(parents=True)
    shutil.copy("/bin/busybox", applets / "busybox")
    (applets / "true").symlink_to("busybox")
    for name in ("proc", "dev", "sys", "etc"):
        (directory / "rootfs" / name).mkdir()
    subprocess.run(["runc", "spec"], cwd=directory, check=True)
    spec = json.loads((directory / "config.json").read_text())
    spec["process"].update(terminal=False, args=["/bin/true"])
    spec["root"]["readonly"] = False
    # Of the engine's steps too: the host's network.
    spec["linux"]["namespaces"] = [ns for ns in spec["linux"]["namespaces"] if ns["type"] != "network"]
    (directory / "config.json").write_text(json.dumps(spec))


def measure(runtime: str, bundle: Path, runs: int) -> list[float]:
    """Milliseconds of each run, made by a process of its own."""
    output = subprocess.run([sys.executable, __file__, runtime, bundle, str(runs)], check=True, stdout=subprocess.PIPE)
    return json.loads(output.stdout)


def leave_hybrid_cgroups():
    if not os.path.ismount(HYBRID):
        return
    libc = ctypes.CDLL(None, use_errno=True)
    for call in (
        lambda: libc.unshare(CLONE_NEWNS),
        lambda: libc.mount(b"none", b"/", None, MS_REC | MS_PRIVATE, None),
        lambda: libc.umount2(HYBRID.encode(), MNT_DETACH),
    ):
        if call() != 0:
            raise OSError(ctypes.get_errno(), "cannot leave the hybrid cgroup hierarchy")


def main():
    runtime, bundle, runs = sys.argv[1:]
    leave_hybrid_cgroups()
    times = []
    for number in range(int(runs)):
        begin = time.perf_counter()
        subprocess.run([runtime, "run", f"bench-{os.getpid()}-{number}"], cwd=bundle, check=True, stdin=subprocess.DEVNULL)
        times.append((time.perf_counter() - begin) * 1000)
    print(json.dumps(times))


if __name__ == "__main__":
    main()
