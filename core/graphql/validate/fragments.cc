#include "core/graphql/validate/context.h"

namespace dagger::graphql::validation {
namespace {

// Finds every cycle of fragments once. Recursion is as deep as there are fragments (Limits::fragments).
class Cycles {
 public:
  explicit Cycles(Context& c)
      : c_(c), visited_(c.doc.definitions.size()), depth_in_path_(c.doc.definitions.size(), -1) {}

  void visit(std::uint32_t fragment) {
    if (visited_[fragment]) return;
    visited_[fragment] = true;
    depth_in_path_[fragment] = static_cast<int>(path_.size());
    for (const auto row : c_.spreads[fragment]) {
      const auto it = c_.fragments.find(c_.doc.selections[row].name.text);
      if (it == c_.fragments.end()) continue;
      path_.push_back(row);
      if (depth_in_path_[it->second] < 0)
        visit(it->second);
      else
        report(depth_in_path_[it->second]);
      path_.pop_back();
    }
    depth_in_path_[fragment] = -1;
  }

 private:
  void report(int first) {
    std::string via;
    std::vector<Location> at;
    for (std::size_t i = static_cast<std::size_t>(first); i < path_.size(); ++i) {
      const auto& spread = c_.doc.selections[path_[i]];
      at.push_back(spread.at);
      if (i + 1 < path_.size()) via += (via.empty() ? " via " : ", ") + quoted(spread.name.text);
    }
    c_.report(
        "Cannot spread fragment " + quoted(c_.doc.selections[path_.back()].name.text) + " within itself" + via + ".",
        std::move(at));
  }

  Context& c_;
  std::vector<bool> visited_;
  std::vector<int> depth_in_path_;
  std::vector<std::uint32_t> path_;
};

// How deep selections nest when fragments are put in place. Recursion as above.
class Depths {
 public:
  explicit Depths(const Context& c) : c_(c), known_(c.doc.definitions.size()), local_(c.doc.selections.size()) {
    for (std::uint32_t row = 0; row < local_.size(); ++row) {
      const auto parent = c.doc.selections[row].parent;
      local_[row] = parent == ast::none ? 1 : local_[parent] + 1;
    }
  }

  std::size_t of(std::uint32_t definition) {
    if (known_[definition] > 0) return known_[definition];
    const auto& d = c_.doc.definitions[definition];
    std::size_t depth = 1;
    for (std::uint32_t row = d.selections.begin; row < d.selections.end; ++row) depth = std::max(depth, local_[row]);
    for (const auto row : c_.spreads[definition])
      if (const auto it = c_.fragments.find(c_.doc.selections[row].name.text); it != c_.fragments.end())
        depth = std::max(depth, local_[row] + of(it->second));
    return known_[definition] = depth;
  }

 private:
  const Context& c_;
  std::vector<std::size_t> known_;
  std::vector<std::size_t> local_;
};

}  // namespace

void check_fragment_cycles(Context& c) {
  const std::size_t before = c.errors.size();
  Cycles cycles(c);
  for (std::uint32_t i = 0; i < c.doc.definitions.size(); ++i)
    if (c.doc.definitions[i].kind == ast::Definition::Kind::fragment) cycles.visit(i);
  if (c.errors.size() != before || c.full()) return;
  Depths depths(c);
  for (std::uint32_t i = 0; i < c.doc.definitions.size(); ++i)
    if (c.doc.definitions[i].is_operation() && depths.of(i) > c.limits.selection_depth)
      c.report("Document nests selections deeper than " + std::to_string(c.limits.selection_depth) + " levels.",
               {c.doc.definitions[i].at});
}

}  // namespace dagger::graphql::validation
