#include "core/store/publisher.h"

#include <algorithm>
#include <cstdio>

#include "core/base/fs.h"
#include "core/base/log.h"
#include "core/store/database.h"
#include "core/store/digester.h"
#include "core/store/index.h"
#include "core/store/journal.h"
#include "core/store/layout.h"

namespace dagger::store {
namespace {
constexpr LayerId id_block = 1'000'000;
}

Publisher::~Publisher() {
  if (reserved_ == 0) return;
  try {
    database_.set_next_layer(next_);  // ids that were reserved, but not used, need not be skipped
  } catch (const Error& e) {
    log_.warn(std::string("closing the store: ") + e.what());
  }
}

void Publisher::start(LayerId highest) {
  next_ = std::max(database_.next_layer(), highest + 1);
  reserve(next_);
}

LayerId Publisher::publish(const std::string& path, const std::string& form, LayerRow row) {
  const LayerId id = next_++;
  if (id >= reserved_) reserve(id);
  make_dirs(layout_.layer(id), 0700);
  const std::string place = layout_.layer(id) + "/" + form;
  if (::rename(path.c_str(), place.c_str()) != 0) throw_errno("rename " + path + " to " + place);
  row.forms = {form};
  journal_.add(PutLayer{id, encode(row)});
  const bool known = !row.content.zero();
  index_.put_layer(id, std::move(row));
  if (!known) digester_.add(id);
  return id;
}

void Publisher::reserve(LayerId first) {
  const std::lock_guard lock(reserve_mutex_);
  if (first < reserved_) return;
  database_.set_next_layer(first + id_block);
  reserved_ = first + id_block;
}

}  // namespace dagger::store
