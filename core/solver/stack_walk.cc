#include "core/solver/stack_walk.h"

#include <algorithm>

namespace dagger::solver {
namespace {

constexpr std::size_t max_visits = 10'000'000;

const store::Output* output_of(const std::shared_ptr<const store::Record>& record, const std::string& name) {
  if (!record) return nullptr;
  const auto it = std::ranges::find(record->outputs, name, &store::Output::name);
  return it == record->outputs.end() ? nullptr : &*it;
}

}  // namespace

bool recorded(const dag::Op& op) {
  return !std::holds_alternative<dag::Scratch>(op.fields) && !std::holds_alternative<dag::Merge>(op.fields);
}

bool complete(const store::Record& record, const dag::Op& op) {
  return std::ranges::equal(record.outputs, dag::outputs(op), {}, &store::Output::name) &&
         std::ranges::all_of(record.outputs, [&](const store::Output& out) {
           return out.base_input >= -1 && out.base_input < static_cast<std::int64_t>(op.inputs.size());
         });
}

bool StackWalk::Gap::closed(const store::Store& store) const {
  return output_of(store.find(vertex->key), *output) != nullptr;
}

StackWalk::StackWalk(const store::Store& store, const Known& known, const dag::Vertex& vertex,
                     const std::string& output)
    : store_(store), known_(known), open_{{&vertex, &output}} {}

bool StackWalk::step() {
  if (open_.empty()) return false;
  if (++visited_ > max_visits)
    throw Error(Code::invalid_argument,
                "a tree is merged of more than " + std::to_string(max_visits) + " parts: merge each part once");
  const Visit v = std::move(open_.back());
  open_.pop_back();
  if (v.output == nullptr) {
    stack.insert(stack.end(), v.layers->begin(), v.layers->end());
    return true;
  }
  const auto& fields = v.vertex->op.fields;
  if (const auto at = known_.find({v.vertex->key, *v.output}); at != known_.end()) {
    open_.push_back({v.vertex, nullptr, at->second.get(), at->second});
  } else if (std::holds_alternative<dag::Merge>(fields)) {
    for (std::size_t i = v.vertex->inputs.size(); i-- > 0;) visit_input(*v.vertex, i);
  } else if (!std::holds_alternative<dag::Scratch>(fields)) {
    const auto record = store_.find(v.vertex->key);
    if (const auto* out = output_of(record, *v.output)) {
      open_.push_back({v.vertex, nullptr, &out->layers, record});
      if (out->base_input >= 0 && static_cast<std::size_t>(out->base_input) < v.vertex->inputs.size())
        visit_input(*v.vertex, static_cast<std::size_t>(out->base_input));
    } else if (reported_.insert(v.vertex).second) {
      gaps.push_back({v.vertex, v.output});
    }
  }
  return true;
}

}  // namespace dagger::solver
