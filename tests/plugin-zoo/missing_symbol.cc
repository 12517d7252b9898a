// Linked without --no-undefined against something that nobody has.
#include "zoo.h"
namespace elsewhere {
int not_defined_anywhere(int);
}
namespace {
class Source final : public zoo::QuietSource {
 public:
  Source(dagger::plugin::Host& h, std::string_view c) : QuietSource(h, c), value_(elsewhere::not_defined_anywhere(1)) {}
  int value() const { return value_; }

 private:
  int value_;
};
}  // namespace
DAGGER_PLUGIN(dagger::plugin::Source, Source, "missing_symbol", "1.0.0", "Zoo");
