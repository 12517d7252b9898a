// core/solver/solver.h — gives results of ops: from records where it can, else by running them through plugins, once
// for all who want them.
//
// Control thread only. An op that several clients want runs as one job, keyed by its definition key; the job belongs to
// the engine and is cancelled only when nobody wants it any more. Nothing here recurses over the graph, and no thread
// is parked for a running exec.
#pragma once
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/solver/call.h"
#include "core/solver/client.h"
#include "core/solver/output_pump.h"
#include "core/solver/slots.h"
#include "core/solver/stack_walk.h"
#include "core/store/store.h"
#include "dagger/plugin/cache_store.h"
#include "dagger/plugin/executor.h"
#include "dagger/plugin/network.h"
#include "dagger/plugin/source.h"

namespace dagger {
class Log;
}

namespace dagger::solver {

struct Job;
struct KnownPin;
class ExecRun;
class Turns;
class VolumeLocks;
class CacheTiers;

// The plugins a solver works through. The lookups throw Error{unsupported} that names what is missing and the remedy.
struct Backends {
  plugin::Executor& executor;
  std::function<plugin::Source&(const std::string& scheme)> source;
  std::function<plugin::Network&(const std::string& network_class)> network;
  std::vector<std::pair<std::string, plugin::CacheStore*>> caches;  // name, tier; asked in this order
};

struct Limits {
  unsigned parallel_execs = 1;
  unsigned parallel_io = 4;  // operations on files; and calls over a network, of one client: twice as many of all
  std::chrono::milliseconds termination_grace{500};  // from SIGTERM to SIGKILL for an exec that nobody wants
};

// Thrown to those who wait for an exec that ended otherwise than expected.
class ExecFailed : public std::exception {
 public:
  explicit ExecFailed(link::ExecFailure failure);
  const char* what() const noexcept override { return error_.what(); }
  const Error& error() const noexcept { return error_; }
  const link::ExecFailure& failure() const noexcept { return failure_; }

 private:
  link::ExecFailure failure_;
  Error error_;
};

class Solver {
 public:
  Solver(Loop& loop, store::Store& store, Backends backends, Limits limits, Log& log);
  ~Solver();  // close() has returned

  using RecordPtr = std::shared_ptr<const store::Record>;

  // The record of an op: its exit code and logs, without making sure that its tree is still there.
  Task<RecordPtr> outcome(Client& client, Digest op, CancelToken cancel);
  // The layers of one output, all present.
  Task<store::Stack> stack(Client& client, dag::Ref ref, CancelToken cancel);

  // Pins a reference for a client and remembers the layers of the pin, so that a Source op can be fetched later. step:
  // under which the client sees what the source tells meanwhile.
  Task<plugin::PinResult> pin(Client& client, Digest step, plugin::SourceRef ref, CancelToken cancel);

  // The client goes: nothing is reported to it any more. Its calls have ended or been cancelled.
  void leave(Client& client);
  // Cancels everything and waits for it.
  Task<void> close();

  // Work for a client that ends before close() does.
  void spawn(Task<void> work) { work_.spawn(std::move(work)); }
  std::size_t running() const noexcept { return jobs_.size(); }
  Loop& loop() noexcept { return loop_; }
  store::Store& store() noexcept { return store_; }
  Pool& io() noexcept { return io_; }

 private:
  friend struct Job;
  using JobPtr = std::shared_ptr<Job>;

  Task<RecordPtr> want(Client& client, const dag::Vertex& vertex, CancelToken cancel);
  Task<void> want_all(Client& client, std::vector<const dag::Vertex*> vertices, CancelToken cancel);
  Task<void> want_or_stop(Client& client, const dag::Vertex& vertex, CancelSource stop);
  Task<void> announce_hits(Client& client, const dag::Vertex& vertex);

  // Jobs (jobs.cc). Each of these begins at once and goes on in turns of its own when there is much to do.
  JobPtr job_for(const std::shared_ptr<dag::Graph>& graph, const dag::Vertex& vertex, std::vector<JobPtr>& created);
  void plan_all(std::vector<JobPtr> jobs);
  Task<void> plan_in_turns();
  Task<void> plan(JobPtr job, Turns& turns);  // turns: of the coroutine that awaits this
  void finish(JobPtr job, RecordPtr record, std::exception_ptr error);
  void release(JobPtr job);                // who wants it has changed
  void tell_dependencies(const Job& job);  // who listens to it has changed
  void settle();
  Task<void> settle_in_turns();
  void end(JobPtr job, RecordPtr record, std::exception_ptr error);
  void give_up_if_unwanted(const JobPtr& job);
  void retire(const JobPtr& job);
  void detach(const JobPtr& job);

  Task<void> run(JobPtr job);
  Task<RecordPtr> reuse(JobPtr job, const std::vector<store::Stack>& inputs);
  Task<store::Record> make(JobPtr job, std::vector<store::Stack> inputs);
  Task<void> offer(RecordPtr record, Digest key);
  RecordPtr publish(Job& job, store::Record record, const std::vector<store::Stack>& inputs);
  void add_content_key(const dag::Vertex& vertex, const std::vector<store::Stack>& inputs);

  // One per family of ops; each returns the outputs and leaves key, parts and times to run().
  Task<store::Record> run_exec(JobPtr job, std::vector<store::Stack> inputs);
  Task<store::Record> run_process(JobPtr job, ExecRun& run, plugin::Network* network);
  Task<plugin::ExecStatus> process_end(JobPtr job, ExecRun& run);
  // Runs f on a thread for what goes at the pace of a network or of a client's answers. One client gets at most half of
  // them, and a work on files waits for none.
  template <class F>
  Task<std::invoke_result_t<F&>> on_network(std::string client, CancelToken cancel, F f) {
    const auto turn = co_await network_turns_.acquire(std::move(client), std::move(cancel));
    co_return co_await on_pool(loop_, network_, std::move(f));
  }
  Task<void> ended_or_cancelled(std::vector<int> fds, CancelToken cancel);
  Task<void> ended_or_late(int done_fd, std::chrono::milliseconds grace);
  Task<store::Record> run_tree(JobPtr job, std::vector<store::Stack> inputs);
  Task<store::Record> run_source(JobPtr job);
  // pin and layer outlive the call: run_source() awaits it.
  Task<void> fetch_layer(JobPtr job, plugin::Source& source, const KnownPin& pin, const plugin::SourceLayer& layer,
                         CancelSource stop);

  Loop& loop_;
  store::Store& store_;
  Backends backends_;
  Log& log_;
  const std::chrono::milliseconds termination_grace_;
  Slots slots_, network_turns_;
  Pool io_, exec_io_, network_;
  OutputPump pump_;
  std::unique_ptr<VolumeLocks> volumes_;
  std::unique_ptr<CacheTiers> tiers_;
  std::unordered_map<Digest, JobPtr> jobs_;  // by definition key
  struct End {
    JobPtr job;
    RecordPtr record;
    std::exception_ptr error;
  };
  std::vector<JobPtr> unplanned_;  // of plan_in_turns()
  std::vector<End> ends_;          // of settle_in_turns(), as the next two
  std::vector<JobPtr> perhaps_unwanted_, recounts_;
  bool planning_ = false, settling_ = false;
  std::uint64_t next_exec_ = 1;
  TaskGroup work_;
  CancelSource closing_;
};

}  // namespace dagger::solver
