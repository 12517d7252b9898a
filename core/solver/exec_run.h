// core/solver/exec_run.h — one exec from prepared inputs to sealed outputs. Made and moved along by Solver::run_exec();
// lives in its coroutine. Methods marked [pool] run on a pool thread, never two at a time.
#pragma once
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/dag/op.h"
#include "core/link/messages/messages.h"
#include "core/solver/output_pump.h"
#include "core/store/store.h"
#include "dagger/plugin/executor.h"

namespace dagger::solver {

class ExecRun {
 public:
  struct Secrets {
    std::map<std::string, std::string> values;  // secret name -> value
    std::map<std::string, UniqueFd> sockets;    // socket id -> a listening unix socket's path fd
  };
  ExecRun(store::Store& store, plugin::Executor& executor, const dag::Exec& op, std::vector<store::Stack> inputs,
          std::string scope, Secrets secrets);
  ~ExecRun();

  // Cache volumes that only one exec may use at a time.
  static std::set<std::string> locked_volumes(const dag::Exec& op, const std::string& scope);

  // network: null for an executor that runs elsewhere.
  void prepare(plugin::Network* network, plugin::CallContext& ctx);  // [pool]
  // Starts the process. The streams are for OutputPump, whose on_chunk and on_end the caller fills in.
  struct Streams {
    OutputPump::Stream out, err;
  };
  Streams start(plugin::CallContext& ctx);  // [pool]
  int done_fd() const { return running_->done_fd(); }
  // Readable when something is gone that the process cannot do without.
  std::vector<int> lost_fds() const;
  // Ends what still runs if a tree is lost, and asks its snapshotter why. [pool] after done_fd() or one of lost_fds()
  // is readable
  void throw_if_lost(plugin::CallContext& ctx);
  void terminate() noexcept;  // [pool] asks the process to end
  // Ends what still runs and reaps it; the status if it ended by itself.
  plugin::ExecStatus end(plugin::CallContext& ctx);  // [pool] after done_fd() is readable
  void kill() noexcept;                              // [pool] whatever state it is in
  // Redirections, outputs, logs. Once both streams have ended.
  store::Record seal(const plugin::ExecStatus& status, plugin::CallContext& ctx);  // [pool]
  // What a client learns of a failed exec.
  link::ExecFailure failure(const plugin::ExecStatus& status) const;  // [pool]
  static int exit_code(const plugin::ExecStatus& status);

 private:
  struct Tree;  // a writable or read-only root and what becomes of it
  class Transfer;
  void check_supported() const;
  int root_fd(plugin::CallContext& ctx);
  void open_tree(Tree& tree, const std::vector<plugin::MountStub>& stubs, plugin::CallContext& ctx);
  void add_mount(std::size_t index, plugin::CallContext& ctx);
  void add_volume(const dag::Mount& m, plugin::ExecMount& mount, plugin::LocalMount& local, plugin::CallContext& ctx);
  std::vector<plugin::MountStub> stubs_in(std::size_t mount_index, const std::string& subpath) const;
  void redirect(const std::string& path, const std::string& log);
  Digest keep_log(std::string& log);
  Tree& tree_of(const std::string& path, std::string& inside) const;

  store::Store& store_;
  plugin::Executor& executor_;
  plugin::LocalExecutor* local_executor_;
  const dag::Exec& op_;
  std::vector<store::Stack> inputs_;
  std::string scope_;
  Secrets secrets_;

  std::unique_ptr<Tree> root_;
  std::vector<std::unique_ptr<Tree>> trees_;  // one per op_.mounts; null where the mount is no tree
  std::vector<bool> is_file_;                 // one per op_.mounts
  std::vector<UniqueFd> fds_;                 // of volumes and sockets
  plugin::ExecRequest request_;
  plugin::LocalExec local_;
  std::unique_ptr<plugin::Attachment> attachment_;
  std::unique_ptr<Transfer> transfer_;
  std::string out_log_, err_log_;             // files under the store's scratch directory
  std::unique_ptr<plugin::Running> running_;  // ends before everything above
};

// The window of an output that an error shows: the last 102,400 bytes, the first of them replaced by
// "[omitting N bytes]..." if there were more; trimmed. file_size: of the whole output.
std::string error_window(std::string tail, std::uint64_t file_size);
inline constexpr std::size_t error_window_bytes = 102400;

}  // namespace dagger::solver
