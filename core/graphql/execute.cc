#include "core/graphql/execute.h"

#include <deque>
#include <utility>
#include <variant>

#include "core/graphql/introspection.h"
#include "core/graphql/leaf_writer.h"
#include "core/graphql/plan.h"
#include "core/graphql/result_tree.h"
#include "core/graphql/variables.h"

namespace dagger::graphql {

class Execution::State final : public Completion::Sink, public std::enable_shared_from_this<State> {
 public:
  State(std::shared_ptr<const Prepared> prepared, const Resolvers& resolvers, ExecuteOptions options, Done done)
      : prepared_(std::move(prepared)), resolvers_(resolvers), options_(std::move(options)), done_(std::move(done)) {}

  void start() {
    try {
      const auto& operation = select_operation(*prepared_, options_.operation_name);
      plan_.emplace(*prepared_, resolvers_, coerce_variables(*prepared_, operation, options_.variables));
      const TypeDef& root = *prepared_->view->root(operation.kind);
      serial_ = operation.kind == ast::Definition::Kind::mutation;
      tree_.at(0).kind = ResultTree::Kind::object;
      for (const auto field : plan_->root(operation, root)) roots_.push_back(add_field(0, field));
    } catch (const RequestError& e) {
      return finish(response_of(e));
    } catch (const FieldError& e) {
      return finish(response_of(RequestError({{.message = e.message()}})));
    }
    start_roots();
    drain();
  }

  void cancel() {
    done_ = nullptr;
    queue_.clear();
    roots_.clear();
    finished_ = true;
  }

  void complete(std::uint32_t node, std::variant<Value, FieldError> answer) override {
    if (finished_) return;
    queue_.push_back(Answer{node, std::move(answer)});
    drain();
  }

 private:
  struct Resolve {
    std::uint32_t node;
    Object parent;
  };
  struct Answer {
    std::uint32_t node;
    std::variant<Value, FieldError> answer;
  };
  using Node = ResultTree::Node;
  using NodeKind = ResultTree::Kind;

  std::uint32_t add_field(std::uint32_t parent, std::uint32_t row) {
    const PlannedField& field = plan_->at(row);
    return add_node(parent, {.non_null = field.def->type.is_non_null(),
                             .field = row,
                             .list_depth = field.def->type.depth,
                             .key = field.key});
  }

  std::uint32_t add_node(std::uint32_t parent, Node node) {
    if (tree_.size() >= prepared_->limits.result_nodes)
      throw FieldError("the answer has more than " + std::to_string(prepared_->limits.result_nodes) +
                       " fields and items; ask for less at a time");
    return tree_.add(parent, std::move(node));
  }

  // The fields of the operation itself; of a mutation, the next one.
  void start_roots() {
    while (!roots_.empty()) {
      queue_.push_back(Resolve{roots_.front(), options_.root});
      ++waiting_;
      roots_.pop_front();
      if (serial_) return;
    }
  }

  void drain() {
    if (draining_) return;
    const auto self = shared_from_this();  // a resolver or `done` may destroy the Execution
    draining_ = true;
    for (std::size_t work = 0; !finished_; ++work) {
      if (queue_.empty()) {
        if (waiting_ > 0) break;
        if (roots_.empty()) {
          Response response;
          response.data = tree_.to_json(response.long_texts);
          response.errors = std::move(errors_);
          finish(std::move(response));
          break;
        }
        start_roots();
      }
      if (work >= options_.slice && options_.defer) {
        if (!std::exchange(deferred_, true))
          options_.defer([weak = weak_from_this()] {
            if (const auto state = weak.lock()) {
              state->deferred_ = false;
              state->drain();
            }
          });
        break;
      }
      auto task = std::move(queue_.front());
      queue_.pop_front();
      if (auto* r = std::get_if<Resolve>(&task))
        resolve(std::move(*r));
      else
        settle(std::move(std::get<Answer>(task)));
    }
    draining_ = false;
  }

  void finish(Response response) {
    const Done done = std::exchange(done_, nullptr);
    cancel();
    if (done) done(std::move(response));
  }

  void resolve(Resolve task) {
    if (tree_.is_dead(task.node)) {
      --waiting_;
      return;
    }
    const PlannedField& field = plan_->at(tree_.at(task.node).field);
    if (!field.args) {
      queue_.push_back(Answer{task.node, FieldError(field.args_error)});
    } else if (field.function == nullptr) {
      queue_.push_back(Answer{task.node, meta_field(field, task.parent)});
    } else {
      call(task.node, field, std::move(task.parent));
    }
  }

  std::variant<Value, FieldError> meta_field(const PlannedField& field, const Object& parent) const {
    if (field.def->name == "__typename") return Value(parent.type_name());
    if (field.def->name == "__schema") return introspect_schema(prepared_->view);
    if (field.def->name == "__type") return introspect_type(prepared_->view, *field.args->find("name")->as_string());
    return FieldError("field \"" + parent.type_name() + "." + field.def->name + "\" has no resolver");
  }

  void call(std::uint32_t node, const PlannedField& field, Object parent) {
    ResolveCall call{.parent = std::move(parent),
                     .args = field.args,
                     .request_context = options_.context,
                     .prepared = prepared_,
                     .selections = field.nodes,
                     .field = field.def};
    if (const auto* at_once = std::get_if<Resolvers::AtOnce>(field.function)) {
      try {
        queue_.push_back(Answer{node, (*at_once)(call)});
      } catch (...) {
        queue_.push_back(Answer{node, to_field_error(std::current_exception())});
      }
      return;
    }
    const Completion completion(weak_from_this(), node);
    try {
      std::get<Resolvers::Later> (*field.function)(std::move(call), completion);
    } catch (...) {
      completion.fail(std::current_exception());
    }
  }

  void settle(Answer task) {
    --waiting_;
    if (tree_.is_dead(task.node)) return;
    if (const auto* error = std::get_if<FieldError>(&task.answer)) return fail(task.node, *error);
    try {
      fill(task.node, std::get<Value>(std::move(task.answer)));
    } catch (const FieldError& e) {
      fail(task.node, e);
    }
  }

  // Puts a value where the node is; recursion is as deep as the field's type has lists.
  void fill(std::uint32_t id, Value value) {
    Node& node = tree_.at(id);
    const PlannedField& field = plan_->at(node.field);
    const TypeDef& type = *field.def->named_type;
    if (value.is_null()) {
      if (node.non_null) throw FieldError("Cannot return null for non-nullable field " + name_of(field) + ".");
      node.kind = NodeKind::null;
    } else if (type.is_leaf() && node.list_depth == 0) {
      if (is_long_text(value, type))
        node.long_leaf = std::make_shared<const std::string>(std::move(value).take_string());
      else
        write_leaf(value, type, node.leaf);
      node.kind = NodeKind::leaf;
    } else if (node.list_depth > 0) {
      fill_list(id, std::move(value));
    } else {
      fill_object(id, std::move(value), type);
    }
  }

  void fill_list(std::uint32_t id, Value value) {
    const auto* items = value.as_list();
    const PlannedField& field = plan_->at(tree_.at(id).field);
    if (items == nullptr) throw FieldError("field " + name_of(field) + " is a list, but its resolver gave none");
    tree_.at(id).kind = NodeKind::list;
    const TypeRef& type = field.def->type;
    const std::uint32_t depth = tree_.at(id).list_depth - 1;
    // Lists of plain values are most of what long lists hold: text at once, not a node per item.
    if (field.def->named_type->is_leaf() && write_leaf_list(*items, *field.def->named_type, depth, tree_.at(id).leaf)) {
      tree_.at(id).kind = NodeKind::leaf;
      return;
    }
    tree_.at(id).leaf.clear();
    for (std::size_t i = 0; i < items->size() && !finished_; ++i) {
      const std::uint32_t item = add_node(id, {.non_null = (type.non_null >> depth & 1u) != 0,
                                               .field = tree_.at(id).field,
                                               .list_depth = depth,
                                               .index = static_cast<std::uint32_t>(i)});
      try {
        fill(item, (*items)[i]);
      } catch (const FieldError& e) {
        fail(item, e);
        if (tree_.is_dead(id)) return;
      }
    }
  }

  void fill_object(std::uint32_t id, Value value, const TypeDef& type) {
    const std::uint32_t row = tree_.at(id).field;
    const Object* object = value.as_object();
    if (object == nullptr)
      throw FieldError("field " + name_of(plan_->at(row)) + " is an object, but its resolver gave none");
    const TypeDef* runtime = prepared_->view->find_type(object->type_name());
    if (runtime == nullptr || runtime->kind != TypeDef::Kind::object || !type.can_be(runtime->name))
      throw FieldError("an object of type \"" + object->type_name() + "\" is no \"" + type.name + "\"");
    tree_.at(id).kind = NodeKind::object;
    for (const std::uint32_t child : plan_->below(row, *runtime)) {
      queue_.push_back(Resolve{add_field(id, child), *object});
      ++waiting_;
    }
  }

  void fail(std::uint32_t node, const FieldError& error) {
    const PlannedField& field = plan_->at(tree_.at(node).field);
    if (errors_.size() < prepared_->limits.errors) {
      ResponseError e{.message = error.message(), .path = tree_.path(node), .extensions = error.extensions()};
      if (field.args)
        for (const auto row : *field.nodes) e.locations.push_back(prepared_->document->selections[row].at);
      else
        e.locations.push_back(field.args_error_at);
      errors_.push_back(std::move(e));
    }
    if (tree_.nullify(node)) finish({.data = "null", .errors = std::move(errors_)});
  }

  std::string name_of(const PlannedField& field) const { return "\"" + field.def->name + "\""; }

  std::shared_ptr<const Prepared> prepared_;
  const Resolvers& resolvers_;
  ExecuteOptions options_;
  Done done_;
  std::optional<Plan> plan_;
  ResultTree tree_;
  std::vector<ResponseError> errors_;
  std::deque<std::variant<Resolve, Answer>> queue_;
  std::deque<std::uint32_t> roots_;  // not started yet
  std::size_t waiting_ = 0;          // fields that are queued or whose answer is outstanding
  bool serial_ = false;
  bool draining_ = false;
  bool deferred_ = false;
  bool finished_ = false;
};

std::unique_ptr<Execution> Execution::start(std::shared_ptr<const Prepared> prepared, const Resolvers& resolvers,
                                            ExecuteOptions options, Done done) {
  auto state = std::make_shared<State>(std::move(prepared), resolvers, std::move(options), std::move(done));
  std::unique_ptr<Execution> execution(new Execution(state));
  state->start();
  return execution;
}

Execution::Execution(std::shared_ptr<State> state) : state_(std::move(state)) {}
Execution::~Execution() { cancel(); }
void Execution::cancel() { state_->cancel(); }

}  // namespace dagger::graphql
