// The fields of Container that read or change its configuration: nothing here waits but for ids.
#include "core/base/fs.h"
#include "core/base/pool.h"
#include "core/session/api/container.h"
#include "core/session/api/resolver.h"

namespace dagger::session {
namespace {

constexpr graphql::Version entrypoint_clears_args{0, 9, 5};

Task<Value> from(ResolveCall call) {
  auto container = self<Container>(call);
  link::PinRequest request;
  request.scheme = "oci";
  request.location = text_arg(call, "address");
  request.platform = container.platform;
  auto& services = services_of(call);
  const auto pinned = co_await services.pins.pin(std::move(request), cancel_of(call));
  const auto parse = [&metadata = pinned.reply.metadata_json] {
    return parse_image_config(metadata.empty() ? "{}" : metadata);
  };
  auto image = co_await on_pool(services.loop, services.pool, std::ref(parse));
  container.config = merge_image(std::move(container.config), std::move(image.config));
  container.rootfs = pinned.tree;
  container.image_ref = pinned.reply.identity;
  container.last_exec = {};
  co_return object(std::move(container));
}

Value image_ref(const ResolveCall& call) {
  const auto& ref = self<Container>(call).image_ref;
  if (ref.empty())
    throw Error(Code::invalid_argument,
                "Image reference can only be retrieved immediately after the 'Container.From' call. Error in fetching "
                "imageRef as the container image is changed");
  return ref;
}

Value env_variables(const ResolveCall& call) {
  Value::List list;
  for (const auto& [name, value] : self<Container>(call).config.env) list.push_back(object(EnvVariable{name, value}));
  return list;
}

Value labels(const ResolveCall& call) {
  Value::List list;
  for (const auto& [name, value] : self<Container>(call).config.labels) list.push_back(object(Label{name, value}));
  return list;
}

Value found_or_null(const std::string* text) { return text == nullptr ? Value() : Value(*text); }

Value with_env_variable(const ResolveCall& call) {
  auto container = self<Container>(call);
  auto value = text_arg(call, "value");
  if (flag_arg(call, "expand")) value = expand_variables(value, container.config.env);
  set_pair(container.config.env, text_arg(call, "name"), std::move(value));
  return object(std::move(container));
}

Value with_workdir(const ResolveCall& call) {
  auto container = self<Container>(call);
  auto path = text_arg(call, "path");
  if (flag_arg(call, "expand")) path = expand_variables(path, container.config.env);
  container.config.workdir = absolute_in(container, path);
  return object(std::move(container));
}

Value with_entrypoint(const ResolveCall& call) {
  auto container = self<Container>(call);
  container.config.entrypoint = texts_arg(call, "args");
  const bool clears = client_since(call, entrypoint_clears_args) || call.has("keepDefaultArgs");
  if (clears && !flag_arg(call, "keepDefaultArgs")) container.config.default_args.clear();
  return object(std::move(container));
}

Value without_entrypoint(const ResolveCall& call) {
  auto container = self<Container>(call);
  container.config.entrypoint.clear();
  if (!flag_arg(call, "keepDefaultArgs")) container.config.default_args.clear();
  return object(std::move(container));
}

Task<Value> with_secret_variable(ResolveCall call) {
  auto container = self<Container>(call);
  const auto secret = co_await load<Secret>(call, text_arg(call, "secret"));
  set_pair(container.secret_env, text_arg(call, "name"), secret.name);
  container.image_ref.clear();
  co_return object(std::move(container));
}

// Registers a field that answers with the container after edit(container, call).
void edit(Resolvers& r, const char* field, void (*change)(Container&, const ResolveCall&)) {
  r.value("Container", field, [change](const ResolveCall& call) {
    auto container = self<Container>(call);
    change(container, call);
    return object(std::move(container));
  });
}
void nothing(Container&, const ResolveCall&) {}

}  // namespace

void add_container_config(Resolvers& r) {
  later(r, "Container", "from", from);
  later(r, "Container", "withSecretVariable", with_secret_variable);
  r.value("Container", "imageRef", image_ref);
  r.value("Container", "envVariables", env_variables);
  r.value("Container", "labels", labels);
  r.value("Container", "envVariable", [](const ResolveCall& call) {
    return found_or_null(find_pair(self<Container>(call).config.env, text_arg(call, "name")));
  });
  r.value("Container", "label", [](const ResolveCall& call) {
    return found_or_null(find_pair(self<Container>(call).config.labels, text_arg(call, "name")));
  });
  r.value("Container", "platform", [](const ResolveCall& call) -> Value { return self<Container>(call).platform; });
  r.value("Container", "user", [](const ResolveCall& call) -> Value { return self<Container>(call).config.user; });
  r.value("Container", "workdir",
          [](const ResolveCall& call) -> Value { return self<Container>(call).config.workdir; });
  r.value("Container", "entrypoint",
          [](const ResolveCall& call) -> Value { return list_of(self<Container>(call).config.entrypoint); });
  r.value("Container", "defaultArgs",
          [](const ResolveCall& call) -> Value { return list_of(self<Container>(call).config.default_args); });
  r.value("Container", "withEnvVariable", with_env_variable);
  r.value("Container", "withWorkdir", with_workdir);
  r.value("Container", "withEntrypoint", with_entrypoint);
  r.value("Container", "withoutEntrypoint", without_entrypoint);
  edit(r, "withUser", [](Container& c, const ResolveCall& call) { c.config.user = text_arg(call, "name"); });
  edit(r, "withoutUser", [](Container& c, const ResolveCall&) { c.config.user.clear(); });
  edit(r, "withoutWorkdir", [](Container& c, const ResolveCall&) { c.config.workdir = "/"; });
  edit(r, "withDefaultArgs",
       [](Container& c, const ResolveCall& call) { c.config.default_args = texts_arg(call, "args"); });
  edit(r, "withoutDefaultArgs", [](Container& c, const ResolveCall&) { c.config.default_args.clear(); });
  edit(r, "withLabel", [](Container& c, const ResolveCall& call) {
    set_pair(c.config.labels, text_arg(call, "name"), text_arg(call, "value"));
  });
  edit(r, "withoutLabel",
       [](Container& c, const ResolveCall& call) { remove_pair(c.config.labels, text_arg(call, "name")); });
  edit(r, "withoutEnvVariable",
       [](Container& c, const ResolveCall& call) { remove_pair(c.config.env, text_arg(call, "name")); });
  edit(r, "withoutSecretVariable",
       [](Container& c, const ResolveCall& call) { remove_pair(c.secret_env, text_arg(call, "name")); });
  edit(r, "pipeline", nothing);
  edit(r, "withFocus", nothing);
  edit(r, "withoutFocus", nothing);
}

}  // namespace dagger::session
