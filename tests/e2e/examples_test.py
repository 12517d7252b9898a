"""The plugins of examples/ in pipelines, built as a third party does."""

import hashlib
import io
import subprocess
import tarfile
import time
import zipfile
from pathlib import Path

from api_case import ask, call, run
from support import case, examples
from support.processes import eventually
from support.web_server import WebServer

LIMIT = 3 << 20
SINCE_URIS = "--label", "dagger.io/sdk.version:0.21.0"  # clients that know secrets by URI


def tar(mode: str, names=("top/bin/tool", "top/read.me")) -> bytes:
    """A tar whose files contain their names; mode as tarfile has it: "w:gz"."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(name), 0o755
            archive.addfile(entry, io.BytesIO(name.encode()))
    return out.getvalue()


def zip_of(names) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, name)
    return out.getvalue()


def tree(reference: str):
    return "git" + f'(url: "archive://{reference}")', call("branch", name="-"), "tree"


class SourceArchive(case.EngineTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.plugin = examples.build(cls, "source-archive")

    def setUp(self):
        super().setUp()
        self.web = WebServer()
        self.addCleanup(self.web.stop)
        self.roots = self.engine.dir / "archives"
        self.roots.mkdir()
        self.engine = self.new_engine(
            f'[[source]]\nuse = "oci"\n[[source]]\nuse = "archive"\nfile = "{self.plugin}"\n'
            f'settings = {{ max_download_bytes = {LIMIT}, file_roots = ["{self.roots}"] }}\n',
            env={"no_proxy": "127.0.0.1"},
        )

    def serve(self, path: str, body: bytes) -> tuple[str, str]:
        self.web.files[path] = body
        return self.web.url(path), hashlib.sha256(body).hexdigest()

    def refused(self, session, reference: str, *texts: str):
        with self.assertRaises(RuntimeError) as caught:
            ask(session, *tree(reference), "entries")
        for text in texts:
            self.assertIn(text, str(caught.exception))

    def test_every_form_with_a_checksum_is_downloaded_once(self):
        forms = {"/x.tar": tar("w"), "/x.tar.gz": tar("w:gz"), "/x.tar.xz": tar("w:xz"), "/x.tar.bz2": tar("w:bz2"),
                 "/x.zip": zip_of(["top/bin/tool", "top/read.me"])}  # fmt: skip
        forms["/x.tar.zst"] = subprocess.run(["zstd", "-q"], input=forms["/x.tar"], capture_output=True, check=True).stdout
        for path, body in forms.items():
            with self.subTest(path), self.engine.session() as session:
                url, sha256 = self.serve(path, body)
                whole, inner = tree(f"{url}#sha256={sha256}"), tree(f"{url}#sha256={sha256}&strip=1")
                self.assertEqual(ask(session, *whole, "entries"), ["top"])
                self.assertEqual(sorted(ask(session, *inner, "entries")), ["bin", "read.me"])
                self.assertEqual(ask(session, *inner, call("file", path="bin/tool"), "contents"), "top/bin/tool")
                self.assertEqual(self.web.statuses(path), [200, 200])
        with self.engine.session() as session:  # nothing is asked again
            self.assertEqual(ask(session, *inner, call("file", path="read.me"), "contents"), "top/read.me")
            self.assertEqual(self.web.statuses(path), [200, 200])

    def test_it_is_mounted_into_a_command(self):
        url, _ = self.serve("/x.tar.gz", tar("w:gz"))
        with self.engine.session() as session:
            mounted = call("withMountedDirectory", path="/a", source=ask(session, *tree(url + "#strip=1"), "id"))
            steps = "container", call("from", address=self.image), mounted
            self.assertEqual(ask(session, *steps, run("stat", "-c", "%a %s", "/a/bin/tool"), "stdout"), "755 12\n")

    def test_without_a_checksum_an_unchanged_one_is_not_sent_again(self):
        url, _ = self.serve("/x.tar.gz", tar("w:gz"))
        for _ in range(2):
            with self.engine.session() as session:
                self.assertEqual(ask(session, *tree(url), "entries"), ["top"])
        self.assertEqual(self.web.statuses("/x.tar.gz"), [200, 304])
        self.serve("/x.tar.gz", tar("w:gz", ["other"]))
        with self.engine.session() as session:
            self.assertEqual(ask(session, *tree(url), "entries"), ["other"])
        self.assertEqual(self.web.statuses("/x.tar.gz"), [200, 304, 200])

    def test_a_redirect_is_followed_but_not_to_a_file(self):
        self.serve("/x.zip", zip_of(["f"]))
        (self.roots / "x.zip").write_bytes(self.web.files["/x.zip"])
        self.web.moved |= {"/old": "/x.zip", "/trap": f"file://{self.roots}/x.zip", "/round": "/round"}
        with self.engine.session() as session:
            self.assertEqual(ask(session, *tree(self.web.url("/old")), "entries"), ["f"])
            self.refused(session, self.web.url("/trap"), "a redirect may lead to")
            self.refused(session, self.web.url("/round"), "name the URL at their end")

    def test_what_is_wrong_is_told_with_the_reference_and_a_remedy(self):
        url, _ = self.serve("/x.tar.gz", tar("w:gz"))
        page, _ = self.serve("/page", b"<html>no archive</html>")
        whiteout, _ = self.serve("/whiteout.tar", tar("w", ["a/.wh.b"]))
        out, _ = self.serve("/out.tar", tar("w", ["a/../../b"]))
        cut, _ = self.serve("/cut.tar.gz", tar("w:gz")[:-30])
        with self.engine.session() as session:
            self.refused(session, f"{url}#sha256={'0' * 64}", url, "expected " + "0" * 64, "correct the reference")
            self.refused(session, self.web.url("/none.zip"), self.web.url("/none.zip"), "404", "check the URL")
            self.refused(session, page, page, "no tar, zip or 7z")
            self.refused(session, whiteout, whiteout, "a/.wh.b", "rename it")
            self.refused(session, out, out, '".."')
            self.refused(session, cut, cut, "truncated")
            self.refused(session, url + "#strip=7", url, "leaves nothing")
            self.refused(session, "https://me:word@127.0.0.1/x", "must not contain a user")
            self.refused(session, "http://127.0.0.1:1/x.tar", "127.0.0.1:1", "connect")

    def test_a_body_without_an_end_is_cut_off_at_the_limit(self):
        self.web.endless.add("/endless")
        large, _ = self.serve("/large", bytes(LIMIT + 1))
        with self.engine.session() as session:
            self.refused(session, self.web.url("/endless"), f"larger than {LIMIT} bytes", "max_download_bytes")
            self.assertTrue(self.web.gone.wait(10))
            self.refused(session, large, f"larger than {LIMIT} bytes")

    def test_a_client_that_leaves_ends_the_download(self):
        self.web.silent.add("/silent")
        session = self.engine.session()
        self.addCleanup(session.kill)
        outcome = case.in_background(lambda: self.assertRaises(Exception, ask, session, *tree(self.web.url("/silent")), "entries"))
        self.assertTrue(self.web.waiting.wait(20))
        started = time.monotonic()
        session.kill()
        self.assertTrue(self.web.gone.wait(10))
        self.assertLess(time.monotonic() - started, 2)
        outcome()

    def test_a_file_of_the_runner_only_where_the_operator_allows_it(self):
        (self.roots / "x.tar").write_bytes(tar("w"))
        outside = Path(self.engine.dir) / "outside.tar"
        outside.write_bytes(tar("w"))
        (self.roots / "link.tar").symlink_to(outside)
        (self.roots / "near.tar").symlink_to("x.tar")
        with self.engine.session() as session:
            for name in "x.tar", "near.tar":
                self.assertEqual(ask(session, *tree(f"file://{self.roots}/{name}"), "entries"), ["top"])
            self.refused(session, f"file://{outside}", str(outside), "file_roots")
            self.refused(session, f"file://{self.roots}/link.tar", "leads out of", "file_roots")
            self.refused(session, f"file://{self.roots}/../outside.tar", 'without ".."')
            self.refused(session, f"file://{self.roots}/none.tar", "no such file")
            self.refused(session, f"file://{self.roots}", "file_roots")

    def test_nothing_of_a_download_is_left(self):
        url, _ = self.serve("/x.tar.gz", tar("w:gz"))
        with self.engine.session() as session:
            ask(session, *tree(url), "entries")
            left = [path for path in Path(self.engine.state_dir).rglob("fetching-*")]
            self.assertEqual(left, [])


COMMANDS = """
[[secret]]
use = "env"
[[secret]]
use = "command"
file = "{file}"
[secret.settings]
environment = ["GREETING"]
timeout_seconds = 2
[secret.settings.commands]
token = ["/bin/echo", "{value}"]
greeting = ["/bin/sh", "-c", "echo $GREETING $HOME"]
fails = ["/bin/sh", "-c", "echo {value}; echo log in first >&2; exit 3"]
slow = ["/bin/sh", "-c", "echo {value}; echo waits for a person >&2; sleep 1000 | cat"]
large = ["/usr/bin/yes", "{value}"]
gone = ["/nonexistent/program"]
"""


class SecretCommand(case.EngineTest):
    value = "s3cr3t-value-of-a-command"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.config = COMMANDS.format(file=examples.build(cls, "secret-command"), value=cls.value)

    def test_its_value_reaches_a_command_and_is_scrubbed(self):
        with self.engine.session(*SINCE_URIS, env={"GREETING": "hello"}) as session:
            for uri in "cmd:token", "cmd://token":
                self.assertEqual(ask(session, call("secret", uri=uri), "plaintext"), self.value)
            self.assertEqual(ask(session, call("secret", uri="cmd:greeting"), "plaintext"), "hello")
            secret = call("withSecretVariable", name="T", secret=ask(session, call("secret", uri="cmd:token"), "id"))
            seen = run("sh", "-c", "printf %s $T | wc -c; echo $T")
            said = ask(session, "container", call("from", address=self.image), secret, seen, "stdout")
            self.assertEqual(said.split(), [str(len(self.value)), "***"])

    def test_what_goes_wrong_is_told_and_nothing_of_the_value(self):
        with self.engine.session(*SINCE_URIS) as session:
            for name, *texts in (
                ("fails", "ended with 3: log in first"),
                ("slow", "longer than 2 s", "timeout_seconds", "waits for a person"),
                ("large", "max_bytes"),
                ("gone", "/nonexistent/program", "install it"),
                ("other", "cmd:other is none of the commands", "known are fails, gone,"),
                ("/bin/cat /etc/passwd", "none of the commands"),
            ):
                with self.subTest(name), self.assertRaises(RuntimeError) as caught:
                    ask(session, call("secret", uri=f"cmd:{name}"), "plaintext")
                for text in texts:
                    self.assertIn(text, str(caught.exception))
                self.assertNotIn(self.value, str(caught.exception))
            self.assertNotIn(self.value, session.stderr())

    def test_a_session_that_ends_takes_a_running_command_along(self):
        self.engine.configure(self.config.replace("timeout_seconds = 2", "timeout_seconds = 600"))
        session = self.engine.session(*SINCE_URIS)
        self.addCleanup(session.kill)
        asking = case.in_background(lambda: self.assertRaises(Exception, ask, session, call("secret", uri="cmd:slow"), "plaintext"))
        running = lambda: [p for p in self.engine.processes() if p.command[-2:] == ("sleep", "1000")]
        eventually(running, 10, "the command")
        session.close(how="SIGTERM", timeout=10)
        eventually(lambda: not running(), 2, "the command's end")
        asking()


if __name__ == "__main__":
    case.main()
