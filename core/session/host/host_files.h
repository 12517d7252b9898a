// core/session/host/host_files.h — directories of the client's machine as values of the API, and back.
//
// A directory is read when it is first asked for, and stays as it was then for the rest of the session. The runner asks
// back for what it lacks (serve_nodes, serve_contents) while a transfer runs. Control thread; bytes move on the pool.
// Errors: those of host_path() and walk(), with "host directory <path as the client wrote it>: " in front.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/function.h"
#include "core/session/client.h"
#include "core/session/host/walk.h"
#include "core/session/runner.h"
#include "core/session/shared_work.h"

namespace dagger::session {

class Packer;

struct HostFilter {
  std::vector<std::string> include, exclude;
};

class HostFiles {
 public:
  HostFiles(Loop& loop, Pool& pool, unsigned walk_threads, Runner& runner, const Client& client)
      : loop_(loop), pool_(pool), walk_threads_(walk_threads), runner_(runner), client_(client), frozen_(loop) {}

  // Gets what the user should see of the reading of directories: steps that the runner knows nothing of.
  void show(Function<void(link::Events)> shown) { shown_ = std::move(shown); }

  // fresh: reads it again, also when this session has seen it.
  Task<dag::Ref> directory(std::string path, HostFilter filter, bool fresh, CancelToken cancel);

  // For a file that no tree has where the client names it: the regular file that links at path lead to, by its real
  // path. Throws what is there instead, naming path and type.
  Task<std::string> find_file(std::string path);

  // Both answer where they wrote to, absolute.
  Task<std::string> export_directory(dag::Ref tree, std::string from, std::string to, CancelToken cancel);
  Task<std::string> export_file(dag::Ref tree, std::string from, std::string to, bool into_directory,
                                CancelToken cancel);

  // What the runner calls.
  void serve_nodes(const link::LocalRequest& request, std::shared_ptr<link::Stream> stream);
  void serve_contents(const link::LocalRequest& request, std::shared_ptr<link::Stream> stream);

  Task<void> join() { return frozen_.join(); }

 private:
  void warn_of(const std::string& path, const HostTree::LeftOut& left_out);
  Task<Digest> freeze(std::string path, HostFilter filter, CancelToken cancel);
  std::shared_ptr<const HostTree> transfer(const Digest& tree) const;
  // On the pool: for each digest its length and its bytes, which send() writes.
  using Send = void (*)(const HostTree& tree, const Digest& digest, Packer& out);
  void serve(const link::LocalRequest& request, std::shared_ptr<link::Stream> stream, Send send);

  Loop& loop_;
  Pool& pool_;
  unsigned walk_threads_;
  Runner& runner_;
  const Client& client_;
  Function<void(link::Events)> shown_;
  std::uint64_t reads_ = 0;
  std::multimap<Digest, std::shared_ptr<const HostTree>> transfers_;  // running now
  SharedWork<Digest> frozen_;
};

}  // namespace dagger::session
