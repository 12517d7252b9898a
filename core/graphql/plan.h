// core/graphql/plan.h — internal: which fields an operation asks for, per object type it meets. A plan is made lazily
// and once per place in the query, so a list of a thousand objects collects its fields and coerces their arguments
// once. Rows refer to each other by index and stay where they are.
#pragma once
#include <cstdint>
#include <deque>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "core/graphql/prepare.h"
#include "core/graphql/resolvers.h"

namespace dagger::graphql {

struct PlannedField {
  std::string_view key;  // in the response
  const FieldDef* def = nullptr;
  const Resolvers::Function* function = nullptr;            // null for __typename, __schema and __type
  std::shared_ptr<const std::vector<std::uint32_t>> nodes;  // the selections that were merged into this one
  std::shared_ptr<const Value> args;
  std::string args_error;  // why they could not be coerced
  Location args_error_at;
  std::vector<std::pair<const TypeDef*, std::vector<std::uint32_t>>> children;  // per runtime type: rows of the plan
};

class Plan {
 public:
  Plan(const Prepared& prepared, const Resolvers& resolvers, Value variables)
      : prepared_(prepared), resolvers_(resolvers), variables_(std::move(variables)) {}

  // The fields of the operation's root, or below a planned field, for an object of `type`; in response order.
  // Throws FieldError when the plan outgrows Limits::result_nodes.
  std::vector<std::uint32_t> root(const ast::Definition& operation, const TypeDef& type);
  const std::vector<std::uint32_t>& below(std::uint32_t field, const TypeDef& type);
  PlannedField& at(std::uint32_t row) { return fields_[row]; }

 private:
  std::vector<std::uint32_t> collect(const std::vector<std::uint32_t>& sets, const TypeDef& type);
  bool included(const ast::Selection& selection) const;
  bool applies(std::string_view type_condition, const TypeDef& type) const;
  void coerce_arguments(PlannedField& field, const ast::Selection& selection) const;

  const Prepared& prepared_;
  const Resolvers& resolvers_;
  Value variables_;
  std::deque<PlannedField> fields_;
};

}  // namespace dagger::graphql
