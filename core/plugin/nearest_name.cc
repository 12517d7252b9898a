#include "core/plugin/nearest_name.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace dagger::plugin {
namespace {

// Letters added, left out, replaced, or exchanged with the next one.
std::size_t distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before, row(b.size() + 1), next(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    next[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      next[j] = std::min({row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        next[j] = std::min(next[j], before[j - 2] + 1);
    }
    before = std::exchange(row, next);
  }
  return row.back();
}

constexpr std::size_t max_length = 128;  // longer ones are no typing mistakes, and the cost is quadratic

}  // namespace

std::string nearest_name(std::string_view written, const std::vector<std::string>& known) {
  std::string best;
  std::size_t best_distance = std::min(std::max<std::size_t>(1, written.size() / 3) + 1, written.size());
  if (written.size() > max_length) return best;
  for (const auto& name : known) {
    if (name.size() > max_length) continue;
    if (const auto d = distance(written, name); d < best_distance) best_distance = d, best = name;
  }
  return best;
}

std::string known_names_hint(std::string_view written, std::vector<std::string> known, const std::string& what) {
  std::sort(known.begin(), known.end());
  std::string hint;
  if (const auto near = nearest_name(written, known); !near.empty()) hint = "; did you mean \"" + near + "\"?";
  if (known.empty()) return hint + "; no " + what + " are known here";
  hint += (hint.empty() ? "; known " : " known ") + what + ": ";
  for (std::size_t i = 0; i < known.size(); ++i) hint += (i == 0 ? "" : ", ") + known[i];
  return hint;
}

}  // namespace dagger::plugin
