#include "core/store/local_trees.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <iterator>
#include <limits>
#include <mutex>
#include <unordered_map>

#include "core/base/cbor.h"
#include "core/base/fs.h"
#include "core/base/parallel.h"
#include "core/store/known_tree.h"
#include "core/store/manifest.h"
#include "core/store/tree/dir.h"

namespace dagger::store {

namespace {

constexpr std::size_t batch = 500;              // digests in one request
constexpr std::uint64_t batch_bytes = 8 << 20;  // contents in one request, unless one file is larger
constexpr std::size_t piece_size = 256 << 10;
constexpr std::size_t max_entries = 10'000'000, max_depth = 400;
constexpr std::size_t max_held = std::size_t{2} << 30;  // what is kept of one tree while it is made

std::string below(const std::string& dir, const std::string& name) { return dir.empty() ? name : dir + "/" + name; }
std::string or_dot(const std::string& path) { return path.empty() ? "." : path; }

using Path = std::shared_ptr<const std::string>;

// A directory of the new tree.
struct Directory {
  Path path;  // "" is the top
  Digest node;
  Digest base;  // node of the same directory in the base; zero if there is none
  std::size_t depth = 0;
};

// A file whose content has to come.
struct Wanted {
  Path dir;
  Entry entry;
  std::string path() const { return below(*dir, entry.name); }
};

// Memory that an entry takes.
std::size_t cost(const Entry& e) {
  std::size_t bytes = sizeof(Wanted) + e.name.size() + e.target.size();
  for (const auto& [attribute, value] : e.xattrs) bytes += 2 * sizeof(std::string) + attribute.size() + value.size();
  return bytes;
}

void read_exactly(plugin::ByteStream& stream, char* to, std::size_t size) {
  while (size != 0) {
    const std::size_t n = stream.read(to, size);
    if (n == 0) throw Error(Code::unavailable, "the session ended while it was sending a host directory");
    to += n;
    size -= n;
  }
}

std::uint64_t read_length(plugin::ByteStream& stream) {
  unsigned char head[8];
  read_exactly(stream, reinterpret_cast<char*>(head), sizeof head);
  std::uint64_t size = 0;
  for (const unsigned char byte : head) size = size << 8 | byte;
  return size;
}

class Maker {
 public:
  Maker(Store& store, const BaseTree& base, TreeSource& source, plugin::CallContext& ctx)
      : base_(base), source_(source), ctx_(ctx), workspace_(store.directory()), top_(stat_of(root())) {}

  void make(const Digest& tree) {
    std::vector<Directory> level{{std::make_shared<std::string>(), tree, base_.root, 0}};
    while (!level.empty()) {
      load(level);
      std::vector<Filled> filled(level.size());
      for_each_index(level.size(), threads_, [&](std::size_t i) { filled[i] = fill(level[i]); });
      level.clear();
      for (auto& f : filled) {
        std::ranges::move(f.below, std::back_inserter(level));
        std::ranges::move(f.wanted, std::back_inserter(wanted_));
        std::ranges::move(f.directories, std::back_inserter(directories_));
      }
    }
    fetch();
    finish_directories();
  }
  std::optional<LayerId> seal() { return workspace_->seal(ctx_); }
  std::string pack() const {
    cbor::Writer out;
    out.array(nodes_.size());
    for (const auto& [digest, node] : nodes_) out.bytes(node);
    return std::move(out).str();
  }

 private:
  // What the filling of one directory leaves to be done.
  struct Filled {
    std::vector<Directory> below;
    std::vector<Wanted> wanted;
    std::vector<std::pair<Path, Entry>> directories;
  };
  // Files of equal content: the first is fetched.
  using Group = std::vector<const Wanted*>;
  // One thread's place in the tree: files that follow each other are mostly in the same directory.
  struct Place {
    Path dir;
    UniqueFd fd;
    std::vector<char> buffer;
  };

  int root() const { return workspace_->root_fd(); }
  void check() const {
    if (ctx_.cancelled()) throw Error(Code::cancelled, "cancelled while a host directory was read");
  }
  void load(const std::vector<Directory>& level);
  void ask(const std::vector<Digest>& digests);
  void count(const Directory& dir, const Node& node);
  Filled fill(const Directory& dir);
  void make_other(int dir, const Entry& e);
  bool link(const UniqueFd& base_dir, int dir, const Entry& e);
  void fetch();
  void expect(const std::vector<Group>& groups);
  void report(std::size_t more);
  void receive(plugin::ByteStream& stream, const Group& same, Place& place);
  void copy(const Wanted& from, const Wanted& to, Place& place);
  UniqueFd create(const Wanted& w, Place& place);
  void finish_file(int fd, int dir, const Entry& e);
  void finish_directories();

  const BaseTree& base_;
  TreeSource& source_;
  plugin::CallContext& ctx_;
  std::unique_ptr<Workspace> workspace_;
  const struct stat top_;  // whose owner new entries have
  const unsigned threads_ = parallel_threads();
  std::unordered_map<Digest, std::string> nodes_;  // of the new tree, encoded
  std::size_t node_bytes_ = 0;
  std::vector<Wanted> wanted_;
  std::vector<std::pair<Path, Entry>> directories_;
  std::atomic<std::size_t> entries_ = 0, held_ = 0;
  std::int64_t newest_ = 0;  // of the entries at the top

  std::mutex progress_mutex_;  // held while it is reported, so that it never goes back
  std::string expected_;       // "57 files"
  std::int64_t received_ = 0, total_ = 0;
};

void Maker::load(const std::vector<Directory>& level) {
  std::vector<Digest> missing;
  for (const auto& dir : level) {
    const auto [at, fresh] = nodes_.try_emplace(dir.node);
    if (!fresh) continue;
    if (const auto in_base = base_.nodes.find(dir.node); in_base != base_.nodes.end()) {
      at->second = in_base->second;
      continue;
    }
    missing.push_back(dir.node);
    if (missing.size() == batch) ask(std::exchange(missing, {}));
  }
  if (!missing.empty()) ask(missing);
}

void Maker::ask(const std::vector<Digest>& digests) {
  check();
  const auto stream = source_.nodes(digests);
  for (const auto& digest : digests) {
    const auto size = read_length(*stream);
    if (size > max_pack - node_bytes_)
      throw Error(Code::invalid_argument,
                  "the description of a host directory is larger than " + std::to_string(max_pack >> 20) + " MiB");
    node_bytes_ += static_cast<std::size_t>(size);
    std::string& node = nodes_[digest];
    // In pieces: a length alone is no reason to take memory.
    for (std::size_t at = 0; at < size; at = node.size()) {
      node.resize(at + std::min<std::size_t>(static_cast<std::size_t>(size) - at, piece_size));
      read_exactly(*stream, node.data() + at, node.size() - at);
    }
    if (Digest::of(node) != digest)
      throw Error(Code::corrupt_data, "a directory of the host is not what its digest says");
  }
}

// A manifest is a graph, in which small nodes can stand for a huge tree.
void Maker::count(const Directory& dir, const Node& node) {
  if ((entries_ += node.entries.size()) > max_entries)
    throw Error(Code::invalid_argument, "a host directory has more than " + std::to_string(max_entries) + " entries");
  std::size_t bytes = 0;
  for (const auto& e : node.entries)
    bytes += cost(e) + (e.type == EntryType::directory ? dir.path->size() + e.name.size() : 0);
  if ((held_ += bytes) > max_held)
    throw Error(Code::invalid_argument, "a host directory takes more than " + std::to_string(max_held >> 20) +
                                            " MiB to describe: leave out what is not needed");
}

Maker::Filled Maker::fill(const Directory& dir) {
  check();
  const auto& path = *dir.path;
  if (dir.depth > max_depth)
    throw Error(Code::invalid_argument, path + ": directories are nested deeper than " + std::to_string(max_depth));
  const Node node = decode_node(nodes_.at(dir.node));
  count(dir, node);
  Filled filled;
  Node old;
  UniqueFd old_dir;
  if (const auto at = base_.nodes.find(dir.base); at != base_.nodes.end()) {
    old = decode_node(at->second);
    old_dir.reset(::openat(base_.dir.get(), or_dot(path).c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  }
  const auto fd = open_in_root_nofollow(root(), or_dot(path), O_PATH | O_DIRECTORY);
  auto old_at = old.entries.begin();
  for (const auto& e : node.entries) {
    while (old_at != old.entries.end() && old_at->name < e.name) ++old_at;
    const Entry* before = old_at != old.entries.end() && old_at->name == e.name ? &*old_at : nullptr;
    if (path.empty()) newest_ = std::max(newest_, e.mtime_ns);
    for (const auto& [attribute, value] : e.xattrs)
      if (is_overlay_mark(attribute))
        throw Error(Code::invalid_argument, below(path, e.name) + " has the extended attribute " + attribute);
    if (e.type == EntryType::directory) {
      const auto child = std::make_shared<const std::string>(below(path, e.name));
      if (::mkdirat(fd.get(), e.name.c_str(), 0700) != 0) throw_errno("make directory " + *child);
      const bool was_directory = before != nullptr && before->type == EntryType::directory;
      filled.below.push_back({child, e.content, was_directory ? before->content : Digest{}, dir.depth + 1});
      filled.directories.emplace_back(child, e);
    } else if (e.type != EntryType::file) {
      make_other(fd.get(), e);
    } else if (before == nullptr || *before != e || !link(old_dir, fd.get(), e)) {
      filled.wanted.push_back({dir.path, e});
    }
  }
  return filled;
}

// False: it has to be fetched after all (no base, too many links, another file system, damaged).
bool Maker::link(const UniqueFd& base_dir, int dir, const Entry& e) {
  if (!base_dir) return false;
  const auto there = try_stat_at(base_dir.get(), e.name);
  if (!there || !S_ISREG(there->st_mode) || static_cast<std::uint64_t>(there->st_size) != e.size) return false;
  if (::linkat(base_dir.get(), e.name.c_str(), dir, e.name.c_str(), 0) == 0) return true;
  if (errno == EMLINK || errno == EXDEV || errno == EPERM) return false;
  throw_errno("link " + e.name);
}

void Maker::make_other(int dir, const Entry& e) {
  if (e.type == EntryType::symlink ? ::symlinkat(e.target.c_str(), dir, e.name.c_str()) != 0
                                   : ::mkfifoat(dir, e.name.c_str(), 0600) != 0)
    throw_errno("make " + e.name);
  if (::fchownat(dir, e.name.c_str(), e.uid, e.gid, AT_SYMLINK_NOFOLLOW) != 0) throw_errno("chown " + e.name);
  if (e.type == EntryType::fifo && ::fchmodat(dir, e.name.c_str(), e.mode, 0) != 0) throw_errno("chmod " + e.name);
  for (const auto& [attribute, value] : e.xattrs) write_xattr(dir, e.name, attribute, value);
  const timespec times[2] = {to_timespec(e.mtime_ns), to_timespec(e.mtime_ns)};
  if (::utimensat(dir, e.name.c_str(), times, AT_SYMLINK_NOFOLLOW) != 0) throw_errno("set the times of " + e.name);
}

// Says how much has to come.
void Maker::expect(const std::vector<Group>& groups) {
  if (groups.empty()) return;
  expected_ = std::to_string(groups.size()) + (groups.size() == 1 ? " file" : " files");
  for (const auto& same : groups) {  // a manifest may claim any size
    const auto room = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max() - total_);
    total_ += static_cast<std::int64_t>(std::min(same.front()->entry.size, room));
  }
  report(0);
}

void Maker::report(std::size_t more) {
  const std::scoped_lock lock(progress_mutex_);
  received_ += static_cast<std::int64_t>(more);
  ctx_.progress(expected_, received_, total_);
}

// Equal contents are fetched once. Several requests are under way at a time: while one thread writes, another one's
// bytes travel.
void Maker::fetch() {
  std::vector<Group> groups;
  std::unordered_map<Digest, std::size_t> by_content;
  for (const auto& w : wanted_) {
    const auto [at, fresh] = by_content.try_emplace(w.entry.content, groups.size());
    if (fresh) groups.emplace_back();
    groups[at->second].push_back(&w);
  }
  expect(groups);
  std::vector<std::size_t> begins;
  std::uint64_t bytes = 0;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const auto size = groups[i].front()->entry.size;
    if (begins.empty() || i - begins.back() == batch || size > batch_bytes - std::min(bytes, batch_bytes)) {
      begins.push_back(i);
      bytes = 0;
    }
    bytes += std::min(size, batch_bytes);
  }
  begins.push_back(groups.size());
  for_each_index(begins.size() - 1, threads_, [&](std::size_t request) {
    check();
    std::vector<Digest> digests;
    for (auto i = begins[request]; i < begins[request + 1]; ++i) digests.push_back(groups[i].front()->entry.content);
    const auto stream = source_.contents(digests);
    Place place;
    place.buffer.resize(piece_size);
    for (auto i = begins[request]; i < begins[request + 1]; ++i) receive(*stream, groups[i], place);
  });
}

void Maker::receive(plugin::ByteStream& stream, const Group& same, Place& place) {
  const Wanted& first = *same.front();
  const auto changed = [&first] {
    return Error(Code::unavailable,
                 "host file " + first.path() + " changed while it was being read: try again when nothing writes to it");
  };
  if (read_length(stream) != first.entry.size) throw changed();
  const auto fd = create(first, place);
  Sha256 hash;
  for (std::uint64_t left = first.entry.size; left != 0;) {
    check();
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(left, place.buffer.size()));
    read_exactly(stream, place.buffer.data(), n);
    hash.update(place.buffer.data(), n);
    write_all(fd.get(), {place.buffer.data(), n});
    left -= n;
    report(n);
  }
  if (hash.finish() != first.entry.content) throw changed();
  finish_file(fd.get(), place.fd.get(), first.entry);
  for (std::size_t i = 1; i < same.size(); ++i) copy(first, *same[i], place);
}

void Maker::copy(const Wanted& from, const Wanted& to, Place& place) {
  const auto in = open_in_root_nofollow(root(), from.path(), O_RDONLY);
  const auto out = create(to, place);
  for (;;) {
    const ssize_t n = ::read(in.get(), place.buffer.data(), place.buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("read " + from.entry.name);
    if (n == 0) break;
    write_all(out.get(), {place.buffer.data(), static_cast<std::size_t>(n)});
  }
  finish_file(out.get(), place.fd.get(), to.entry);
}

UniqueFd Maker::create(const Wanted& w, Place& place) {
  if (place.dir != w.dir) {
    place.fd = open_in_root_nofollow(root(), or_dot(*w.dir), O_PATH | O_DIRECTORY);
    place.dir = w.dir;
  }
  return open_at(place.fd.get(), w.entry.name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600);
}

// dir: where the entry is, or the entry itself, for a directory.
void Maker::finish_file(int fd, int dir, const Entry& e) {
  if ((e.uid != top_.st_uid || e.gid != top_.st_gid) && ::fchown(fd, e.uid, e.gid) != 0) throw_errno("chown " + e.name);
  if (::fchmod(fd, e.mode) != 0) throw_errno("chmod " + e.name);
  for (const auto& [attribute, value] : e.xattrs)
    write_xattr(dir, e.type == EntryType::directory ? "." : e.name, attribute, value);
  const timespec times[2] = {to_timespec(e.mtime_ns), to_timespec(e.mtime_ns)};
  if (::futimens(fd, times) != 0) throw_errno("set the times of " + e.name);
}

// Last, since every new entry changes the times, and a mode may forbid new entries.
void Maker::finish_directories() {
  for (auto at = directories_.rbegin(); at != directories_.rend(); ++at) {
    const auto fd = open_in_root_nofollow(root(), *at->first, O_RDONLY | O_DIRECTORY);
    finish_file(fd.get(), fd.get(), at->second);
  }
  const timespec times[2] = {to_timespec(newest_), to_timespec(newest_)};
  if (::futimens(root(), times) != 0) throw_errno("set the times of a layer");
}

}  // namespace

Stack make_local_tree(Store& store, const Digest& tree, const std::string& hint, TreeSource& source,
                      plugin::CallContext& ctx) {
  KnownTree known;
  if (const auto have = known_tree(store, tree)) {
    known = *have;
  } else {
    const BaseTree base = BaseTree::find(store, hint);
    Maker maker(store, base, source, ctx);
    maker.make(tree);
    known.layer = maker.seal().value_or(0);
    known.nodes = store.put_blob(maker.pack());
    keep_known_tree(store, tree, known);
  }
  keep_last_tree(store, hint, tree);
  if (known.layer == 0) return {};
  return {known.layer};
}

}  // namespace dagger::store
