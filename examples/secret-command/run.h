// Runs a command of the operator and gives what it prints. [thread-safe] [blocking]
#pragma once
#include <dagger/plugin/plugin.h>

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

namespace secret_command {

struct Command {
  std::string name;               // as pipelines call it
  std::vector<std::string> argv;  // [0] is an absolute path
  std::vector<std::string> env;   // "NAME=value"
};

struct Limits {
  std::chrono::seconds timeout{30};
  std::int64_t bytes = 1 << 20;  // of the value
  bool cut_newline = true;
};

// A sealed memory file with what the command wrote to stdout, if it ended with 0. Throws not_found (no such program),
// unavailable (it failed, or took too long: with the last lines of its stderr, never of its stdout), invalid_argument,
// cancelled; the command has ended then, too.
dagger::UniqueFd run(dagger::plugin::Host& host, const Command& command, const Limits& limits,
                     dagger::plugin::CallContext& ctx);

// The last lines of a text that fit into size bytes, in one line of printable characters: "; " between them.
std::string last_lines(std::string_view text, std::size_t size);

}  // namespace secret_command
