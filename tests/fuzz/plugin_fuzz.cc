// What a plugin file can do before any of its code runs: its manifest, and the schema of its settings.
#include <elf.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "core/plugin/config_schema.h"
#include "core/plugin/manifest_reader.h"
#include "dagger/plugin/export.h"
#include "tests/fuzz/property.h"

namespace {

using namespace dagger;
using fuzz::check;

// A small file that is accepted: header, section headers, section names, manifest, schema.
struct Image {
  Elf64_Ehdr header{};
  std::array<Elf64_Shdr, 4> sections{};
  char names[32] = "\0dagplug\0dagschem\0.shstrtab";
  dagger_plugin_manifest manifest = plugin::detail::make_manifest("source", "fuzzed", "1.0.0", "Nobody");
  char schema[32] = R"({"type": "object"})";

  Image() {
    std::memcpy(header.e_ident, ELFMAG, SELFMAG);
    header.e_ident[EI_CLASS] = ELFCLASS64;
    header.e_ident[EI_DATA] = ELFDATA2LSB;
    header.e_type = ET_DYN;
#if defined(__x86_64__)
    header.e_machine = EM_X86_64;
#else
    header.e_machine = EM_AARCH64;
#endif
    header.e_shoff = offsetof(Image, sections);
    header.e_shentsize = sizeof(Elf64_Shdr);
    header.e_shnum = sections.size();
    header.e_shstrndx = 3;
    sections[1] = section(1, offsetof(Image, manifest), sizeof manifest);
    sections[2] = section(9, offsetof(Image, schema), sizeof schema);
    sections[3] = section(18, offsetof(Image, names), sizeof names);
  }

 private:
  static Elf64_Shdr section(unsigned name, std::size_t offset, std::size_t size) {
    Elf64_Shdr s{};
    s.sh_name = name, s.sh_type = SHT_PROGBITS, s.sh_offset = offset, s.sh_size = size;
    return s;
  }
};

void read(std::string_view image) {
  try {
    const auto file = plugin::read_plugin_file(image);
    const auto& m = file.manifest;
    for (const auto& name : {m.kind, m.name})  // parts of paths
      check(!name.empty() && name.find('/') == std::string::npos && name.find('.') == std::string::npos);
    plugin::check_compatible(m, "", "");
  } catch (const Error& e) {
    check(!e.message().empty());
  }
}

// Changes of the good file: two bytes of place, one of value.
void changed(std::string_view changes) {
  const Image good;
  std::string bytes(reinterpret_cast<const char*>(&good), sizeof good);
  for (; changes.size() >= 3; changes.remove_prefix(3)) {
    const auto place = static_cast<unsigned char>(changes[0]) << 8 | static_cast<unsigned char>(changes[1]);
    bytes[static_cast<std::size_t>(place) % bytes.size()] = changes[2];
  }
  if (changes.size() == 1) bytes.resize(bytes.size() * static_cast<unsigned char>(changes[0]) / 255);
  read(bytes);
}

// A schema, NUL, settings.
void settings(std::string_view text) {
  const auto end = std::min(text.find('\0'), text.size());
  const auto schema = nlohmann::json::parse(text.substr(0, end), nullptr, false);
  if (schema.is_discarded() || !plugin::check_schema(schema).empty()) return;
  const auto value = nlohmann::json::parse(text.substr(std::min(end + 1, text.size())), nullptr, false);
  if (!value.is_discarded()) (void)plugin::check_settings(schema, value);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  switch (data[0] % 3) {
    case 0:
      read(text);
      break;
    case 1:
      changed(text);
      break;
    default:
      settings(text);
  }
  return 0;
}
