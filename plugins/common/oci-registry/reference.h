// plugins/common/oci-registry/reference.h — image references as docker reads them. Pure.
//
// "alpine" is docker.io/library/alpine:latest; a first part with '.', ':' or an upper-case letter, or "localhost", is a
// registry. Errors are Error{invalid_argument} and name the reference as it was written.
#pragma once
#include <string>
#include <string_view>

namespace dagger::oci {

struct Reference {
  std::string domain;      // "docker.io", "localhost:5000"
  std::string repository;  // "library/alpine"
  std::string tag;         // "" only where there is a digest
  std::string digest;      // "algorithm:hex" or ""

  std::string name() const { return domain + "/" + repository; }
  std::string str() const;  // canonical: name[:tag][@digest]
  // What the registry's API is asked for: the digest where there is one, else the tag.
  const std::string& version() const noexcept { return digest.empty() ? tag : digest; }
  Reference with_digest(std::string d) const {
    Reference copy = *this;
    copy.digest = std::move(d);
    return copy;
  }
};

Reference parse_reference(std::string_view text);

// "index.docker.io" and "registry-1.docker.io" are docker.io.
std::string canonical_domain(std::string_view domain);
// Whether this is a repository: parts of lower-case letters, digits, '.', '_' and '-' with '/' between them.
bool is_repository(std::string_view text) noexcept;
// Whether this is host[:port], with host a name, an IPv4 address or [IPv6].
bool is_domain(std::string_view text) noexcept;
// 127.0.0.0/8, ::1 and localhost, with or without a port.
bool is_loopback(std::string_view host_and_port) noexcept;

}  // namespace dagger::oci
