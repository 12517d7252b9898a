// core/session/pins.h — references of sources, pinned once: the same reference means the same thing for a whole
// session. Control thread. Errors: what the source says.
#pragma once
#include "core/session/runner.h"
#include "core/session/shared_work.h"

namespace dagger::session {

struct Pinned {
  dag::Ref tree;
  link::PinReply reply;
};

class Pins {
 public:
  Pins(Loop& loop, Runner& runner) : runner_(runner), pinned_(loop) {}
  Task<Pinned> pin(link::PinRequest request, CancelToken cancel);
  Task<void> join() { return pinned_.join(); }

 private:
  Runner& runner_;
  SharedWork<link::PinReply> pinned_;
};

}  // namespace dagger::session
