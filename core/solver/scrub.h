// core/solver/scrub.h — replaces secret values in a stream by "***", also where a value spans chunks. Pure.
#pragma once
#include <string>
#include <string_view>
#include <vector>

namespace dagger::solver {

class Scrubber {
 public:
  // Empty values are ignored. Values that overlap in the text are replaced together.
  explicit Scrubber(std::vector<std::string> secrets);
  // What can be shown now; the tail that may be the beginning of a secret is held back until more comes.
  std::string feed(std::string_view chunk);
  std::string finish();
  bool active() const noexcept { return !secrets_.empty(); }

 private:
  std::string scan(bool at_end);
  std::vector<std::string> secrets_;  // longest first
  std::string held_;
  std::size_t covered_ = 0;  // so many bytes of held_ belong to a value that was replaced
};

}  // namespace dagger::solver
