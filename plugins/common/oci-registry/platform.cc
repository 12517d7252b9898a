#include "plugins/common/oci-registry/platform.h"

#include <sys/utsname.h>

#include <algorithm>

#include "dagger/plugin/error.h"

namespace dagger::oci {
namespace {

std::string lowered(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

bool is_word(std::string_view s) {
  return !s.empty() && s.size() <= 32 && std::all_of(s.begin(), s.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '.';
  });
}

// 7 for "v7"; -1 for what is no such number. absent stands for "".
int level(std::string_view variant, int absent) {
  if (variant.empty()) return absent;
  if (variant.size() != 2 || variant[0] != 'v' || variant[1] < '0' || variant[1] > '9') return -1;
  return variant[1] - '0';
}

// Levels that run wherever a higher one does.
std::optional<int> downward(int wanted, int offered) {
  if (wanted < 0 || offered < 0 || offered > wanted) return std::nullopt;
  return wanted - offered;
}

}  // namespace

Platform normalise(Platform p) {
  p.os = lowered(p.os), p.architecture = lowered(p.architecture), p.variant = lowered(p.variant);
  if (p.os == "macos") p.os = "darwin";
  if (p.architecture == "x86_64" || p.architecture == "x86-64") p.architecture = "amd64";
  if (p.architecture == "aarch64") p.architecture = "arm64";
  if (p.architecture == "i386" || p.architecture == "i486" || p.architecture == "i586" || p.architecture == "i686")
    p.architecture = "386";
  if (p.architecture == "armhf" || p.architecture == "armv7l") p.architecture = "arm", p.variant = "v7";
  if (p.architecture == "armel") p.architecture = "arm", p.variant = "v6";
  if (!p.variant.empty() && p.variant[0] >= '0' && p.variant[0] <= '9') p.variant = "v" + p.variant;
  if (p.architecture == "arm64" && p.variant == "v8") p.variant.clear();
  if (p.architecture == "amd64" && p.variant == "v1") p.variant.clear();
  if (p.architecture == "386") p.variant.clear();
  if (p.architecture == "arm" && p.variant.empty()) p.variant = "v7";
  return p;
}

Platform parse_platform(std::string_view text) {
  Platform p;
  if (text.empty()) {
    utsname machine{};
    ::uname(&machine);
    p.os = "linux", p.architecture = machine.machine;
    return normalise(std::move(p));
  }
  const auto first = text.find('/');
  const auto second = first == std::string_view::npos ? first : text.find('/', first + 1);
  p.os = text.substr(0, first);
  if (first != std::string_view::npos) p.architecture = text.substr(first + 1, second - first - 1);
  if (second != std::string_view::npos) p.variant = text.substr(second + 1);
  p = normalise(std::move(p));
  if (!is_word(p.os) || !is_word(p.architecture) ||
      (second != std::string_view::npos && text.substr(second + 1).empty()) ||
      (!p.variant.empty() && !is_word(p.variant)))
    throw Error(Code::invalid_argument, "invalid platform \"" + std::string(text.substr(0, 100)) +
                                            "\"; write os/architecture[/variant], for example linux/arm64");
  return p;
}

std::optional<int> distance(const Platform& wanted, const Platform& offered) {
  if (wanted.os != offered.os) return std::nullopt;
  const std::string& arch = wanted.architecture;
  if (arch == offered.architecture) {
    if (wanted.variant == offered.variant) return 0;
    if (arch == "arm") return downward(level(wanted.variant, 7), level(offered.variant, 7));
    if (arch == "amd64") return downward(level(wanted.variant, 1), level(offered.variant, 1));
    if (arch == "arm64") return downward(level(wanted.variant, 8), level(offered.variant, 8));
    return wanted.variant.empty() || offered.variant.empty() ? std::optional<int>(1) : std::nullopt;
  }
  if (arch == "amd64" && offered.architecture == "386") return 100;
  if (arch == "arm64" && offered.architecture == "arm") {
    const auto steps = downward(8, level(offered.variant, 7));
    return steps ? std::optional<int>(100 + *steps) : std::nullopt;
  }
  return std::nullopt;
}

}  // namespace dagger::oci
