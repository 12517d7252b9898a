// dagger/plugin/error.h — the one exception type that may cross the plugin boundary.
//
// Throw Error{code, message} where the cause is known; add what only an outer layer knows with in().
// A message names the thing and, where there is one, the remedy. Lower case, no full stop.
#pragma once
#include <exception>
#include <string>
#include <utility>
#include <vector>

namespace dagger {

enum class Code : int {
  invalid_argument = 1,  // what the user asked for is wrong
  not_found,
  permission_denied,
  unavailable,  // may work later: network, lock, busy device. The engine may try again
  cancelled,    // the caller asked to stop; never shown as a failure
  unsupported,
  corrupt_data,  // a digest or a format did not match
  exec_failed,   // a container's process ran and said no
  no_space,      // a disk, quota or memory limit is full
  plugin_fault,  // a plugin broke its contract
  internal,      // a defect of the engine itself
};

// Short stable name of a code ("not_found"), for logs and the wire.
inline const char* code_name(Code c) noexcept {
  switch (c) {
    case Code::invalid_argument:
      return "invalid_argument";
    case Code::not_found:
      return "not_found";
    case Code::permission_denied:
      return "permission_denied";
    case Code::unavailable:
      return "unavailable";
    case Code::cancelled:
      return "cancelled";
    case Code::unsupported:
      return "unsupported";
    case Code::corrupt_data:
      return "corrupt_data";
    case Code::exec_failed:
      return "exec_failed";
    case Code::no_space:
      return "no_space";
    case Code::plugin_fault:
      return "plugin_fault";
    case Code::internal:
      return "internal";
  }
  return "internal";
}

class __attribute__((visibility("default"))) Error final : public std::exception {
 public:
  Error(Code code, std::string message) : code_(code), message_(std::move(message)) { render(); }

  Code code() const noexcept { return code_; }
  // "outermost context: ...: message"
  const char* what() const noexcept override { return rendered_.c_str(); }
  // The message alone, without context.
  const std::string& message() const noexcept { return message_; }

  // throw Error(e).in("git plugin, fetch()")
  [[nodiscard]] Error in(std::string context) && {
    context_.push_back(std::move(context));
    render();
    return std::move(*this);
  }

 private:
  void render() {
    rendered_.clear();
    for (auto it = context_.rbegin(); it != context_.rend(); ++it) rendered_ += *it + ": ";
    rendered_ += message_;
  }
  Code code_;
  std::string message_;
  std::vector<std::string> context_;
  std::string rendered_;
};

}  // namespace dagger
