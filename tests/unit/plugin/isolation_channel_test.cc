// Messages between the engine and the process of a plugin: what is refused before anybody reads it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "core/base/fs.h"
#include "core/plugin/isolation/channel.h"

namespace dagger::plugin::isolation {
namespace {

class IsolationChannel : public ::testing::Test {
 protected:
  IsolationChannel() {
    auto [one, other] = Channel::pair();
    ours_ = std::make_unique<Channel>(std::move(one));
    theirs_ = std::make_unique<Channel>(std::move(other));
  }
  // What receiving these bytes, with these fds, throws.
  std::string refusal(std::string_view bytes, const std::vector<int>& fds = {}) {
    iovec part{const_cast<char*>(bytes.data()), bytes.size()};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * 16)] = "";
    msghdr header{};
    header.msg_iov = &part, header.msg_iovlen = 1;
    if (!fds.empty()) {
      header.msg_control = control, header.msg_controllen = CMSG_SPACE(sizeof(int) * fds.size());
      cmsghdr* item = CMSG_FIRSTHDR(&header);
      item->cmsg_level = SOL_SOCKET, item->cmsg_type = SCM_RIGHTS, item->cmsg_len = CMSG_LEN(sizeof(int) * fds.size());
      std::memcpy(CMSG_DATA(item), fds.data(), sizeof(int) * fds.size());
    }
    EXPECT_EQ(::sendmsg(theirs_->fd(), &header, 0), static_cast<ssize_t>(bytes.size()));
    try {
      ours_->receive(max_body_bytes);
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), Code::corrupt_data);
      return e.what();
    }
    return "none";
  }
  static std::size_t count_fds() {
    std::size_t n = 0;
    for (int fd = 0; fd < 256; ++fd) n += ::fcntl(fd, F_GETFD) >= 0 ? 1 : 0;
    return n;
  }
  std::unique_ptr<Channel> ours_, theirs_;
};

TEST_F(IsolationChannel, CarriesMessagesOfEverySizeWithFds) {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, max_inline_bytes, max_inline_bytes + 1, max_body_bytes}) {
    const auto file = sealed_memfd("through", "test");
    theirs_->send(Kind::ask, Ask::have, std::string(size, 'x'), {file.get()});
    auto message = ours_->receive();
    ASSERT_TRUE(message) << size;
    EXPECT_EQ(message->kind, Kind::ask);
    EXPECT_EQ(message->what, static_cast<std::uint8_t>(Ask::have));
    EXPECT_EQ(message->body, std::string(size, 'x'));
    ASSERT_EQ(message->fds.size(), 1U);
    EXPECT_EQ(read_all(message->fds[0].get(), 100), "through");
    EXPECT_NE(::fcntl(message->fds[0].get(), F_GETFD) & FD_CLOEXEC, 0);
  }
}

TEST_F(IsolationChannel, SeesTheEndOfTheOtherSide) {
  theirs_.reset();
  EXPECT_FALSE(ours_->receive());
  EXPECT_THROW(ours_->send(Kind::call, Method::pin, "x"), Error);
}

TEST_F(IsolationChannel, RefusesWhatIsNoMessage) {
  EXPECT_EQ(refusal("x"), "a message is too large, too small or has too many fds");
  EXPECT_EQ(refusal({"\0\1\0", 3}), "a message has the unknown kind 0");
  EXPECT_EQ(refusal("\xff\1\1"), "a message has the unknown kind 255");
  EXPECT_EQ(refusal(std::string(max_inline_bytes + 4, '\1')), "a message is too large, too small or has too many fds");
}

TEST_F(IsolationChannel, ClosesFdsThatNobodyAskedFor) {
  const auto file = sealed_memfd("x", "test");
  const auto before = count_fds();
  EXPECT_EQ(refusal({"\1\1\0", 3}, std::vector<int>(5, file.get())), "a message has too many fds");
  EXPECT_EQ(refusal({"\1\1\0", 3}, std::vector<int>(12, file.get())),
            "a message is too large, too small or has too many fds");
  EXPECT_EQ(count_fds(), before);
}

TEST_F(IsolationChannel, ReadsLargeBodiesFromSealedFilesOnly) {
  constexpr std::string_view large("\1\1\1", 3);
  EXPECT_EQ(refusal(large), "a large message comes without its file");
  int pipe[2];
  ASSERT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
  const UniqueFd read(pipe[0]), write(pipe[1]);
  EXPECT_EQ(refusal(large, {read.get()}), "a large message is not a sealed memory file");
  const UniqueFd open(::memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(refusal(large, {open.get()}), "a large message is not a sealed memory file");
  ASSERT_EQ(::ftruncate(open.get(), 1LL << 40), 0);
  ASSERT_EQ(::fcntl(open.get(), F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK), 0);
  EXPECT_EQ(refusal(large, {open.get()}), "a message has 1099511627776 bytes, more than 4194304");
}

TEST_F(IsolationChannel, TellsAFailureWithAnUnknownCodeAsAFault) {
  theirs_->fail(Error(Code::not_found, "gone").in("here"));
  const auto error = to_error(cbor::unpack<Failure>(ours_->receive()->body));
  EXPECT_EQ(error.code(), Code::not_found);
  EXPECT_STREQ(error.what(), "here: gone");
  EXPECT_EQ(to_error(Failure{0, ""}).code(), Code::plugin_fault);
  EXPECT_EQ(to_error(Failure{std::uint64_t{1} << 40, ""}).code(), Code::plugin_fault);
}

}  // namespace
}  // namespace dagger::plugin::isolation
