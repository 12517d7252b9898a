#include "core/dag/graph.h"

#include <algorithm>

#include "dagger/plugin/error.h"

namespace dagger::dag {

void Graph::add(std::vector<Op> ops, const std::function<std::optional<std::string>(const Digest&)>& missing) {
  std::unordered_map<Digest, Op> pending;
  // Depth first over inputs, with an explicit stack. Ends: no op can be made of its own digest.
  std::vector<Digest> open;
  for (auto& op : ops) {
    const Digest d = digest(op);
    if (find(d) == nullptr && pending.try_emplace(d, std::move(op)).second) open.push_back(d);
  }
  while (!open.empty()) {
    const Digest d = open.back();
    if (find(d) != nullptr) {
      open.pop_back();
      continue;
    }
    auto it = pending.find(d);
    if (it == pending.end()) {
      const auto encoded = missing(d);
      if (!encoded) throw Error(Code::not_found, "an op refers to " + d.str() + ", which this runner does not have");
      if (Digest::of(*encoded) != d)
        throw Error(Code::corrupt_data, "an op is kept under a digest that is not its own");
      it = pending.try_emplace(d, decode(*encoded)).first;
    }
    bool ready = true;
    for (const auto& in : it->second.inputs) {
      if (find(in.op) != nullptr) continue;
      open.push_back(in.op);
      ready = false;
    }
    if (!ready) continue;
    open.pop_back();
    complete(std::move(it->second), d);
    pending.erase(it);
  }
}

const Vertex& Graph::complete(Op op, const Digest& d) {
  auto v = std::make_unique<Vertex>();
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
  v->parts = key_parts(op, keys, scope_);
  v->key = key_of(op, v->parts, InputsAre::definitions);
  v->op = std::move(op);
  v->digest = d;
  return *vertices_.emplace(d, std::move(v)).first->second;
}

const Vertex* Graph::find(const Digest& d) const {
  const auto it = vertices_.find(d);
  return it == vertices_.end() ? nullptr : it->second.get();
}

}  // namespace dagger::dag
