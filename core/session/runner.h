// core/session/runner.h — the runner as a session sees it: ops are put when they are first needed, then named.
//
// Control thread. Each call throws the runner's Error (or link::DetailedError of a failed exec), Error{cancelled}, or
// Error{unavailable} when the link is dead. The peer outlives it; join() before destroying.
#pragma once
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/pool.h"
#include "core/link/messages/messages.h"
#include "core/link/peer.h"
#include "core/session/op_table.h"

namespace dagger::session {

class Runner {
 public:
  Runner(Loop& loop, Pool& pool, link::Peer& peer) : loop_(loop), pool_(pool), peer_(peer), puts_(loop) {}

  dag::Ref add(dag::Op op) { return table_.add(op); }
  dag::Ref scratch() { return add(dag::Op{dag::Scratch{}, {}}); }

  Task<link::Info> info(CancelToken cancel);
  Task<link::PinReply> pin(link::PinRequest request, CancelToken cancel);
  Task<link::SolveReply> solve(dag::Ref ref, CancelToken cancel);
  Task<link::ExecOutputReply> exec_output(Digest exec, link::OutputStream stream, CancelToken cancel);
  Task<link::Stat> stat(dag::Ref tree, std::string path, CancelToken cancel);
  Task<std::vector<link::Entry>> entries(dag::Ref tree, std::string path, CancelToken cancel);
  Task<std::vector<link::Entry>> glob(dag::Ref tree, std::string path, std::string pattern, CancelToken cancel);
  Task<std::string> tree_digest(dag::Ref tree, CancelToken cancel);
  Task<std::string> read_file(dag::Ref tree, std::string path, std::size_t limit, CancelToken cancel);
  // Hands the tar of what lies at path to consume, on the pool.
  Task<void> export_tree(dag::Ref tree, std::string path, Function<void(link::Stream&)> consume, CancelToken cancel);
  Task<void> sync_local(link::SyncRequest request, CancelToken cancel);
  Task<void> put_recipe(link::Recipe recipe, CancelToken cancel);
  Task<link::Recipe> get_recipe(std::string id, CancelToken cancel);

  Task<void> join() { return puts_.join(); }

 private:
  Task<void> need(std::vector<Digest> ops, CancelToken cancel);
  // before: the ends of what it must not overtake.
  Task<void> send(OpTable::Parcel parcel, std::vector<OneShot<Unit>> before);
  std::vector<OneShot<Unit>> ends_of(const std::vector<std::uint64_t>& parcels);
  Task<void> stream(const char* method, link::PathRequest request, Function<void(link::Stream&)> consume,
                    CancelToken cancel);
  Task<std::string> ask_path(const char* method, link::PathRequest request, CancelToken cancel);

  Loop& loop_;
  Pool& pool_;
  link::Peer& peer_;
  OpTable table_;
  std::map<std::uint64_t, std::vector<OneShot<Unit>>> in_flight_;  // parcel -> who waits for its end
  TaskGroup puts_;
};

}  // namespace dagger::session
