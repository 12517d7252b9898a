#include "core/session/id_store.h"

#include <algorithm>
#include <array>

namespace dagger::session {
namespace {

constexpr std::array<std::pair<std::string_view, std::string_view>, 11> letters = {{{"Container", "container"},
                                                                                    {"Directory", "dir"},
                                                                                    {"File", "file"},
                                                                                    {"Secret", "secret"},
                                                                                    {"CacheVolume", "cache"},
                                                                                    {"Host", "host"},
                                                                                    {"Query", "query"},
                                                                                    {"EnvVariable", "env"},
                                                                                    {"Label", "label"},
                                                                                    {"GitRepository", "git"},
                                                                                    {"GitRef", "gitref"}}};
constexpr std::size_t digest_letters = 26;  // 130 bits
constexpr std::size_t max_shown = 80;

// The beginning of an id, for errors; not cut within a character.
std::string shown(std::string_view id, std::size_t most) {
  if (id.size() <= most) return "\"" + std::string(id) + "\"";
  while (most > 0 && (static_cast<unsigned char>(id[most]) & 0xc0) == 0x80) --most;
  return "\"" + std::string(id.substr(0, most)) + "...\"";
}

[[noreturn]] void malformed(std::string_view id) {
  if (id.empty()) throw Error(Code::invalid_argument, "cannot decode empty string as ID");
  const auto zero = id.find('\0');
  throw Error(Code::invalid_argument, "malformed ID: " + shown(id, std::min(zero, max_shown)) +
                                          (zero == std::string_view::npos ? "" : " holds a zero byte"));
}

}  // namespace

std::string make_id(std::string_view kind, std::string_view body) {
  const auto* const at = std::ranges::find(letters, kind, [](const auto& entry) { return entry.first; });
  cbor::Writer hashed;
  hashed.array(2).text(kind).bytes(body);
  const auto digest = to_base32(Digest::of(hashed.str()).raw()).substr(0, digest_letters);
  return std::string(at->second) + "-" + digest;
}

std::string kind_of_id(std::string_view id) {
  const auto dash = id.find('-');
  if (dash == std::string_view::npos || id.size() != dash + 1 + digest_letters ||
      id.find_first_not_of("abcdefghijklmnopqrstuvwxyz234567", dash + 1) != std::string_view::npos)
    malformed(id);
  const auto* const at = std::ranges::find(letters, id.substr(0, dash), [](const auto& entry) { return entry.second; });
  if (at == letters.end()) malformed(id);
  return std::string(at->first);
}

Task<std::string> IdStore::keep(link::Recipe recipe, CancelToken cancel) {
  const auto id = recipe.id;
  if (bodies_.contains(id)) co_return id;
  const auto body = recipe.body;
  co_await runner_.put_recipe(std::move(recipe), std::move(cancel));
  bodies_.emplace(id, body);
  co_return id;
}

Task<std::string> IdStore::find(std::string id, std::string kind, CancelToken cancel) {
  if (const auto actual = kind_of_id(id); actual != kind)
    throw Error(Code::invalid_argument, "ID type mismatch: " + actual + " != " + kind);
  if (const auto at = bodies_.find(id); at != bodies_.end()) co_return at->second;
  const auto recipe = co_await runner_.get_recipe(id, std::move(cancel));
  if (recipe.kind != kind || make_id(recipe.kind, recipe.body) != id)
    throw Error(Code::corrupt_data, "the runner answered with another object than the one behind id \"" + id + "\"");
  bodies_.emplace(std::move(id), recipe.body);
  co_return recipe.body;
}

}  // namespace dagger::session
