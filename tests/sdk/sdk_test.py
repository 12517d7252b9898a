"""The official SDKs against the engine: the same pipeline through each, under `dagger run` and with a `dagger session`
that the SDK starts itself.

usage: sdk_test.py LANGUAGE GENERATION [unittest arguments]        e.g. sdk_test.py node v0.21
"""

import json
import os
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

from support import case

HERE = Path(__file__).resolve().parent
LANGUAGES = {"node", "python", "go"}
# How the program of a generation connects: connect.mjs, connection.py, ...
GENERATIONS = {"v0.9": "connect", "v0.13": "connect", "v0.21": "connection"}

EXPECTED = {
    "stdout": "from the host\n",
    "contents": "hello from /src\n",
    "entries": ["in.txt", "out.txt", "sub"],
    "variable": "hello",
    "command": "x\n",
    "failure": {"exitCode": 7, "stdout": "partial", "stderr": "reason"},
}

language, generation = sys.argv[1:3] if len(sys.argv) > 2 else ("", "")


def installed() -> Path:
    """Where the SDKs are; installs what is missing. A failure to install is a failure of the test."""
    result = subprocess.run([HERE / "install"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    if result.returncode:
        raise RuntimeError("tests/sdk/install failed; what it said is above")
    return Path(result.stdout.strip())


def program(sdks: Path, work: Path) -> list[str]:
    """The command of the pipeline in the language and generation under test. Node finds its packages next to the
    program, so the program is put next to them."""
    if language == "go":
        return [str(sdks / "go" / "bin" / generation)]
    if language == "python":
        entry = HERE / "python" / f"{GENERATIONS[generation]}.py"
        return [str(sdks / "python" / generation / "bin" / "python"), str(entry)]
    shutil.copytree(HERE / "node", work)
    (work / "node_modules").symlink_to(sdks / "node" / generation / "node_modules")
    newer = sdks / "node" / "runtime" / "node_modules" / ".bin" / "node"
    return ["/usr/bin/node" if generation == "v0.9" else str(newer), str(work / f"{GENERATIONS[generation]}.mjs")]


class Sdk(case.EngineTest):
    def setUp(self):
        super().setUp()
        self.source, self.exported = self.engine.dir / "source", self.engine.dir / "exported"
        (self.source / "sub").mkdir(parents=True)
        (self.source / "in.txt").write_text("from the host\n")
        (self.source / "not.skip").write_text("left out\n")
        self.command = program(installed(), self.engine.dir / "program")
        self.environment = {
            "TEST_IMAGE": self.image,
            "TEST_SOURCE": str(self.source),
            "TEST_EXPORT": str(self.exported),
        }

    def check(self, result):
        self.assertEqual(result.returncode, 0, f"{result.stdout}\n{result.stderr}")
        answer = json.loads(result.stdout)
        if generation != "v0.9":  # later views put a slash after a directory's name
            answer["entries"] = [name.removesuffix("/") for name in answer["entries"]]
        expected = dict(EXPECTED)
        if generation == "v0.9":  # where the entrypoint is put before every command
            expected["command"] = "echo x\n"
        self.assertEqual(answer, expected)
        files = {str(file.relative_to(self.exported)): file.read_text() for file in self.exported.rglob("*") if file.is_file()}
        self.assertEqual(
            files,
            {"in.txt": "from the host\n", "out.txt": "hello from /src\n", "made/deep/made.txt": "made by the API\n"},
        )
        self.assertTrue((self.exported / "sub").is_dir())

    def test_under_dagger_run(self):
        self.check(self.engine.run(self.command, env=self.environment))

    def test_starting_its_own_session(self):
        environment = self.engine.env({**self.environment, "_EXPERIMENTAL_DAGGER_CLI_BIN": str(self.engine.program)})
        self.check(
            subprocess.run(self.command, env=environment, cwd=self.engine.dir, stdin=subprocess.DEVNULL,
                           capture_output=True, text=True, errors="replace", timeout=120)
        )  # fmt: skip


if __name__ == "__main__":
    if language not in LANGUAGES or generation not in GENERATIONS:
        sys.exit(__doc__)
    unittest.main(verbosity=2, argv=[sys.argv[0], *sys.argv[3:]])
