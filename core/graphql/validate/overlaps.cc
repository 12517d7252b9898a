// Fields with one response name must be mergeable. The textbook algorithm compares every pair and takes quadratic time,
// or worse. This one merges whole sets level by level and compares each field with the first of its group, which is
// enough because both "has the same shape" and "is the same call" are equivalences; it is linear but for fragments that
// are spread in many places, and for those there is a budget.
#include <deque>
#include <set>

#include "core/graphql/validate/context.h"

namespace dagger::graphql::validation {
namespace {

using ast::Literal;
using ast::Selection;

constexpr std::size_t max_detail = 1000;  // of a message: conflicts may be thousands of levels deep

bool same(const Literal& a, const Literal& b) {
  if (a.kind != b.kind || a.text != b.text || a.children.size() != b.children.size()) return false;
  for (std::size_t i = 0; i < a.children.size(); ++i) {
    const Literal* other = &b.children[i];
    if (a.kind == Literal::Kind::object) {  // in any order
      const auto it = std::find_if(b.children.begin(), b.children.end(),
                                   [&](const auto& child) { return child.name.text == a.children[i].name.text; });
      if (it == b.children.end()) return false;
      other = &*it;
    }
    if (!same(a.children[i], *other)) return false;
  }
  return true;
}

class Overlaps {
 public:
  explicit Overlaps(Context& c) : c_(c), budget_(100'000 + 20 * c.doc.selections.size()) {}

  void check(const ast::Definition& definition, bool shape) {
    shape_ = shape;
    done_.clear();
    work_.push_back({{definition.first, none}});
    while (!work_.empty() && !exhausted_ && !c_.full()) {
      const auto sets = std::move(work_.back());
      work_.pop_back();
      for (const auto& group : groups(sets)) {
        if (shape_)
          compare(group);
        else
          for (const auto& part : by_parent(group)) compare(part);
      }
    }
    work_.clear();
    if (exhausted_) c_.report("The query is too complex to check: too many fields are merged.", {definition.at});
  }
  bool exhausted() const { return exhausted_; }

 private:
  static constexpr std::uint32_t none = ast::none;
  struct Set {
    std::uint32_t first;   // selection
    std::uint32_t origin;  // entry of the field whose set this is
  };
  struct Entry {
    std::uint32_t row;
    std::uint32_t origin;
  };
  using Group = std::vector<std::uint32_t>;  // entries with one response name

  const Selection& selection(std::uint32_t entry) const { return c_.doc.selections[entries_[entry].row]; }

  std::vector<Group> groups(const std::vector<Set>& sets) {
    std::vector<Group> result;
    std::unordered_map<std::string_view, std::size_t> by_name;
    std::unordered_set<std::uint32_t> spread;
    for (const auto& set : sets) {
      std::vector<std::uint32_t> open{set.first};
      while (!open.empty()) {
        const std::uint32_t row = open.back();
        if (row == none) {
          open.pop_back();
          continue;
        }
        if (budget_-- == 0) {
          exhausted_ = true;
          return {};
        }
        const Selection& s = c_.doc.selections[row];
        open.back() = s.next;
        if (s.kind == Selection::Kind::inline_fragment) {
          open.push_back(s.first);
        } else if (s.kind == Selection::Kind::spread) {
          const auto it = c_.fragments.find(s.name.text);
          if (it != c_.fragments.end() && spread.insert(it->second).second)
            open.push_back(c_.doc.definitions[it->second].first);
        } else {
          const auto [it, fresh] = by_name.emplace(s.response_name(), result.size());
          if (fresh) result.emplace_back();
          result[it->second].push_back(static_cast<std::uint32_t>(entries_.size()));
          entries_.push_back({row, set.origin});
        }
      }
    }
    return result;
  }

  // Fields on different object types never meet in one answer; those on interfaces and unions meet all.
  std::vector<Group> by_parent(const Group& group) {
    if (group.size() == 1) return {group};
    Group shared;
    std::vector<std::pair<const TypeDef*, Group>> concrete;
    for (const auto entry : group) {
      const TypeDef* parent = c_.parent_type[entries_[entry].row];
      if (parent == nullptr || parent->is_abstract()) {
        shared.push_back(entry);
        continue;
      }
      auto it = std::find_if(concrete.begin(), concrete.end(), [&](const auto& p) { return p.first == parent; });
      if (it == concrete.end()) it = concrete.insert(concrete.end(), {parent, {}});
      it->second.push_back(entry);
    }
    if (concrete.empty()) return {shared};
    std::vector<Group> result;
    for (auto& [parent, part] : concrete) {
      if (budget_ < shared.size()) {
        exhausted_ = true;
        return {};
      }
      budget_ -= shared.size();
      part.insert(part.end(), shared.begin(), shared.end());
      std::sort(part.begin(), part.end());
      result.push_back(std::move(part));
    }
    return result;
  }

  void compare(const Group& group) {
    std::uint32_t first = group.front();
    for (const auto entry : group) {  // a field that is unknown was reported already
      if (shape_ && field(entry) == nullptr) continue;
      if (shape_ && field(first) == nullptr) first = entry;
      if (entry == first || entries_[entry].row == entries_[first].row) continue;
      if (const std::string reason = shape_ ? shape_conflict(first, entry) : call_conflict(first, entry);
          !reason.empty())
        report(first, entry, reason);
    }
    std::vector<Set> below;
    std::vector<std::uint32_t> key;
    for (const auto entry : group)
      if (selection(entry).first != none) {
        below.push_back({selection(entry).first, entry});
        key.push_back(selection(entry).first);
      }
    std::sort(key.begin(), key.end());
    if (!below.empty() && done_.insert(std::move(key)).second) work_.push_back(std::move(below));
  }

  const FieldDef* field(std::uint32_t entry) const { return c_.field[entries_[entry].row]; }

  std::string shape_conflict(std::uint32_t a, std::uint32_t b) const {
    const FieldDef& x = *field(a);
    const FieldDef& y = *field(b);
    const bool leaf = x.named_type->is_leaf() || y.named_type->is_leaf();
    if (x.type.depth == y.type.depth && x.type.non_null == y.type.non_null && (!leaf || x.type.name == y.type.name))
      return {};
    return "they return conflicting types " + quoted(x.type.text()) + " and " + quoted(y.type.text());
  }

  std::string call_conflict(std::uint32_t a, std::uint32_t b) const {
    const Selection& x = selection(a);
    const Selection& y = selection(b);
    if (x.name.text != y.name.text)
      return quoted(x.name.text) + " and " + quoted(y.name.text) + " are different fields";
    const auto args_x = ast::rows(c_.doc.arguments, x.arguments);
    const auto args_y = ast::rows(c_.doc.arguments, y.arguments);
    bool equal = args_x.end() - args_x.begin() == args_y.end() - args_y.begin();
    for (const auto& arg : args_x) {
      const auto it =
          std::find_if(args_y.begin(), args_y.end(), [&](const auto& o) { return o.name.text == arg.name.text; });
      equal = equal && it != args_y.end() && same(arg.value, it->value);
    }
    return equal ? "" : "they have differing arguments";
  }

  // Tells the conflict from the fields at which the two ways part.
  void report(std::uint32_t a, std::uint32_t b, std::string reason) {
    std::vector<Location> at_a{selection(a).at};
    std::vector<Location> at_b{selection(b).at};
    while (entries_[a].origin != entries_[b].origin) {
      if (reason.size() < max_detail)
        reason = "subfields " + quoted(selection(a).response_name()) + " conflict because " + reason;
      a = entries_[a].origin;
      b = entries_[b].origin;
      at_a.push_back(selection(a).at);
      at_b.push_back(selection(b).at);
    }
    if (!reported_.insert({entries_[a].row, entries_[b].row}).second) return;
    if (reason.size() > max_detail) reason = reason.substr(0, max_detail) + "...";
    std::vector<Location> at(at_a.rbegin(), at_a.rend());
    at.insert(at.end(), at_b.rbegin(), at_b.rend());
    c_.report("Fields " + quoted(selection(a).response_name()) + " conflict because " + reason +
                  ". Use different aliases on the fields to fetch both if this was intentional.",
              std::move(at));
  }

  Context& c_;
  std::size_t budget_;
  bool exhausted_ = false;
  bool shape_ = false;
  std::vector<Entry> entries_;
  std::vector<std::vector<Set>> work_;
  std::set<std::vector<std::uint32_t>> done_;
  std::set<std::pair<std::uint32_t, std::uint32_t>> reported_;
};

}  // namespace

void check_overlaps(Context& c) {
  Overlaps overlaps(c);
  for (const bool shape : {false, true})  // the order in which graphql-js looks
    for (const auto& definition : c.doc.definitions)
      if (definition.is_executable() && !overlaps.exhausted()) overlaps.check(definition, shape);
}

}  // namespace dagger::graphql::validation
