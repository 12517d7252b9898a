"""`dagger config check`: everything that is wrong is told at once, before any plugin runs."""

from support import case

WRONG = """\
stat_dir = "/x"
default_network = "hots"

[snapshotter]
use = "overlay"
[snapshotter.settings]
mount = "clasic"

[executor]
use = "crunn"

[network.none]
use = "none"
[network.none.settings]
speed = 3

[[source]]
use = "oci"
[source.settings]
parallel_downloads = 0
paralel_uploads = 1

[[cache]]
use = "local"
[cache.settings]
path = "relative"

[[secret]]
use = "env"
[secret.settings]
prefix = "X_"

[registries."example.com"]
ca = "certificate.pem"
plain_http = "yes"
"""


class Check(case.EngineTest):
    def problems(self, config: str) -> dict[int, str]:
        """By line of the file; every problem of this file has one of its own."""
        self.engine.configure(config)
        result = self.engine.dagger("config", "check")
        self.assertEqual((result.returncode, result.stdout), (1, ""), result.stderr)
        found, place = {}, f"{self.engine.config_file}:"
        for line in result.stderr.splitlines()[1:]:
            self.assertTrue(line.startswith(place), line)
            number, column, message = line.removeprefix(place).split(":", 2)
            self.assertGreater(int(column), 0)
            self.assertNotIn(int(number), found, result.stderr)
            found[int(number)] = message
        return found

    def test_every_problem_has_its_place_and_what_is_allowed(self):
        expected = {
            1: ['did you mean "state_dir"?', "known keys: cache, default_network"],
            2: ['did you mean "host"?', "known networks: host, none"],
            7: ['must be one of ["auto","new","classic"]', 'did you mean "classic"?'],
            9: ["no plugin file exec-crunn.so", 'did you mean "crun"?', "known names: crun, runc"],
            15: ['unknown key "speed"', "no keys are known here"],
            20: ["/parallel_downloads", "at least 1"],
            21: ['unknown key "paralel_uploads"', "known keys: parallel_downloads, registries"],
            26: ["/path", "pattern ^/"],
            31: ['unknown key "prefix"'],
            34: ["ca", "absolute path"],
            35: ["plain_http", "true or false"],
        }
        found = self.problems(WRONG)
        self.assertEqual(sorted(found), sorted(expected), found)
        for line, texts in expected.items():
            for text in texts:
                self.assertIn(text, found[line])

    def test_the_settings_of_a_bundled_plugin_are_checked_without_running_it(self):
        for table, plugin in [
            ("[snapshotter]", "overlay"), ("[executor]", "crun"), ("[executor]", "runc"), ("[network.host]", "host"),
            ("[network.none]", "none"), ("[[source]]", "oci"), ("[[cache]]", "local"), ("[[secret]]", "env"),
        ]:  # fmt: skip
            name = table.strip("[]")
            found = self.problems(f'{table}\nuse = "{plugin}"\n[{name}.settings]\nno_such_key = 1\n')
            self.assertIn('unknown key "no_such_key"', found[4], plugin)

    def test_settings_are_listed_with_what_they_are_for(self):
        listed = self.engine.dagger("plugin", "list", "--settings").stdout
        for text in "\tbinary\tstring, 1 or more characters\tThe runtime's program", "\tmount\tone of auto, new, classic\tHow", "\tregistries\ttable\t":
            self.assertIn(text, listed)

    def test_the_example_is_fine_as_it_is_and_with_everything_said(self):
        example = self.engine.dagger("config", "example").stdout
        said = "".join(line[1:] + "\n" for line in example.splitlines() if line[1:2].strip())
        for text in example, said:
            self.engine.configure(text)
            result = self.engine.dagger("config", "check")
            self.assertEqual((result.returncode, result.stderr), (0, ""))
        self.engine.configure("")
        defaults = self.engine.dagger("config", "show").stdout
        self.engine.configure(example)
        shown = self.engine.dagger("config", "show").stdout
        self.assertEqual(defaults.splitlines()[1:], shown.splitlines()[1:])

    def test_values_are_shown_with_where_they_come_from(self):
        self.engine.configure('[log]\nlevel = "warn"\n')
        shown = self.engine.dagger("config", "show", "--origin", "--listen", "tcp://127.0.0.1:9").stdout
        for line in (f"# file: {self.engine.config_file}  # $DAGGER_CONFIG", f'level = "warn"  # {self.engine.config_file}:2:9',
                     'addresses = ["tcp://127.0.0.1:9"]  # --listen',
                     f'state_dir = "{self.engine.state_dir}"  # $DAGGER_STATE_DIR', 'default_network = "host"  # default'):  # fmt: skip
            self.assertIn(line + "\n", shown)

    def test_what_is_right_is_fine(self):
        self.engine.configure('[executor]\nuse = "runc"\n[executor.settings]\nbinary = "/usr/sbin/runc"\n')
        result = self.engine.dagger("config", "check")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertIn("is fine", result.stdout)


if __name__ == "__main__":
    case.main()
