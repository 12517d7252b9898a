// cli/render/lines.h — events of a runner as lines of text, for logs and where there is no terminal. Pure.
//
//   1: exec echo hi
//   1: [0.05s] hi
//   1: exec echo hi DONE
//
// Steps are numbered in the order of their first line. A blank line, and "N: ..." for a step that goes on, separate the
// lines of different steps.
#pragma once
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "core/link/messages/messages.h"

namespace dagger::cli {

class Lines {
 public:
  std::string add(const link::Event& event);

 private:
  struct Step {
    unsigned number = 0;
    std::string name;
    std::int64_t started_us = 0;
    std::string partial;  // the line that is not complete yet
    std::string shown_progress;
  };
  void take_floor(const Digest& op, Step& step, std::string& out);
  void add_log(const link::Event& event, Step& step, std::string& out);

  std::unordered_map<Digest, Step> running_;
  std::unordered_set<Digest> finished_;  // said once, however often a result is asked for
  unsigned steps_ = 0;
  Digest floor_;
  bool floor_open_ = false;  // the step that printed last has not finished
  bool anything_ = false;
};

}  // namespace dagger::cli
