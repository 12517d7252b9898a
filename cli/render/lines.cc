#include "cli/render/lines.h"

#include <cstdio>

namespace dagger::cli {
namespace {

constexpr std::size_t max_line = 16 << 10;

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

std::string since(std::int64_t from_us, std::int64_t to_us) {
  char text[32];
  std::snprintf(text, sizeof text, "[%.2fs] ", static_cast<double>(to_us - from_us) / 1e6);
  return text;
}

std::string outcome_text(const link::Event& event) {
  switch (event.outcome) {
    case link::Outcome::done:
      return " DONE";
    case link::Outcome::cached:
      return " CACHED";
    case link::Outcome::cancelled:
      return " CANCELED";
    case link::Outcome::failed:
      return " ERROR: " + first_line(event.text);
  }
  return {};
}

}  // namespace

void Lines::take_floor(const Digest& op, Step& step, std::string& out) {
  if (anything_ && floor_ == op) return;
  if (floor_open_)
    if (const auto other = running_.find(floor_); other != running_.end())
      out += std::to_string(other->second.number) + ": ...\n";
  if (anything_) out += '\n';
  if (step.number == 0) step.number = ++steps_;
  out += std::to_string(step.number) + ": " + step.name + "\n";
  floor_ = op;
  floor_open_ = true;
  anything_ = true;
}

void Lines::add_log(const link::Event& event, Step& step, std::string& out) {
  step.partial += event.text;
  std::size_t at = 0;
  const auto prefix = std::to_string(step.number) + ": " + since(step.started_us, event.time_us);
  for (auto end = step.partial.find('\n'); end != std::string::npos; end = step.partial.find('\n', at)) {
    out += prefix + step.partial.substr(at, end - at) + "\n";
    at = end + 1;
  }
  step.partial.erase(0, at);
  if (step.partial.size() > max_line) out += prefix + std::exchange(step.partial, {}) + "\n";
}

std::string Lines::add(const link::Event& event) {
  std::string out;
  if (event.outcome == link::Outcome::cached && finished_.contains(event.op)) return out;
  auto& step = running_[event.op];
  if (!event.name.empty()) step.name = first_line(event.name);
  if (step.started_us == 0) step.started_us = event.time_us;
  take_floor(event.op, step, out);
  const auto number = std::to_string(step.number) + ": ";
  switch (event.kind) {
    case link::EventKind::started:
      if (!event.reason.empty()) out += number + "> " + first_line(event.reason) + "\n";
      break;
    case link::EventKind::progress:
      if (const auto what = first_line(event.text); what != step.shown_progress) {
        step.shown_progress = what;
        out += number + what + "\n";
      }
      break;
    case link::EventKind::log:
      add_log(event, step, out);
      break;
    case link::EventKind::finished:
      if (!step.partial.empty())
        out += number + since(step.started_us, event.time_us) + std::exchange(step.partial, {}) + "\n";
      out += number + step.name + outcome_text(event) + "\n";
      running_.erase(event.op);
      finished_.insert(event.op);
      floor_ = {};
      floor_open_ = false;
      break;
  }
  return out;
}

}  // namespace dagger::cli
