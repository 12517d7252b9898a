#include "plugins/common/oci-registry/blob_stream.h"

#include <algorithm>

#include "plugins/common/oci-registry/headers.h"

namespace dagger::oci {
namespace {

// Less than this between two failures is no progress: a peer that drips bytes is given up, too.
constexpr std::int64_t least_progress = 64 << 10;
constexpr std::int64_t report_every = 1 << 20;

}  // namespace

ResumingStream::ResumingStream(std::unique_ptr<BlobSource> source, std::string digest, std::int64_t size, int attempts,
                               plugin::CallContext& ctx)
    : source_(std::move(source)), digest_(std::move(digest)), size_(size), attempts_(attempts), ctx_(ctx) {}

std::size_t ResumingStream::read(void* buffer, std::size_t size) {
  if (size == 0) return 0;
  if (size_ >= 0)
    size = static_cast<std::size_t>(std::min<std::int64_t>(static_cast<std::int64_t>(size), size_ - offset_));
  if (size == 0) {
    finish();
    return 0;
  }
  while (true) {
    try {
      if (!response_) connect();
      const std::size_t got = response_->read(buffer, size);
      offset_ += static_cast<std::int64_t>(got);
      report(offset_ == size_ || got == 0);
      if (got > 0 || size_ < 0) return got;
      throw Error(Code::unavailable, host_of(response_->url()) + " ended the download of " + digest_ + " after " +
                                         std::to_string(offset_) + " of " + std::to_string(size_) + " bytes");
    } catch (const Error& e) {
      response_.reset();
      lost(e);
    }
  }
}

void ResumingStream::connect() {
  if (failures_ > 1) source_->pause(failures_ - 1);  // the first time at once
  response_.emplace(source_->open(whole_ ? 0 : offset_));
  if (!whole_ && !continues()) {
    whole_ = true;
    response_.emplace(source_->open(0));
  }
  check_answer();
}

// Whether the answer is what was asked for, or everything.
bool ResumingStream::continues() const {
  if (response_->status() != 206) return response_->status() == 200;
  const auto range = parse_content_range(response_->header("content-range"));
  return range && range->first == offset_;
}

void ResumingStream::check_answer() {
  const std::string host = host_of(response_->url());
  if (response_->status() == 206) {
    const auto range = parse_content_range(response_->header("content-range"));
    if (!range || range->first != (whole_ ? 0 : offset_))
      throw Error(Code::corrupt_data, host + " sent another part of " + digest_ + " than was asked for");
    if (range->total >= 0) check_length(range->total);
    if (whole_) skip(offset_);
    return;
  }
  if (response_->status() != 200)
    throw Error(Code::corrupt_data,
                host + " does not send " + digest_ + ": status " + std::to_string(response_->status()));
  if (const auto length = parse_number(response_->header("content-length"))) check_length(*length);
  skip(offset_);
}

void ResumingStream::check_length(std::int64_t total) const {
  if (size_ >= 0 && total != size_)
    throw Error(Code::corrupt_data, digest_ + " has " + std::to_string(total) + " bytes at " +
                                        host_of(response_->url()) + ", but the image's manifest says " +
                                        std::to_string(size_) + ": truncated or replaced");
}

void ResumingStream::skip(std::int64_t count) {
  char scratch[16 << 10];
  while (count > 0) {
    const auto n = response_->read(scratch, static_cast<std::size_t>(std::min<std::int64_t>(count, sizeof scratch)));
    if (n == 0)
      throw Error(Code::unavailable, host_of(response_->url()) + " ended the download of " + digest_ + " early");
    count -= static_cast<std::int64_t>(n);
  }
}

void ResumingStream::lost(const Error& why) {
  if (why.code() == Code::cancelled) throw Error(why);
  if (offset_ - progress_mark_ >= least_progress) failures_ = 0;
  progress_mark_ = offset_;
  ++failures_;
  const int most = source_->last_place() ? attempts_ : std::min(attempts_, 2);  // elsewhere it may work at once
  if (why.code() == Code::unavailable && failures_ < most) {
    ctx_.log(plugin::LogLevel::debug, std::string(why.what()) + "; going on at byte " + std::to_string(offset_));
    return;
  }
  if (source_->last_place()) throw Error(why);
  source_->next_place(why);
  failures_ = 0;
  whole_ = false;
}

// Reads the end of the answer, so that the connection can be used again.
void ResumingStream::finish() {
  if (!response_) return;
  char extra = 0;
  std::size_t more = 0;
  try {
    more = response_->read(&extra, 1);
  } catch (const Error& e) {
    if (e.code() == Code::cancelled) throw;
  }
  const std::string host = host_of(response_->url());
  response_.reset();
  if (more > 0)
    throw Error(Code::corrupt_data,
                host + " sent more than the " + std::to_string(size_) + " bytes that " + digest_ + " must have");
}

void ResumingStream::report(bool always) {
  if (!always && offset_ - reported_ < report_every) return;
  reported_ = offset_;
  ctx_.progress(digest_, offset_, size_);
}

}  // namespace dagger::oci
