#include "core/solver/reason.h"

#include <fcntl.h>

#include <algorithm>

#include "core/base/fs.h"
#include "core/solver/stack_walk.h"
#include "core/store/tree/compare.h"

namespace dagger::solver {
namespace {

constexpr const char* input_table = "input";  // what stands for an output in keys -> key of its op, and its name
constexpr std::string_view input_prefix = "input ";
constexpr int max_levels = 64;

// An output of an op that ran once.
struct Origin {
  std::shared_ptr<const store::Record> record;
  const store::Output* output = nullptr;
};

Origin origin(const store::Store& store, const Digest& key, std::string_view output) {
  Origin found{store.find(key)};
  if (!found.record) return {};
  const auto at = std::ranges::find(found.record->outputs, output, &store::Output::name);
  if (at != found.record->outputs.end()) found.output = &*at;
  return found;
}

Origin origin(store::Store& store, const Digest& in_key) {
  const auto known = store.value(input_table, std::string(in_key.raw()));
  const std::size_t size = in_key.raw().size();
  if (!known || known->size() < size) return {};
  return origin(store, Digest::from_bytes(known->substr(0, size)), std::string_view(*known).substr(size));
}

// What stands for an input in the key of a record; the inputs are its last parts.
const Digest* input_part(const store::Record& record, std::int32_t input) {
  const auto is_input = [](const dag::KeyPart& p) { return p.name.starts_with(input_prefix); };
  const auto first = std::find_if_not(record.parts.rbegin(), record.parts.rend(), is_input).base();
  if (input < 0 || input >= record.parts.end() - first) return nullptr;
  return &(first + input)->value;
}

UniqueFd open_layer(const store::Store& store, const store::Stack& layers, std::size_t index) {
  if (index >= layers.size()) return UniqueFd();
  const auto info = store.layer(layers[index]);
  if (!info) throw Error(Code::not_found, "layer " + std::to_string(layers[index]) + " is gone");
  for (const auto& place : info->places)
    if (place.form == plugin::form::overlay_trusted || place.form == plugin::form::overlay_user)
      return open_file(place.path, O_RDONLY | O_DIRECTORY);
  throw Error(Code::unsupported, "layer " + std::to_string(layers[index]) + " is no directory");
}

std::vector<store::tree::Change> compare_layers(store::Store& store, const store::Stack& before,
                                                const store::Stack& now, plugin::CallContext& ctx) {
  std::vector<store::tree::Change> all;
  const auto lease_before = store.lease(before), lease_now = store.lease(now);
  for (std::size_t i = 0; i < std::max(before.size(), now.size()); ++i) {
    if (i < before.size() && i < now.size() && before[i] == now[i]) continue;
    const auto old = open_layer(store, before, i), fresh = open_layer(store, now, i);
    std::ranges::move(store::tree::compare(old.get(), fresh.get(), {}, ctx), std::back_inserter(all));
  }
  return all;
}

const char* how(store::tree::ChangeKind kind) {
  switch (kind) {
    case store::tree::ChangeKind::added:
      return "is new";
    case store::tree::ChangeKind::removed:
      return "is gone";
    case store::tree::ChangeKind::changed:
      break;
  }
  return "changed";
}

}  // namespace

Reason::Reason(store::Store& store, const dag::Vertex& vertex) : store_(store), vertex_(vertex) {
  for (const auto& slot : dag::slots(vertex.op, vertex.parts)) {
    auto record = store.last_in_slot(slot);
    if (!record) record = store.find(slot);
    if (!record || record->kind != dag::kind_name(vertex.op)) continue;
    auto all = dag::differences(record->parts, vertex.parts);
    // The record with the fewest differences says most.
    if (nearest_ && all.size() >= differences_.size()) continue;
    nearest_ = std::move(record);
    differences_ = std::move(all);
  }
}

bool Reason::lies_in_inputs() const {
  return std::ranges::any_of(differences_,
                             [](const auto& d) { return d.what.starts_with(input_prefix) && d.how == "changed"; });
}

void Reason::look_into_inputs(plugin::CallContext& ctx) noexcept {
  std::vector<dag::Difference> all;
  for (auto& d : differences_) {
    std::vector<dag::Difference> in_files;
    try {
      if (d.what.starts_with(input_prefix) && d.how == "changed") in_files = files(d, ctx);
    } catch (const std::exception&) {  // then the input as a whole has to do
    }
    if (in_files.empty()) in_files.push_back(d);
    std::ranges::move(in_files, std::back_inserter(all));
  }
  differences_ = std::move(all);
}

// Down both pipelines, as far as they differ, to the first op whose own layers do.
std::vector<dag::Difference> Reason::files(const dag::Difference& input, plugin::CallContext& ctx) const {
  const auto part = std::ranges::find(nearest_->parts, input.what, &dag::KeyPart::name);
  const auto first = vertex_.parts.end() - static_cast<std::ptrdiff_t>(vertex_.inputs.size());
  const auto here = std::ranges::find(first, vertex_.parts.end(), input.what, &dag::KeyPart::name);
  if (part == nearest_->parts.end() || here == vertex_.parts.end()) return {};
  auto index = static_cast<std::size_t>(here - first);
  const bool is_root = input.what == "input /";
  const dag::Vertex* user = &vertex_;
  Origin before = origin(store_, part->value);
  for (int level = 0; level < max_levels; ++level) {
    const dag::Vertex& made_by = *user->inputs[index];
    const Origin now = origin(store_, made_by.key, user->op.inputs[index].output);
    if (before.output == nullptr || now.output == nullptr || before.record->key == now.record->key) return {};
    // Layers of different steps, or of different images, say nothing.
    if (before.record->kind != now.record->kind || std::holds_alternative<dag::Source>(made_by.op.fields)) return {};
    std::vector<dag::Difference> all;
    for (const auto& c : compare_layers(store_, before.output->layers, now.output->layers, ctx))
      all.push_back({"input file " + (is_root ? "/" + c.path : c.path), how(c.kind)});
    if (!all.empty()) return all;
    const Digest* base = input_part(*before.record, before.output->base_input);
    if (base == nullptr || now.output->base_input < 0) return {};
    before = origin(store_, *base);
    user = &made_by;
    index = static_cast<std::size_t>(now.output->base_input);
    if (index >= user->inputs.size()) return {};
  }
  return {};
}

std::string Reason::text() const { return nearest_ ? dag::explain(differences_) : "never made before"; }

void Reason::remember_inputs(store::Store& store, const dag::Vertex& vertex) {
  const std::size_t first = vertex.parts.size() - vertex.inputs.size();
  for (std::size_t i = 0; i < vertex.inputs.size(); ++i)
    if (recorded(vertex.inputs[i]->op))
      store.put_value(input_table, std::string(vertex.parts[first + i].value.raw()),
                      std::string(vertex.inputs[i]->key.raw()) + vertex.op.inputs[i].output);
}

}  // namespace dagger::solver
