"""The rules of check_layers.py, each with a file that keeps it and one that breaks it."""

import tempfile
import unittest
from pathlib import Path

from check_layers import check


class Layers(unittest.TestCase):
    def problems(self, file: str, *includes: str) -> list[str]:
        with tempfile.TemporaryDirectory() as root:
            path = Path(root) / file
            path.parent.mkdir(parents=True)
            path.write_text("// a comment\n" + "".join(f"#include {include}\n" for include in includes))
            return check(Path(root))

    def assert_fits(self, file, *includes):
        self.assertEqual(self.problems(file, *includes), [])

    def assert_broken(self, file, include, text):
        problems = self.problems(file, "<string>", include)
        self.assertEqual(len(problems), 1, problems)
        self.assertTrue(problems[0].startswith(f"{file}:3: "), problems[0])
        self.assertIn(text, problems[0])

    def test_a_folder_may_include_itself_and_what_is_below(self):
        self.assert_fits("core/solver/run.cc", '"core/solver/run.h"', '"core/store/store.h"', '"core/dag/op.h"')
        self.assert_fits("core/runner/host.cc", '"core/solver/run.h"', '"core/plugin/registry.h"')

    def test_a_folder_may_not_include_what_is_above_or_beside(self):
        self.assert_broken("core/store/a.cc", '"core/solver/run.h"', "core/store may include")
        self.assert_broken("core/session/a.cc", '"core/solver/run.h"', "core/session may include")
        self.assert_broken("core/solver/a.cc", '"core/plugin/registry.h"', "core/solver may include")
        self.assert_broken("core/graphql/a.h", '"core/dag/op.h"', "core/graphql may include")
        self.assert_broken("core/runner/a.cc", '"core/graphql/parser.h"', "core/runner may include")
        self.assert_broken("cli/main.cc", '"core/store/store.h"', "cli may include")
        self.assert_broken("core/base/a.cc", '"tests/support/fake.h"', "core/base may include")

    def test_a_plugin_knows_its_own_folder_the_api_and_what_plugins_share(self):
        self.assert_fits("plugins/exec-crun/crun.cc", '"plugins/exec-crun/part.h"', '"dagger/plugin/executor.h"')
        self.assert_fits("plugins/exec-crun/crun.cc", '"plugins/common/oci-runtime/spec.h"', "<curl/curl.h>")
        self.assert_fits("plugins/common/oci-runtime/a.cc", '"plugins/common/oci-registry/client.h"')
        self.assert_broken("plugins/exec-crun/crun.cc", '"plugins/exec-runc/runc.h"', "plugins may include")
        self.assert_broken("plugins/exec-crun/crun.cc", '"core/base/fs.h"', "plugins may include")
        self.assert_broken("plugins/common/oci-runtime/a.cc", '"plugins/exec-crun/crun.h"', "plugins/common may include")
        self.assert_broken("core/store/a.cc", '"plugins/common/oci-registry/client.h"', "core/store may include")

    def test_the_pure_folders_see_only_errors_of_the_plugin_api(self):
        self.assert_fits("core/dag/op.h", '"dagger/plugin/error.h"', "<vector>")
        self.assert_broken("core/dag/op.h", '"dagger/plugin/source.h"', "core/dag may include")
        self.assert_broken("core/dag/op.cc", "<thread>", "core/dag is pure")
        self.assert_broken("core/dag/op.cc", "<sys/stat.h>", "core/dag is pure")

    def test_the_plugin_api_needs_the_standard_library_only(self):
        self.assert_fits("core/plugin-api/include/dagger/plugin/a.h", '"dagger/plugin/error.h"', "<sys/stat.h>")
        self.assert_broken("core/plugin-api/include/dagger/plugin/a.h", "<nlohmann/json.hpp>", "standard library")
        self.assert_broken("core/plugin-api/include/dagger/plugin/a.h", '"core/base/fs.h"', "standard library")

    def test_headers_of_other_projects_stay_in_their_folders(self):
        self.assert_fits("core/plugin/loader.cc", "<boost/dll/shared_library.hpp>")
        self.assert_fits("core/link/peer.cc", "<boost/beast/websocket.hpp>", "<boost/asio/write.hpp>")
        self.assert_broken("core/runner/a.cc", "<boost/dll/shared_library.hpp>", "boost/dll belongs in core/plugin")
        self.assert_broken("core/runner/a.cc", "<boost/beast/http.hpp>", "boost/beast belongs in")
        self.assert_broken("core/store/a.cc", "<boost/asio/post.hpp>", "boost/ belongs in")
        self.assert_broken("core/solver/a.cc", "<sqlite3.h>", "sqlite3.h belongs in core/store")
        self.assert_broken("core/session/a.cc", "<curl/curl.h>", "curl/ belongs in plugins")
        self.assert_broken("cli/a.cc", "<spdlog/spdlog.h>", "spdlog/ belongs in core/base")

    def test_includes_are_spelled_from_the_root(self):
        self.assert_broken("core/dag/op.cc", '"op.h"', "spelled from the root")

    def test_a_folder_that_nobody_declared_is_named(self):
        self.assertIn("core/surprise is no layer", self.problems("core/surprise/a.cc")[0])


if __name__ == "__main__":
    unittest.main()
