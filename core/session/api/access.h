// core/session/api/access.h — reading what objects stand for: the questions to the runner that several types share.
// Errors: not_found and invalid_argument with the texts that clients know, naming the path as the client wrote it.
#pragma once
#include "core/session/api/resolver.h"

namespace dagger::session {

enum class Expected { directory, file };
// Checks that there is one at directory.path of the tree; shown is for errors.
Task<link::Stat> require(ResolveCall call, Directory place, Expected expected, std::string shown);
Task<File> existing_file(ResolveCall call, Directory place, std::string shown);
Task<Directory> existing_directory(ResolveCall call, Directory place, std::string shown);

// A file alone in a tree of its own, under this name; mode -1: as it is.
File alone(Runner& runner, const File& file, const std::string& name, std::int32_t mode = -1);
void check_name_length(std::string_view path);
// Of a file that is given a name, not a path.
void check_file_name(const std::string& name);

// The answer of export fields: where it went, or true for clients that know no better.
Value exported(const ResolveCall& call, const std::string& path);

dag::Copy directory_copy(const ResolveCall& call, const Directory& source, std::string target);
dag::Copy file_copy(const ResolveCall& call, const File& source, std::string target);

}  // namespace dagger::session
