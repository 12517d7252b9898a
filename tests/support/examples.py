"""The plugins of examples/, built as a third party does: out of tree, against the installed package."""

import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from support import engine


def build(test_class: type[unittest.TestCase], name: str) -> Path:
    """The plugin file of examples/NAME; it goes with the class."""
    work = Path(tempfile.mkdtemp(prefix="dagger-example-"))
    test_class.addClassCleanup(shutil.rmtree, work, ignore_errors=True)
    example = Path(__file__).resolve().parents[2] / "examples" / name
    for command in (
        ["cmake", "--install", engine.build_dir(), "--component", "plugin-sdk", "--prefix", work / "prefix"],
        ["cmake", "-S", example, "-B", work / "build", f"-DCMAKE_PREFIX_PATH={work}/prefix", "-DBUILD_TESTING=OFF"],
        ["cmake", "--build", work / "build", "-j2"],
    ):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{command} failed:\n{done.stdout}\n{done.stderr}")
    return work / "build" / f"{name}.so"
