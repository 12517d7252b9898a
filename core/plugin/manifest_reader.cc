#include "core/plugin/manifest_reader.h"

#include <elf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>

#include "core/base/fs.h"

namespace dagger::plugin {
namespace {

#if defined(__x86_64__)
constexpr unsigned machine = EM_X86_64;
#elif defined(__aarch64__)
constexpr unsigned machine = EM_AARCH64;
#endif

// Far beyond what linkers make; keeps a hostile file from costing time.
constexpr unsigned max_sections = 4096;
constexpr std::size_t max_schema = 256UL * 1024;

[[noreturn]] void fail(const std::string& why) { throw Error(Code::corrupt_data, why); }

class Elf {
 public:
  Elf(std::uint64_t size, const ReadAt& read) : size_(size), read_(read) {
    if (size_ < sizeof header_.e_ident || !read_(0, &header_, sizeof header_.e_ident) ||
        std::memcmp(header_.e_ident, ELFMAG, SELFMAG) != 0)
      fail("is not an ELF file; expected a shared object built with dagger_add_plugin()");
    header_ = at<Elf64_Ehdr>(0, "the ELF header");
    if (header_.e_ident[EI_CLASS] != ELFCLASS64 || header_.e_ident[EI_DATA] != ELFDATA2LSB ||
        header_.e_machine != machine)
      fail("is built for another machine (ELF machine " + std::to_string(header_.e_machine) +
           "); expected " DAGGER_TAG_ARCH "; rebuild it for this machine");
    if (header_.e_type != ET_DYN)
      fail("is not a shared object (ELF type " + std::to_string(header_.e_type) +
           "); build it with dagger_add_plugin()");
    if (header_.e_shentsize != sizeof(Elf64_Shdr) || header_.e_shnum == 0 || header_.e_shnum > max_sections ||
        header_.e_shstrndx >= header_.e_shnum)
      fail("has no readable section headers (" + std::to_string(header_.e_shnum) + " of " +
           std::to_string(header_.e_shentsize) + " bytes); do not remove them (sstrip) from a plugin");
    names_ = section(header_.e_shstrndx);
  }

  // The section with this name, if there is one.
  std::optional<Elf64_Shdr> find(std::string_view name) const {
    for (unsigned i = 0; i < header_.e_shnum; ++i) {
      const auto s = section(i);
      char found[16] = {};
      if (s.sh_name >= names_.sh_size || names_.sh_size - s.sh_name < name.size() + 1) continue;
      if (names_.sh_offset > size_ || s.sh_name > size_ - names_.sh_offset ||
          !read_(names_.sh_offset + s.sh_name, found, name.size() + 1))
        fail(truncated("the section names"));
      if (name == found) return s;
    }
    return std::nullopt;
  }

  template <class T>
  T at(std::uint64_t offset, const char* what) const {
    T value;
    copy(offset, &value, sizeof value, what);
    return value;
  }

  void copy(std::uint64_t offset, void* to, std::size_t n, const char* what) const {
    if (offset > size_ || size_ - offset < n || !read_(offset, to, n)) fail(truncated(what));
  }

 private:
  Elf64_Shdr section(unsigned i) const {
    if (header_.e_shoff > size_) fail(truncated("the section headers"));
    return at<Elf64_Shdr>(header_.e_shoff + i * sizeof(Elf64_Shdr), "the section headers");
  }
  std::string truncated(const char* what) const {
    return std::string("is truncated: ") + what + " lie beyond its " + std::to_string(size_) +
           " bytes; copy or build the file again";
  }

  std::uint64_t size_;
  const ReadAt& read_;
  Elf64_Ehdr header_{};
  Elf64_Shdr names_{};
};

template <std::size_t N>
std::string text(const char (&field)[N], const char* what) {
  const auto* end = static_cast<const char*>(std::memchr(field, '\0', N));
  if (end == nullptr)
    fail(std::string("has a plugin manifest whose ") + what + " does not end; rebuild it with DAGGER_PLUGIN()");
  return std::string(field, end);
}

bool name_like(std::string_view s) {
  return !s.empty() && s.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-_") == std::string_view::npos;
}

}  // namespace

Manifest to_manifest(const dagger_plugin_manifest& plain) {
  if (std::memcmp(plain.magic, DAGGER_MANIFEST_MAGIC, sizeof plain.magic) != 0)
    fail("has a plugin manifest with wrong magic; expected '" DAGGER_MANIFEST_MAGIC
         "'; rebuild it with DAGGER_PLUGIN()");
  if (plain.struct_size != sizeof plain)
    fail("has a plugin manifest of " + std::to_string(plain.struct_size) + " bytes, expected " +
         std::to_string(sizeof plain) + "; rebuild it with this engine's headers");
  Manifest m;
  m.kind = text(plain.kind, "kind"), m.name = text(plain.name, "name");
  m.version = text(plain.version, "version"), m.vendor = text(plain.vendor, "vendor");
  m.abi_tag = text(plain.abi_tag, "ABI tag");
  m.api_major = plain.api_major, m.api_minor = plain.api_minor;
  if (!name_like(m.kind) || !name_like(m.name)) {  // both become parts of paths
    fail(
        "has a plugin manifest whose kind or name holds other characters than a-z, 0-9, '-' and '_'; rename the "
        "plugin");
  }
  return m;
}

PluginFile read_plugin_file(std::uint64_t size, const ReadAt& read) {
  const Elf elf(size, read);
  const auto section = elf.find(DAGGER_MANIFEST_SECTION);
  if (!section)
    fail("has no plugin manifest (section '" DAGGER_MANIFEST_SECTION
         "'); a plugin needs DAGGER_PLUGIN() in one of its files");
  if (section->sh_type != SHT_PROGBITS || section->sh_size < sizeof(dagger_plugin_manifest))
    fail("has a plugin manifest of " + std::to_string(section->sh_size) + " bytes, expected " +
         std::to_string(sizeof(dagger_plugin_manifest)) + "; rebuild it with DAGGER_PLUGIN()");
  PluginFile file;
  file.manifest = to_manifest(elf.at<dagger_plugin_manifest>(section->sh_offset, "the plugin manifest"));
  if (const auto schema = elf.find(DAGGER_SCHEMA_SECTION); schema && schema->sh_type == SHT_PROGBITS) {
    if (schema->sh_size > max_schema)
      fail("has a settings schema of more than " + std::to_string(max_schema) + " bytes");
    std::string bytes(schema->sh_size, '\0');
    elf.copy(schema->sh_offset, bytes.data(), bytes.size(), "the settings schema");
    bytes.resize(std::strlen(bytes.c_str()));
    if (!bytes.empty()) file.settings_schema = std::move(bytes);
  }
  return file;
}

PluginFile read_plugin_file(std::string_view image) {
  return read_plugin_file(image.size(), [image](std::uint64_t offset, void* to, std::size_t n) {
    if (offset > image.size() || image.size() - offset < n) return false;
    std::memcpy(to, image.data() + offset, n);
    return true;
  });
}

PluginFile read_plugin_file_fd(int fd) {
  struct stat st{};
  if (::fstat(fd, &st) != 0) throw_errno("read the plugin file");
  return read_plugin_file(static_cast<std::uint64_t>(st.st_size), [fd](std::uint64_t offset, void* to, std::size_t n) {
    return ::pread(fd, to, n, static_cast<off_t>(offset)) == static_cast<ssize_t>(n);
  });
}

std::vector<Error> misfits(const Manifest& m, std::string_view kind, std::string_view name) {
  std::vector<Error> all;
  const auto version = [](unsigned major, unsigned minor) {
    return std::to_string(major) + "." + std::to_string(minor);
  };
  const bool api_fits =
      m.api_major == DAGGER_PLUGIN_API_MAJOR &&
      (DAGGER_PLUGIN_API_MAJOR == 0 ? m.api_minor == DAGGER_PLUGIN_API_MINOR : m.api_minor <= DAGGER_PLUGIN_API_MINOR);
  if (!api_fits) {
    all.emplace_back(Code::unsupported, "is built for plugin API " + version(m.api_major, m.api_minor) +
                                            ", this engine offers " +
                                            version(DAGGER_PLUGIN_API_MAJOR, DAGGER_PLUGIN_API_MINOR) +
                                            "; rebuild the plugin with this engine's headers");
  }
  if (m.abi_tag != DAGGER_ABI_TAG) {
    all.emplace_back(Code::unsupported, "is built with ABI '" + m.abi_tag +
                                            "', this engine has '" DAGGER_ABI_TAG
                                            "'; rebuild the plugin with the same standard library and options");
  }
  if (!kind.empty() && m.kind != kind)
    all.emplace_back(Code::invalid_argument, "is of kind '" + m.kind + "', the configuration names it as a '" +
                                                 std::string(kind) + "'; move it to the section of its kind");
  if (!name.empty() && m.name != name)
    all.emplace_back(Code::invalid_argument, "is named '" + m.name +
                                                 "' in its manifest, the configuration says use = \"" +
                                                 std::string(name) + "\"; make them equal");
  return all;
}

void check_compatible(const Manifest& manifest, std::string_view kind, std::string_view name) {
  if (auto all = misfits(manifest, kind, name); !all.empty()) throw std::move(all.front());
}

}  // namespace dagger::plugin
