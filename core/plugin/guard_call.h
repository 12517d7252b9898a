// core/plugin/guard_call.h — what all guards share. Private to core/plugin.
#pragma once
#include <new>
#include <string>
#include <utility>

#include "core/plugin/blame.h"
#include "core/plugin/loader.h"

namespace dagger::plugin::detail {

[[noreturn]] inline void fault(const std::string& what) { throw Error(Code::plugin_fault, what); }

// Calls the plugin. Nothing but an Error leaves, and it is a copy made by the host.
template <class F>
auto translated(F&& call) -> decltype(call()) {
  try {
    return call();
  } catch (const Error& e) {
    throw Error(e);
  } catch (const std::bad_alloc&) {
    throw Error(Code::no_space, "out of memory");
  } catch (const std::exception& e) {
    throw Error(Code::plugin_fault, std::string("unexpected exception: ") + e.what());
  } catch (...) {
    throw Error(Code::plugin_fault, "unexpected non-standard exception");
  }
}

// The same, with the plugin and the method in front of the error.
template <class F>
auto guarded(const std::string& label, const char* method, F&& call) -> decltype(call()) {
  const Blame blame(label.c_str(), method);
  try {
    return translated(std::forward<F>(call));
  } catch (const Error& e) {
    throw Error(e).in(label + ", " + method + "()");
  }
}

// Calls the host from inside a plugin.
template <class F>
auto unblamed(F&& call) -> decltype(call()) {
  const Blame blame(nullptr, "");
  return call();
}

// Destroys an object of a plugin. A destructor cannot throw past its caller (it ends the process), so it is only
// marked.
template <class T>
void destroy(const std::string& label, std::unique_ptr<T>& object) noexcept {
  const Blame blame(label.c_str(), "destructor");
  object.reset();
}

template <class Interface>
class GuardBase : public Interface {
 public:
  explicit GuardBase(LoadedPlugin plugin)
      : plugin_(std::move(plugin)),
        label_(plugin_.manifest.label()),
        inner_(static_cast<Interface&>(*plugin_.instance)) {}
  ~GuardBase() override { destroy(label_, plugin_.instance); }
  GuardBase(const GuardBase&) = delete;
  GuardBase& operator=(const GuardBase&) = delete;

  std::string_view config_schema() const noexcept override {
    const Blame blame(label_.c_str(), "config_schema");
    return inner_.config_schema();
  }
  void* capability(std::string_view id) noexcept override {
    const Blame blame(label_.c_str(), "capability");
    return inner_.capability(id);
  }

 protected:
  template <class F>
  auto call(const char* method, F&& f) const -> decltype(f()) {
    return guarded(label_, method, std::forward<F>(f));
  }

 private:
  LoadedPlugin plugin_;

 protected:
  const std::string label_;
  Interface& inner_;
};

// A plugin's stream in the host's hands.
class GuardedStream final : public ByteStream {
 public:
  GuardedStream(const std::string& label, std::unique_ptr<ByteStream> owned)
      : label_(label), owned_(std::move(owned)), inner_(*owned_) {}
  GuardedStream(const std::string& label, ByteStream& borrowed) : label_(label), inner_(borrowed) {}
  ~GuardedStream() override { destroy(label_, owned_); }
  std::size_t read(void* buffer, std::size_t size) override {
    return guarded(label_, "ByteStream::read", [&] {
      const auto n = inner_.read(buffer, size);
      if (n > size) fault("read " + std::to_string(n) + " bytes into a buffer of " + std::to_string(size));
      return n;
    });
  }

 private:
  const std::string& label_;
  std::unique_ptr<ByteStream> owned_;
  ByteStream& inner_;
};

}  // namespace dagger::plugin::detail
