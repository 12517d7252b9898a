// The fields of Container that run commands, or ask what one did.
#include "core/session/api/container.h"
#include "core/session/api/resolver.h"

namespace dagger::session {
namespace {

constexpr graphql::Version entrypoint_on_request{0, 12, 0};

bool uses_entrypoint(const ResolveCall& call) {
  if (!call.arg("useEntrypoint").is_null()) return flag_arg(call, "useEntrypoint");
  if (!call.arg("skipEntrypoint").is_null()) return !flag_arg(call, "skipEntrypoint");
  return !client_since(call, entrypoint_on_request);
}

dag::Expect expectation(const ResolveCall& call) {
  const auto* expect = call.arg("expect").as_enum();
  if (expect == nullptr || expect->name == "SUCCESS") return dag::Expect::success;
  return expect->name == "FAILURE" ? dag::Expect::failure : dag::Expect::any;
}

Value run(const ResolveCall& call) {
  const auto& container = self<Container>(call);
  ExecOptions options;
  options.args = texts_arg(call, "args");
  options.use_entrypoint = uses_entrypoint(call);
  options.stdin_text = text_arg_or(call, "stdin", "");
  options.redirect_stdin = text_arg_or(call, "redirectStdin", "");
  options.redirect_stdout = text_arg_or(call, "redirectStdout", "");
  options.redirect_stderr = text_arg_or(call, "redirectStderr", "");
  options.expect = expectation(call);
  options.root_capabilities = flag_arg(call, "insecureRootCapabilities");
  if (flag_arg(call, "experimentalPrivilegedNesting"))
    throw Error(
        Code::unsupported,
        "experimentalPrivilegedNesting is not supported by this engine: what runs in a container cannot use it");
  if (!options.redirect_stdin.empty() && !options.stdin_text.empty())
    throw Error(Code::invalid_argument, "stdin and redirectStdin cannot both be given");
  if (flag_arg(call, "expand")) {
    for (auto& arg : options.args) arg = expand_variables(arg, container.config.env);
    for (auto* path : {&options.redirect_stdin, &options.redirect_stdout, &options.redirect_stderr})
      *path = expand_variables(*path, container.config.env);
  }
  return object(with_exec(services_of(call).runner, container, std::move(options)));
}

// The last exec; where there is none, the default command's.
Digest exec_of(const ResolveCall& call) {
  const auto& container = self<Container>(call);
  if (!container.last_exec.zero()) return container.last_exec;
  return with_exec(services_of(call).runner, container, ExecOptions()).last_exec;
}

Task<link::ExecOutputReply> output(ResolveCall call, link::OutputStream stream) {
  const auto exec = exec_of(call);
  co_return co_await services_of(call).runner.exec_output(exec, stream, cancel_of(call));
}
Task<Value> out(ResolveCall call) { co_return (co_await output(call, link::OutputStream::out)).text; }
Task<Value> err(ResolveCall call) { co_return (co_await output(call, link::OutputStream::err)).text; }

Task<Value> exit_code(ResolveCall call) {
  const auto exec = exec_of(call);
  const auto reply = co_await services_of(call).runner.solve({exec, "root"}, cancel_of(call));
  co_return std::int64_t{reply.exit_code};
}

Task<Value> sync(ResolveCall call) {
  const auto& container = self<Container>(call);
  if (!container.rootfs.op.zero()) co_await services_of(call).runner.solve(container.rootfs, cancel_of(call));
  co_return co_await resolve_id<Container>(call);
}

}  // namespace

void add_container_exec(Resolvers& r) {
  r.value("Container", "withExec", run);
  r.value("Container", "exec", run);
  later(r, "Container", "stdout", out);
  later(r, "Container", "stderr", err);
  later(r, "Container", "exitCode", exit_code);
  later(r, "Container", "sync", sync);
  later(r, "Container", "id", resolve_id<Container>);
}

}  // namespace dagger::session
