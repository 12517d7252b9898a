#include "core/session/api/resolver.h"

#include <algorithm>

namespace dagger::session {
namespace {

std::string joined(const std::vector<std::string>& args) {
  std::string all;
  for (const auto& arg : args) {
    if (!all.empty()) all += ' ';
    all += arg;
  }
  return all;
}

graphql::FieldError exec_error(const link::ExecFailure& failure) {
  Value extensions;
  extensions.set("_type", "EXEC_ERROR");
  extensions.set("cmd", list_of(failure.args));
  extensions.set("exitCode", std::int64_t{failure.exit_code});
  extensions.set("stdout", failure.out);
  extensions.set("stderr", failure.err);
  return graphql::FieldError("process \"" + joined(failure.args) +
                                 "\" did not complete successfully: exit code: " + std::to_string(failure.exit_code),
                             std::move(extensions));
}

Task<void> answer(Task<Value> (*function)(ResolveCall call), ResolveCall call, graphql::Completion done) {
  std::exception_ptr error;
  try {
    auto value = co_await function(std::move(call));
    done(std::move(value));
  } catch (...) {
    error = std::current_exception();
  }
  if (!error) co_return;
  try {
    rethrow_for_client(error);
  } catch (...) {
    done.fail(std::current_exception());
  }
}

}  // namespace

void rethrow_for_client(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const link::DetailedError& failed) {
    if (failed.error().code() != Code::exec_failed) throw Error(failed.error());
    throw exec_error(cbor::unpack<link::ExecFailure>(failed.details()));
  }
}

void later(Resolvers& resolvers, const char* type, const char* field, Task<Value> (*function)(ResolveCall call)) {
  resolvers.field(type, field, [function](ResolveCall call, graphql::Completion done) {
    auto& tasks = request_of(call).tasks;
    tasks.spawn(answer(function, std::move(call), std::move(done)));
  });
}

const std::string& text_arg(const ResolveCall& call, std::string_view name) {
  const auto* text = call.arg(name).as_string();
  if (text == nullptr) throw Error(Code::invalid_argument, "argument \"" + std::string(name) + "\" is missing");
  return *text;
}

std::string text_arg_or(const ResolveCall& call, std::string_view name, std::string_view otherwise) {
  const auto* text = call.arg(name).as_string();
  return text == nullptr ? std::string(otherwise) : *text;
}

bool flag_arg(const ResolveCall& call, std::string_view name, bool otherwise) {
  const auto* flag = call.arg(name).as_bool();
  return flag == nullptr ? otherwise : *flag;
}

std::int64_t int_arg(const ResolveCall& call, std::string_view name, std::int64_t otherwise) {
  const auto* number = call.arg(name).as_int();
  return number == nullptr ? otherwise : *number;
}

std::vector<std::string> texts_arg(const ResolveCall& call, std::string_view name) {
  std::vector<std::string> texts;
  if (const auto* list = call.arg(name).as_list())
    for (const auto& item : *list)
      if (const auto* text = item.as_string()) texts.push_back(*text);
  return texts;
}

std::uint32_t mode_arg(const ResolveCall& call, std::string_view name, std::uint32_t otherwise) {
  const auto mode = int_arg(call, name, 0);
  if (mode == 0) return otherwise;
  if (mode < 0 || mode > 07777)
    throw Error(Code::invalid_argument, "argument \"" + std::string(name) + "\": " + std::to_string(mode) +
                                            " is no file mode; it must be between 0 and 4095 (07777)");
  return static_cast<std::uint32_t>(mode);
}

Value::List list_of(const std::vector<std::string>& texts) { return {texts.begin(), texts.end()}; }

std::string_view given_arg(const ResolveCall& call, std::string_view name, std::string_view other) {
  return call.arg(name).is_null() ? other : name;
}

bool client_since(const ResolveCall& call, graphql::Version version) {
  return request_of(call).version.value_or(graphql::Version{0, 9, 0}) >= version;
}

Task<Directory> load_directory(ResolveCall call, std::string id) {
  if (!id.empty()) co_return co_await load<Directory>(call, std::move(id));
  Directory empty;
  empty.tree = services_of(call).runner.scratch();
  co_return empty;
}

}  // namespace dagger::session
