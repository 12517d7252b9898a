#include "core/session/host/host_files.h"

#include <fcntl.h>
#include <unistd.h>

#include "core/base/fs.h"
#include "core/session/host/export.h"
#include "core/session/host/paths.h"

namespace dagger::session {
namespace {

constexpr std::size_t piece_size = 128 << 10;

std::string length_prefix(std::uint64_t size) {
  std::string prefix(8, '\0');
  for (int i = 7; i >= 0; --i, size >>= 8) prefix[static_cast<std::size_t>(i)] = static_cast<char>(size & 0xff);
  return prefix;
}

// The bytes must be those that were hashed: the runner would refuse them, in words that name no file.
void send_file(const HostTree& tree, const Digest& digest, link::Stream& out) {
  const auto& source = tree.files.at(digest);
  const auto changed = [&] {
    return Error(Code::unavailable, "file " + source.path +
                                        " of a host directory changed while it was transferred: run again when nothing "
                                        "writes to it");
  };
  const auto fd = open_beneath(tree.top.get(), source.path, O_RDONLY);
  out.write(length_prefix(source.size));
  Sha256 hash;
  std::string buffer(piece_size, '\0');
  std::uint64_t sent = 0;
  for (;;) {
    const auto got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_errno("read " + source.path);
    if (got == 0) break;
    const std::string_view piece(buffer.data(), static_cast<std::size_t>(got));
    if (piece.size() > source.size - sent) throw changed();
    hash.update(piece);
    sent += piece.size();
    if (sent < source.size) {
      out.write(piece);
      continue;
    }
    // The last piece goes only when all of it proved right.
    if (hash.finish() != digest) throw changed();
    out.write(piece);
    return;
  }
  if (sent != source.size || hash.finish() != digest) throw changed();
}

void send_contents(const HostTree& tree, const std::vector<Digest>& digests, link::Stream& out) {
  try {
    for (const auto& digest : digests) {
      if (!tree.files.contains(digest))
        throw Error(Code::invalid_argument, "a host directory holds no content " + digest.str());
      send_file(tree, digest, out);
    }
    out.finish();
  } catch (const Error& error) {
    out.reset(error);
  }
}

std::string key_of(const std::string& path, const HostFilter& filter) {
  cbor::Writer key;
  key.array(3).text(path).texts(filter.include).texts(filter.exclude);
  return std::move(key).str();
}

}  // namespace

Task<dag::Ref> HostFiles::directory(std::string path, HostFilter filter, bool fresh, CancelToken cancel) {
  const auto absolute = host_path(client_.workdir, path);
  auto key = key_of(absolute, filter);
  if (fresh) key += std::to_string(++reads_);
  auto start = [this, absolute, filter](CancelToken token) { return freeze(absolute, filter, std::move(token)); };
  try {
    const auto tree = co_await frozen_.get(key, std::move(start), std::move(cancel));
    co_return runner_.add(dag::Op{dag::Local{tree}, {}});
  } catch (const Error& error) {
    if (error.code() == Code::cancelled) throw;
    throw Error(error).in("host directory " + path);
  }
}

Task<Digest> HostFiles::freeze(std::string path, HostFilter filter, CancelToken cancel) {
  const auto patterns = std::make_shared<const dag::Patterns>(filter.include, filter.exclude);
  const auto tree = co_await walk(loop_, pool_, walk_threads_, path, patterns, cancel);
  const auto at = transfers_.emplace(tree->root, tree);
  std::exception_ptr failure;
  try {
    link::SyncRequest request;
    request.tree = tree->root;
    request.hint = to_hex(Digest::of(key_of(path, filter)).raw());
    request.name = "host directory " + path;
    co_await runner_.sync_local(std::move(request), std::move(cancel));
  } catch (...) {
    failure = std::current_exception();
  }
  transfers_.erase(at);
  if (failure) std::rethrow_exception(failure);
  co_return tree->root;
}

std::shared_ptr<const HostTree> HostFiles::transfer(const Digest& tree) const {
  const auto at = transfers_.find(tree);
  if (at == transfers_.end())
    throw Error(Code::not_found, "no transfer of host directory " + tree.str() + " is running");
  return at->second;
}

link::Blobs HostFiles::serve_nodes(const link::LocalRequest& request) const {
  const auto tree = transfer(request.tree);
  link::Blobs answer;
  for (const auto& digest : request.digests) {
    const auto at = tree->nodes.find(digest);
    if (at == tree->nodes.end())
      throw Error(Code::invalid_argument, "host directory " + request.tree.str() + " has no node " + digest.str());
    answer.blobs.push_back(at->second);
  }
  return answer;
}

void HostFiles::serve_contents(const link::LocalRequest& request, std::shared_ptr<link::Stream> stream) {
  auto tree = transfer(request.tree);
  pool_.submit([tree = std::move(tree), digests = request.digests, stream = std::move(stream)] {
    try {
      send_contents(*tree, digests, *stream);
    } catch (const std::exception&) {  // reset() itself failed: the link is dead, and with it the transfer
    }
  });
}

Task<std::string> HostFiles::export_directory(dag::Ref tree, std::string from, std::string to, CancelToken cancel) {
  const auto target = host_path(client_.workdir, to);
  auto unpack = [target](link::Stream& tar) { unpack_directory(tar, target); };
  co_await runner_.export_tree(std::move(tree), std::move(from), std::move(unpack), std::move(cancel));
  co_return target;
}

Task<std::string> HostFiles::export_file(dag::Ref tree, std::string from, std::string to, bool into_directory,
                                         CancelToken cancel) {
  const auto requested = host_path(client_.workdir, to);
  const auto name = base_name(from);
  auto choose = [&] { return file_target(requested, name, into_directory); };
  auto target = co_await on_pool(loop_, pool_, std::ref(choose));
  auto unpack = [target](link::Stream& tar) { unpack_file(tar, target); };
  co_await runner_.export_tree(std::move(tree), std::move(from), std::move(unpack), std::move(cancel));
  co_return target;
}

}  // namespace dagger::session
