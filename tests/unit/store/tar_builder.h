// tests/unit/store/tar_builder.h — tars byte by byte, so that they can be wrong in every way.
#pragma once
#include <cstdio>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace dagger::testing {

class TarBuilder {
 public:
  struct Header {
    std::string name;
    char type = '0';
    std::string data = {};
    std::string link = {};
    unsigned mode = 0644;
    unsigned uid = 0, gid = 0;
    long mtime = 1'000'000'000;
    unsigned major = 0, minor = 0;
  };

  TarBuilder& add(const Header& h) { return raw(header(h), h.data); }
  TarBuilder& dir(const std::string& name, unsigned mode = 0755) {
    return add({.name = name, .type = '5', .mode = mode});
  }
  TarBuilder& file(const std::string& name, const std::string& data = "x") { return add({.name = name, .data = data}); }
  TarBuilder& symlink(const std::string& name, const std::string& to) {
    return add({.name = name, .type = '2', .link = to});
  }
  TarBuilder& hard_link(const std::string& name, const std::string& to) {
    return add({.name = name, .type = '1', .link = to});
  }
  // Records for the next entry.
  TarBuilder& pax(const std::vector<std::pair<std::string, std::string>>& records) {
    std::string text;
    for (const auto& [key, value] : records) {
      const std::size_t rest = key.size() + value.size() + 3;
      std::size_t length = rest + std::to_string(rest).size();
      if (std::to_string(length).size() != std::to_string(rest).size()) ++length;
      text += std::to_string(length) + " " + key + "=" + value + "\n";
    }
    return add({.name = "PaxHeaders/x", .type = 'x', .data = text});
  }
  TarBuilder& raw(const std::string& header_block, const std::string& data) {
    bytes_ += header_block + data;
    bytes_.append((512 - data.size() % 512) % 512, '\0');
    return *this;
  }
  std::string end() const { return bytes_ + std::string(1024, '\0'); }
  const std::string& unfinished() const { return bytes_; }

  static std::string header(const Header& h) {
    std::string b(512, '\0');
    const auto put = [&b](std::size_t at, const std::string& text) { b.replace(at, text.size(), text); };
    const auto octal = [&put](std::size_t at, int digits, unsigned long long v) {
      char text[32];
      std::snprintf(text, sizeof text, "%0*llo", digits, v);
      put(at, text);
    };
    put(0, h.name.substr(0, 100));
    octal(100, 7, h.mode);
    octal(108, 7, h.uid);
    octal(116, 7, h.gid);
    octal(124, 11, h.data.size());
    octal(136, 11, static_cast<unsigned long long>(h.mtime));
    b[156] = h.type;
    put(157, h.link.substr(0, 100));
    put(257, std::string("ustar\0"
                         "00",
                         8));
    octal(329, 7, h.major);
    octal(337, 7, h.minor);
    return with_checksum(b);
  }
  static std::string with_checksum(std::string b) {
    b.replace(148, 8, 8, ' ');
    unsigned sum = 0;
    for (const char c : b) sum += static_cast<unsigned char>(c);
    char text[16];
    std::snprintf(text, sizeof text, "%06o", sum);
    b.replace(148, 6, text);
    b[154] = '\0';
    return b;
  }

 private:
  std::string bytes_;
};

}  // namespace dagger::testing
