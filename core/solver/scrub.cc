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
  while (at < held_.size()) {
    const std::string_view rest = std::string_view(held_).substr(at);
    const std::string* match = nullptr;
    bool could_begin = false;
    for (const auto& s : secrets_) {
      if (rest.starts_with(s)) {
        if (match == nullptr) match = &s;
      } else if (!at_end && s.size() > rest.size() && std::string_view(s).starts_with(rest)) {
        // A longer secret may begin here; it wins over a shorter match, so wait for more.
        could_begin = true;
      }
    }
    if (could_begin) break;
    if (match != nullptr) {
      out += "***";
      at += match->size();
    } else {
      out += held_[at++];
    }
  }
  held_.erase(0, at);
  return out;
}

}  // namespace dagger::solver
