// Which ops the runner still needs, and in which parcels.
#include "core/session/op_table.h"

#include <gtest/gtest.h>

namespace dagger::session {
namespace {

dag::Op write(std::string path, dag::Ref base) {
  dag::Write fields;
  fields.path = std::move(path);
  fields.data = std::string(1000, 'x');
  return {std::move(fields), {std::move(base)}};
}

class Parcels : public ::testing::Test {
 protected:
  // A chain of writes on an empty tree; the last one.
  dag::Ref chain(int length) {
    auto last = table.add(dag::Op{dag::Scratch{}, {}});
    for (int i = 0; i < length; ++i) last = table.add(write("/" + std::to_string(i), last));
    return last;
  }
  OpTable table;
};

TEST_F(Parcels, AreOfABoundedSizeAndComeAfterWhatTheyNeed) {
  const auto needed = table.take_unsent({chain(10).op}, 2500);
  ASSERT_EQ(needed.parcels.size(), 5U);
  EXPECT_TRUE(needed.on_their_way.empty());
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_LE(needed.parcels[i].ops.size(), 3U);
    EXPECT_EQ(needed.parcels[i].after,
              i == 0 ? std::vector<std::uint64_t>{} : std::vector{needed.parcels[i - 1].number});
  }
}

TEST_F(Parcels, HoldOneOpThatIsLargerThanTheyMayBe) {
  EXPECT_EQ(table.take_unsent({chain(3).op}, 10).parcels.size(), 4U);
}

TEST_F(Parcels, AreNamedToWhoeverNeedsWhatIsInThemAndToNobodyElse) {
  const auto base = chain(1);
  const auto first = table.take_unsent({base.op}, 1 << 20);
  const auto other = table.add(dag::Op{dag::Merge{}, {}});
  EXPECT_TRUE(table.take_unsent({other.op}, 1 << 20).on_their_way.empty());
  const auto user = table.take_unsent({table.add(write("/more", base)).op}, 1 << 20);
  ASSERT_EQ(user.parcels.size(), 1U);
  EXPECT_EQ(user.parcels[0].after, std::vector{first.parcels[0].number});
}

TEST_F(Parcels, ThatWereGivenBackAreTakenAgainWithTheirEncodings) {
  const auto root = chain(1).op;
  const auto ops = table.take_unsent({root}, 1 << 20).parcels.at(0).ops;
  auto encodings = table.encodings(ops);
  const auto before = encodings;
  table.give_back(ops, std::move(encodings));
  const auto again = table.take_unsent({root}, 1 << 20).parcels.at(0).ops;
  EXPECT_EQ(again, ops);
  EXPECT_EQ(table.encodings(again), before);
  table.confirm(again);
  EXPECT_TRUE(table.take_unsent({root}, 1 << 20).parcels.empty());
}

}  // namespace
}  // namespace dagger::session
