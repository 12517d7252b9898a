#include "core/store/local_trees.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <tuple>
#include <unordered_map>

#include "core/base/cbor_fields.h"
#include "core/base/fs.h"
#include "core/store/manifest.h"
#include "core/store/tree/dir.h"

namespace dagger::store {

// What the table "local" says of a tree.
struct KnownTree {
  std::uint64_t layer = 0;  // 0: the directory is empty
  Digest nodes;             // blob: all nodes of the tree
};
template <class A>
void fields(A& a, KnownTree& t) {
  a.begin(2), a.field(t.layer), a.field(t.nodes);
}

namespace {

constexpr std::size_t batch = 500;  // digests in one request
constexpr std::size_t max_entries = 10'000'000, max_depth = 400;
constexpr std::size_t max_pack = std::size_t{4} << 30;
constexpr const char* tree_table = "local";
constexpr const char* place_table = "local-place";  // hint -> digest of the last tree from there

std::string below(const std::string& dir, const std::string& name) { return dir.empty() ? name : dir + "/" + name; }
std::string or_dot(const std::string& path) { return path.empty() ? "." : path; }

std::optional<KnownTree> known_tree(Store& store, const Digest& tree) {
  const auto packed = store.value(tree_table, std::string(tree.raw()));
  if (!packed) return std::nullopt;
  const auto known = cbor::unpack<KnownTree>(*packed);
  if (known.layer != 0 && !store.layer(known.layer)) return std::nullopt;
  return known;
}

// The tree that the new one is compared with; empty if there is none, or if it turns out to be damaged.
struct Base {
  std::unique_ptr<Lease> lease;
  UniqueFd dir = UniqueFd();  // of its layer
  Digest root;
  std::string pack;
  std::unordered_map<Digest, std::string_view> nodes;  // encoded, in pack

  static Base find(Store& store, const std::string& hint) {
    Base base;
    const auto last = hint.empty() ? std::nullopt : store.value(place_table, hint);
    if (!last) return base;
    try {
      const Digest root = Digest::from_bytes(*last);
      const auto known = known_tree(store, root);
      if (!known || known->layer == 0) return base;
      base.lease = store.lease({known->layer});
      base.dir = open_file(store.layer(known->layer)->places.front().path, O_PATH | O_DIRECTORY);
      base.pack = read_all(store.open_blob(known->nodes).get(), max_pack);
      cbor::Reader reader(base.pack);
      for (std::size_t n = reader.array(); n != 0; --n) {
        const auto node = reader.bytes();
        base.nodes.emplace(Digest::of(node), node);
      }
      base.root = root;
    } catch (const Error&) {
      return Base();
    }
    return base;
  }
};

// A directory of the new tree.
struct Directory {
  std::string path;  // "" is the top
  Digest node;
  Digest base;  // node of the same directory in the base; zero if there is none
  std::size_t depth = 0;
};

// A file whose content has to come.
struct Wanted {
  std::string dir;
  Entry entry;
};

class Maker {
 public:
  Maker(Store& store, const Base& base, TreeSource& source, plugin::CallContext& ctx)
      : base_(base), source_(source), ctx_(ctx), workspace_(store.directory()) {}

  void make(const Digest& tree) {
    std::vector<Directory> level{{"", tree, base_.root, 0}};
    while (!level.empty()) {
      load(level);
      std::vector<Directory> next;
      for (const auto& dir : level) fill(dir, next);
      level = std::move(next);
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
  int root() const { return workspace_->root_fd(); }
  void check() const {
    if (ctx_.cancelled()) throw Error(Code::cancelled, "cancelled while a host directory was read");
  }
  void load(const std::vector<Directory>& level);
  void ask(const std::vector<Digest>& digests);
  void fill(const Directory& dir, std::vector<Directory>& next);
  void make_other(int dir, const Entry& e);
  bool link(const UniqueFd& base_dir, int dir, const Entry& e);
  void fetch();
  void receive(plugin::ByteStream& stream, const std::vector<Wanted*>& same);
  void copy(const Wanted& from, const Wanted& to);
  UniqueFd create(const Wanted& w);
  void finish_file(int fd, const Wanted& w);
  void finish_directories();

  const Base& base_;
  TreeSource& source_;
  plugin::CallContext& ctx_;
  std::unique_ptr<Workspace> workspace_;
  std::unordered_map<Digest, std::string> nodes_;  // of the new tree, encoded
  std::vector<Wanted> wanted_;
  std::vector<std::pair<std::string, Entry>> directories_;
  std::size_t entries_ = 0;
  std::int64_t newest_ = 0;  // of the entries at the top
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
  auto encoded = source_.nodes(digests);
  if (encoded.size() != digests.size())
    throw Error(Code::corrupt_data, "a session answered with another number of directories");
  for (std::size_t i = 0; i < digests.size(); ++i) {
    if (Digest::of(encoded[i]) != digests[i])
      throw Error(Code::corrupt_data, "a directory of the host is not what its digest says");
    nodes_[digests[i]] = std::move(encoded[i]);
  }
}

void Maker::fill(const Directory& dir, std::vector<Directory>& next) {
  check();
  if (dir.depth > max_depth)
    throw Error(Code::invalid_argument, dir.path + ": directories are nested deeper than " + std::to_string(max_depth));
  const Node node = decode_node(nodes_.at(dir.node));
  // A manifest is a graph, in which small nodes can stand for a huge tree.
  if ((entries_ += node.entries.size()) > max_entries)
    throw Error(Code::invalid_argument, "a host directory has more than " + std::to_string(max_entries) + " entries");
  Node old;
  UniqueFd old_dir;
  if (const auto at = base_.nodes.find(dir.base); at != base_.nodes.end()) {
    old = decode_node(at->second);
    old_dir.reset(::openat(base_.dir.get(), or_dot(dir.path).c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  }
  const auto fd = open_in_root_nofollow(root(), or_dot(dir.path), O_PATH | O_DIRECTORY);
  auto old_at = old.entries.begin();
  for (const auto& e : node.entries) {
    while (old_at != old.entries.end() && old_at->name < e.name) ++old_at;
    const Entry* before = old_at != old.entries.end() && old_at->name == e.name ? &*old_at : nullptr;
    if (dir.path.empty()) newest_ = std::max(newest_, e.mtime_ns);
    for (const auto& [attribute, value] : e.xattrs)
      if (is_overlay_mark(attribute))
        throw Error(Code::invalid_argument, below(dir.path, e.name) + " has the extended attribute " + attribute);
    if (e.type == EntryType::directory) {
      if (::mkdirat(fd.get(), e.name.c_str(), 0700) != 0) throw_errno("make directory " + below(dir.path, e.name));
      const bool was_directory = before != nullptr && before->type == EntryType::directory;
      next.push_back({below(dir.path, e.name), e.content, was_directory ? before->content : Digest{}, dir.depth + 1});
      directories_.emplace_back(below(dir.path, e.name), e);
    } else if (e.type != EntryType::file) {
      make_other(fd.get(), e);
    } else if (before == nullptr || *before != e || !link(old_dir, fd.get(), e)) {
      wanted_.push_back({dir.path, e});
    }
  }
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

// Equal contents are fetched once.
void Maker::fetch() {
  std::ranges::sort(wanted_, {}, [](const Wanted& w) { return std::tie(w.entry.content, w.dir, w.entry.name); });
  std::vector<std::vector<Wanted*>> groups;
  for (auto& w : wanted_) {
    if (groups.empty() || groups.back().front()->entry.content != w.entry.content) groups.emplace_back();
    groups.back().push_back(&w);
  }
  for (std::size_t at = 0; at < groups.size(); at += batch) {
    const std::size_t end = std::min(at + batch, groups.size());
    std::vector<Digest> digests;
    for (std::size_t i = at; i < end; ++i) digests.push_back(groups[i].front()->entry.content);
    const auto stream = source_.contents(digests);
    for (std::size_t i = at; i < end; ++i) receive(*stream, groups[i]);
  }
}

void read_exactly(plugin::ByteStream& stream, char* to, std::size_t size) {
  while (size != 0) {
    const std::size_t n = stream.read(to, size);
    if (n == 0) throw Error(Code::unavailable, "the session ended while it was sending a host directory");
    to += n;
    size -= n;
  }
}

void Maker::receive(plugin::ByteStream& stream, const std::vector<Wanted*>& same) {
  const Wanted& first = *same.front();
  const std::string path = below(first.dir, first.entry.name);
  unsigned char head[8];
  read_exactly(stream, reinterpret_cast<char*>(head), sizeof head);
  std::uint64_t size = 0;
  for (const unsigned char byte : head) size = size << 8 | byte;
  const auto changed = [&path] {
    return Error(Code::unavailable, "host file " + path + " changed while it was being read: try again");
  };
  if (size != first.entry.size) throw changed();
  const auto fd = create(first);
  Sha256 hash;
  std::vector<char> buffer(static_cast<std::size_t>(std::min<std::uint64_t>(size, 256 << 10)));
  for (std::uint64_t left = size; left != 0;) {
    check();
    const auto n = static_cast<std::size_t>(std::min<std::uint64_t>(left, buffer.size()));
    read_exactly(stream, buffer.data(), n);
    hash.update(buffer.data(), n);
    write_all(fd.get(), {buffer.data(), n});
    left -= n;
  }
  if (hash.finish() != first.entry.content) throw changed();
  finish_file(fd.get(), first);
  for (std::size_t i = 1; i < same.size(); ++i) copy(first, *same[i]);
}

void Maker::copy(const Wanted& from, const Wanted& to) {
  const auto in = open_in_root_nofollow(root(), below(from.dir, from.entry.name), O_RDONLY);
  const auto out = create(to);
  std::vector<char> buffer(256 << 10);
  for (;;) {
    const ssize_t n = ::read(in.get(), buffer.data(), buffer.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_errno("read " + from.entry.name);
    if (n == 0) break;
    write_all(out.get(), {buffer.data(), static_cast<std::size_t>(n)});
  }
  finish_file(out.get(), to);
}

UniqueFd Maker::create(const Wanted& w) {
  return open_in_root_nofollow(root(), below(w.dir, w.entry.name), O_WRONLY | O_CREAT | O_EXCL, 0600);
}

void Maker::finish_file(int fd, const Wanted& w) {
  const Entry& e = w.entry;
  if (::fchown(fd, e.uid, e.gid) != 0) throw_errno("chown " + e.name);
  if (::fchmod(fd, e.mode) != 0) throw_errno("chmod " + e.name);
  if (!e.xattrs.empty()) {
    const auto dir = open_in_root_nofollow(root(), or_dot(w.dir), O_PATH | O_DIRECTORY);
    for (const auto& [attribute, value] : e.xattrs) write_xattr(dir.get(), e.name, attribute, value);
  }
  const timespec times[2] = {to_timespec(e.mtime_ns), to_timespec(e.mtime_ns)};
  if (::futimens(fd, times) != 0) throw_errno("set the times of " + e.name);
}

// Last, since every new entry changes the times, and a mode may forbid new entries.
void Maker::finish_directories() {
  for (auto at = directories_.rbegin(); at != directories_.rend(); ++at)
    finish_file(open_in_root_nofollow(root(), at->first, O_RDONLY | O_DIRECTORY).get(),
                {parent_path(at->first), at->second});
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
    const Base base = Base::find(store, hint);
    Maker maker(store, base, source, ctx);
    maker.make(tree);
    known.layer = maker.seal().value_or(0);
    known.nodes = store.put_blob(maker.pack());
    store.put_value(tree_table, std::string(tree.raw()), cbor::pack(known));
  }
  if (!hint.empty()) store.put_value(place_table, hint, std::string(tree.raw()));
  if (known.layer == 0) return {};
  return {known.layer};
}

}  // namespace dagger::store
