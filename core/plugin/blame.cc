#include "core/plugin/blame.h"

#include <signal.h>
#include <unistd.h>

#include <cstring>
#include <initializer_list>

namespace dagger::plugin {
namespace {

thread_local const char* volatile current_label = nullptr;
thread_local const char* volatile current_method = nullptr;

// Async-signal-safe: write(2) and strlen only.
void say(const char* text) { [[maybe_unused]] const auto n = ::write(STDERR_FILENO, text, std::strlen(text)); }

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
  say("fatal signal ");
  say(signal_name(number));
  say(" inside ");
  if (const char* label = current_label; label != nullptr) {
    say(label);
    say(", ");
    say(current_method);
    say("()");
  } else {
    say("the engine");
  }
  say("\n");
  ::raise(number);  // SA_RESETHAND: now the default action, with a core dump where the system makes one
}

}  // namespace

Blame::Blame(const char* label, const char* method) noexcept
    : label_before_(current_label), method_before_(current_method) {
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
