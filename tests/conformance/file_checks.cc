// What can be seen in the file alone: its dynamic symbols and what it asks of the dynamic linker.
#include <elf.h>

#include <cstring>

#include "tests/conformance/kit.h"

namespace dagger::conformance {
namespace {

constexpr const char* export_h = "dagger/plugin/export.h, at its top";
constexpr std::size_t max_file = std::size_t{1} << 30;

// The sections of a file that the engine has accepted as a plugin: 64 bits, this machine.
class Sections {
 public:
  explicit Sections(const std::string& file) : bytes_(read_file(file, max_file)), header_(at<Elf64_Ehdr>(0)) {}

  // f(entry, name table) for each entry of the first section of that type.
  template <class Entry, class F>
  void each(unsigned type, F&& f) const {
    for (unsigned i = 0; i < header_.e_shnum; ++i) {
      const auto section = this->section(i);
      if (section.sh_type != type) continue;
      const auto names = this->section(section.sh_link);
      for (std::uint64_t offset = 0; offset + sizeof(Entry) <= section.sh_size; offset += sizeof(Entry))
        f(at<Entry>(section.sh_offset + offset), names);
      return;
    }
  }
  std::string name(const Elf64_Shdr& table, std::uint64_t offset) const {
    const auto begin = table.sh_offset + offset;
    expect(offset < table.sh_size && begin < bytes_.size(), "a name lies outside the file");
    return bytes_.c_str() + begin;  // c_str() ends even where the table does not
  }

 private:
  template <class T>
  T at(std::uint64_t offset) const {
    T value;
    expect(offset <= bytes_.size() && bytes_.size() - offset >= sizeof value, "a table lies outside the file");
    std::memcpy(&value, bytes_.data() + offset, sizeof value);
    return value;
  }
  Elf64_Shdr section(unsigned i) const { return at<Elf64_Shdr>(header_.e_shoff + i * sizeof(Elf64_Shdr)); }

  const std::string bytes_;
  const Elf64_Ehdr header_;
};

void symbols(const Kit& kit) {
  const Sections file(kit.options.file);
  std::string others;
  std::size_t count = 0;
  file.each<Elf64_Sym>(SHT_DYNSYM, [&](const Elf64_Sym& s, const Elf64_Shdr& names) {
    if (s.st_shndx == SHN_UNDEF || ELF64_ST_BIND(s.st_info) == STB_LOCAL) return;
    const auto name = file.name(names, s.st_name);
    if (name == DAGGER_MANIFEST_SYMBOL || name == DAGGER_CREATE_SYMBOL) return;
    constexpr std::size_t shown = 5;
    if (++count <= shown) others += " " + name;
  });
  expect(count == 0, "it exports more (" + std::to_string(count) + "):" + others);
}

void search_path(const Kit& kit) {
  const Sections file(kit.options.file);
  file.each<Elf64_Dyn>(SHT_DYNAMIC, [&](const Elf64_Dyn& d, const Elf64_Shdr& names) {
    if (d.d_tag != DT_RPATH && d.d_tag != DT_RUNPATH) return;
    throw Broken{std::string("it has the ") + (d.d_tag == DT_RPATH ? "RPATH " : "RUNPATH ") +
                 file.name(names, d.d_un.d_val)};
  });
}

void linking(const Kit& kit) {
  const Sections file(kit.options.file);
  std::uint64_t flags = 0, flags_1 = 0;
  bool now = false;
  file.each<Elf64_Dyn>(SHT_DYNAMIC, [&](const Elf64_Dyn& d, const Elf64_Shdr&) {
    if (d.d_tag == DT_FLAGS) flags = d.d_un.d_val;
    if (d.d_tag == DT_FLAGS_1) flags_1 = d.d_un.d_val;
    if (d.d_tag == DT_BIND_NOW) now = true;
  });
  expect((flags_1 & DF_1_NODELETE) != 0, "it may be unloaded: it was linked without -z nodelete");
  expect(now || (flags & DF_BIND_NOW) != 0 || (flags_1 & DF_1_NOW) != 0,
         "its symbols are bound when they are first used: it was linked without -z now");
}

}  // namespace

void add_file_checks(Checks& checks) {
  checks.push_back(
      {"file.symbols", "the file exports the manifest and the factory, and nothing else", export_h, symbols});
  checks.push_back({"file.search-path",
                    "libraries are found where the system looks for them: the file has no RPATH and no RUNPATH",
                    export_h, search_path});
  checks.push_back(
      {"file.linking", "the file is never unloaded, and its symbols are bound when it is loaded", export_h, linking});
}

}  // namespace dagger::conformance
