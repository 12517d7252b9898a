// Exec ops: secrets, locks and a slot first, then the process, then its outputs.
#include <atomic>

#include "core/base/log.h"
#include "core/solver/exec_run.h"
#include "core/solver/job.h"
#include "core/solver/volume_locks.h"

namespace dagger::solver {
namespace {

constexpr int max_chunks_in_flight = 64;

// Shows output to watchers; what they cannot take in time is left out (the log has all of it).
class Shown {
 public:
  Shown(Loop& loop, std::shared_ptr<Job> job, std::uint32_t stream)
      : loop_(loop), job_(std::move(job)), stream_(stream) {}
  void operator()(std::string chunk) {
    if (in_flight_->fetch_add(1) >= max_chunks_in_flight) {
      in_flight_->fetch_sub(1);
      return;
    }
    loop_.post([job = job_, stream = stream_, in_flight = in_flight_, chunk = std::move(chunk)]() mutable {
      link::Event e;
      e.kind = link::EventKind::log;
      e.stream = stream;
      e.text = std::move(chunk);
      job->tell(std::move(e));
      in_flight->fetch_sub(1);
    });
  }

 private:
  Loop& loop_;
  std::shared_ptr<Job> job_;
  std::uint32_t stream_;
  std::shared_ptr<std::atomic<int>> in_flight_ = std::make_shared<std::atomic<int>>(0);
};

bool as_expected(dag::Expect expect, int code) {
  return expect == dag::Expect::any || (expect == dag::Expect::success) == (code == 0);
}

}  // namespace

Task<void> Solver::ended_or_cancelled(std::vector<int> fds, CancelToken cancel) {
  const OneShot<Unit> done(loop_);
  std::vector<Loop::Handle> watches;
  for (const int fd : fds) watches.push_back(loop_.when_readable(fd, [done] { done.set({}); }));
  const auto on_cancel = cancel.on_cancel([done] { done.set({}); });
  co_await done;
}

Task<void> Solver::ended_or_late(int done_fd, std::chrono::milliseconds grace) {
  const OneShot<Unit> done(loop_);
  const auto watch = loop_.when_readable(done_fd, [done] { done.set({}); });
  const auto late = loop_.after(grace, [done] { done.set({}); });
  co_await done;
}

Task<store::Record> Solver::run_exec(JobPtr job, std::vector<store::Stack> inputs) {
  const auto& op = std::get<dag::Exec>(job->vertex.op.fields);
  const CancelToken cancel = job->cancel.token();
  if (op.nesting)
    throw Error(Code::unsupported, "this engine cannot be used from inside an exec: experimentalPrivilegedNesting");
  // One that runs elsewhere brings its own network.
  const bool local = backends_.executor.capability(plugin::LocalExecutor::capability_id) != nullptr;
  plugin::Network* const network = local ? &backends_.network(op.network_class) : nullptr;

  ExecRun::Secrets secrets;
  for (const auto& [variable, name] : op.secret_env)
    if (!secrets.values.contains(name)) secrets.values[name] = co_await job->secret(name);
  for (const auto& m : op.mounts) {
    if (m.type == dag::MountType::secret && !secrets.values.contains(m.id))
      secrets.values[m.id] = co_await job->secret(m.id);
    if (m.type == dag::MountType::socket)
      throw Error(Code::unsupported, "forwarding a client's unix socket into an exec is not supported by this engine");
  }

  const std::string scope = job->any_client().scope();
  const auto locks = co_await volumes_->acquire(ExecRun::locked_volumes(op, scope), cancel);
  const auto slot = co_await slots_.acquire(job->any_client().name(), cancel);

  auto run = std::make_unique<ExecRun>(store_, backends_.executor, op, std::move(inputs), scope, std::move(secrets));
  std::optional<store::Record> record;
  std::exception_ptr error;
  try {
    record = co_await run_process(job, *run, network);
  } catch (...) {
    error = std::current_exception();
  }
  co_await on_pool(loop_, exec_io_, [&] { run.reset(); });  // kills, unmounts, removes
  if (error) std::rethrow_exception(error);
  co_return std::move(*record);
}

Task<store::Record> Solver::run_process(JobPtr job, ExecRun& run, plugin::Network* network) {
  const auto& op = std::get<dag::Exec>(job->vertex.op.fields);
  Call call = job->call();
  const OneShot<std::string> out_end(loop_), err_end(loop_);
  OutputPump::Id out = 0, err = 0;
  co_await on_pool(loop_, exec_io_, [&] {
    run.prepare(network, call);
    auto streams = run.start(call);
    const auto ended = [this](OneShot<std::string> end) {
      return [this, end](std::string error) { loop_.post([end, error] { end.set(error); }); };
    };
    streams.out.on_chunk = Shown(loop_, job, 1);
    streams.err.on_chunk = Shown(loop_, job, 2);
    streams.out.on_end = ended(out_end);
    streams.err.on_end = ended(err_end);
    out = pump_.add(std::move(streams.out));
    err = pump_.add(std::move(streams.err));
  });

  plugin::ExecStatus status;
  std::exception_ptr error;
  try {
    status = co_await process_end(job, run);
  } catch (...) {
    error = std::current_exception();
  }
  if (error) co_await on_pool(loop_, exec_io_, [&] { run.kill(); });
  // The process is gone, and so is all that it could say; only who runs it may still hold its streams.
  const auto late = loop_.after(termination_grace_, [this, out, err, job] {
    log_.warn("the output of '" + job->name + "' was held open after its end; the executor leaks it");
    pump_.drop(out);
    pump_.drop(err);
  });
  const std::string out_error = co_await out_end, err_error = co_await err_end;
  if (error) std::rethrow_exception(error);
  if (!out_error.empty() || !err_error.empty())
    throw Error(Code::no_space,
                "the output of the process could not be kept: " + (out_error.empty() ? err_error : out_error));
  if (status.kind == plugin::ExitKind::not_started)
    throw Error(Code::exec_failed,
                status.message.starts_with("exec: ")  // it names the command itself
                    ? status.message
                    : "process \"" + op.args.front() + "\" could not be started: " + status.message);
  if (!as_expected(op.expect, ExecRun::exit_code(status)))
    throw ExecFailed(co_await on_pool(loop_, exec_io_, [&] { return run.failure(status); }));
  co_return co_await on_pool(loop_, exec_io_, [&] { return run.seal(status, call); });
}

// Until the process has ended. When nobody wants it any more it is asked to end and gets a grace time; the caller kills
// it.
Task<plugin::ExecStatus> Solver::process_end(JobPtr job, ExecRun& run) {
  const CancelToken cancel = job->cancel.token();
  auto fds = run.lost_fds();
  const bool may_be_lost = !fds.empty();
  fds.push_back(run.done_fd());
  co_await ended_or_cancelled(std::move(fds), cancel);
  if (cancel.cancelled()) {
    co_await on_pool(loop_, exec_io_, [&] { run.terminate(); });
    co_await ended_or_late(run.done_fd(), termination_grace_);
    throw Error(Code::cancelled, cancel.reason());
  }
  // What serves a network may see the end of the process before anybody else does.
  if (may_be_lost) co_await ended_or_late(run.done_fd(), termination_grace_);
  Call call = job->call();
  co_return co_await on_pool(loop_, exec_io_, [&] {
    if (may_be_lost) run.throw_if_lost(call);
    return run.end(call);
  });
}

}  // namespace dagger::solver
