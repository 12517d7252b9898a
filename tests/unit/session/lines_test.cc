#include "cli/render/lines.h"

#include <gtest/gtest.h>

namespace dagger::cli {
namespace {

link::Event event(const char* op, link::EventKind kind, std::string text = "", std::int64_t ms = 0) {
  link::Event e;
  e.op = Digest::of(op);
  e.kind = kind;
  if (kind == link::EventKind::started) e.name = op;
  e.text = std::move(text);
  e.time_us = 1'000'000 + ms * 1000;
  return e;
}

TEST(Lines, NumberStepsAndSeparateThem) {
  Lines lines;
  using link::EventKind;
  EXPECT_EQ(lines.add(event("exec a", EventKind::started)), "1: exec a\n");
  EXPECT_EQ(lines.add(event("exec a", EventKind::log, "hel", 50)), "");
  EXPECT_EQ(lines.add(event("exec a", EventKind::log, "lo\nrest", 50)), "1: [0.05s] hello\n");
  EXPECT_EQ(lines.add(event("exec b", EventKind::started)), "1: ...\n\n2: exec b\n");
  auto failed = event("exec b", EventKind::finished, "exit code: 1\nmore");
  failed.outcome = link::Outcome::failed;
  EXPECT_EQ(lines.add(failed), "2: exec b ERROR: exit code: 1\n");
  EXPECT_EQ(lines.add(event("exec a", EventKind::finished, "", 100)), "\n1: exec a\n1: [0.10s] rest\n1: exec a DONE\n");
}

TEST(Lines, SayOnceThatAResultIsThere) {
  Lines lines;
  lines.add(event("exec a", link::EventKind::started));
  lines.add(event("exec a", link::EventKind::finished));
  auto again = event("exec a", link::EventKind::finished);
  again.outcome = link::Outcome::cached;
  EXPECT_EQ(lines.add(again), "");
  EXPECT_EQ(lines.add(event("exec b", link::EventKind::started)), "\n2: exec b\n");
}

TEST(Lines, SayWhyAStepRunsAndThatItWasCached) {
  Lines lines;
  auto started = event("exec a", link::EventKind::started);
  started.reason = "environment variable FOO changed";
  EXPECT_EQ(lines.add(started), "1: exec a\n1: > environment variable FOO changed\n");
  auto cached = event("pull x", link::EventKind::finished);
  cached.name = "pull x";
  cached.outcome = link::Outcome::cached;
  EXPECT_EQ(lines.add(cached), "1: ...\n\n2: pull x\n2: pull x CACHED\n");
}

}  // namespace
}  // namespace dagger::cli
