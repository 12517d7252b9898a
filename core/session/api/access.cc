#include "core/session/api/access.h"

#include "core/base/fs.h"
#include "core/session/host/paths.h"
#include "core/store/manifest.h"

namespace dagger::session {
namespace {

constexpr std::size_t max_name_length = 255;

std::int32_t copied_mode(const ResolveCall& call) {
  const auto mode = mode_arg(call, "permissions", 0);
  return mode == 0 ? -1 : static_cast<std::int32_t>(mode);
}

}  // namespace

Task<link::Stat> require(ResolveCall call, Directory place, Expected expected, std::string shown) {
  const auto stat = co_await services_of(call).runner.stat(place.tree, place.path, cancel_of(call));
  if (!stat.found) throw Error(Code::not_found, shown + ": no such file or directory");
  const bool is_directory = stat.type == static_cast<std::uint32_t>(store::EntryType::directory);
  if (is_directory && expected == Expected::file)
    throw Error(Code::invalid_argument, "path " + shown + " is a directory, not a file");
  if (stat.type == static_cast<std::uint32_t>(store::EntryType::fifo) && expected == Expected::file)
    throw Error(Code::invalid_argument, "path " + shown + " is a fifo, not a regular file");
  if (!is_directory && expected == Expected::directory)
    throw Error(Code::invalid_argument, "path " + shown + " is a file, not a directory");
  co_return stat;
}

Task<File> existing_file(ResolveCall call, Directory place, std::string shown) {
  check_name_length(place.path);
  co_await require(std::move(call), place, Expected::file, std::move(shown));
  co_return File{place.tree, place.path};
}

Task<Directory> existing_directory(ResolveCall call, Directory place, std::string shown) {
  co_await require(std::move(call), place, Expected::directory, std::move(shown));
  co_return place;
}

File alone(Runner& runner, const File& file, const std::string& name, std::int32_t mode) {
  dag::Copy copy;
  copy.source = file.path;
  copy.target = "/" + name;
  copy.contents = false;
  copy.must_be_file = true;
  copy.mode = mode;
  return {runner.add(dag::Op{std::move(copy), {runner.scratch(), file.tree}}), "/" + name};
}

void check_name_length(std::string_view path) {
  if (base_name(path).size() > max_name_length)
    throw Error(Code::invalid_argument, "File name length exceeds the maximum supported 255 characters");
}

void check_file_name(const std::string& name) {
  check_path(name);
  check_name_length(name);
  if (name.empty() || name == "." || name == ".." || name.find('/') != std::string::npos)
    throw Error(Code::invalid_argument, "file name \"" + name + "\" must be one path component");
}

Value exported(const ResolveCall& call, const std::string& path) {
  const auto& request = request_of(call);
  const bool text = request.superset || client_since(call, {0, 12, 0});  // as the schema it sees has it
  return text ? Value(path) : Value(true);
}

dag::Copy directory_copy(const ResolveCall& call, const Directory& source, std::string target) {
  dag::Copy copy;
  copy.source = source.path;
  copy.target = std::move(target);
  copy.include = texts_arg(call, "include");
  copy.exclude = texts_arg(call, "exclude");
  copy.owner = text_arg_or(call, "owner", "");
  return copy;
}

dag::Copy file_copy(const ResolveCall& call, const File& source, std::string target) {
  check_name_length(target);
  dag::Copy copy;
  copy.source = source.path;
  copy.target = std::move(target);
  copy.contents = false;
  copy.must_be_file = true;
  copy.owner = text_arg_or(call, "owner", "");
  copy.mode = copied_mode(call);
  return copy;
}

}  // namespace dagger::session
