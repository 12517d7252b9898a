// core/link/handshake.h — how a link begins: who speaks which versions, and the proof of the token. Pure: no I/O.
//
// Both ends send a hello at once. The client then proves the token, where one is asked for, and the server answers
// "accepted", with its own proof, or "refused". A proof is HMAC-SHA256 over the role and both hellos, which hold fresh
// nonces: it fits no other connection and no other role, and neither hello can be changed on its way. The client goes
// first, so that a stranger gets nothing to test guesses on.
#pragma once
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "dagger/plugin/error.h"

namespace dagger::link {

inline constexpr std::string_view magic = "DGRLINK\n";

struct Hello {
  unsigned min_version = 0, max_version = 0;
  std::string software;
  std::vector<std::pair<std::string, std::string>> labels;
  std::chrono::milliseconds dead_after{0};
  bool proves = false;  // this end knows a token and asks for a proof
  std::string nonce;    // 32 bytes
};
std::string encode(const Hello& hello);
Hello decode_hello(std::string_view record);  // throws Error{corrupt_data}

class Handshake {
 public:
  enum class Role { client, server };
  // token: empty where no proof is wanted. mine.nonce and mine.proves are filled in.
  Handshake(Role role, Hello mine, std::string token);

  // Takes what arrived. Never throws: look at done() and failure(), and send output() in any case.
  void feed(std::string_view bytes);
  std::string output() { return std::exchange(output_, {}); }
  bool done() const noexcept { return step_ == Step::done; }
  const std::optional<Error>& failure() const noexcept { return failure_; }
  bool wrong_proof() const noexcept { return wrong_proof_; }  // worth slowing down
  // Once done: what the other end said, and bytes after the handshake.
  const Hello& other() const noexcept { return other_; }
  std::string rest() { return std::exchange(input_, {}); }

 private:
  enum class Step { magic, hello, proof, answer, done };
  bool advance();  // false: more bytes are needed, or it is over
  std::optional<std::string> take_record();
  void on_hello(const std::string& record);
  void on_proof(std::string_view record);
  void on_answer(std::string_view record);
  void agree_on_version() const;
  std::string proof(Role of) const;
  void send(std::string_view record);
  void refuse(const Error& why);

  const Role role_;
  const std::string token_;
  Hello mine_, other_;
  std::string my_hello_, other_hello_;  // as sent
  std::string input_, output_;
  Step step_ = Step::magic;
  std::optional<Error> failure_;
  bool wrong_proof_ = false;
};

}  // namespace dagger::link
