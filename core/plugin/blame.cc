#include "core/plugin/blame.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <initializer_list>

#include "core/plugin/alternate_stack.h"

namespace dagger::plugin {
namespace {

thread_local const char* volatile current_label = nullptr;
thread_local const char* volatile current_method = nullptr;

// One line, written at once: stderr may be a packet socket. Async-signal-safe.
class Line {
 public:
  void add(const char* text) {
    const auto n = std::min(std::strlen(text), sizeof text_ - size_);
    std::memcpy(text_ + size_, text, n);
    size_ += n;
  }
  void write() const { [[maybe_unused]] const auto n = ::write(STDERR_FILENO, text_, size_); }

 private:
  char text_[1024];
  std::size_t size_ = 0;
};

const char* signal_name(int number) {
  switch (number) {
    case SIGSEGV:
      return "SEGV";
    case SIGBUS:
      return "BUS";
    case SIGFPE:
      return "FPE";
    case SIGILL:
      return "ILL";
    default:
      return "ABRT";
  }
}

void on_fatal(int number) {
  Line line;
  line.add("fatal signal ");
  line.add(signal_name(number));
  line.add(" inside ");
  if (const char* label = current_label; label != nullptr) {
    line.add(label);
    line.add(", ");
    line.add(current_method);
    line.add("()");
  } else {
    line.add("the engine");
  }
  line.add("\n");
  line.write();
  ::raise(number);  // SA_RESETHAND: now the default action, with a core dump where the system makes one
}

}  // namespace

Blame::Blame(const char* label, const char* method) noexcept
    : label_before_(current_label), method_before_(current_method) {
  thread_local const AlternateStack for_the_report;
  static_cast<void>(for_the_report);
  current_method = method;
  current_label = label;
}

Blame::~Blame() {
  current_label = label_before_;
  current_method = method_before_;
}

void install_crash_reporter() {
  struct sigaction action{};
  action.sa_handler = on_fatal;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER | SA_ONSTACK);
  for (const int number : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT}) ::sigaction(number, &action, nullptr);
}

}  // namespace dagger::plugin
