#include "core/plugin/isolation/host/server.h"

#include "core/base/threads.h"
#include "core/plugin/guard_call.h"
#include "core/plugin/isolation/host/engine_call.h"

namespace dagger::plugin::isolation {
namespace {

Method method_of(const Message& call) { return static_cast<Method>(call.what); }

// Waits until the engine has done with an object: serve(method, body) for each call but the last, which destroys it.
template <class Serve>
bool lend(Channel& channel, const Serve& serve) {
  while (auto message = channel.receive()) {
    if (message->kind != Kind::call) return false;
    if (method_of(*message) == Method::close) return true;
    serve(*message);
  }
  return false;
}

Attached describe(const Attachment& a, std::vector<int>& fds) {
  Attached known;
  known.netns = a.netns(), known.addresses = a.addresses(), known.resolv_conf = a.resolv_conf(),
  known.hosts = a.hosts();
  if (const int fd = a.netns_fd(); fd >= 0) known.has_netns = true, fds.push_back(fd);
  if (const int fd = a.lost_fd(); fd >= 0) known.has_lost = true, fds.push_back(fd);
  return known;
}

}  // namespace

Started describe(const LoadedPlugin& plugin) {
  return detail::translated([&] {
    Started s;
    s.config_schema = plugin.instance->config_schema();
    const auto& kind = plugin.manifest.kind;
    Plugin& p = *plugin.instance;
    if (kind == Source::kind) s.offered = static_cast<Source&>(p).schemes();
    if (kind == SecretProvider::kind) s.offered = static_cast<SecretProvider&>(p).schemes();
    if (kind == Network::kind) s.offered = {static_cast<Network&>(p).network_class()};
    if (kind == CacheStore::kind) s.traits = static_cast<CacheStore&>(p).traits();
    return s;
  });
}

Server::Server(Plugin& plugin, const Manifest& manifest)
    : plugin_(plugin), kind_(manifest.kind), label_(manifest.label()) {}

Server::~Server() {
  for (auto& worker : workers_) worker.thread.join();
}

void Server::serve(UniqueFd channel, UniqueFd cancel) {
  for (auto it = workers_.begin(); it != workers_.end();) {
    if (!it->done) {
      ++it;
      continue;
    }
    it->thread.join();
    it = workers_.erase(it);
  }
  auto& worker = workers_.emplace_back();
  worker.thread = start_thread(
      "plugin-call", [this, &worker, socket = std::move(channel), cancelled = std::move(cancel)]() mutable {
        Channel open(std::move(socket));
        try {
          run(open, cancelled.get());
        } catch (const Error&) {  // the engine is gone, or does not wait for this call any more
        }
        worker.done = true;
      });
}

void Server::run(Channel& channel, int cancel) const {
  while (const auto call = channel.receive())
    if (call->kind != Kind::call || !handle(channel, cancel, *call)) return;
}

bool Server::handle(Channel& channel, int cancel, const Message& call) const {
  try {
    if (kind_ == Network::kind) return handle_network(channel, cancel, call);
    if (kind_ == CacheStore::kind) return handle_cache(channel, cancel, call);
    kind_ == Source::kind ? handle_source(channel, cancel, call) : handle_secret(channel, cancel, call);
  } catch (const Error& e) {
    channel.fail(e);
  }
  return true;
}

void Server::handle_source(Channel& channel, int cancel, const Message& call) const {
  auto& source = static_cast<Source&>(plugin_);
  EngineCall engine(channel, cancel);
  EngineSink sink(engine);
  if (method_of(call) == Method::pin) {
    const auto args = cbor::unpack<PinCall>(call.body);
    const Blame blame(label_.c_str(), "pin");
    const auto last = args.last.empty() ? std::nullopt : std::optional(args.last[0]);
    const auto result = detail::translated([&] { return source.pin(args.ref, last, sink, engine); });
    return channel.send(Kind::reply, call.what, cbor::pack(result));
  }
  const auto args = cbor::unpack<FetchCall>(call.body);
  const Blame blame(label_.c_str(), "fetch");
  detail::translated([&] { source.fetch(args.ref, args.pin, args.layer, sink, engine); });
  channel.send(Kind::reply, call.what, "");
}

void Server::handle_secret(Channel& channel, int cancel, const Message& call) const {
  const auto args = cbor::unpack<OpenCall>(call.body);
  EngineCall engine(channel, cancel);
  const Blame blame(label_.c_str(), "open");
  const auto fd =
      detail::translated([&] { return static_cast<SecretProvider&>(plugin_).open(args.scheme, args.rest, engine); });
  channel.send(Kind::reply, call.what, "", fd ? std::vector{fd.get()} : std::vector<int>());
}

bool Server::handle_network(Channel& channel, int cancel, const Message& call) const {
  const auto request = cbor::unpack<NetworkRequest>(call.body);
  std::unique_ptr<Attachment> attachment;
  std::vector<int> fds;
  Attached known;
  {
    EngineCall engine(channel, cancel);
    const Blame blame(label_.c_str(), "attach");
    detail::translated([&] {
      attachment = static_cast<Network&>(plugin_).attach(request, engine);
      if (attachment) known = describe(*attachment, fds);
    });
  }
  channel.send(Kind::reply, call.what, attachment ? cbor::pack(known) : std::string(), fds);
  if (!attachment) return true;
  const bool closed = lend(channel, [&](const Message&) { channel.fail(Error(Code::internal, "no such method")); });
  detail::destroy(label_, attachment);
  if (closed) channel.send(Kind::reply, Method::close, "");
  return closed;
}

bool Server::handle_cache(Channel& channel, int cancel, const Message& call) const {
  auto& cache = static_cast<CacheStore&>(plugin_);
  EngineCall engine(channel, cancel);
  const auto run = [&](const char* name, auto&& f) {
    const Blame blame(label_.c_str(), name);
    return detail::translated(f);
  };
  const auto reply = [&](std::string_view body) { channel.send(Kind::reply, call.what, body); };
  switch (method_of(call)) {
    case Method::records: {
      const auto keys = cbor::unpack<Texts>(call.body).texts;
      reply(cbor::pack(Records{run("records", [&] { return cache.records(keys, engine); })}));
      return true;
    }
    case Method::put_record: {
      const auto a = cbor::unpack<PutRecordCall>(call.body);
      run("put_record", [&] { cache.put_record(a.key, a.record, a.blobs, engine); });
      break;
    }
    case Method::missing: {
      const auto digests = cbor::unpack<Texts>(call.body).texts;
      reply(cbor::pack(Texts{run("missing", [&] { return cache.missing(digests, engine); })}));
      return true;
    }
    case Method::write_blob: {
      const auto a = cbor::unpack<WriteBlobCall>(call.body);
      EngineStream stream(engine);
      run("write_blob", [&] { cache.write_blob(a.digest, a.size, stream, engine); });
      break;
    }
    case Method::touch: {
      const auto names = cbor::unpack<Texts>(call.body).texts;
      run("touch", [&] { cache.touch(names, engine); });
      break;
    }
    case Method::read_blob: {
      const auto a = cbor::unpack<ReadBlobCall>(call.body);
      auto stream = run("read_blob", [&] { return cache.read_blob(a.digest, a.offset, a.length, engine); });
      reply(cbor::pack(Number{stream ? 1U : 0U}));
      return !stream || lend_stream(channel, std::move(stream));
    }
    default:
      throw Error(Code::internal, "no such method");
  }
  reply("");
  return true;
}

bool Server::lend_stream(Channel& channel, std::unique_ptr<ByteStream> stream) const {
  const bool closed = lend(channel, [&](const Message& call) {
    const Blame blame(label_.c_str(), "ByteStream::read");
    send_piece(channel, *stream, call.body);
  });
  detail::destroy(label_, stream);
  if (closed) channel.send(Kind::reply, Method::close, "");
  return closed;
}

}  // namespace dagger::plugin::isolation
