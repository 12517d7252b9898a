#include <nlohmann/json.hpp>

#include "core/plugin/config_schema.h"
#include "core/plugin/loader.h"
#include "tests/conformance/kit.h"

namespace dagger::conformance {
namespace {

constexpr const char* export_h = "dagger/plugin/export.h; plugin-guide.md, \"The file\"";
constexpr const char* plugin_h = "dagger/plugin/plugin.h, the rules at its top";
constexpr const char* settings_doc = "plugin-guide.md, \"Settings\"";

void manifest(const Kit& kit) {
  const auto& m = kit.manifest;
  const auto expected = std::string(plugin::file_prefix(m.kind)) + "-" + m.name + ".so";
  expect(base_name(kit.options.file) == expected,
         "the file is called " + base_name(kit.options.file) + ", expected " + expected);
  expect(!m.version.empty() && m.version.find_first_of("0123456789") == 0,
         "the version is \"" + m.version + "\", expected as \"1.2.0\"");
  expect(!m.vendor.empty(), "the vendor is empty");
}

std::string config_schema(Loaded& loaded, const std::string& kind) {
  auto& r = loaded.registry();
  const auto text = [](plugin::Plugin& p) { return std::string(p.config_schema()); };
  if (kind == "snapshotter") return text(r.snapshotter());
  if (kind == "executor") return text(r.executor());
  if (kind == "source") return text(r.source(r.source_schemes().at(0)));
  if (kind == "secret") return text(r.secret(r.secret_schemes().at(0)));
  if (kind == "network") return text(r.network(r.network_classes().at(0)));
  return text(*r.caches().at(0));
}

plugin::JudgedFile judged(const Kit& kit) { return plugin::judge_plugin_file(kit.options.file, "", {}); }

std::string schema_of(const Kit& kit) {
  const auto file = judged(kit);
  expect(file.refusals.empty(), file.refusals.empty() ? "" : file.refusals.front().what());
  if (file.contents->settings_schema) return *file.contents->settings_schema;
  return config_schema(*kit.load(), kit.manifest.kind);
}

void schema(const Kit& kit) {
  const auto parsed = nlohmann::json::parse(schema_of(kit), nullptr, false);
  expect(!parsed.is_discarded(), "it is not JSON");
  const auto problems = plugin::check_schema(parsed);
  expect(problems.empty(), problems.empty() ? "" : problems[0].pointer + ": " + problems[0].message);
  const auto additional = parsed.find("additionalProperties");
  expect(additional == parsed.end() || *additional != true, "it allows any key: additionalProperties is true");
}

void description(const Kit& kit) {
  const auto parsed = nlohmann::json::parse(schema_of(kit), nullptr, false);
  expect(
      parsed.is_object() && !parsed.value("description", "").empty(),
      "the schema has no description beside its properties; `dagger plugin show` has nothing to say about the plugin");
}

void same_schema(const Kit& kit) {
  const auto file = judged(kit);
  if (!file.contents->settings_schema)
    throw Skipped{
        "the file has none: without a public static constexpr char settings_schema[] it is known only after loading"};
  expect(config_schema(*kit.load(), kit.manifest.kind) == *file.contents->settings_schema, "they differ");
}

void unknown_key(const Kit& kit) {
  auto config = nlohmann::json::parse(kit.options.config);
  config["no-such-key"] = 1;
  const auto happened = outcome([&] { kit.load(config.dump()); });
  expect(!happened.empty(), "it was accepted");
  expect(happened.rfind("invalid_argument: ", 0) == 0, happened);
}

void construction(const Kit& kit) {
  for (int i = 0; i < 3; ++i) {
    const auto happened = outcome([&] { kit.load(); });
    expect(happened.empty(), "constructing it for the " + std::to_string(i + 1) + ". time: " + happened);
  }
}

void two_at_once(const Kit& kit) {
  const auto first = kit.load();
  const auto second = kit.load();
}

void footprint(const Kit& kit) {
  // Things that a library may set up once, when it is loaded first, are allowed to stay: but only threads and memory.
  const auto before = Footprint::now();
  {
    const auto loaded = kit.load();
    const auto inherited = inheritable_fds(before.fds);
    expect(inherited.empty(), "this fd has no O_CLOEXEC: " + inherited);
  }
  const auto once = Footprint::now();
  auto difference = before.difference(once, false);
  expect(difference.empty(), "after its destruction " + difference);
  kit.load();
  difference = once.difference(Footprint::now(), true);
  expect(difference.empty(), "after its second destruction " + difference);
}

}  // namespace

void add_common_checks(Checks& checks) {
  checks.push_back({"manifest",
                    "the file is called <kind>-<name>.so after its manifest, which has a version and a vendor",
                    export_h, manifest});
  checks.push_back({"settings.schema",
                    "the settings have a schema; every property has a description; unknown keys are refused",
                    settings_doc, schema});
  checks.push_back(
      {"settings.description", "the schema as a whole has the description of the plugin", plugin_h, description});
  checks.push_back(
      {"settings.same", "config_schema() tells the schema that is in the file", settings_doc, same_schema});
  checks.push_back({"settings.unknown-key", "an unknown key in the settings is refused as invalid_argument",
                    settings_doc, unknown_key});
  checks.push_back({"construction", "the plugin can be made and destroyed, again and again", plugin_h, construction});
  checks.push_back({"construction.two", "two objects of one plugin live side by side", plugin_h, two_at_once});
  checks.push_back(
      {"footprint",
       "working directory, umask, environment, locale, signal handlers, mounts and fds are left as they were; fds have "
       "O_CLOEXEC; threads end in the destructor",
       plugin_h, footprint});
}

}  // namespace dagger::conformance
