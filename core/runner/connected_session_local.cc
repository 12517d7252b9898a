// Directories of the client on their way in.
#include <cstring>

#include "core/base/elsewhere.h"
#include "core/runner/connected_session.h"
#include "core/solver/client_owner.h"
#include "core/store/local_trees.h"

namespace dagger::runner {
namespace {

constexpr std::size_t max_hint = 4096;

// Fetches from the session what the runner lacks of a tree. Pool threads.
class LinkTreeSource final : public store::TreeSource {
 public:
  LinkTreeSource(Loop& loop, link::Peer& peer, Digest tree, CancelToken cancel)
      : loop_(loop), peer_(peer), tree_(tree), cancel_(std::move(cancel)) {}

  std::unique_ptr<plugin::ByteStream> nodes(const std::vector<Digest>& digests) override {
    return open(link::method::local_nodes, digests);
  }
  std::unique_ptr<plugin::ByteStream> contents(const std::vector<Digest>& digests) override {
    return open(link::method::local_contents, digests);
  }

 private:
  class Bytes final : public plugin::ByteStream {
   public:
    Bytes(std::shared_ptr<link::Stream> stream, const CancelToken& cancel)
        : stream_(std::move(stream)), on_cancel_(cancel.on_cancel([s = stream_] { s->cancel(); })) {}
    std::size_t read(void* buffer, std::size_t size) override {
      if (at_ == chunk_.size()) {
        chunk_ = stream_->read();
        at_ = 0;
      }
      const auto n = std::min(size, chunk_.size() - at_);
      std::memcpy(buffer, chunk_.data() + at_, n);
      at_ += n;
      return n;
    }

   private:
    std::shared_ptr<link::Stream> stream_;
    CancelToken::Subscription on_cancel_;
    std::string chunk_;
    std::size_t at_ = 0;
  };

  std::unique_ptr<plugin::ByteStream> open(const char* method, const std::vector<Digest>& digests) {
    const auto request = cbor::pack(link::LocalRequest{tree_, digests});
    auto stream =
        run_elsewhere([&](auto work) { loop_.post(std::move(work)); }, [&] { return peer_.open(method, request); });
    return std::make_unique<Bytes>(std::move(stream), cancel_);
  }

  Loop& loop_;
  link::Peer& peer_;
  Digest tree_;
  CancelToken cancel_;
};

}  // namespace

Task<link::Empty> ConnectedSession::sync_local(link::SyncRequest request, CancelToken cancel) {
  if (request.hint.size() > max_hint)  // it is kept
    throw Error(Code::invalid_argument, "the name of a host directory's place has " +
                                            std::to_string(request.hint.size()) + " bytes, over the limit of " +
                                            std::to_string(max_hint));
  auto op = dag::digested({dag::Local{request.tree}, {}});
  const auto digest = op.digest;
  std::vector<dag::DigestedOp> ops;
  ops.push_back(std::move(op));
  co_await add_ops(std::move(ops));
  const dag::Vertex& vertex = *graph_->find(digest);
  if (!solver_.store().find(vertex.key)) {
    first_mention(vertex.digest);  // not shown as a hit afterwards
    auto received = receive_tree(vertex, request, std::move(cancel));
    co_await watched(vertex.digest, request.name, std::move(received));
  } else if (first_mention(vertex.digest)) {
    link::Event e;
    e.kind = link::EventKind::finished;
    e.op = vertex.digest;
    e.name = request.name;
    e.outcome = link::Outcome::cached;
    e.reason = "definition";
    event(e);
  }
  co_return {};
}

Task<Unit> ConnectedSession::receive_tree(const dag::Vertex& vertex, const link::SyncRequest& request,
                                          CancelToken cancel) {
  LinkTreeSource source(loop_, *peer_, request.tree, cancel);
  const auto owner = std::make_shared<solver::ClientOwner>(*this, vertex.digest, cancel, questions_);
  solver::Call call(loop_, owner, cancel);
  const auto layer = co_await on_pool(loop_, transfers(), [&] {
    return store::make_local_tree(solver_.store(), request.tree, request.hint, source, call);
  });
  store::Record record;
  record.key = vertex.key;
  record.kind = dag::kind_name(vertex.op);
  record.parts = vertex.parts;
  record.outputs.push_back({"", -1, layer});
  solver_.store().put(std::move(record));
  co_return Unit{};
}

}  // namespace dagger::runner
