#include "core/session/op_table.h"

#include <algorithm>
#include <utility>

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

void OpTable::put_into_parcel(Parcel& parcel, const Digest& op) {
  auto& entry = entries_.at(op);
  entry.parcel = parcel.number;
  parcel.ops.push_back(op);
  for (const auto& input : entry.inputs) {
    const auto at = entries_.find(input);
    if (at == entries_.end()) continue;
    const auto other = at->second.parcel;
    if (other != confirmed && other != parcel.number && std::ranges::find(parcel.after, other) == parcel.after.end())
      parcel.after.push_back(other);
  }
}

OpTable::Needed OpTable::take_unsent(const std::vector<Digest>& roots, std::size_t bytes) {
  struct Visit {
    Digest op;
    bool inputs_done = false;
  };
  Needed needed;
  const auto first = last_parcel_ + 1;
  std::size_t filled = 0;
  std::vector<Visit> open;
  for (const auto& root : roots) open.push_back({root});
  while (!open.empty()) {
    const auto [digest, inputs_done] = open.back();
    open.pop_back();
    const auto at = entries_.find(digest);
    if (at == entries_.end()) continue;
    const auto parcel = at->second.parcel;
    if (parcel != unsent) {
      if (parcel < first && std::ranges::find(needed.on_their_way, parcel) == needed.on_their_way.end())
        needed.on_their_way.push_back(parcel);
      continue;
    }
    if (!inputs_done) {
      open.push_back({digest, true});
      for (const auto& input : at->second.inputs) open.push_back({input});
      continue;
    }
    const auto size = at->second.encoded.size();
    if (needed.parcels.empty() || filled + size > bytes) {
      needed.parcels.push_back({++last_parcel_, {}, {}});
      filled = 0;
    }
    filled += size;
    put_into_parcel(needed.parcels.back(), digest);
  }
  return needed;
}

std::vector<std::string> OpTable::encodings(const std::vector<Digest>& ops) {
  std::vector<std::string> all;
  all.reserve(ops.size());
  for (const auto& op : ops) all.push_back(std::exchange(entries_.at(op).encoded, {}));
  return all;
}

void OpTable::confirm(const std::vector<Digest>& ops) {
  for (const auto& op : ops) {
    auto& entry = entries_.at(op);
    entry.parcel = confirmed;
    entry.inputs = {};
  }
}

void OpTable::give_back(const std::vector<Digest>& ops, std::vector<std::string> encodings) {
  for (std::size_t i = 0; i < ops.size(); ++i) {
    auto& entry = entries_.at(ops[i]);
    entry.parcel = unsent;
    if (i < encodings.size()) entry.encoded = std::move(encodings[i]);
  }
}

}  // namespace dagger::session
