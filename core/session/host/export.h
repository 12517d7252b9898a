// core/session/host/export.h — unpacks what the runner sends onto the client's machine.
//
// The tar stream is hostile: nothing is written outside the target, whatever names or links it holds, and whatever
// links lie there. Everything belongs to the client's own user; devices and owners are ignored. [blocking], pool
// threads. Errors: corrupt_data for a malformed stream, the system's for the target.
#pragma once
#include <string>

#include "core/link/peer.h"

namespace dagger::session {

// Lays the stream's tree over target, which is made (0700) if it is missing. Nothing is deleted but files and links
// that the tree has others for; a directory, device, fifo or socket that is in the way is an error. Links to
// directories are followed as long as they stay in target; one that leads out is an error.
void unpack_directory(link::Stream& tar, const std::string& target);

// Where a file goes: requested, or requested/name if that is a directory and into_directory allows it. Only a regular
// file is ever replaced: a device, fifo or socket there is an error. A link to a file is followed, so that it stays and
// the file it names gets the content; one that leads nowhere is replaced, since what it names was never given by the
// caller.
std::string file_target(const std::string& requested, const std::string& name, bool into_directory);
// The one file of the stream becomes target, all at once. Its parents are made (0700).
void unpack_file(link::Stream& tar, const std::string& target);

}  // namespace dagger::session
