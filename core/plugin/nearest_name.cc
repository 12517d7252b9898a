#include "core/plugin/nearest_name.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace dagger::plugin {
namespace {

// Levenshtein distance.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, replaced}));
    }
  }
  return row.back();
}

constexpr std::size_t max_length = 128;  // longer ones are no typing mistakes, and the cost is quadratic

}  // namespace

std::string nearest_name(std::string_view written, const std::vector<std::string>& known) {
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(1, written.size() / 3) + 1;
  if (written.size() > max_length) return best;
  for (const auto& name : known) {
    if (name.size() > max_length) continue;
    if (const auto d = distance(written, name); d < best_distance) best_distance = d, best = name;
  }
  return best;
}

std::string known_keys_hint(std::string_view written, std::vector<std::string> known) {
  std::sort(known.begin(), known.end());
  std::string hint;
  if (const auto near = nearest_name(written, known); !near.empty()) hint = "; did you mean \"" + near + "\"?";
  if (known.empty()) return hint + "; no keys are known here";
  hint += hint.empty() ? "; known keys: " : " known keys: ";
  for (std::size_t i = 0; i < known.size(); ++i) hint += (i == 0 ? "" : ", ") + known[i];
  return hint;
}

}  // namespace dagger::plugin
