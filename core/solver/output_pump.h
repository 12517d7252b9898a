// core/solver/output_pump.h — reads the output of all running execs on one thread, so that none is parked per exec and
// no payload byte passes the control thread unasked.
//
// Each stream is scrubbed of secrets, appended to a file, and shown to on_chunk in pieces. [thread-safe]
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/base/function.h"
#include "dagger/plugin/unique_fd.h"

namespace dagger::solver {

class OutputPump {
 public:
  OutputPump();
  ~OutputPump();  // streams that are still open end without their on_end

  struct Stream {
    UniqueFd pipe;  // reading end
    UniqueFd file;  // where the bytes go
    std::vector<std::string> secrets;
    Function<void(std::string)> on_chunk;      // on the pump's thread
    Function<void(std::string error)> on_end;  // on the pump's thread; error is empty, or why the file is incomplete
  };
  using Id = std::uint64_t;  // never reused
  Id add(Stream stream);
  // Ends a stream that has not ended, though nobody should write to it any more: with what is in the pipe now.
  void drop(Id id);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace dagger::solver
