#include "core/solver/pins.h"

#include "core/base/cbor_fields.h"

// Found by argument-dependent lookup from core/base/cbor_fields.h, hence in the namespace of the structs.
namespace dagger::plugin {
template <class A>
void fields(A& a, SourceRef& r) {
  a.begin(4), a.field(r.scheme), a.field(r.location), a.field(r.attributes), a.field(r.platform);
}
template <class A>
void fields(A& a, Pin& p) {
  a.begin(3), a.field(p.digest), a.field(p.identity), a.field(p.validators);
}
template <class A>
void fields(A& a, SourceLayer& l) {
  a.begin(5), a.field(l.id), a.field(l.diff_id), a.field(l.media_type), a.field(l.size), a.field(l.attributes);
}
template <class A>
void fields(A& a, PinResult& p) {
  a.begin(5), a.record(p.pin), a.enumeration(p.shape, SourceShape::file), a.field(p.metadata_json), a.list(p.layers),
      a.field(p.file_name);
}
}  // namespace dagger::plugin

namespace dagger::solver {

template <class A>
void fields(A& a, KnownPin& p) {
  a.begin(2), a.record(p.ref), a.record(p.result);
}

std::string pack_pin(const KnownPin& pin) { return cbor::pack(pin); }
KnownPin unpack_pin(const std::string& packed) { return cbor::unpack<KnownPin>(packed); }
std::string pin_name(const plugin::SourceRef& ref) { return Digest::of(cbor::pack(ref)).str(); }

}  // namespace dagger::solver
