// core/session/op_table.h — the ops of a session: which exist, and which of them the runner has. Pure; control thread
// only.
//
// An op is added once, however often it is made. Its encoding is kept until the runner confirmed that it has it.
#pragma once
#include <string>
#include <unordered_map>
#include <vector>

#include "core/dag/op.h"

namespace dagger::session {

class OpTable {
 public:
  // The main output of the op. A ref whose op is not in the table is one that the runner has (from a recipe).
  dag::Ref add(const dag::Op& op);

  // What must be sent before the runner is asked about roots: all they are made of that was not taken yet, inputs
  // before their users. Taken ops
  // count as on their way; give_back() takes that back, confirm() drops their encodings.
  std::vector<Digest> take_unsent(const std::vector<Digest>& roots);
  std::vector<std::string> encodings(const std::vector<Digest>& ops) const;
  void confirm(const std::vector<Digest>& ops);
  void give_back(const std::vector<Digest>& ops);

 private:
  struct Entry {
    std::string encoded;
    std::vector<Digest> inputs;
    bool taken = false;
  };
  std::unordered_map<Digest, Entry> entries_;
};

}  // namespace dagger::session
