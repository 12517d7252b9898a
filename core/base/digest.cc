#include "core/base/digest.h"

#include <openssl/evp.h>

#include "dagger/plugin/error.h"

namespace dagger {

struct Sha256::State {
  struct Free {
    void operator()(EVP_MD_CTX* c) const noexcept { EVP_MD_CTX_free(c); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> ctx{EVP_MD_CTX_new()};
};

Sha256::Sha256() : state_(std::make_unique<State>()) {
  static const EVP_MD* const algorithm = EVP_sha256();
  if (!state_->ctx || EVP_DigestInit_ex(state_->ctx.get(), algorithm, nullptr) != 1)
    throw Error(Code::internal, "cannot start a SHA-256 digest");
}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::update(const void* data, std::size_t size) { EVP_DigestUpdate(state_->ctx.get(), data, size); }

Digest Sha256::finish() {
  Digest d;
  unsigned size = 0;
  EVP_DigestFinal_ex(state_->ctx.get(), d.bytes.data(), &size);
  return d;
}

Digest Digest::of(std::string_view data) {
  Sha256 h;
  h.update(data);
  return h.finish();
}

std::string to_hex(std::string_view bytes) {
  constexpr char digits[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char c : bytes) {
    const auto b = static_cast<unsigned char>(c);
    out += digits[b >> 4];
    out += digits[b & 15];
  }
  return out;
}

std::string to_base32(std::string_view bytes) {
  constexpr char letters[] = "abcdefghijklmnopqrstuvwxyz234567";
  std::string out;
  unsigned held = 0, bits = 0;
  for (const char c : bytes) {
    held = (held << 8) | static_cast<unsigned char>(c);
    for (bits += 8; bits >= 5; bits -= 5) out += letters[(held >> (bits - 5)) & 31];
    held &= (1U << bits) - 1;
  }
  if (bits > 0) out += letters[(held << (5 - bits)) & 31];
  return out;
}

std::string Digest::hex() const { return to_hex(raw()); }
std::string Digest::str() const { return "sha256:" + hex(); }

Digest Digest::from_bytes(std::string_view raw) {
  Digest d;
  if (raw.size() != d.bytes.size())
    throw Error(Code::corrupt_data, "a digest has 32 bytes, not " + std::to_string(raw.size()));
  std::memcpy(d.bytes.data(), raw.data(), raw.size());
  return d;
}

Digest Digest::parse(std::string_view text) {
  constexpr std::string_view prefix = "sha256:";
  const auto nibble = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; };
  Digest d;
  bool good = text.size() == prefix.size() + 64 && text.substr(0, prefix.size()) == prefix;
  for (std::size_t i = 0; good && i < 32; ++i) {
    const int high = nibble(text[prefix.size() + 2 * i]), low = nibble(text[prefix.size() + 2 * i + 1]);
    good = high >= 0 && low >= 0;
    d.bytes[i] = static_cast<std::uint8_t>((high << 4) | (low & 15));
  }
  if (!good) throw Error(Code::invalid_argument, "not a sha256 digest: '" + std::string(text.substr(0, 80)) + "'");
  return d;
}

}  // namespace dagger
