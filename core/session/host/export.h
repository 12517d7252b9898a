// core/session/host/export.h — unpacks what the runner sends onto the client's machine.
//
// The tar stream is hostile: nothing is written outside the target, whatever names or links it holds, and whatever
// links lie there. Everything belongs to the client's own user; devices and owners are ignored. [blocking], pool
// threads. Errors: corrupt_data for a malformed stream, the system's for the target.
#pragma once
#include <string>

#include "core/link/peer.h"

namespace dagger::session {

// Lays the stream's tree over target, which is made (0700) if it is missing. Nothing is deleted.
void unpack_directory(link::Stream& tar, const std::string& target);

// Where a file goes: requested, or requested/name if that is a directory and into_directory allows it.
std::string file_target(const std::string& requested, const std::string& name, bool into_directory);
// The one file of the stream becomes target, all at once. Its parents are made (0700).
void unpack_file(link::Stream& tar, const std::string& target);

}  // namespace dagger::session
