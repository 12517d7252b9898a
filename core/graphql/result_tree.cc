#include "core/graphql/result_tree.h"

#include <algorithm>

namespace dagger::graphql {

std::uint32_t ResultTree::add(std::uint32_t parent, Node node) {
  const auto id = static_cast<std::uint32_t>(nodes_.size());
  node.parent = parent;
  nodes_.push_back(std::move(node));
  Node& p = nodes_[parent];
  (p.last == none ? p.first : nodes_[p.last].next) = id;
  p.last = id;
  return id;
}

bool ResultTree::nullify(std::uint32_t node) {
  while (nodes_[node].non_null && node != 0) node = nodes_[node].parent;
  nodes_[node].kind = Kind::null;
  any_nulled_ = true;
  return node == 0;
}

bool ResultTree::is_dead(std::uint32_t node) const {
  if (!any_nulled_) return false;
  for (; node != none; node = nodes_[node].parent)
    if (nodes_[node].kind == Kind::null) return true;
  return false;
}

std::vector<PathStep> ResultTree::path(std::uint32_t node) const {
  std::vector<PathStep> steps;
  for (; node != 0; node = nodes_[node].parent) {
    const Node& n = nodes_[node];
    if (n.index != none)
      steps.emplace_back(std::size_t{n.index});
    else
      steps.emplace_back(std::string(n.key));
  }
  std::reverse(steps.begin(), steps.end());
  return steps;
}

void ResultTree::append_key(const Node& node, std::string& out) const {
  if (node.index != none || node.parent == none) return;
  out += '"';  // a key is a GraphQL name: nothing to escape
  out += node.key;
  out += "\":";
}

std::string ResultTree::to_json(std::vector<LongText>& left_out) const {
  std::string out;
  std::uint32_t at = 0;
  for (;;) {
    const Node& node = nodes_[at];
    append_key(node, out);
    const bool container = node.kind == Kind::object || node.kind == Kind::list;
    if (container) out += node.kind == Kind::object ? '{' : '[';
    if (container && node.first != none) {
      at = node.first;
      continue;
    }
    if (container)
      out += node.kind == Kind::object ? '}' : ']';
    else if (node.kind == Kind::leaf && node.long_leaf)
      left_out.push_back({out.size(), node.long_leaf});
    else
      out += node.kind == Kind::leaf ? std::string_view(node.leaf) : "null";
    // On to the next sibling, closing what ends here.
    while (at != 0 && nodes_[at].next == none) {
      at = nodes_[at].parent;
      out += nodes_[at].kind == Kind::object ? '}' : ']';
    }
    if (at == 0) return out;
    out += ',';
    at = nodes_[at].next;
  }
}

}  // namespace dagger::graphql
