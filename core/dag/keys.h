// core/dag/keys.h — under which keys the cache knows an op. Pure.
//
// Both keys of an op are a hash over the same ordered parts; they differ in what stands for an input: its definition
// key (the definition key of the op) or the digest of its tree (the content key). Values of secrets, contents of
// sockets and cache volumes, limits and progress names are never part of a key. An op that uses secrets, sockets or
// cache volumes is keyed by their names and the trust scope.
#pragma once
#include <string>
#include <vector>

#include "core/base/digest.h"
#include "core/dag/op.h"

namespace dagger::dag {

inline constexpr std::uint64_t key_version = 1;

// One named part of a key, so that a miss can be explained: "command", "environment variable PATH", "input /src", ...
struct KeyPart {
  std::string name;
  Digest value;
  bool operator==(const KeyPart&) const = default;
};

enum class InputsAre : std::uint8_t { definitions, contents };

// The parts that depend on nothing but the op's own fields: all that takes time in proportion to their size.
std::vector<KeyPart> own_parts(const Op& op);
// own: own_parts(op). inputs: one digest per Op::inputs, for the output that the reference names.
std::vector<KeyPart> key_parts(const Op& op, std::vector<KeyPart> own, const std::vector<Digest>& inputs,
                               const std::string& scope);
Digest key_of(const Op& op, const std::vector<KeyPart>& parts, InputsAre inputs);
// Stands for one output of an op in the definition keys of its users.
Digest output_key(const Digest& definition_key, const std::string& output);

// Whether the op's own fields tie it to a trust scope.
bool needs_scope(const Op& op);

// Records that a person would call "the same step" share a slot: the same command, or the same place in a pipeline.
std::vector<Digest> slots(const Op& op, const std::vector<KeyPart>& parts);

// What distinguishes the key of a step that runs from that of a record: "environment variable FOO" "changed".
struct Difference {
  std::string what;
  std::string how;  // "changed", "is new" or "is gone"
  bool operator==(const Difference&) const = default;
};
std::vector<Difference> differences(const std::vector<KeyPart>& before, const std::vector<KeyPart>& now);
// Names at most three, in their order.
std::string explain(const std::vector<Difference>& all);

}  // namespace dagger::dag
