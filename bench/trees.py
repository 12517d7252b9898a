"""A directory of the client: first time, nothing changed, one file changed."""

import shutil
import statistics
import subprocess
from pathlib import Path

from report import Row
from setting import Session, Setting, disk_at_rest, timed


def make_tree(root: Path, files: int, size: int | None):
    """Files of size bytes, or of 100 to 1,000; a hundred to a directory, three levels deep."""
    for number in range(files):
        directory = root / f"d{number // 10_000}" / f"d{number // 100 % 100}"
        if number % 100 == 0:
            directory.mkdir(parents=True)
        line = b"%d\n" % number
        text = line * (size // len(line) + 1) if size else line * (100 // len(line) + number % 90)
        (directory / f"file-{number}.txt").write_bytes(text[:size])


def walk(root: Path):
    """The metadata of every file, by a tool that does nothing else."""
    subprocess.run(["find", root, "-printf", "%p %s %T@ %m\n"], check=True, stdout=subprocess.DEVNULL)


def copy(root: Path, target: Path):
    subprocess.run(["cp", "-a", root, target], check=True)


def sync(engine, root: Path) -> float:
    """In a session of its own, since a session takes a directory once."""
    with Session(engine) as session:
        return session.timed('{host{directory(path:"%s"){entries}}}' % root)


def export(engine, root: Path, target: Path) -> float:
    """Only the way back: the tree is there already."""
    with Session(engine) as session:
        session.query('{host{directory(path:"%s"){entries}}}' % root)
        taken = session.timed('{host{directory(path:"%s"){export(path:"%s")}}}' % (root, target))
    shutil.rmtree(target)
    return taken


def measure(setting: Setting):
    yield from measure_tree(setting, 2_000 if setting.quick else 10_000, 4096)
    yield from measure_tree(setting, setting.files, None)


def measure_tree(setting: Setting, files: int, size: int | None):
    root, target = setting.directory / "tree", setting.directory / "copy"
    make_tree(root, files, size)
    name = f"directory of {files:,} files" + (f" of {size:,} bytes" if size else "")
    first, copies, unchanged, walks, changed, exported = [], [], [], [], [], []
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
            disk_at_rest()
            exported.append(export(engine, root, target))
    shutil.rmtree(root)
    walked = statistics.median(walks)
    copied = {"beside": "cp -a", "beside_values": copies, "budget_text": "1.5x", "budget": 1.5 * statistics.median(copies)}
    scale = files / 100_000
    yield Row(f"{name}, first", first, **copied)
    yield Row(f"{name}, unchanged", unchanged, beside="find", beside_values=walks, budget=350 * scale)
    yield Row(f"{name}, one changed", changed, beside="find", beside_values=walks, budget=walked + 50 * scale,
              budget_text=f"walk + {50 * scale:g}")  # fmt: skip
    yield Row(f"{name}, exported", exported, **copied)
