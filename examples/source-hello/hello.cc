// source-hello: "hello:NAME" is a directory with one file, hello.txt, that greets NAME.
//
// A whole plugin: a settings schema, pinning, delivering a directory, an error with a remedy.
#include <dagger/plugin/export.h>
#include <dagger/plugin/source.h>
#include <fcntl.h>
#include <sys/stat.h>

using namespace dagger;
using namespace dagger::plugin;

namespace {

// The value of "greeting" in the settings. The host has checked the text against the schema, so that a real plugin
// hands it to its JSON library without fear; this example needs none.
std::string greeting_in(std::string_view settings) {
  const auto key = settings.find("\"greeting\"");
  if (key == std::string_view::npos) return "hello";
  const auto start = settings.find('"', settings.find(':', key)) + 1;
  return std::string(settings.substr(start, settings.find('"', start) - start));
}

std::string hex(std::string_view text) {
  std::string out;
  for (const unsigned char c : text) (out += "0123456789abcdef"[c >> 4]) += "0123456789abcdef"[c & 15];
  return out;
}

class HelloSource final : public Source {
 public:
  static constexpr char settings_schema[] = R"({
    "description": "hello:NAME is a directory with a file that greets NAME",
    "type": "object", "additionalProperties": false, "properties": {
      "greeting": {"type": "string", "minLength": 1, "maxLength": 100, "default": "hello", "description": "the word before the name"}}})";

  HelloSource(Host& host, std::string_view settings) : greeting_(greeting_in(settings)) {
    if (greeting_.find('\\') != std::string::npos)
      throw Error(Code::invalid_argument, "greeting: write it without backslashes");
    host.log(LogLevel::debug, "greets with " + greeting_);
  }
  std::string_view config_schema() const noexcept override { return settings_schema; }
  std::vector<std::string> schemes() const override { return {"hello"}; }

  // The content depends on the text alone, so the text is the pin. A digest goes into cache keys: equal digests, equal
  // content.
  PinResult pin(const SourceRef& ref, const std::optional<Pin>&, SourceSink&, CallContext& ctx) override {
    check(ref, ctx);
    PinResult result;
    result.pin.digest = "hello:" + hex(text(ref));
    result.pin.identity = "hello:" + ref.location;
    result.shape = SourceShape::file;
    result.file_name = "hello.txt";
    result.layers.emplace_back();
    result.layers[0].id = result.pin.digest;
    return result;
  }

  void fetch(const SourceRef& ref, const Pin& pin, const SourceLayer& layer, SourceSink& sink,
             CallContext& ctx) override {
    check(ref, ctx);
    if (pin.digest != "hello:" + hex(text(ref)))
      throw Error(Code::not_found, "the greeting has changed since; pin the reference again");
    if (sink.have(layer)) return;
    const auto directory = sink.directory(layer);
    const UniqueFd file(::openat(directory->fd(), "hello.txt", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
    const auto line = text(ref);
    if (!file || ::write(file.get(), line.data(), line.size()) != static_cast<ssize_t>(line.size()))
      throw Error(Code::internal, "cannot write hello.txt");
    directory->done();
  }

 private:
  static void check(const SourceRef& ref, const CallContext& ctx) {
    if (ctx.cancelled()) throw Error(Code::cancelled, "cancelled");
    if (ref.scheme != "hello")
      throw Error(Code::unsupported, "scheme '" + ref.scheme + "' is not served by the hello source");
    if (ref.location.empty() || ref.location.size() > 1000)
      throw Error(Code::invalid_argument,
                  "\"hello:" + ref.location.substr(0, 20) + "\" greets nobody; write hello:NAME");
  }
  std::string text(const SourceRef& ref) const { return greeting_ + ", " + ref.location + "\n"; }

  const std::string greeting_;
};

}  // namespace

DAGGER_PLUGIN(dagger::plugin::Source, HelloSource, "hello", "1.0.0", "Example Ltd");
