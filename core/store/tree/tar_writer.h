// core/store/tree/tar_writer.h — the blocks of a tar: ustar, with a PAX header in front where ustar is too small. Equal
// entries give equal bytes. Pure.
#pragma once
#include <string>

#include "core/store/tree/tar_entry.h"

namespace dagger::store {

// The header of an entry; its data and tar_padding() follow. Sparse files are written with their holes as zeros.
std::string tar_header(const TarEntry& entry);
std::string tar_padding(std::uint64_t size);
std::string tar_end();

}  // namespace dagger::store
