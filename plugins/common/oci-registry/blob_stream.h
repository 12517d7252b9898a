// plugins/common/oci-registry/blob_stream.h — a blob as a stream that goes on where a cut connection stopped.
//
// ResumingStream belongs to the thread that reads it; it owns its BlobSource. A byte that arrived is never asked for
// again, except from a server that cannot send a part: there the beginning is read and dropped. After
// some failures in a row without progress it moves to the next place, and gives up at the last one.
#pragma once
#include <memory>
#include <optional>
#include <string>

#include "plugins/common/oci-registry/http.h"

namespace dagger::oci {

class BlobSource {
 public:
  virtual ~BlobSource() = default;
  // A request for the bytes from offset on; answers with status 200 or 206, or with one that refuses to send a part.
  virtual HttpResponse open(std::int64_t offset) = 0;
  // Gives up the present place; only called when there is another.
  virtual void next_place(const Error& why) = 0;
  virtual bool last_place() const = 0;
  // Before repetition number n without progress. Throws cancelled.
  virtual void pause(int n) = 0;
};

class ResumingStream final : public plugin::ByteStream {
 public:
  // size: how long the blob must be; -1 unknown.
  ResumingStream(std::unique_ptr<BlobSource> source, std::string digest, std::int64_t size, int attempts,
                 plugin::CallContext& ctx);
  std::size_t read(void* buffer, std::size_t size) override;

 private:
  void connect();
  bool continues() const;
  void check_answer();
  void check_length(std::int64_t total) const;
  void skip(std::int64_t count);
  // Counts a failure; throws it when it was one too many.
  void lost(const Error& why);
  void finish();
  void report(bool always);

  std::unique_ptr<BlobSource> source_;
  std::string digest_;
  std::int64_t size_;
  int attempts_;
  plugin::CallContext& ctx_;
  std::optional<HttpResponse> response_;
  std::int64_t offset_ = 0;         // bytes given to the reader
  std::int64_t progress_mark_ = 0;  // offset_ at the last failure
  std::int64_t reported_ = 0;
  int failures_ = 0;    // in a row, without progress
  bool whole_ = false;  // this place sends no parts
};

}  // namespace dagger::oci
