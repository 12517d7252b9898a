// core/plugin/blame.h — which plugin is this thread inside? A breadcrumb for the crash report.
//
// A crash inside a plugin ends the process on purpose (memory can no longer be trusted); the report says who it was.
#pragma once

namespace dagger::plugin {

// Marks the current thread as being inside label, method() for its lifetime; label null: inside the engine again (a
// callback). Both texts must outlive it. Nests. Costs two stores of a thread-local. The first of a thread gives it a
// stack for the report.
class Blame {
 public:
  Blame(const char* label, const char* method) noexcept;
  ~Blame();
  Blame(const Blame&) = delete;
  Blame& operator=(const Blame&) = delete;

 private:
  const char* label_before_;
  const char* method_before_;
};

// Makes fatal signals (SEGV, BUS, FPE, ILL, ABRT) write one line to stderr before their default action:
// "fatal signal SEGV inside source plugin 'git', pin()". Only for main: signal handlers belong to the process.
void install_crash_reporter();

}  // namespace dagger::plugin
