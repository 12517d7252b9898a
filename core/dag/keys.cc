#include "core/dag/keys.h"

#include <algorithm>
#include <map>

#include "core/base/cbor.h"

namespace dagger::dag {
namespace {

Digest hash(const cbor::Writer& w) { return Digest::of(w.str()); }

template <class... Texts>
Digest hash_texts(const Texts&... texts) {
  cbor::Writer w;
  w.array(sizeof...(texts));
  (w.text(texts), ...);
  return hash(w);
}

std::string input_name(const Op& op, std::size_t index) {
  if (const auto* exec = std::get_if<Exec>(&op.fields)) {
    if (index == 0) return "input /";
    for (const auto& m : exec->mounts)
      if (m.input == static_cast<std::int32_t>(index)) return "input " + m.target;
  }
  return "input " + std::to_string(index);
}

void exec_parts(const Exec& e, std::vector<KeyPart>& parts) {
  cbor::Writer args;
  args.texts(e.args);
  parts.push_back({"command", hash(args)});
  for (const auto& [name, value] : e.env) parts.push_back({"environment variable " + name, hash_texts(value)});
  for (const auto& [name, secret] : e.secret_env) parts.push_back({"secret variable " + name, hash_texts(secret)});
  parts.push_back({"working directory", hash_texts(e.cwd)});
  parts.push_back({"user", hash_texts(e.user)});
  for (const auto& m : e.mounts) {
    Mount keyed = m;
    keyed.size = 0;  // a limit
    parts.push_back({"mount " + m.target, digest(keyed)});
  }
  if (!e.stdin_text.empty()) parts.push_back({"standard input", Digest::of(e.stdin_text)});
  parts.push_back({"redirections", hash_texts(e.redirect_stdin, e.redirect_stdout, e.redirect_stderr)});
  cbor::Writer rights;
  rights.array(5).boolean(e.root_capabilities).boolean(e.nesting).uint(static_cast<std::uint64_t>(e.expect));
  rights.text(e.network_class).text(e.platform);
  parts.push_back({"capabilities, network or platform", hash(rights)});
}

}  // namespace

bool needs_scope(const Op& op) {
  const auto* exec = std::get_if<Exec>(&op.fields);
  if (exec == nullptr) return false;
  return !exec->secret_env.empty() || exec->nesting || std::ranges::any_of(exec->mounts, [](const Mount& m) {
    return m.type == MountType::secret || m.type == MountType::socket || m.type == MountType::cache;
  });
}

std::vector<KeyPart> own_parts(const Op& op) {
  std::vector<KeyPart> parts;
  if (const auto* exec = std::get_if<Exec>(&op.fields)) {
    exec_parts(*exec, parts);
  } else if (const auto* source = std::get_if<Source>(&op.fields)) {
    // The pin fixes the content: tags, mirrors and spellings of one image share their results.
    parts.push_back({"pin", hash_texts(source->scheme, source->pin_digest)});
  } else {
    Op alone{op.fields, {}};
    parts.push_back({"arguments", digest(alone)});
  }
  return parts;
}

std::vector<KeyPart> key_parts(const Op& op, std::vector<KeyPart> own, const std::vector<Digest>& inputs,
                               const std::string& scope) {
  auto parts = std::move(own);
  if (needs_scope(op)) parts.push_back({"trust scope", hash_texts(scope)});
  for (std::size_t i = 0; i < inputs.size(); ++i) parts.push_back({input_name(op, i), inputs[i]});
  return parts;
}

Digest key_of(const Op& op, const std::vector<KeyPart>& parts, InputsAre inputs) {
  cbor::Writer w;
  w.array(4).uint(key_version).uint(static_cast<std::uint64_t>(inputs)).text(kind_name(op)).array(parts.size() * 2);
  for (const auto& p : parts) w.text(p.name).bytes(p.value.raw());
  return hash(w);
}

Digest output_key(const Digest& definition_key, const std::string& output) {
  cbor::Writer w;
  w.array(2).bytes(definition_key.raw()).text(output);
  return hash(w);
}

std::vector<Digest> slots(const Op& op, const std::vector<KeyPart>& parts) {
  const auto* exec = std::get_if<Exec>(&op.fields);
  if (exec == nullptr) return {};
  Digest command, root;
  for (const auto& p : parts) {
    if (p.name == "command") command = p.value;
    if (p.name == "input /") root = p.value;
  }
  return {hash_texts(std::string("slot by command"), command.hex()),
          hash_texts(std::string("slot by root"), root.hex())};
}

std::vector<Difference> differences(const std::vector<KeyPart>& before, const std::vector<KeyPart>& now) {
  // A variable may be set twice: all its values together are what is compared.
  std::map<std::string, std::vector<Digest>> old, current;
  for (const auto& p : before) old[p.name].push_back(p.value);
  for (const auto& p : now) current[p.name].push_back(p.value);
  std::vector<Difference> all;
  for (const auto& p : now) {  // in the order of the key
    const auto values = current.extract(p.name);
    if (!values) continue;
    const auto found = old.find(p.name);
    if (found == old.end()) {
      all.push_back({p.name, "is new"});
    } else {
      if (found->second != values.mapped()) all.push_back({p.name, "changed"});
      old.erase(found);
    }
  }
  for (const auto& [name, value] : old) all.push_back({name, "is gone"});
  return all;
}

std::string explain(const std::vector<Difference>& all) {
  if (all.empty()) return "its result is no longer there";
  std::string text;
  for (std::size_t i = 0; i < std::min<std::size_t>(all.size(), 3); ++i)
    text += (i ? ", " : "") + all[i].what + " " + all[i].how;
  if (all.size() > 3) text += " and " + std::to_string(all.size() - 3) + " more";
  return text;
}

}  // namespace dagger::dag
