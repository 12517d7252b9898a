#include "core/session/host/host_files.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <span>

#include "core/base/fs.h"
#include "core/session/host/export.h"
#include "core/session/host/paths.h"

namespace dagger::session {

// Gathers small writes: a frame of the link for each file would cost more than the file.
class Packer {
 public:
  explicit Packer(link::Stream& out) : out_(out) { held_.reserve(piece_size); }

  void length(std::uint64_t size) {
    for (int shift = 56; shift >= 0; shift -= 8) held_ += static_cast<char>(size >> shift & 0xff);
  }
  void bytes(std::string_view data) {
    if (held_.size() + data.size() > piece_size) flush();
    if (data.size() >= piece_size)
      out_.write(data);
    else
      held_ += data;
  }
  void flush() {
    if (!held_.empty()) out_.write(held_);
    held_.clear();
  }
  // Room to read a file into.
  std::span<char> room() {
    room_.resize(piece_size);
    return room_;
  }

 private:
  static constexpr std::size_t piece_size = 128 << 10;
  link::Stream& out_;
  std::string held_;
  std::vector<char> room_;
};

namespace {

void send_node(const HostTree& tree, const Digest& digest, Packer& out) {
  const auto at = tree.nodes.find(digest);
  if (at == tree.nodes.end())
    throw Error(Code::invalid_argument, "host directory " + tree.root.str() + " has no node " + digest.str());
  out.length(at->second.size());
  out.bytes(at->second);
}

// That the bytes are those that were hashed is checked by the runner, which names the file if not.
void send_file(const HostTree& tree, const Digest& digest, Packer& out) {
  const auto source = tree.file(digest);
  if (!source) throw Error(Code::invalid_argument, "a host directory holds no content " + digest.str());
  const auto fd = open_beneath(tree.top.get(), source->path, O_RDONLY);
  out.length(source->size);
  for (std::uint64_t left = source->size; left != 0;) {
    const auto room = out.room();
    const auto got = ::read(fd.get(), room.data(), std::min<std::uint64_t>(room.size(), left));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw_errno("read " + source->path);
    if (got == 0)
      throw Error(
          Code::unavailable,
          "host file " + source->path + " became shorter while it was being read: try again when nothing writes to it");
    out.bytes({room.data(), static_cast<std::size_t>(got)});
    left -= static_cast<std::uint64_t>(got);
  }
}

std::string real_file(const std::string& absolute, const std::string& path) {
  const auto what = "host file " + path;
  const std::unique_ptr<char, decltype(&::free)> real(::realpath(absolute.c_str(), nullptr), &::free);
  if (!real && errno == ENOENT) throw Error(Code::not_found, what + ": no such file or directory");
  if (!real) throw_errno(what);
  struct stat st{};
  if (::lstat(real.get(), &st) != 0) throw_errno(what);
  if (S_ISDIR(st.st_mode)) throw Error(Code::invalid_argument, "path " + path + " is a directory, not a file");
  if (!S_ISREG(st.st_mode))
    throw Error(Code::invalid_argument, what + " is " + type_name(st.st_mode) + "; only regular files can be read");
  return real.get();
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

void HostFiles::warn_of(const std::string& path, const HostTree::LeftOut& left_out) {
  const auto first = "\"" + left_out.first + "\"";
  link::Event warning;
  warning.kind = link::EventKind::log;
  warning.name = "host directory " + path;
  warning.op = Digest::of(warning.name);
  warning.text =
      "warning: " + (left_out.count == 1 ? first + " is " + type_name(left_out.mode) + " and was left out\n"
                                         : std::to_string(left_out.count) +
                                               " sockets and devices were left out; the first is " + first + "\n");
  warning.time_us =
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::system_clock::now().time_since_epoch())
          .count();
  auto done = warning;
  done.kind = link::EventKind::finished;
  done.text.clear();
  link::Events events;
  events.events = {std::move(warning), std::move(done)};
  shown_(std::move(events));
}

Task<Digest> HostFiles::freeze(std::string path, HostFilter filter, CancelToken cancel) {
  const auto patterns = std::make_shared<const dag::Patterns>(filter.include, filter.exclude);
  auto tree = co_await walk(loop_, pool_, walk_threads_, path, patterns, cancel);
  if (shown_ && tree->left_out.count != 0) warn_of(path, tree->left_out);
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
  const auto root = tree->root;
  pool_.submit([tree = std::move(tree)] {});  // freeing a large one takes a while
  if (failure) std::rethrow_exception(failure);
  co_return root;
}

Task<std::string> HostFiles::find_file(std::string path) {
  auto find = [absolute = host_path(client_.workdir, path), &path] { return real_file(absolute, path); };
  co_return co_await on_pool(loop_, pool_, std::ref(find));
}

std::shared_ptr<const HostTree> HostFiles::transfer(const Digest& tree) const {
  const auto at = transfers_.find(tree);
  if (at == transfers_.end())
    throw Error(Code::not_found, "no transfer of host directory " + tree.str() + " is running");
  return at->second;
}

void HostFiles::serve_nodes(const link::LocalRequest& request, std::shared_ptr<link::Stream> stream) {
  serve(request, std::move(stream), send_node);
}
void HostFiles::serve_contents(const link::LocalRequest& request, std::shared_ptr<link::Stream> stream) {
  serve(request, std::move(stream), send_file);
}

void HostFiles::serve(const link::LocalRequest& request, std::shared_ptr<link::Stream> stream, Send send) {
  auto tree = transfer(request.tree);
  pool_.submit([tree = std::move(tree), digests = request.digests, stream = std::move(stream), send] {
    try {
      try {
        Packer out(*stream);
        for (const auto& digest : digests) send(*tree, digest, out);
        out.flush();
        stream->finish();
      } catch (const Error& error) {
        stream->reset(error);
      }
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
