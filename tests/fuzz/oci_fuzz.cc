// Whatever a registry or a user sends: references, platforms, manifests, indexes, configurations, headers. Nothing but
// dagger::Error may leave, and what is accepted must be accepted again in its canonical form.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "plugins/common/base/base64.h"
#include "plugins/common/oci-registry/headers.h"
#include "plugins/common/oci-registry/manifest.h"
#include "plugins/common/oci-registry/reference.h"
#include "tests/fuzz/property.h"

namespace {

using namespace dagger;
using fuzz::check;
using fuzz::try_it;

void manifests(std::string_view text) {
  try_it([&] { (void)oci::is_index(text, oci::media_type::oci_index, "x"); });
  try_it([&] { check(oci::parse_manifest(text, "x").layers.size() <= oci::max_layers); });
  try_it([&] { check(oci::parse_config(text, 2, "x").diff_ids.size() == 2); });
  try_it([&] {
    const auto index = oci::parse_index(text, "x");
    check(!oci::choose(index, {"linux", "amd64", ""}, "x").attestation);
  });
}

void headers(std::string_view text) {
  check(oci::parse_challenges(text).size() <= 16);
  if (const auto r = oci::parse_content_range(text)) check(r->first >= 0 && r->first <= r->last);
  (void)oci::parse_retry_after(text);
  (void)plugin_base::base64(text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 4) {
    case 0:
      try_it([&] {
        const auto canonical = oci::parse_reference(text).str();
        check(oci::parse_reference(canonical).str() == canonical);
      });
      break;
    case 1:
      manifests(text);
      break;
    case 2:
      headers(text);
      break;
    default:
      try_it([&] {
        const auto p = oci::parse_platform(text);
        check(oci::parse_platform(p.str()) == p);
      });
  }
  return 0;
}
