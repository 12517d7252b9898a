#include "core/runner/config/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <map>

#include <nlohmann/json.hpp>

#include "core/base/fs.h"

namespace dagger::runner {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

ConfigContext context(std::map<std::string, std::string> env = {}) {
  ConfigContext c;
  c.install_dir = "/opt/dagger";
  c.env = [env](const std::string& name) -> std::optional<std::string> {
    const auto found = env.find(name);
    return found == env.end() ? std::nullopt : std::optional(found->second);
  };
  c.cores = 2;
  return c;
}

Config parse(std::string_view text, const ConfigContext& c = context()) { return parse_config(text, "dagger.toml", c); }

std::string problems(std::string_view text) {
  try {
    parse(text);
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), Code::invalid_argument);
    return e.message();
  }
  return "none";
}

std::vector<std::string> names(const std::vector<plugin::PluginChoice>& choices) {
  std::vector<std::string> all;
  for (const auto& choice : choices) all.push_back(choice.use);
  return all;
}

TEST(Config, WorksWithoutAFile) {
  const auto c = parse_config(std::nullopt, "", context());
  EXPECT_THAT(names(c.snapshotter), ElementsAre("overlay"));
  EXPECT_THAT(names(c.executor), ElementsAre("crun", "runc"));
  EXPECT_EQ(c.networks.at("host").use, "host");
  EXPECT_EQ(c.networks.at("none").use, "none");
  EXPECT_EQ(c.sources.at(0).use, "oci");
  EXPECT_EQ(c.secrets.at(0).use, "env");
  EXPECT_TRUE(c.caches.empty());
  EXPECT_EQ(c.state_dir, "/var/lib/dagger");
  EXPECT_THAT(c.plugin_dirs, ElementsAre("/opt/dagger/lib/dagger/plugins/1"));
  EXPECT_EQ(c.parallel_execs, 2U);
}

TEST(Config, KeepsTheStateOfAUserInTheUsersDirectory) {
  auto ctx = context({{"HOME", "/home/ann"}});
  ctx.uid = 1000;
  EXPECT_EQ(parse_config(std::nullopt, "", ctx).state_dir, "/home/ann/.local/state/dagger");
}

TEST(Config, ReadsEveryKind) {
  const auto c = parse(R"(
plugin_dirs = ["/a", "/b"]
default_network = "bridge"
[snapshotter]
use = "fuse"
[executor]
use = "runc"
sha256 = "0000000000000000000000000000000000000000000000000000000000000000"
[network.bridge]
use = "cni"
[[source]]
use = "git"
[[source]]
use = "s3"
file = "/x/s3.so"
schemes = ["s3"]
[source.settings]
region = "eu"
nested = { list = [1, 2.5, true] }
[[cache]]
use = "local"
settings = { path = "/cache" }
[listen]
addresses = ["unix:///run/dagger.sock", "tcp://127.0.0.1:9000"]
socket_mode = "0660"
token = "hunter2"
[parallelism]
execs = 7
[runner]
idle_timeout = "2m"
)");
  EXPECT_THAT(names(c.snapshotter), ElementsAre("fuse"));
  EXPECT_THAT(names(c.executor), ElementsAre("runc"));
  EXPECT_EQ(c.networks.at("bridge").use, "cni");
  EXPECT_EQ(c.networks.at("host").use, "host");
  EXPECT_THAT(c.networks.at("bridge").claims, ElementsAre("bridge"));
  ASSERT_EQ(c.sources.size(), 2U);
  EXPECT_THAT(c.sources[1].claims, ElementsAre("s3"));
  EXPECT_EQ(c.sources[1].settings, R"({"nested":{"list":[1,2.5,true]},"region":"eu"})");
  EXPECT_EQ(c.sources[1].places.at("/region"), "dagger.toml:18:1");
  EXPECT_EQ(c.caches.at(0).settings, R"({"path":"/cache"})");
  EXPECT_EQ(c.listen.socket_mode, 0660U);
  EXPECT_EQ(c.parallel_execs, 7U);
  EXPECT_EQ(c.idle_timeout, std::chrono::minutes(2));
  EXPECT_EQ(c.origins.at("parallelism.execs"), "dagger.toml:28:9");
  EXPECT_EQ(c.origins.count("parallelism.io"), 0U);
}

TEST(Config, NamesEveryUnknownKeyAndBadValueWithItsPlace) {
  EXPECT_EQ(problems(R"(stat_dir = "/x"
plugin_dirs = "/a"
[executor]
uses = "crun"
[parallelism]
execs = 0
io = "many"
[log]
level = "loud"
)"),
            "dagger.toml:1:1: unknown key \"stat_dir\"; did you mean \"state_dir\"? known keys: cache, "
            "default_network, executor, listen, "
            "log, network, parallelism, plugin_dirs, registries, runner, runner_host, sdk, secret, snapshotter, "
            "source, state_dir\n"
            "dagger.toml:2:15: plugin_dirs: expected an array of strings, found a string\n"
            "dagger.toml:3:1: use: is required: the name of the plugin\n"
            "dagger.toml:4:1: unknown key \"uses\"; did you mean \"use\"? known keys: file, isolation, settings, "
            "sha256, use\n"
            "dagger.toml:6:9: execs: must be from 1 to 1024, found 0\n"
            "dagger.toml:7:6: io: expected an integer, found a string\n"
            "dagger.toml:9:9: level: there is no \"loud\"; known levels: debug, error, info, off, trace, warn");
}

TEST(Config, SaysWhichPluginsRunInAProcessOfTheirOwn) {
  const auto c =
      parse("[[source]]\nuse = \"oci\"\nisolation = \"process\"\n[[secret]]\nuse = \"env\"\nisolation = \"none\"");
  EXPECT_EQ(c.sources.at(0).isolation, plugin::Isolation::process);
  EXPECT_EQ(c.secrets.at(0).isolation, plugin::Isolation::none);
  EXPECT_EQ(c.networks.at("host").isolation, plugin::Isolation::by_place);
  EXPECT_EQ(problems("[[source]]\nuse = \"oci\"\nisolation = \"container\""),
            "dagger.toml:3:13: isolation: expected \"process\" or \"none\", found \"container\"");
  EXPECT_EQ(problems("[executor]\nuse = \"crun\"\nisolation = \"process\""),
            "dagger.toml:3:13: isolation: plugins of this kind run inside the engine; remove it, or set \"none\"");
}

TEST(Config, NamesThePlaceOfASyntaxError) { EXPECT_THAT(problems("a = 1\nb = [1,\n"), HasSubstr("dagger.toml:")); }

TEST(Config, ChecksAddressesModesAndTimes) {
  EXPECT_THAT(problems("[listen]\naddresses = [\"http://x\"]"),
              HasSubstr("expected \"unix:///path\" or \"tcp://host:port\""));
  EXPECT_THAT(problems("[listen]\nsocket_mode = \"rw\""), HasSubstr("expected octal digits"));
  EXPECT_THAT(problems("[runner]\nidle_timeout = \"soon\""), HasSubstr("expected a time such as"));
  EXPECT_THAT(problems("[executor]\nuse = \"x\"\nsha256 = \"12\""), HasSubstr("expected 64 hex digits"));
  EXPECT_THAT(problems("default_network = \"moon\""),
              HasSubstr("there is no [network.moon]; known networks: host, none"));
  EXPECT_THAT(problems("[log]\nlevel = \"wran\""), HasSubstr("did you mean \"warn\"?"));
  EXPECT_THAT(problems("state_dir = \"relative\""), HasSubstr("must be an absolute path"));
}

TEST(Config, HandsRegistriesToTheOciSource) {
  const auto c = parse(R"(
[registries."docker.io"]
mirrors = ["mirror.example:5000"]
[registries."127.0.0.1:5000"]
plain_http = true
)");
  EXPECT_EQ(c.registries.size(), 2U);
  const auto settings = nlohmann::json::parse(c.sources.at(0).settings);
  EXPECT_EQ(settings["registries"]["127.0.0.1:5000"]["plain_http"], true);
  EXPECT_EQ(c.sources[0].places.at("/registries/docker.io/mirrors"), "dagger.toml:3:1");
  EXPECT_THAT(problems("[[source]]\nuse = \"oci\"\nsettings = { registries = {} }\n[registries.x]\nplain_http = true"),
              HasSubstr("keep one of them"));
}

TEST(Config, LetsTheEnvironmentBeatTheFile) {
  const auto c = parse("state_dir = \"/file\"\n[listen]\ntoken = \"a\"",
                       context({{"DAGGER_STATE_DIR", "/env"}, {"_EXPERIMENTAL_DAGGER_RUNNER_TOKEN", "b"}}));
  EXPECT_EQ(c.state_dir, "/env");
  EXPECT_EQ(c.origins.at("state_dir"), "$DAGGER_STATE_DIR");
  EXPECT_EQ(c.listen.token, "b");
}

TEST(Config, PrefersWhatIsSaidExplicitly) {
  const TempDir dir;
  const auto write = [&](const std::string& name, const std::string& state) {
    make_dirs(parent_path(dir.path() + "/" + name));
    write_file_atomically(dir.path() + "/" + name, "state_dir = \"" + state + "\"\n");
    return dir.path() + "/" + name;
  };
  write("xdg/dagger/dagger.toml", "/xdg");
  auto ctx = context({{"XDG_CONFIG_HOME", dir.path() + "/xdg"}});
  if (!exists("/etc/dagger/dagger.toml")) {
    EXPECT_EQ(load_config(ctx).state_dir, "/xdg");
  }
  ctx = context({{"DAGGER_CONFIG", write("env.toml", "/env")}});
  EXPECT_EQ(load_config(ctx).state_dir, "/env");
  ctx.file = write("flag.toml", "/flag");
  EXPECT_EQ(load_config(ctx).state_dir, "/flag");
  ctx.file = dir.path() + "/missing.toml";
  EXPECT_THROW(load_config(ctx), Error);
}

TEST(Config, RefusesAFileThatOthersMayWrite) {
  const TempDir dir;
  auto ctx = context();
  ctx.file = dir.path() + "/c.toml";
  write_file_atomically(ctx.file, "");
  ::chmod(ctx.file.c_str(), 0666);
  try {
    load_config(ctx);
    FAIL() << "accepted";
  } catch (const Error& e) {
    EXPECT_EQ(std::string(e.what()),
              "configuration file " + ctx.file + ": is writable by others (mode 0666); run: chmod go-w " + ctx.file);
  }
}

TEST(Config, ReportsCharactersThatTomlHasNoPlaceFor) {
  EXPECT_THAT(problems("[&cache]\n"), HasSubstr("dagger.toml:1:2: "));
  EXPECT_THAT(problems("[log]\nlevel = \u0392\n"), HasSubstr("dagger.toml:2:9: "));
}

TEST(Config, ShowsControlCharactersAsTomlWritesThem) {
  const auto shown = show_config(parse("runner_host = \"unix:///\\u007F\""), false);
  EXPECT_THAT(shown, HasSubstr("\\u007F"));
  EXPECT_EQ(parse(shown).runner_host, "unix:///\x7f");
}

TEST(Config, ShowsAFileThatGivesTheSameConfigurationAgain) {
  const auto c = parse(R"(
state_dir = "/s"
[[source]]
use = "oci"
isolation = "process"
settings = { parallel_downloads = 3 }
[registries."a:5000"]
plain_http = true
[listen]
addresses = ["tcp://127.0.0.1:1"]
)");
  const auto shown = show_config(c, true);
  const auto again = parse(shown);
  EXPECT_EQ(again.state_dir, "/s");
  EXPECT_EQ(again.sources.at(0).settings, c.sources.at(0).settings);
  EXPECT_EQ(again.sources.at(0).isolation, plugin::Isolation::process);
  EXPECT_EQ(again.registries.size(), 1U);
  EXPECT_THAT(shown, HasSubstr("state_dir = \"/s\"  # dagger.toml:2:13"));
  EXPECT_THAT(shown, HasSubstr("[[executor]]  # default"));
}

TEST(Config, TakesSeveralPluginsToChooseFrom) {
  const auto c = parse(R"(snapshotter = ["overlay", { use = "fuse", settings = { binary = "/usr/bin/fuse-overlayfs" } }]
source = ["oci", "hello"]
[[executor]]
use = "runc"
[[executor]]
use = "crun"
settings = { binary = "/opt/crun" }
)");
  EXPECT_THAT(names(c.snapshotter), ElementsAre("overlay", "fuse"));
  EXPECT_EQ(c.snapshotter[0].origin, "dagger.toml:1:16");
  EXPECT_EQ(c.snapshotter[1].settings, R"({"binary":"/usr/bin/fuse-overlayfs"})");
  EXPECT_THAT(names(c.sources), ElementsAre("oci", "hello"));
  EXPECT_THAT(names(c.executor), ElementsAre("runc", "crun"));
  EXPECT_EQ(c.executor[1].places.at("/binary"), "dagger.toml:7:14");
  EXPECT_EQ(parse(show_config(c, true)).executor[1].settings, c.executor[1].settings);
  EXPECT_THAT(problems("snapshotter = []"), HasSubstr("1:15: snapshotter: names no plugin"));
  EXPECT_THAT(problems("secret = [\"\"]"), HasSubstr("1:11: secret: expected a name or a table, found an empty name"));
  EXPECT_THAT(problems("[executor]\nuse = \"\""), HasSubstr("2:7: use: is required"));
  EXPECT_THAT(problems("executor = 3"), HasSubstr("expected a name or a table, found an integer"));
}

TEST(Config, KeepsAListThatIsEmptyOnPurpose) {
  const auto c = parse("secret = []");
  EXPECT_TRUE(c.secrets.empty());
  EXPECT_TRUE(parse(show_config(c, false)).secrets.empty());
}

TEST(Config, ShowsWhereEachValueComesFrom) {
  auto c = parse(R"(
[executor]
use = "runc"
[executor.settings]
binary = "/opt/runc"
[log]
level = "warn"
)",
                 context({{"_EXPERIMENTAL_DAGGER_RUNNER_HOST", "tcp://h:1"}}));
  const auto shown = show_config(c, true);
  for (const char* line : {"state_dir = \"/var/lib/dagger\"  # default\n",
                           "runner_host = \"tcp://h:1\"  # $_EXPERIMENTAL_DAGGER_RUNNER_HOST\n",
                           "use = \"runc\"  # dagger.toml:3:7\n", "binary = \"/opt/runc\"  # dagger.toml:5:1\n",
                           "level = \"warn\"  # dagger.toml:7:9\n", "use = \"overlay\"  # default\n"})
    EXPECT_THAT(shown, HasSubstr(line));
  EXPECT_THAT(show_config(c, false), Not(HasSubstr("default\n")));
}

TEST(Config, ReportsABadEnvironmentBesideABadFile) {
  try {
    parse("execs = 1", context({{"DAGGER_STATE_DIR", "here"}}));
    FAIL() << "accepted";
  } catch (const Error& e) {
    EXPECT_THAT(e.message(), HasSubstr("dagger.toml:1:1: unknown key \"execs\""));
    EXPECT_THAT(e.message(), HasSubstr("\n$DAGGER_STATE_DIR: must be an absolute path, found \"here\""));
  }
}

TEST(Config, MasksSecretsWhenShown) {
  const auto shown = show_config(parse(R"(
[listen]
token = "hunter2"
[[cache]]
use = "http"
settings = { url = "https://x", auth = { Password = "hunter3", api_token = "hunter4" } }
)"),
                                 false);
  EXPECT_THAT(shown, Not(HasSubstr("hunter")));
  EXPECT_THAT(shown, HasSubstr("token = \"***\""));
  EXPECT_THAT(shown, HasSubstr("https://x"));
}

}  // namespace
}  // namespace dagger::runner
