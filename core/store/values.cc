#include "core/store/values.h"

#include <algorithm>
#include <ctime>

#include "core/store/database.h"
#include "core/store/journal.h"

namespace dagger::store {
namespace {

constexpr std::int64_t week = 7 * 24 * 3600;
constexpr std::int64_t touch_after = 3600;
constexpr const char* expiring[] = {"recipe", "op"};

bool expires(const std::string& table) { return std::ranges::find(expiring, table) != std::end(expiring); }

}  // namespace

void Values::put(const std::string& table, const std::string& key, std::string value) {
  journal_.add(PutValue{table, key, std::move(value)});
}

std::optional<std::string> Values::get(const std::string& table, const std::string& key) {
  if (auto pending = journal_.pending_value(table, key)) return pending;
  auto found = database_.value(table, key);
  if (!found) return std::nullopt;
  if (expires(table) && found->used_unix + touch_after < std::time(nullptr)) journal_.add(TouchValue{table, key});
  return std::move(found->data);
}

void Values::expire() {
  database_.expire_values({std::begin(expiring), std::end(expiring)}, std::time(nullptr) - week);
}

}  // namespace dagger::store
