#include "core/store/digester.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/store/journal.h"
#include "core/store/layer_digest.h"
#include "core/store/layout.h"

namespace dagger::store {
namespace {

// The steps of a build come first. On Linux a thread has a nice value of its own.
void lower_priority() { ::setpriority(PRIO_PROCESS, static_cast<id_t>(::gettid()), 10); }

}  // namespace

Digester::Digester(unsigned threads, const Layout& layout, Index& index, Journal& journal, Log& log)
    : layout_(layout), index_(index), journal_(journal), log_(log), pool_("digest", std::max(1U, threads)) {}

Digester::~Digester() { stop_ = true; }

void Digester::add(LayerId id) {
  pool_.submit([this, id] { digest(id); });
}

void Digester::digest(LayerId id) {
  if (stop_) return;
  lower_priority();
  const auto row = index_.layer(id);
  std::optional<LayerDigests> digests;
  if (row && !directory_form(*row).empty()) {
    try {
      const auto dir = open_file(layout_.layer(id) + "/" + directory_form(*row), O_RDONLY | O_DIRECTORY);
      digests = digest_layer(dir.get(), stop_);
    } catch (const Error& e) {
      log_.warn("no digest for layer " + std::to_string(id) + ": " + e.what());
    }
  }
  if (stop_) return;
  if (digests) {
    if (const auto known = index_.set_digests(id, digests->content, digests->exact))
      journal_.add(PutLayer{id, encode(*known)});
  } else {
    index_.set_no_digests(id);
  }
  index_.run_due(id);
}

}  // namespace dagger::store
