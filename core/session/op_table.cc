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
  struct Visit {
    Digest op;
    bool inputs_done = false;
  };
  std::vector<Digest> unsent;
  std::vector<Visit> open;
  for (const auto& root : roots) open.push_back({root});
  while (!open.empty()) {
    const auto [digest, inputs_done] = open.back();
    open.pop_back();
    if (inputs_done) {
      unsent.push_back(digest);
      continue;
    }
    const auto at = entries_.find(digest);
    if (at == entries_.end() || at->second.taken) continue;
    at->second.taken = true;
    open.push_back({digest, true});
    for (const auto& input : at->second.inputs) open.push_back({input});
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
