// A shared object that is no plugin; running its code would end the program.
#include <cstdlib>
namespace {
struct Bomb {
  Bomb() { std::abort(); }
} bomb;
}  // namespace
