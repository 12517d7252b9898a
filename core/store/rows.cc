#include "core/store/rows.h"

#include <algorithm>

#include "core/base/cbor_fields.h"

namespace dagger::dag {
template <class A>
void fields(A& a, KeyPart& p) {  // found beside its type
  a.begin(2), a.blob(p.name), a.field(p.value);
}
}  // namespace dagger::dag

namespace dagger::store {

template <class A>
void fields(A& a, Output& o) {
  a.begin(3), a.blob(o.name), a.field(o.base_input), a.field(o.layers);
}
template <class A>
void fields(A& a, Record& r) {
  a.begin(10), a.field(r.key), a.field(r.kind), a.list(r.outputs), a.field(r.exit_code), a.field(r.stdout_log);
  a.field(r.stderr_log), a.field(r.cost_usec), a.field(r.created_unix), a.list(r.parts), a.field(r.slot);
}
template <class A>
void fields(A& a, LayerRow& r) {
  a.begin(7), a.field(r.forms), a.field(r.bytes), a.field(r.entries), a.field(r.content), a.field(r.exact);
  a.field(r.diff_id), a.field(r.opaque_root);
}

std::string directory_form(const LayerRow& row) {
  for (const char* form : {plugin::form::overlay_trusted, plugin::form::overlay_user})
    if (std::find(row.forms.begin(), row.forms.end(), form) != row.forms.end()) return form;
  return {};
}

std::string encode(const LayerRow& row) { return cbor::pack(row); }
std::string encode(const Record& record) { return cbor::pack(record); }
LayerRow decode_layer(std::string_view data) { return cbor::unpack<LayerRow>(data); }
Record decode_record(std::string_view data) { return cbor::unpack<Record>(data); }

}  // namespace dagger::store
