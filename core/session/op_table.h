// core/session/op_table.h — the ops of a session: which exist, and which of them the runner has. Pure; control thread
// only.
//
// An op is added once, however often it is made. Its encoding is kept until the runner confirmed that it has it. Ops go
// in parcels of a bounded size; a parcel must not overtake those that hold inputs of its ops.
#pragma once
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/dag/op.h"

namespace dagger::session {

class OpTable {
 public:
  // The main output of the op. A ref whose op is not in the table is one that the runner has (from a recipe).
  dag::Ref add(const dag::Op& op);

  struct Parcel {
    std::uint64_t number = 0;
    std::vector<Digest> ops;           // inputs before their users
    std::vector<std::uint64_t> after;  // taken and not confirmed: they hold inputs of these ops
  };
  struct Needed {
    std::vector<Parcel> parcels;              // to be sent, those first that others come after
    std::vector<std::uint64_t> on_their_way;  // taken before
  };
  // What the runner must get before it is asked about roots: all they are made of that it does not have. New parcels
  // are taken now; each ends with give_back() or confirm(), which drops the encodings. bytes: of a parcel, but for one
  // op that is larger alone.
  Needed take_unsent(const std::vector<Digest>& roots, std::size_t bytes);
  // Moves the encodings out; give_back() wants them again.
  std::vector<std::string> encodings(const std::vector<Digest>& ops);
  void confirm(const std::vector<Digest>& ops);
  void give_back(const std::vector<Digest>& ops, std::vector<std::string> encodings);

 private:
  static constexpr std::uint64_t unsent = 0, confirmed = UINT64_MAX;
  struct Entry {
    std::string encoded;
    std::vector<Digest> inputs;
    std::uint64_t parcel = unsent;
  };
  void put_into_parcel(Parcel& parcel, const Digest& op);

  std::uint64_t last_parcel_ = unsent;
  std::unordered_map<Digest, Entry> entries_;
};

}  // namespace dagger::session
