// GitRepository and GitRef: a URL and a reference, handed to whatever source serves them.
#include <algorithm>
#include <array>

#include "core/session/api/resolver.h"

namespace dagger::session {
namespace {

constexpr graphql::Version keeps_git_dir{0, 13, 4};

Value git(const ResolveCall& call) {
  GitRepository repository;
  repository.url = text_arg(call, "url");
  repository.keep_git_dir = flag_arg(call, "keepGitDir", client_since(call, keeps_git_dir));
  return object(std::move(repository));
}

Value ref(const ResolveCall& call, const char* argument, const char* kind) {
  return object(GitRef{self<GitRepository>(call), argument ? text_arg(call, argument) : "HEAD", kind});
}

// git's own transports go to the source of scheme "git"; another scheme goes to the source that serves it.
link::PinRequest pin_request(const GitRef& ref, bool keep_git_dir) {
  static constexpr std::array<std::string_view, 5> transports = {"https", "http", "ssh", "git", "file"};
  link::PinRequest request;
  const auto& url = ref.repository.url;
  const auto mark = url.find("://");
  const auto scheme = url.substr(0, mark == std::string::npos ? 0 : mark);
  if (scheme.empty()) {
    request.scheme = "git";
    request.location = url.find('@') == std::string::npos ? "https://" + url : url;  // git@host:path
  } else if (std::ranges::find(transports, scheme) != transports.end()) {
    request.scheme = "git";
    request.location = url;
  } else {
    request.scheme = scheme;
    request.location = url.substr(mark + 1);
  }
  request.attributes = {{"ref", ref.ref}, {"kind", ref.ref_kind}};
  if (keep_git_dir) request.attributes.emplace_back("keep_git_dir", "true");
  return request;
}

Task<Value> tree(ResolveCall call) {
  const auto& ref = self<GitRef>(call);
  const bool keep = ref.repository.keep_git_dir && !flag_arg(call, "discardGitDir");
  const auto pinned = co_await services_of(call).pins.pin(pin_request(ref, keep), cancel_of(call));
  co_return object(Directory{pinned.tree, "/"});
}

// A git source pins to "<algorithm>:<commit>".
Task<Value> commit(ResolveCall call) {
  const auto& ref = self<GitRef>(call);
  auto request = pin_request(ref, ref.repository.keep_git_dir);
  const auto pinned = co_await services_of(call).pins.pin(std::move(request), cancel_of(call));
  const auto& digest = pinned.reply.digest;
  co_return digest.substr(digest.find(':') + 1);
}

}  // namespace

void add_git(Resolvers& r) {
  r.value("Query", "git", git);
  later(r, "GitRepository", "id", resolve_id<GitRepository>);
  r.value("GitRepository", "branch", [](const ResolveCall& call) { return ref(call, "name", "branch"); });
  r.value("GitRepository", "tag", [](const ResolveCall& call) { return ref(call, "name", "tag"); });
  r.value("GitRepository", "ref", [](const ResolveCall& call) { return ref(call, "name", "ref"); });
  r.value("GitRepository", "commit", [](const ResolveCall& call) { return ref(call, "id", "commit"); });
  r.value("GitRepository", "head", [](const ResolveCall& call) { return ref(call, nullptr, "head"); });
  r.value("GitRepository", "url", [](const ResolveCall& call) -> Value { return self<GitRepository>(call).url; });
  later(r, "GitRef", "id", resolve_id<GitRef>);
  later(r, "GitRef", "tree", tree);
  later(r, "GitRef", "commit", commit);
  r.value("GitRef", "ref", [](const ResolveCall& call) -> Value { return self<GitRef>(call).ref; });
}

}  // namespace dagger::session
