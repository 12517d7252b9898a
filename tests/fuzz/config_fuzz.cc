// The operator's file: whatever it says, it is read or refused with the place of each problem; and what is read can be
// shown and read again.
#include <cstdint>
#include <string>
#include <string_view>

#include "core/runner/config/config.h"
#include "tests/fuzz/property.h"

namespace {

using namespace dagger;
using fuzz::check;

constexpr const char* name = "fuzzed.toml";

runner::ConfigContext context() {
  runner::ConfigContext c;
  c.install_dir = "/opt/dagger";
  c.env = [](const std::string&) { return std::optional<std::string>(); };
  return c;
}

// "fuzzed.toml:3:7: ..."
void has_place(std::string_view problem) {
  check(problem.starts_with(std::string(name) + ":"));
  problem.remove_prefix(std::string_view(name).size() + 1);
  check(!problem.empty() && problem.front() >= '1' && problem.front() <= '9');
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (text.find("_file") != std::string_view::npos) return 0;  // token_file is opened
  std::string shown;
  try {
    shown = runner::show_config(runner::parse_config(text, name, context()), true);
  } catch (const Error& e) {
    has_place(e.message());
    return 0;
  }
  check(runner::show_config(runner::parse_config(shown, name, context()), true).size() > shown.size() / 2);
  return 0;
}
