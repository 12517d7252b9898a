// An archive from a web server, by libcurl. Errors name the reference: not_found, permission_denied, unavailable,
// invalid_argument (larger than the limit), cancelled.
#pragma once
#include <dagger/plugin/plugin.h>

#include <string>

#include "reference.h"
#include "spool.h"

namespace source_archive {

struct Timeouts {
  long connect = 20;  // seconds, all of them
  long stall = 60;    // without a byte
  long total = 3600;
};

struct Answer {
  bool unchanged = false;  // the server says that what has known_etag is still there; the spool is empty then
  std::string etag;        // of what came; empty if the server has none
};

// Uses of libcurl by the plugin's objects; made and destroyed by one thread at a time.
class CurlLibrary {
 public:
  CurlLibrary();
  ~CurlLibrary();
  CurlLibrary(const CurlLibrary&) = delete;
  CurlLibrary& operator=(const CurlLibrary&) = delete;
};

// known_etag: empty if nothing is known.
Answer download(const Reference& ref, const std::string& known_etag, const Timeouts& timeouts, Spool& spool,
                dagger::plugin::CallContext& ctx);

}  // namespace source_archive
