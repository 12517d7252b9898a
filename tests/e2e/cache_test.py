"""Cache volumes, and which steps are taken from the cache."""

import threading

from api_case import ApiTest, Name, ask, call, run, shell
from support import case

RANDOM = run("cat", "/proc/sys/kernel/random/uuid")


class Volumes(ApiTest):
    def volume(self, key: str, **more):
        return call("withMountedCache", path="/cache", cache=self.ask(call("cacheVolume", key=key), "id"), **more)

    def test_ids_are_equal_for_equal_keys(self):
        id = lambda key: self.ask(call("cacheVolume", key=key), "id")
        self.assertEqual(id("a"), id("a"))
        self.assertNotEqual(id("a"), id("b"))

    def test_contents_stay_for_later_steps_and_sessions(self):
        for number in range(3):
            session = self.open_session("0.9.3")
            ask(session, *self.busybox, self.volume("lines"), shell(f"echo {number} >> /cache/lines"), "sync")
        self.assertEqual(self.ask(*self.busybox, self.volume("lines"), run("cat", "/cache/lines"), "stdout"), "0\n1\n2\n")
        self.assertEqual(self.ask(*self.busybox, self.volume("other lines"), run("ls", "/cache"), "stdout"), "")

    def test_a_new_volume_starts_from_its_source(self):
        source = self.new_directory({"f": "start", "d/g": "x"})
        fields = [*self.busybox, self.volume("sourced", source=source)]
        self.assertEqual(self.ask(*fields, shell("cat /cache/f; echo more >> /cache/f"), "stdout"), "start")
        self.assertEqual(self.ask(*fields, shell("cat /cache/f /cache/d/g"), "stdout"), "startmore\nx")

    def test_each_owner_has_an_instance(self):
        for owner, seen in ("app", "1000 1000 755"), ("daemon:floppy", "2 11 755"), (None, "0 0 755"):
            more = {"owner": owner} if owner else {}
            self.assertEqual(
                self.ask(*self.busybox, self.volume("owned", **more), run("stat", "-c", "%u %g %a", "/cache"), "stdout"), seen + "\n"
            )

    def test_a_locked_volume_has_one_user_at_a_time(self):
        script = "mkdir /cache/lock || exit 1; sleep 0.2; rmdir /cache/lock"
        errors = []

        def step(number):
            try:
                locked = self.volume("locked", sharing=Name("LOCKED"))
                self.ask(*self.busybox, locked, shell(f"{script} # {number}"), "sync")
            except Exception as error:  # noqa: BLE001 - of another thread
                errors.append(error)

        threads = [threading.Thread(target=step, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(errors, [])

    def test_something_mounted_inside_a_volume(self):
        inner = call("withMountedDirectory", path="/cache/inner", source=self.new_directory({"f": "inside"}))
        fields = [*self.busybox, self.volume("outer"), inner, shell("cat /cache/inner/f; echo x > /cache/inner/g")]
        self.assertEqual(self.ask(*fields, "stdout"), "inside")
        self.assertEqual(self.ask(*fields, call("directory", path="/cache/inner"), "entries"), ["f", "g"])


class Hits(ApiTest):
    def test_an_equal_step_runs_once_in_any_session(self):
        first = self.ask(*self.busybox, RANDOM, "stdout")
        self.assertEqual(self.ask(*self.busybox, RANDOM, "stdout"), first)
        self.assertEqual(ask(self.open_session("0.9.3"), *self.busybox, RANDOM, "stdout"), first)

    def test_a_changed_variable_argument_or_file_runs_it_again(self):
        variants = [
            [*self.busybox, RANDOM],
            [*self.busybox, call("withEnvVariable", name="BUST", value="1"), RANDOM],
            [*self.busybox, call("withEnvVariable", name="BUST", value="2"), RANDOM],
            [*self.busybox, run("cat", "/proc/sys/kernel/random/uuid", "/dev/null"), ],
            [*self.busybox, call("withNewFile", path="/x", contents="1"), RANDOM],
            [*self.busybox, call("withNewFile", path="/x", contents="2"), RANDOM],
            [*self.busybox, call("withUser", name="app"), RANDOM],
        ]  # fmt: skip
        self.assertEqual(len({self.ask(*variant, "stdout") for variant in variants}), len(variants))

    def test_progress_says_why_a_step_runs_again(self):
        """Each in a session of its own: what a session shows is its own standard error."""

        def shown(value="1", contents="1", command="echo"):
            source = self.new_directory({"f": contents})
            variable = call("withEnvVariable", name="WHY", value=value)
            step = [*self.busybox, variable, call("withMountedDirectory", path="/why", source=source), run(command, "why")]
            with self.engine.session() as session:
                ask(session, *step, "stdout")
            return session.stderr()

        self.assertIn("echo why", shown())
        self.assertIn("CACHED", shown())
        self.assertIn("environment variable WHY changed", shown(value="2"))
        self.assertIn("input file f changed", shown(value="2", contents="2"))
        self.assertIn("command changed", shown(value="2", contents="2", command="printf"))

    def test_equal_bytes_made_in_another_way_are_a_hit_for_what_comes_after(self):
        made = lambda script: self.ask(*self.busybox, shell(script), call("directory", path="/o"), "sync")
        after = lambda id: self.ask(*self.busybox, call("withMountedDirectory", path="/d", source=id), RANDOM, "stdout")
        one, two = made("mkdir /o; echo same > /o/f"), made("mkdir -p /o && printf 'same\\n' > /o/f")
        first = after(one)
        # Digests of new layers are computed in the background; a lookup waits for none, so the first may come too early.
        for attempt in range(50):
            if after(two) == first:
                return
            two = made(f": {attempt}; mkdir /o; echo same > /o/f")
        self.fail("a step after equal bytes never hit")

    def test_a_failed_step_is_tried_again(self):
        volume = call("withMountedCache", path="/cache", cache=self.ask(call("cacheVolume", key="attempts"), "id"))
        flaky = [*self.busybox, volume, shell("echo x >> /cache/n; test $(wc -l < /cache/n) -ge 2")]
        with self.fails("exit code: 1"):
            self.ask(*flaky, "sync")
        self.ask(*flaky, "sync")

    def test_hits_survive_a_restart_of_the_runner(self):
        first = self.ask(*self.busybox, RANDOM, "stdout")
        other = self.new_engine(state_dir=None)
        with other.session() as session:
            made = ask(session, *self.busybox, RANDOM, "stdout")
            id = ask(session, *self.busybox, RANDOM, "id")
        self.assertNotEqual(made, first)
        other.kill_runners(15)
        other.check_nothing_is_left(within=10)
        with other.session() as session:
            self.assertEqual(ask(session, *self.busybox, RANDOM, "stdout"), made)
            self.assertEqual(ask(session, call("container", id=id), "stdout"), made)


if __name__ == "__main__":
    case.main()
