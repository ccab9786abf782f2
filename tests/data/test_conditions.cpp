// Labels and columns of a data set.
#include <gtest/gtest.h>

#include "cuvae/standardization.h"
#include "error_text.h"
#include "small_training.h"

namespace cuvae {
namespace {
using namespace test;

using Floats = std::vector<float>;

TEST(Conditions, OfLabelsAreOneHot) {
  const Dataset data = small_data(4), labelled = data.with_labels({2, 0, 0, 1});
  EXPECT_EQ(data.condition(), ConditionKind::none);
  EXPECT_EQ(data.conditions(), nullptr);
  EXPECT_TRUE(data.condition_rows(0, 4).empty());
  ASSERT_EQ(labelled.condition(), ConditionKind::labels);
  EXPECT_EQ(labelled.conditions()->rows(), 4);
  EXPECT_EQ(labelled.conditions()->cols(), 3);
  EXPECT_EQ(labelled.condition_rows(0, 4), (Floats{0, 0, 1, 1, 0, 0, 1, 0, 0, 0, 1, 0}));
  EXPECT_EQ(data.with_labels({2, 0, 0, 1}, 5).condition_rows(3, 1), (Floats{0, 1, 0, 0, 0}));
}

TEST(Conditions, OfColumnsAreTheirNumbers) {
  const Dataset floats = small_data(2).with_conditions(Dataset::from_memory(Floats{-1.5f, 3, 0, 1e9f}, 2, 2)),
                bytes = small_data(2).with_conditions(Dataset::from_memory(std::vector<std::uint8_t>{1, 255}, 2, 1));
  EXPECT_EQ(floats.condition(), ConditionKind::columns);
  EXPECT_EQ(floats.condition_rows(1, 1), (Floats{0, 1e9f}));
  EXPECT_EQ(bytes.condition_rows(0, 2), (Floats{1, 255}));
}

TEST(Conditions, StayWithTheExamples) {
  const Dataset data = small_data(3).with_labels({0, 1, 2});
  EXPECT_EQ(data.divided_by(7).condition_rows(0, 3), data.condition_rows(0, 3));
  const Standardization s = Standardization::of(data, {0, 1, 2});
  EXPECT_EQ(s.apply(data).condition_rows(0, 3), data.condition_rows(0, 3));
  EXPECT_EQ(s.apply(data).condition(), ConditionKind::labels);
}

TEST(Conditions, CountInTheChecksum) {
  const Dataset data = small_data(3);
  EXPECT_NE(data.crc32(), data.with_labels({0, 1, 2}).crc32());
  EXPECT_NE(data.with_labels({0, 2, 1}).crc32(), data.with_labels({0, 1, 2}).crc32());
  EXPECT_EQ(data.with_labels({0, 1, 2}).crc32(), data.with_labels({0, 1, 2}).crc32());
}

TEST(Conditions, OfOtherExamplesAreRefused) {
  const Dataset data = small_data(3);
  expect_error([&] { data.with_labels({0, 1}); }, "memory: has 3 examples but there are 2 labels");
  expect_error([&] { data.with_labels({0, 1, 3}, 3); }, "memory: example 2 has the label 3 but the classes are 0 to 2");
  expect_error([&] { data.with_conditions(Dataset::from_memory(Floats(8), 4, 2)); },
               "memory: has 3 examples but there are 4 rows of conditions");
}

}  // namespace
}  // namespace cuvae
