#include "core/dag/graph.h"

#include <algorithm>
#include <unordered_map>

#include "dagger/plugin/error.h"

namespace dagger::dag {

DigestedOp digested(Op op) {
  const auto encoded = encode(op);
  auto own = own_parts(op);
  return {std::move(op), Digest::of(encoded), std::move(own), encoded.size()};
}

void Graph::add(std::vector<DigestedOp> ops) {
  std::unordered_map<Digest, DigestedOp> pending;
  // Depth first over inputs, with an explicit stack. Ends: no op can be made of its own digest.
  std::vector<Digest> open;
  for (auto& op : ops) {
    const Digest d = op.digest;
    if (find(d) == nullptr && pending.try_emplace(d, std::move(op)).second) open.push_back(d);
  }
  while (!open.empty()) {
    const Digest d = open.back();
    if (find(d) != nullptr) {
      open.pop_back();
      continue;
    }
    const auto it = pending.find(d);
    if (it == pending.end())
      throw Error(Code::not_found, "an op refers to " + d.str() + ", which this runner does not have");
    bool ready = true;
    for (const auto& in : it->second.op.inputs) {
      if (find(in.op) != nullptr) continue;
      open.push_back(in.op);
      ready = false;
    }
    if (!ready) continue;
    open.pop_back();
    complete(std::move(it->second));
    pending.erase(it);
  }
}

void Graph::complete(DigestedOp digested) {
  auto v = std::make_unique<Vertex>();
  auto& op = digested.op;
  std::vector<Digest> keys;
  for (const auto& in : op.inputs) {
    const Vertex* input = find(in.op);
    const auto names = outputs(input->op);
    if (std::ranges::find(names, in.output) == names.end())
      throw Error(Code::corrupt_data, std::string(kind_name(input->op)) + " has no output '" + in.output + "'");
    v->inputs.push_back(input);
    v->times_matter = v->times_matter || input->times_matter;
    keys.push_back(output_key(input->key, in.output));
  }
  v->times_matter = v->times_matter || std::holds_alternative<Timestamps>(op.fields);
  v->parts = key_parts(op, std::move(digested.own), keys, scope_);
  v->key = key_of(op, v->parts, InputsAre::definitions);
  v->op = std::move(op);
  v->digest = digested.digest;
  vertices_.emplace(digested.digest, std::move(v));
  bytes_ += digested.bytes;
}

const Vertex* Graph::find(const Digest& d) const {
  const auto it = vertices_.find(d);
  return it == vertices_.end() ? nullptr : it->second.get();
}

}  // namespace dagger::dag
