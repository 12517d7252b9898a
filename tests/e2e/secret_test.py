"""Secrets: they reach a command, and nothing else."""

import os

from api_case import ApiTest, ask, call, run, shell
from support import case

VALUE = "s3cr3t-value-of-the-test"


class Secrets(ApiTest):
    def secret(self, name="token", value=VALUE, session=None) -> str:
        return ask(session or self.session, call("setSecret", name=name, plaintext=value), "id")

    def with_variable(self, id, *steps):
        return [*self.busybox, call("withSecretVariable", name="TOKEN", secret=id), *steps]

    def test_plaintext_and_id(self):
        id = self.secret()
        self.assertNotIn(VALUE, id)
        self.assertEqual(self.ask(call("secret", id=id), "plaintext"), VALUE)
        self.assertEqual(self.ask(call("loadSecretFromID", id=id), "plaintext"), VALUE)

    def test_a_command_gets_it_in_its_environment_and_nobody_else_sees_it(self):
        fields = self.with_variable(self.secret())
        seen = self.ask(*fields, shell("printf %s $TOKEN | wc -c; printf %s $TOKEN | rev"), "stdout")
        self.assertEqual(seen.split(), [str(len(VALUE)), VALUE[::-1]])
        self.assertIsNone(self.ask(*fields, call("envVariable", name="TOKEN")))
        self.assertNotIn("TOKEN", str(self.session.query(
            '{container{withSecretVariable(name:"TOKEN",secret:"%s"){envVariables{name}}}}' % self.secret())))  # fmt: skip

    def test_output_is_scrubbed_everywhere(self):
        script = "echo a $TOKEN b; echo $TOKEN >&2"
        fields = self.with_variable(self.secret(), shell(script, redirectStdout="/out"))
        self.assertEqual(self.ask(*fields, "stdout"), "a *** b\n")
        self.assertEqual(self.ask(*fields, "stderr"), "***\n")
        self.assertEqual(self.ask(*fields, call("file", path="/out"), "contents"), "a *** b\n")
        with self.fails("exit code: 1") as caught:
            self.ask(*self.with_variable(self.secret(), shell(script + "; exit 1")), "stdout")
        self.assertEqual(caught.exception.extensions["stdout"], "a *** b")
        self.assertNotIn(VALUE, str(caught.exception.errors))
        self.assertNotIn(VALUE, self.session.stderr())

    def test_output_is_scrubbed_across_writes(self):
        script = 'printf %s "${TOKEN%-test}"; sleep 0.1; printf %s "-test"; sleep 0.1; echo " end"'
        self.assertEqual(self.ask(*self.with_variable(self.secret(), shell(script)), "stdout"), "*** end\n")

    def test_several_lines_are_one_secret(self):
        many = "-----BEGIN-----\nline one\nline two\n-----END-----"
        fields = self.with_variable(self.secret("many", many), shell('echo "$TOKEN"; echo line one'))
        self.assertEqual(self.ask(*fields, "stdout"), "***\nline one\n")

    def test_a_mounted_secret_is_a_file_of_root_alone(self):
        mounted = call("withMountedSecret", path="/run/token", source=self.secret())
        fields = [*self.busybox, mounted]
        self.assertEqual(self.ask(*fields, shell("stat -c '%a %u %g' /run/token; wc -c < /run/token"), "stdout").split(),
                         ["400", "0", "0", str(len(VALUE))])  # fmt: skip
        self.assertEqual(self.ask(*fields, run("cat", "/run/token"), "stdout"), "***")
        with self.fails("/run/token: no such file or directory"):
            self.ask(*fields, call("file", path="/run/token"), "id")
        self.assertEqual(self.ask(*fields, "mounts"), [])
        self.assertNotIn("token", self.ask(*fields, run("true"), "rootfs", call("glob", pattern="run/*")))

    def test_the_value_is_no_part_of_the_key(self):
        random = run("cat", "/proc/sys/kernel/random/uuid")
        first = self.ask(*self.with_variable(self.secret("changing", "one"), random), "stdout")
        other = self.open_session("0.9.3")
        id = self.secret("changing", "two", other)
        self.assertEqual(ask(other, *self.with_variable(id, random), "stdout"), first)
        self.assertNotEqual(self.ask(*self.with_variable(self.secret("other name", "one"), random), "stdout"), first)

    def test_a_name_without_a_value_in_this_session_is_an_error(self):
        id = self.secret("only here")
        other = self.open_session("0.9.3")
        with self.fails("only here"):
            ask(other, *self.with_variable(id, run("true")), "stdout")

    def test_nothing_of_it_is_on_disk(self):
        self.ask(*self.with_variable(self.secret(), shell("echo $TOKEN; sleep 0.1")), "stdout")
        for root, _, files in os.walk(self.engine.state_dir):
            for name in files:
                with open(os.path.join(root, name), "rb") as file:
                    self.assertNotIn(VALUE.encode(), file.read(), f"{root}/{name}")


class Providers(ApiTest):
    sdk_version = "0.21.0"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.with_env = cls.open_session("0.21.0", env={"MY_TOKEN": VALUE})

    def test_the_environment_of_the_client(self):
        uri = call("secret", uri="env://MY_TOKEN")
        self.assertEqual(ask(self.with_env, uri, "plaintext"), VALUE)
        fields = [*self.busybox, call("withSecretVariable", name="T", secret=ask(self.with_env, uri, "id"))]
        self.assertEqual(ask(self.with_env, *fields, shell("echo $T | wc -c; echo $T"), "stdout").split(), [str(len(VALUE) + 1), "***"])

    def test_an_unset_variable_and_an_unknown_provider_are_named(self):
        with self.fails("NOT_SET"):
            ask(self.with_env, call("secret", uri="env://NOT_SET"), "plaintext")
        with self.fails("vault"):
            ask(self.with_env, call("secret", uri="vault://x/y"), "plaintext")


if __name__ == "__main__":
    case.main()
