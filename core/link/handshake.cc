#include "core/link/handshake.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>

#include <algorithm>
#include <array>

#include "core/base/cbor.h"
#include "core/base/digest.h"

namespace dagger::link {
namespace {

constexpr std::size_t max_record = 64 << 10;
constexpr std::size_t max_labels = 64;
constexpr std::size_t nonce_size = 32;
enum Record : unsigned { proof_record = 1, accepted_record = 2, refused_record = 3 };

std::string random_bytes(std::size_t n) {
  std::string out(n, '\0');
  if (RAND_bytes(reinterpret_cast<unsigned char*>(out.data()), static_cast<int>(n)) != 1)
    throw Error(Code::internal, "no random numbers");
  return out;
}

std::string record(std::uint64_t kind, std::string_view bytes) {
  return cbor::Writer().array(2).uint(kind).bytes(bytes).str();
}

std::string versions(const Hello& h) {
  const std::string who = h.software.empty() ? "it" : h.software;
  return who + " speaks " + std::to_string(h.min_version) +
         (h.max_version != h.min_version ? " to " + std::to_string(h.max_version) : std::string());
}

}  // namespace

std::string encode(const Hello& h) {
  cbor::Writer w;
  w.array(7).uint(h.min_version).uint(h.max_version).text(h.software).array(h.labels.size());
  for (const auto& [name, value] : h.labels) w.array(2).text(name).text(value);
  w.uint(static_cast<std::uint64_t>(h.dead_after.count())).boolean(h.proves).bytes(h.nonce);
  return std::move(w).str();
}

Hello decode_hello(std::string_view bytes) {
  cbor::Reader r(bytes);
  const auto bad = [](const char* what) { return Error(Code::corrupt_data, std::string("malformed hello: ") + what); };
  Hello h;
  // Later versions may append fields; these stay, so that each end can name the other's versions.
  const std::size_t fields = r.array();
  if (fields < 7) throw bad("fields are missing");
  const std::uint64_t min = r.uint(), max = r.uint();
  if (min > max || max > 1'000'000) throw bad("versions");
  h.min_version = static_cast<unsigned>(min);
  h.max_version = static_cast<unsigned>(max);
  h.software = r.text();
  const std::size_t labels = r.array();
  if (labels > max_labels) throw bad("too many labels");
  for (std::size_t i = 0; i < labels; ++i) {
    r.array(2);
    std::string name(r.text());
    h.labels.emplace_back(std::move(name), r.text());
  }
  h.dead_after = std::chrono::milliseconds(std::min<std::uint64_t>(r.uint(), 3'600'000));
  h.proves = r.boolean();
  h.nonce = r.bytes();
  if (h.nonce.size() != nonce_size) throw bad("nonce");
  for (std::size_t i = 7; i < fields; ++i) r.item();
  r.expect_end();
  return h;
}

Handshake::Handshake(Role role, Hello mine, std::string token)
    : role_(role), token_(std::move(token)), mine_(std::move(mine)) {
  mine_.proves = !token_.empty();
  mine_.nonce = random_bytes(nonce_size);
  my_hello_ = encode(mine_);
  if (my_hello_.size() > max_record || mine_.labels.size() > max_labels)
    throw Error(Code::invalid_argument, "the labels of a link are too large");
  output_ = magic;
  send(my_hello_);
}

void Handshake::send(std::string_view bytes) {
  for (int shift = 24; shift >= 0; shift -= 8) output_ += static_cast<char>((bytes.size() >> shift) & 0xff);
  output_ += bytes;
}

void Handshake::feed(std::string_view bytes) {
  if (failure_ || done()) return;
  input_ += bytes;
  try {
    while (advance()) {
    }
  } catch (const Error& e) {
    failure_ = e;
  }
}

bool Handshake::advance() {
  if (step_ == Step::done || failure_) return false;
  if (step_ == Step::magic) {
    const std::size_t n = std::min(input_.size(), magic.size());
    if (std::string_view(input_).substr(0, n) != magic.substr(0, n))
      throw Error(Code::corrupt_data, "what is at the other end does not speak the link protocol");
    if (n < magic.size()) return false;
    input_.erase(0, n);
    step_ = Step::hello;
  }
  const auto bytes = take_record();
  if (!bytes) return false;
  switch (step_) {
    case Step::hello:
      on_hello(*bytes);
      break;
    case Step::proof:
      on_proof(*bytes);
      break;
    default:
      on_answer(*bytes);
      break;
  }
  return true;
}

std::optional<std::string> Handshake::take_record() {
  if (input_.size() < 4) return std::nullopt;
  std::size_t size = 0;
  for (int i = 0; i < 4; ++i) size = (size << 8) | static_cast<unsigned char>(input_[static_cast<std::size_t>(i)]);
  if (size > max_record)
    throw Error(Code::corrupt_data, "a record of " + std::to_string(size) + " bytes in the handshake");
  if (input_.size() - 4 < size) return std::nullopt;
  std::string bytes = input_.substr(4, size);
  input_.erase(0, 4 + size);
  return bytes;
}

void Handshake::agree_on_version() const {
  if (std::min(mine_.max_version, other_.max_version) >= std::max(mine_.min_version, other_.min_version)) return;
  throw Error(Code::unsupported, "protocol versions differ: here " + versions(mine_) + ", at the other end " +
                                     versions(other_) + "; update " +
                                     (mine_.max_version < other_.max_version ? "this end" : "the other end"));
}

void Handshake::on_hello(const std::string& bytes) {
  other_hello_ = bytes;
  other_ = decode_hello(bytes);
  agree_on_version();
  if (role_ == Role::server) {
    step_ = Step::proof;
    return;
  }
  if (other_.proves && token_.empty())
    throw Error(Code::permission_denied,
                "the other end asks for a token and none is set: set _EXPERIMENTAL_DAGGER_RUNNER_TOKEN");
  if (!other_.proves && !token_.empty())
    throw Error(Code::permission_denied, "the other end does not know the token: it was started without one");
  send(record(proof_record, token_.empty() ? std::string() : proof(Role::client)));
  step_ = Step::answer;
}

std::string Handshake::proof(Role of) const {
  const auto& client = role_ == Role::client ? my_hello_ : other_hello_;
  const auto& server = role_ == Role::client ? other_hello_ : my_hello_;
  std::string text = of == Role::client ? "dagger link 1, client" : "dagger link 1, server";
  text += Digest::of(client).raw();
  text += Digest::of(server).raw();
  std::array<unsigned char, 32> mac{};
  unsigned size = 0;
  if (HMAC(EVP_sha256(), token_.data(), static_cast<int>(token_.size()),
           reinterpret_cast<const unsigned char*>(text.data()), text.size(), mac.data(), &size) == nullptr)
    throw Error(Code::internal, "cannot compute the proof of a token");
  return {reinterpret_cast<const char*>(mac.data()), size};
}

namespace {

bool equal(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace

void Handshake::on_proof(std::string_view bytes) {
  cbor::Reader r(bytes);
  r.array(2);
  if (r.uint() != proof_record) throw Error(Code::corrupt_data, "malformed handshake: a proof was expected");
  const auto theirs = r.bytes();
  r.expect_end();
  if (!token_.empty() && !equal(theirs, proof(Role::client))) {
    wrong_proof_ = true;
    return refuse(Error(Code::permission_denied, "the token is wrong"));
  }
  send(record(accepted_record, token_.empty() ? std::string() : proof(Role::server)));
  step_ = Step::done;
}

void Handshake::refuse(const Error& why) {
  send(record(refused_record, why.message()));
  failure_ = why;
}

void Handshake::on_answer(std::string_view bytes) {
  cbor::Reader r(bytes);
  r.array(2);
  const auto kind = r.uint();
  const std::string text(r.bytes());
  r.expect_end();
  if (kind == refused_record) throw Error(Code::permission_denied, "the other end refused the link: " + text);
  if (kind != accepted_record) throw Error(Code::corrupt_data, "malformed handshake: an answer was expected");
  if (!token_.empty() && !equal(text, proof(Role::server)))
    throw Error(Code::permission_denied, "the other end does not know the token");
  step_ = Step::done;
}

}  // namespace dagger::link
