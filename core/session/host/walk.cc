#include "core/session/host/walk.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <condition_variable>
#include <mutex>

#include "core/base/fs.h"
#include "core/store/tree/dir.h"

namespace dagger::session {
namespace {

constexpr std::size_t read_size = 128 << 10;

struct Directory {
  Directory* parent = nullptr;
  std::size_t index = 0;                                                      // of its entry in the parent's node
  std::shared_ptr<const std::string> path = std::make_shared<std::string>();  // below the top; "" is the top itself
  bool only_if_filled = false;
  dag::Patterns::Covered covered;
  store::Node node;
  std::vector<std::unique_ptr<Directory>> children;
  std::atomic<std::size_t> open_children{0};
};

std::string below(const std::string& directory, const std::string& name) {
  return directory.empty() ? name : directory + "/" + name;
}

std::string link_target(int dir, const std::string& name, const std::string& path) {
  char target[4096];
  const auto size = ::readlinkat(dir, name.c_str(), target, sizeof target);
  if (size < 0) throw_errno("read link " + path);
  return {target, static_cast<std::size_t>(size)};
}

// One walk: a queue of directories that its workers empty. A worker that finds the queue empty waits only while another
// one is still busy and may add to it.
class Walk {
 public:
  Walk(HostTree& tree, const dag::Patterns& patterns, CancelToken cancel)
      : tree_(tree), patterns_(patterns), cancel_(std::move(cancel)) {
    top_ = std::make_unique<Directory>();
    queue_.push_back(top_.get());
    unfinished_ = 1;
  }

  void work() {
    Worker worker;
    while (auto* directory = next()) {
      try {
        cancel_.throw_if_cancelled();
        read(*directory, worker);
      } catch (...) {
        fail(std::current_exception());
      }
      finished_one();
    }
    const std::scoped_lock lock(mutex_);
    tree_.files.push_back(std::move(worker.files));
    tree_.left_out.add(worker.left_out);
  }
  void check() const {
    if (error_) std::rethrow_exception(error_);
  }

 private:
  // What one thread works with.
  struct Worker {
    std::vector<char> buffer = std::vector<char>(read_size);
    std::vector<HostTree::File> files;
    HostTree::LeftOut left_out;
  };

  Directory* next() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !queue_.empty() || unfinished_ == 0 || error_; });
    if (error_ || queue_.empty()) return nullptr;
    auto* directory = queue_.back();  // depth first: fewer directories open at a time
    queue_.pop_back();
    return directory;
  }
  void finished_one() {
    const std::scoped_lock lock(mutex_);
    if (--unfinished_ == 0) changed_.notify_all();
  }
  void fail(std::exception_ptr error) {
    const std::scoped_lock lock(mutex_);
    if (!error_) error_ = std::move(error);
    changed_.notify_all();
  }

  void read(Directory& directory, Worker& worker) {
    const auto fd = open_beneath(tree_.top.get(), *directory.path, O_RDONLY | O_DIRECTORY);
    for (const auto& name : store::sorted_names(fd.get())) add_entry(directory, fd.get(), name, worker);
    directory.open_children = directory.children.size();
    if (directory.children.empty()) return close(directory);
    const std::scoped_lock lock(mutex_);
    for (const auto& child : directory.children) queue_.push_back(child.get());
    unfinished_ += directory.children.size();
    changed_.notify_all();
  }

  void add_entry(Directory& directory, int fd, const std::string& name, Worker& worker) {
    struct stat st{};
    auto path = below(*directory.path, name);
    if (::fstatat(fd, name.c_str(), &st, AT_SYMLINK_NOFOLLOW) != 0) {
      if (errno == ENOENT) return;  // removed since the directory was read
      throw_errno("stat " + path);
    }
    const bool is_directory = S_ISDIR(st.st_mode);
    auto child = is_directory ? std::make_unique<Directory>() : nullptr;
    const auto verdict = patterns_.check(path, is_directory, directory.covered, child ? &child->covered : nullptr);
    if (verdict == dag::Verdict::pruned || (verdict == dag::Verdict::passing && !is_directory)) return;

    store::Entry entry;
    entry.name = name;
    entry.mode = st.st_mode & 07777;
    entry.mtime_ns = static_cast<std::int64_t>(st.st_mtim.tv_sec) * 1'000'000'000 + st.st_mtim.tv_nsec;
    if (is_directory) {
      entry.type = store::EntryType::directory;
      child->parent = &directory;
      child->index = directory.node.entries.size();
      child->path = std::make_shared<std::string>(std::move(path));
      child->only_if_filled = verdict == dag::Verdict::passing;
      directory.children.push_back(std::move(child));
    } else if (S_ISREG(st.st_mode)) {
      hash_file(fd, static_cast<std::uint64_t>(st.st_size), path, entry, worker);
      worker.files.push_back({entry.content, entry.size, directory.path, name});
    } else if (S_ISLNK(st.st_mode)) {
      entry.type = store::EntryType::symlink;
      entry.target = link_target(fd, name, path);
    } else if (S_ISFIFO(st.st_mode)) {
      entry.type = store::EntryType::fifo;
    } else {
      return worker.left_out.add({1, path, st.st_mode});
    }
    directory.node.entries.push_back(std::move(entry));
  }

  // expected: its size a moment ago. When a read has given just that, one more would only say that this was all.
  void hash_file(int dir, std::uint64_t expected, const std::string& path, store::Entry& entry, Worker& worker) {
    auto& buffer = worker.buffer;
    const UniqueFd fd(::openat(dir, entry.name.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK));
    if (!fd) throw_errno("open " + path);
    Sha256 hash;
    for (;;) {
      const auto got = ::read(fd.get(), buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) throw_errno("read " + path);
      hash.update(buffer.data(), static_cast<std::size_t>(got));
      entry.size += static_cast<std::uint64_t>(got);
      if (got == 0 || (entry.size == expected && static_cast<std::size_t>(got) < buffer.size())) break;
      cancel_.throw_if_cancelled();
    }
    entry.content = hash.finish();
  }

  // Bottom up, by whichever worker closes the last child; a loop, because trees are deep.
  void close(Directory& first) {
    for (auto* directory = &first; directory != nullptr;) {
      std::erase_if(directory->node.entries, [](const store::Entry& entry) { return entry.name.empty(); });
      const bool drop = directory->only_if_filled && directory->node.entries.empty();
      auto encoded = store::encode(directory->node);
      const auto digest = Digest::of(encoded);
      auto* parent = directory->parent;
      if (!drop) {
        const std::scoped_lock lock(mutex_);
        tree_.nodes.try_emplace(digest, std::move(encoded));
      }
      if (parent == nullptr) {
        tree_.root = digest;
        return;
      }
      auto& entry = parent->node.entries[directory->index];
      entry.content = digest;
      if (drop) entry.name.clear();
      directory->node = {};
      directory->children.clear();
      if (parent->open_children.fetch_sub(1) != 1) return;
      directory = parent;
    }
  }

  HostTree& tree_;
  const dag::Patterns& patterns_;
  CancelToken cancel_;
  std::unique_ptr<Directory> top_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Directory*> queue_;
  std::size_t unfinished_ = 0;
  std::exception_ptr error_;
};

Task<void> work(Loop& loop, Pool& pool, Walk& walk) {
  auto serve = [&walk] { walk.work(); };
  co_await on_pool(loop, pool, std::ref(serve));
}

}  // namespace

std::optional<HostTree::Source> HostTree::file(const Digest& content) const {
  std::call_once(indexed_, [this] {
    std::size_t count = 0;
    for (const auto& some : files) count += some.size();
    index_.reserve(count);
    for (const auto& some : files)
      for (const auto& file : some) index_.try_emplace(file.content, &file);
  });
  const auto at = index_.find(content);
  if (at == index_.end()) return std::nullopt;
  return Source{below(*at->second->directory, at->second->name), at->second->size};
}

void HostTree::LeftOut::add(const LeftOut& other) {
  if (other.count != 0 && (count == 0 || other.first < first)) first = other.first, mode = other.mode;
  count += other.count;
}

UniqueFd open_beneath(int top, const std::string& path, int flags) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(flags | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS;
  const char* name = path.empty() ? "." : path.c_str();
  UniqueFd fd(static_cast<int>(::syscall(SYS_openat2, top, name, &how, sizeof how)));
  if (!fd) throw_errno("open " + path);
  return fd;
}

Task<std::shared_ptr<const HostTree>> walk(Loop& loop, Pool& pool, unsigned threads, std::string path,
                                           std::shared_ptr<const dag::Patterns> patterns, CancelToken cancel) {
  const auto tree = std::make_shared<HostTree>();
  auto open_top = [&] { tree->top = open_file(path, O_PATH | O_DIRECTORY); };
  co_await on_pool(loop, pool, std::ref(open_top));
  Walk state(*tree, *patterns, std::move(cancel));
  TaskGroup workers(loop);
  for (unsigned i = 0; i < threads; ++i) workers.spawn(work(loop, pool, state));
  co_await workers.join();
  state.check();
  co_return tree;
}

}  // namespace dagger::session
