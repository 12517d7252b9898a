#include "core/session/op_table.h"

namespace dagger::session {

dag::Ref OpTable::add(const dag::Op& op) {
  auto encoded = dag::encode(op);
  const auto digest = Digest::of(encoded);
  auto [at, added] = entries_.try_emplace(digest);
  if (added) {
    at->second.encoded = std::move(encoded);
    for (const auto& input : op.inputs) at->second.inputs.push_back(input.op);
  }
  return {digest, dag::main_output(op)};
}

std::vector<Digest> OpTable::take_unsent(const std::vector<Digest>& roots) {
  std::vector<Digest> unsent, open(roots);
  while (!open.empty()) {
    const auto digest = open.back();
    open.pop_back();
    const auto at = entries_.find(digest);
    if (at == entries_.end() || at->second.taken) continue;
    at->second.taken = true;
    unsent.push_back(digest);
    open.insert(open.end(), at->second.inputs.begin(), at->second.inputs.end());
  }
  return unsent;
}

std::vector<std::string> OpTable::encodings(const std::vector<Digest>& ops) const {
  std::vector<std::string> all;
  all.reserve(ops.size());
  for (const auto& op : ops) all.push_back(entries_.at(op).encoded);
  return all;
}

void OpTable::confirm(const std::vector<Digest>& ops) {
  for (const auto& op : ops) {
    auto& entry = entries_.at(op);
    entry.encoded = {};
    entry.inputs = {};
  }
}

void OpTable::give_back(const std::vector<Digest>& ops) {
  for (const auto& op : ops) entries_.at(op).taken = false;
}

}  // namespace dagger::session
