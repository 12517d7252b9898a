// core/session/image_config.h — what an image or a container says about the processes that run in it. Pure values.
//
// Errors: parse_image_config() throws Error{corrupt_data} when the text is no OCI image configuration.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/cbor_fields.h"

namespace dagger::session {

using cbor::Pairs;

struct ImageConfig {
  Pairs env, labels;
  std::vector<std::string> exposed_ports, volumes;  // "8000/tcp"; absolute paths
  std::vector<std::string> entrypoint, default_args;
  std::string user, workdir;
  bool operator==(const ImageConfig&) const = default;
};

template <class A>
void fields(A& a, ImageConfig& c) {
  a.begin(8), a.field(c.env), a.field(c.labels), a.field(c.exposed_ports), a.field(c.volumes), a.field(c.entrypoint),
      a.field(c.default_args), a.field(c.user), a.field(c.workdir);
}

struct ParsedImage {
  ImageConfig config;
  std::string platform;  // "linux/arm64/v8"; "" when the text does not say
};
ParsedImage parse_image_config(std::string_view json);

// Environment, labels and exposed ports of both, the image's where they differ; everything else is the image's.
ImageConfig merge_image(ImageConfig container, ImageConfig image);

const std::string* find_pair(const Pairs& pairs, std::string_view name);
void set_pair(Pairs& pairs, std::string_view name, std::string value);  // in place, or at the end
void remove_pair(Pairs& pairs, std::string_view name);

// $NAME, ${NAME}: the value in env, "" for what is not there. "$$" and other special names of shells stand for nothing.
std::string expand_variables(std::string_view text, const Pairs& env);

// "linux/amd64" from "linux/amd64", "linux/x86_64", "arm64" and the like. Throws Error{invalid_argument}.
std::string normalize_platform(std::string_view platform);

}  // namespace dagger::session
