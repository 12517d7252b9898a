// core/graphql/result_tree.h — internal: the response while it grows: a tree in one table, so that neither building,
// writing nor destroying it recurses.
#pragma once
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/graphql/error.h"
#include "core/graphql/response.h"

namespace dagger::graphql {

class ResultTree {
 public:
  static constexpr std::uint32_t none = UINT32_MAX;
  enum class Kind : std::uint8_t { pending, null, leaf, object, list };

  struct Node {
    Kind kind = Kind::pending;
    bool non_null = false;
    std::uint32_t parent = none;
    std::uint32_t first = none;
    std::uint32_t last = none;
    std::uint32_t next = none;
    std::uint32_t field = none;                    // row of the plan; items of a list have that of the list
    std::uint32_t list_depth = 0;                  // how many lists are left around the named type
    std::string_view key;                          // in an object
    std::uint32_t index = none;                    // in a list
    std::string leaf;                              // JSON
    std::shared_ptr<const std::string> long_leaf;  // a string that is not JSON yet, instead
  };

  // The root is there from the start.
  ResultTree() { nodes_.emplace_back(); }
  std::uint32_t add(std::uint32_t parent, Node node);
  Node& at(std::uint32_t node) { return nodes_[node]; }
  std::size_t size() const { return nodes_.size(); }
  // Nulls the node or, where it may not be null, the nearest one around it that may. True when that is the root.
  bool nullify(std::uint32_t node);
  // Whether something around the node was nulled already.
  bool is_dead(std::uint32_t node) const;
  std::vector<PathStep> path(std::uint32_t node) const;
  // Long leaves are left out of the text, and added to `left_out`.
  std::string to_json(std::vector<LongText>& left_out) const;

 private:
  void append_key(const Node& node, std::string& out) const;
  std::deque<Node> nodes_;
  bool any_nulled_ = false;
};

}  // namespace dagger::graphql
