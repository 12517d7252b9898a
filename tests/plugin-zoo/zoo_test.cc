// The exact words for every bad plugin file: they name the file, what was found, what is expected and the remedy.
#include <elf.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "core/base/digest.h"
#include "core/base/fs.h"
#include "core/plugin/blame.h"
#include "core/plugin/inspect.h"
#include "core/plugin/registry.h"
#include "core/plugin/trial.h"
#include "tests/support/fake_host.h"

namespace dagger::plugin {
namespace {

std::string zoo(const std::string& name) { return std::string(ZOO_DIR) + "/zoo-" + name + ".so"; }

// A directory that is ours alone, for files that must not have the zoo's own rights.
class Zoo : public ::testing::Test {
 protected:
  Zoo() : registry_({{ZOO_DIR}, state_.path(), "/opt/dagger"}, log_, spawner_) {}

  PluginChoice choice(const std::string& name, const std::string& file) const {
    PluginChoice c;
    c.use = name, c.file = file, c.isolation = Isolation::none;
    return c;
  }
  Error refusal(const std::string& file, const PluginChoice& c) {
    try {
      registry_.load("source", c);
    } catch (const Error& e) {
      EXPECT_EQ(std::string(e.what()).rfind("cannot load plugin " + file + ": ", 0), 0U) << e.what();
      return e;
    }
    ADD_FAILURE() << file << " was accepted";
    return Error(Code::internal, "accepted");
  }
  std::string refusal(const std::string& name) { return refusal(zoo(name), choice(name, zoo(name))).message(); }
  // A copy of the good one under private rights.
  std::string copy_of_good() {
    const auto file = private_.path() + "/source-good.so";
    std::filesystem::copy_file(zoo("good"), file, std::filesystem::copy_options::overwrite_existing);
    ::chmod(file.c_str(), 0644);
    return file;
  }
  Source& load(const std::string& name) {
    registry_.load("source", choice(name, zoo(name)));
    return registry_.source("zoo");
  }

  TempDir state_, private_;
  Log log_{Level::off, STDERR_FILENO};
  Spawner spawner_;
  Registry registry_;
  testing::FakeContext context_;
};

// A sink that reads every stream to its end.
struct Sink final : SourceSink {
  bool have(const SourceLayer&) override { return false; }
  void tar(const SourceLayer&, ByteStream& stream) override {
    char buffer[64];
    while (stream.read(buffer, sizeof buffer) != 0) {
    }
  }
  std::unique_ptr<Directory> directory(const SourceLayer&) override {
    throw Error(Code::unsupported, "no directories here");
  }
};

TEST_F(Zoo, LoadsTheGoodOne) {
  Sink sink;
  EXPECT_EQ(load("good").pin({"zoo", "x", {}, ""}, std::nullopt, sink, context_).pin.digest, "sha256:00");
  EXPECT_FALSE(exists(state_.path() + "/plugins")) << "it has not asked for its directory";
  ASSERT_EQ(registry_.list().size(), 1U);
  EXPECT_EQ(registry_.list()[0].manifest.vendor, "Zoo");
}

TEST_F(Zoo, RefusesAFileWithoutAManifestBeforeItRuns) {
  EXPECT_EQ(refusal("no_manifest"),
            "has no plugin manifest (section 'dagplug'); a plugin needs DAGGER_PLUGIN() in one of its files");
}

// The good file, its manifest changed by f.
template <class F>
std::string with_manifest(const std::string& file, F f) {
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  std::string bytes((std::istreambuf_iterator<char>(stream)), {});
  const auto at = bytes.find(std::string(DAGGER_MANIFEST_MAGIC, sizeof DAGGER_MANIFEST_MAGIC));
  dagger_plugin_manifest manifest;
  std::memcpy(&manifest, bytes.data() + at, sizeof manifest);
  f(manifest);
  stream.clear();
  stream.seekp(static_cast<std::streamoff>(at));
  stream.write(reinterpret_cast<const char*>(&manifest), sizeof manifest);
  return file;
}

TEST_F(Zoo, RefusesManifestsThatNoHeaderOfOursMade) {
  const auto refused = [this](void (*change)(dagger_plugin_manifest&)) {
    const auto file = with_manifest(copy_of_good(), change);
    return refusal(file, choice("good", file)).message();
  };
  EXPECT_EQ(refused([](auto& m) { m.magic[0] = 'X'; }),
            "has a plugin manifest with wrong magic; expected 'DAGPLUG'; rebuild it with DAGGER_PLUGIN()");
  EXPECT_EQ(refused([](auto& m) { m.struct_size = 260; }),
            "has a plugin manifest of 260 bytes, expected 256; rebuild it with this engine's headers");
  EXPECT_EQ(refused([](auto& m) { m.api_major = 1; }),
            "is built for plugin API 1.1, this engine offers 0.1; rebuild the plugin with this engine's headers");
  EXPECT_EQ(refused([](auto& m) { m.api_minor = 2; }),
            "is built for plugin API 0.2, this engine offers 0.1; rebuild the plugin with this engine's headers");
  EXPECT_EQ(refused([](auto& m) { std::strcpy(m.abi_tag, DAGGER_TAG_ARCH "-itanium-libc++"); }),
            "is built with ABI '" DAGGER_TAG_ARCH "-itanium-libc++', this engine has '" DAGGER_ABI_TAG
            "'; rebuild the plugin with the same standard library and options");
}

TEST_F(Zoo, RefusesAFileForAnotherMachine) {
  const auto file = copy_of_good();
  std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
  stream.seekp(offsetof(Elf64_Ehdr, e_machine));
  const Elf64_Half machine = EM_RISCV;
  stream.write(reinterpret_cast<const char*>(&machine), sizeof machine);
  stream.close();
  EXPECT_EQ(refusal(file, choice("good", file)).message(),
            "is built for another machine (ELF machine 243); expected " DAGGER_TAG_ARCH
            "; rebuild it for this machine");
}

// Rights are those of the file that is loaded, wherever the link lies.
TEST_F(Zoo, RefusesALinkToAFileThatOthersMayReplace) {
  const auto open_to_all = private_.path() + "/open";
  std::filesystem::create_directory(open_to_all);
  std::filesystem::rename(copy_of_good(), open_to_all + "/source-good.so");
  ::chmod(open_to_all.c_str(), 0777);
  const auto link = private_.path() + "/source-good.so";
  std::filesystem::create_symlink(open_to_all + "/source-good.so", link);
  try {
    registry_.load("source", choice("good", link));
    FAIL() << "accepted";
  } catch (const Error& e) {
    EXPECT_EQ(e.message(),
              "its directory " + open_to_all + " is writable by others (mode 0777); run: chmod go-w " + open_to_all);
  }
}

TEST_F(Zoo, RefusesAnotherApiVersionBeforeItRuns) {
  EXPECT_EQ(refusal("wrong_api"),
            "is built for plugin API 9.1, this engine offers 0.1; rebuild the plugin with this engine's headers");
}

TEST_F(Zoo, RefusesAnotherAbi) {
  EXPECT_EQ(refusal("debug_stl"),
            "is built with ABI '" DAGGER_TAG_ARCH "-itanium-" DAGGER_TAG_LIB "-debugstl" DAGGER_TAG_SAN
            "', this engine has '" DAGGER_ABI_TAG "'; rebuild the plugin with the same standard library and options");
}

TEST_F(Zoo, RefusesAnotherKind) {
  EXPECT_EQ(refusal("other_kind"),
            "is of kind 'executor', the configuration names it as a 'source'; move it to the section of its kind");
}

TEST_F(Zoo, RefusesAnotherName) {
  EXPECT_EQ(refusal(zoo("good"), choice("git", zoo("good"))).message(),
            "is named 'good' in its manifest, the configuration says use = \"git\"; make them equal");
}

TEST_F(Zoo, NamesTheMissingSymbolAsItIsWritten) {
  EXPECT_EQ(refusal("missing_symbol"),
            "needs the symbol 'elsewhere::not_defined_anywhere(int)', which neither it nor its libraries provide; "
            "link what defines it (dagger_add_plugin() finds this when the plugin is built)");
}

TEST_F(Zoo, PassesOnWhyAConstructorRefused) {
  const auto e = refusal(zoo("throws_error"), choice("throws_error", zoo("throws_error")));
  EXPECT_EQ(e.code(), Code::unavailable);
  EXPECT_EQ(e.message(), "its constructor refused: no kernel support; load the module zoo");
}

TEST_F(Zoo, TurnsForeignExceptionsOfAConstructorIntoAFault) {
  const auto e = refusal(zoo("throws_std"), choice("throws_std", zoo("throws_std")));
  EXPECT_EQ(e.code(), Code::plugin_fault);
  EXPECT_EQ(e.message(), "its constructor refused: libfoo said no");
  EXPECT_EQ(refusal("throws_other"), "its constructor refused: non-standard exception");
}

TEST_F(Zoo, SurvivesAFactoryThatWasMadeByHand) {
  auto c = choice("own_factory", zoo("own_factory"));
  EXPECT_EQ(refusal(c.file, c).message(), "its factory returned nothing; make it with DAGGER_PLUGIN()");
  c.settings = R"({"throw": true})";
  EXPECT_EQ(refusal(c.file, c).message(), "its factory threw an exception; make it with DAGGER_PLUGIN()");
  EXPECT_EQ(refusal("no_factory"), "does not export dagger_plugin_create_v1; link it with dagger_add_plugin()");
}

TEST_F(Zoo, RefusesUnknownSettingsWithTheirPlace) {
  auto c = choice("good", zoo("good"));
  c.settings = R"({"dept": 1, "depth": -1})";
  c.origin = "dagger.toml:7:1";
  c.places = {{"/dept", "dagger.toml:9:1"}};
  EXPECT_EQ(refusal(c.file, c).message(),
            "dagger.toml:9:1: settings of source plugin 'good', /dept: unknown key \"dept\"; did you mean \"depth\"? "
            "known keys: depth\n"
            "dagger.toml:7:1: settings of source plugin 'good', /depth: the value must be at least 0");
  c.use = "late_schema", c.file = zoo("late_schema"), c.settings = R"({"dept": 1})";
  EXPECT_NE(refusal(c.file, c).message().find("did you mean \"depth\"?"), std::string::npos);
}

TEST_F(Zoo, RefusesASchemaThatPromisesMoreThanIsChecked) {
  EXPECT_EQ(refusal("bad_schema"),
            "its settings schema is wrong at '/properties/a/patern': is not a supported keyword");
}

TEST_F(Zoo, TurnsForeignExceptionsOfMethodsIntoFaultsThatNameTheMethod) {
  auto& source = load("foreign_exceptions");
  Sink sink;
  const auto thrown = [](auto&& call) {
    try {
      call();
    } catch (const Error& e) {
      return std::string(code_name(e.code())) + ": " + e.what();
    }
    return std::string();
  };
  EXPECT_EQ(thrown([&] { source.pin({"zoo", "x", {}, ""}, std::nullopt, sink, context_); }),
            "plugin_fault: source plugin 'foreign_exceptions', pin(): unexpected exception: libfoo said no");
  EXPECT_EQ(thrown([&] { source.fetch({"zoo", "x", {}, ""}, {}, {}, sink, context_); }),
            "plugin_fault: source plugin 'foreign_exceptions', fetch(): unexpected non-standard exception");
  EXPECT_EQ(thrown([&] { source.fetch({"zoo", "memory", {}, ""}, {}, {}, sink, context_); }),
            "no_space: source plugin 'foreign_exceptions', fetch(): out of memory");
  EXPECT_EQ(thrown([&] { source.fetch({"zoo", "stream", {}, ""}, {}, {}, sink, context_); }),
            "plugin_fault: source plugin 'foreign_exceptions', fetch(): source plugin 'foreign_exceptions', "
            "ByteStream::read(): "
            "unexpected exception: the stream broke");
}

TEST_F(Zoo, ChecksTheAnswersOfAPin) {
  auto& source = load("bad_answers");
  Sink sink;
  const auto fault = [&](const char* location) {
    try {
      source.pin({"zoo", location, {}, ""}, std::nullopt, sink, context_);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Code::plugin_fault);
      return e.message();
    }
    return std::string();
  };
  EXPECT_EQ(fault("empty"), "returned a pin with an empty digest");
  EXPECT_EQ(fault("plain"), "returned the digest 'abc', expected \"algorithm:value\"");
  EXPECT_EQ(fault("layer"), "returned a layer with an empty id");
  EXPECT_EQ(fault("file"), "returned a pin of shape file without a file name");
}

TEST_F(Zoo, RefusesASecondPluginForOneSchemeUnlessTheConfigurationChooses) {
  load("good");
  try {
    load("bad_answers");
    FAIL() << "accepted";
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(),
                 "both source plugin 'good' and source plugin 'bad_answers' serve 'zoo'; choose one of them with "
                 "schemes = [\"zoo\"] "
                 "in the configuration");
  }
  auto chosen = choice("foreign_exceptions", zoo("foreign_exceptions"));
  chosen.claims = {"zoo"};
  registry_.load("source", chosen);
  EXPECT_TRUE(registry_.list().at(0).serves.empty());
  Sink sink;
  EXPECT_THROW(registry_.source("zoo").pin({"zoo", "x", {}, ""}, std::nullopt, sink, context_), Error);
}

TEST_F(Zoo, NamesThePluginsThatAreThereWhenASchemeHasNone) {
  load("good");
  try {
    registry_.source("s3");
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(),
                 "no source for scheme 's3' is configured (configured: zoo); add a plugin for it to [[source]] of the "
                 "configuration");
  }
}

// ---- files ----

TEST_F(Zoo, SaysWhereItLookedForAFile) {
  try {
    registry_.load("source", choice("nowhere", ""));
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.message(),
              "no plugin file source-nowhere.so in " ZOO_DIR "; install it there, or set plugin_dirs or file");
  }
  EXPECT_EQ(refusal("/nowhere/x.so", choice("x", "/nowhere/x.so")).message(),
            "there is no such file; install it, or correct the path in the configuration");
}

TEST_F(Zoo, RefusesADirectoryAndAText) {
  EXPECT_EQ(refusal(private_.path(), choice("x", private_.path())).message(),
            "is a directory, expected a regular file; correct the path in the configuration");
  const auto text = private_.path() + "/text.so";
  write_file_atomically(text, "#!/bin/sh\n");
  EXPECT_EQ(refusal(text, choice("x", text)).message(),
            "is not an ELF file; expected a shared object built with dagger_add_plugin()");
}

TEST_F(Zoo, RefusesATruncatedFile) {
  const auto file = copy_of_good();
  std::filesystem::resize_file(file, 1000);
  EXPECT_EQ(refusal(file, choice("good", file)).message(),
            "is truncated: the section headers lie beyond its 1000 bytes; copy or build the file again");
}

TEST_F(Zoo, SurvivesEveryTruncation) {
  const auto whole = read_file(zoo("good"), 64 << 20);
  for (std::size_t n = 0; n < whole.size(); n += 1 + n / 16)
    EXPECT_THROW(read_plugin_file(std::string_view(whole).substr(0, n)), Error) << n;
  EXPECT_EQ(read_plugin_file(whole).manifest.name, "good");
}

TEST_F(Zoo, RefusesAFileThatOthersMayWrite) {
  const auto file = copy_of_good();
  ::chmod(file.c_str(), 0646);
  EXPECT_EQ(refusal(file, choice("good", file)).message(),
            "is writable by others (mode 0646); run: chmod go-w " + file);
  ::chmod(file.c_str(), 0664);
  EXPECT_EQ(refusal(file, choice("good", file)).message(),
            "is writable by its group (mode 0664); run: chmod go-w " + file);
}

TEST_F(Zoo, RefusesADirectoryThatOthersMayWrite) {
  const auto file = copy_of_good();
  ::chmod(private_.path().c_str(), 01777);
  EXPECT_EQ(
      refusal(file, choice("good", file)).message(),
      "its directory " + private_.path() + " is writable by others (mode 1777); run: chmod go-w " + private_.path());
}

TEST_F(Zoo, RefusesAFileOfAnotherUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give files away";
  const auto file = copy_of_good();
  ASSERT_EQ(::chown(file.c_str(), 4242, 0), 0);
  EXPECT_EQ(refusal(file, choice("good", file)).message(),
            "is owned by uid 4242, expected root; run: chown root " + file);
}

TEST_F(Zoo, RefusesAnotherSha256) {
  auto c = choice("good", zoo("good"));
  c.sha256 = std::string(64, '0');
  const auto found = Digest::of(read_file(zoo("good"), 64 << 20)).hex();
  EXPECT_EQ(refusal(c.file, c).message(), "has sha256 " + found + ", the configuration expects " + c.sha256 +
                                              "; install the expected file, or correct sha256 if you trust this one");
  c.sha256 = found;
  EXPECT_NO_THROW(registry_.load("source", c));
}

TEST_F(Zoo, ListsFilesWithoutRunningThem) {
  std::map<std::string, JudgedFile> all;
  for (auto& f : inspect_plugins({ZOO_DIR, "/nowhere"})) all.emplace(base_name(f.path), f);
  const auto problem = [&](const std::string& name) {
    const auto& refusals = all.at("zoo-" + name + ".so").refusals;
    return refusals.empty() ? std::string() : refusals.front().message();
  };
  EXPECT_EQ(problem("good"), "");
  EXPECT_EQ(all.at("zoo-good.so").contents->settings_schema.value_or("").find("{\"type\": \"object\""), 0U);
  EXPECT_EQ(problem("crash_static"), "");
  EXPECT_NE(problem("no_manifest").find("has no plugin manifest"), std::string::npos);
  EXPECT_NE(problem("wrong_api").find("built for plugin API 9.1"), std::string::npos);
}

TEST_F(Zoo, TellsEveryReasonForARefusalAtOnce) {
  const auto file = private_.path() + "/zoo-wrong_api.so";
  write_file_atomically(file, read_file(zoo("wrong_api"), 64 << 20), 0666);
  ::chmod(file.c_str(), 0666);
  ::chmod(private_.path().c_str(), 0777);
  auto c = choice("right_api", file);
  c.sha256 = std::string(64, '0');
  std::string reasons;
  for (const auto& refusal : judge_plugin_file(file, "network", c).refusals) reasons += refusal.message() + "\n";
  for (const char* part : {"is writable by others (mode 0666)", "its directory ", "has sha256 ",
                           "built for plugin API 9.1", "is of kind 'source'", "is named 'wrong_api'"})
    EXPECT_NE(reasons.find(part), std::string::npos) << part << " is not in\n" << reasons;
}

TEST_F(Zoo, TriesAPluginInAProcessOfItsOwn) {
  const RegistryOptions options{{}, state_.path(), ""};
  const auto trial = [&](const std::string& name) { return try_plugin(options, "source", choice(name, zoo(name))); };
  EXPECT_EQ(trial("good").problem, "");
  EXPECT_EQ(trial("good").abilities, std::vector<std::string>{"scheme zoo"});
  EXPECT_EQ(trial("crash_static").problem, "its process was killed by signal ABRT");
  EXPECT_EQ(trial("crash_static").code, Code::plugin_fault);
  EXPECT_NE(trial("throws_error").problem.find("no kernel support; load the module zoo"), std::string::npos);
  EXPECT_EQ(trial("throws_error").code, Code::unavailable);
  EXPECT_TRUE(std::filesystem::is_empty(state_.path()));
}

TEST_F(Zoo, TakesTheFirstChoiceThatWorks) {
  registry_.load_first("source", {choice("throws_error", zoo("throws_error")), choice("good", zoo("good"))});
  ASSERT_EQ(registry_.list().size(), 1U);
  EXPECT_EQ(registry_.list()[0].manifest.name, "good");
}

TEST_F(Zoo, DoesNotSkipAChoiceThatIsAMistake) {
  for (const char* name : {"wrong_api", "throws_std", "missing"}) {
    EXPECT_THROW(registry_.load_first("source", {choice(name, zoo(name)), choice("good", zoo("good"))}), Error) << name;
    EXPECT_TRUE(registry_.list().empty());
  }
}

TEST_F(Zoo, TellsWhyNoChoiceWorks) {
  const auto broken = choice("throws_error", zoo("throws_error"));
  try {
    registry_.load_first("source", {broken, broken});
    FAIL() << "accepted";
  } catch (const Error& e) {
    const auto reason = "\ncannot load plugin " + zoo("throws_error") +
                        ": its constructor refused: no kernel support; load the module zoo";
    EXPECT_EQ(e.message(), "no source of the configuration works on this machine:" + reason + reason);
  }
}

using ZooDeathTest = Zoo;

TEST_F(ZooDeathTest, NamesThePluginThatCrashedInAMethod) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  const auto crash = [this] {
    install_crash_reporter();
    Sink sink;
    load("crash_method").pin({"zoo", "x", {}, ""}, std::nullopt, sink, context_);
  };
  EXPECT_DEATH(crash(), "fatal signal SEGV inside source plugin 'crash_method', pin\\(\\)");
}

TEST_F(ZooDeathTest, NamesThePluginThatFilledTheStackOfAThread) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  const auto crash = [this] {
    install_crash_reporter();
    auto& source = load("crashes");
    std::thread([&] {
      Sink sink;
      source.pin({"zoo", "stack", {}, ""}, std::nullopt, sink, context_);
    }).join();
  };
  EXPECT_DEATH(crash(), "fatal signal SEGV inside source plugin 'crashes', pin\\(\\)");
}

TEST_F(ZooDeathTest, NamesTheFileThatCrashedWhileLoading) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  const auto crash = [this] {
    install_crash_reporter();
    load("crash_static");
  };
  EXPECT_DEATH(crash(), "fatal signal ABRT inside .*zoo-crash_static.so, static initialisation\\(\\)");
}

}  // namespace
}  // namespace dagger::plugin
