#include "core/solver/scrub.h"

#include <algorithm>

namespace dagger::solver {

Scrubber::Scrubber(std::vector<std::string> secrets) : secrets_(std::move(secrets)) {
  std::erase(secrets_, "");
  std::ranges::sort(secrets_,
                    [](const auto& a, const auto& b) { return a.size() != b.size() ? a.size() > b.size() : a < b; });
  const auto [first, last] = std::ranges::unique(secrets_);
  secrets_.erase(first, last);
}

std::string Scrubber::feed(std::string_view chunk) {
  if (secrets_.empty()) return std::string(chunk);
  held_ += chunk;
  return scan(false);
}

std::string Scrubber::finish() { return scan(true); }

std::string Scrubber::scan(bool at_end) {
  std::string out;
  std::size_t at = 0;
  bool could_begin = false;
  for (; at < held_.size(); ++at) {
    const std::string_view rest = std::string_view(held_).substr(at);
    std::size_t match = 0;
    for (const auto& s : secrets_) {
      if (rest.starts_with(s)) {
        match = s.size();
        break;  // the longest
      }
      // A longer secret may begin here: wait for more.
      could_begin = !at_end && s.size() > rest.size() && s.starts_with(rest);
      if (could_begin) break;
    }
    if (could_begin) break;
    if (match != 0) {
      if (covered_ <= at) out += "***";
      covered_ = std::max(covered_, at + match);
    }
    if (covered_ <= at) out += held_[at];
  }
  held_.erase(0, at);
  covered_ -= std::min(covered_, at);
  return out;
}

}  // namespace dagger::solver
