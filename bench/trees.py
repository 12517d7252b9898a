"""A directory of the client: first time, nothing changed, one file changed."""

import shutil
import subprocess
from pathlib import Path

from report import Row
from setting import Session, Setting, disk_at_rest, timed


def make_tree(root: Path, files: int):
    """Files of 100 to 1,000 bytes, a hundred to a directory, three levels deep."""
    for number in range(files):
        directory = root / f"d{number // 10_000}" / f"d{number // 100 % 100}"
        if number % 100 == 0:
            directory.mkdir(parents=True)
        (directory / f"file-{number}.txt").write_bytes(b"%d\n" % number * (100 // len(b"%d\n" % number) + number % 90))


def walk(root: Path):
    """The metadata of every file, by a tool that does nothing else."""
    subprocess.run(["find", root, "-printf", "%p %s %T@ %m\n"], check=True, stdout=subprocess.DEVNULL)


def copy(root: Path, target: Path):
    subprocess.run(["cp", "-a", root, target], check=True)


def sync(engine, root: Path) -> float:
    """In a session of its own, since a session takes a directory once."""
    with Session(engine) as session:
        return session.timed('{host{directory(path:"%s"){entries}}}' % root)


def measure(setting: Setting):
    root, target = setting.directory / "tree", setting.directory / "copy"
    make_tree(root, setting.files)
    name = f"directory of {setting.files:,} files"
    first, copies, unchanged, walks, changed = [], [], [], [], []
    for _ in range(1 if setting.quick else min(3, setting.runs)):
        disk_at_rest()
        copies.append(timed(copy, root, target))
        shutil.rmtree(target)
        with setting.engine() as engine:
            disk_at_rest()
            first.append(sync(engine, root))
            for turn in range(3):
                walks.append(timed(walk, root))
                unchanged.append(sync(engine, root))
                (root / "d0" / "d7" / "file-700.txt").write_text(f"changed {turn}\n")
                changed.append(sync(engine, root))
    shutil.rmtree(root)
    copied, walked = sorted(copies)[len(copies) // 2], sorted(walks)[len(walks) // 2]
    scale = setting.files / 100_000
    yield Row(f"{name}, first", first, beside="cp -a", beside_values=copies, budget=1.5 * copied, budget_text="1.5x")
    yield Row(f"{name}, unchanged", unchanged, beside="find", beside_values=walks, budget=350 * scale)
    yield Row(f"{name}, one changed", changed, beside="find", beside_values=walks, budget=walked + 50 * scale,
              budget_text="walk + 50")  # fmt: skip
