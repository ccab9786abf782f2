// Missing values in files and data sets: NaN, empty fields of CSV, and a value that stands for them.
#include <gtest/gtest.h>

#include <cmath>

#include "cuvae/dataset.h"
#include "dataset_files.h"
#include "error_text.h"
#include "temp_dir.h"

namespace cuvae {
namespace {
using namespace test;

std::vector<float> values(const Dataset& data) {
  std::vector<float> all;
  for (Index i = 0; i < data.rows(); ++i)
    for (const float v : data.row(i)) all.push_back(v);
  return all;
}
/// Expects these values; -99 stands for a missing one.
void expect_values(const Dataset& data, std::vector<float> want) {
  std::vector<float> got = values(data);
  for (float& v : got) v = std::isnan(v) ? -99 : v;
  EXPECT_EQ(got, want);
  EXPECT_EQ(data.nans(), NaNs::missing);
}

TEST(MissingData, NaNOfAnArray) {
  const TempDir dir;
  write(dir / "x.npy", npy(1, npy_dict("<f4", "(2, 2)"), float_bytes({1, NAN, 3, 4}, std::endian::little)));
  expect_values(Dataset::open(dir / "x.npy", Split::train, {}, NaNs::missing), {1, -99, 3, 4});
  expect_error([&] { Dataset::open(dir / "x.npy", Split::train); }, "value 1 of example 0 is nan, but must be finite");
  write(dir / "inf.npy", npy(1, npy_dict("<f4", "(1, 2)"), float_bytes({NAN, INFINITY}, std::endian::little)));
  expect_error([&] { Dataset::open(dir / "inf.npy", Split::train, {}, NaNs::missing); },
               "value 1 of example 0 is inf, but must be finite");
}

TEST(MissingData, FieldsOfATable) {
  const TempDir dir;
  const auto table = [&](const std::string& text) {
    write(dir / "x.csv", text);
    return Dataset::open(dir / "x.csv", Split::train, {}, NaNs::missing);
  };
  expect_values(table("a,b,c\n1,,3\nNA,nan,6\n"), {1, -99, 3, -99, -99, 6});
  expect_values(table("1;;3\n;;\n"), {1, -99, 3, -99, -99, -99});
  expect_values(table("1 ? 3\n4 5 -\n"), {1, -99, 3, 4, 5, -99});
  expect_error([&] { table("1,2\n3,x\n"); }, "line 2, column 2: \"x\" is not a number");
  expect_error([&] { table("1,2\n3,inf\n"); }, "line 2, column 2: \"inf\" is not finite");
}

TEST(MissingData, AValueThatStandsForThem) {
  const Dataset floats = Dataset::from_memory(std::vector<float>{-1, 2, NAN, 4}, 2, 2, NaNs::missing);
  expect_values(floats.with_missing(-1), {-99, 2, -99, 4});
  EXPECT_EQ(floats.with_missing(-1).missing_value(), -1.0f);
  EXPECT_EQ(floats.missing_value(), std::nullopt);
  expect_values(floats.divided_by(2).with_missing(-1), {-99, 1, -99, 2});

  const Dataset bytes = Dataset::from_memory(std::vector<std::uint8_t>{0, 255, 51, 102}, 2, 2);
  expect_values(bytes.with_missing(255), {0, -99, 51 / 255.0f, 102 / 255.0f});
  expect_values(bytes.with_missing(1000), {0, 1, 51 / 255.0f, 102 / 255.0f});
  expect_values(bytes.divided_by(102).with_missing(51), {0, 2.5f, -99, 1});
  // Of 0/1 masks, 255 is beyond the scale; of levels 0, 1 and 5, the division keeps uint8 until then.
  const Dataset masks = Dataset::from_memory(std::vector<std::uint8_t>{0, 1, 255, 1}, 2, 2);
  expect_values(masks.divided_by(1).with_missing(255), {0, 1, -99, 1});
  const Dataset levels = Dataset::from_memory(std::vector<std::uint8_t>{0, 1, 5, 2}, 2, 2);
  EXPECT_EQ(levels.divided_by(5).dtype(), DType::u8);
  expect_values(levels.divided_by(5).with_missing(1), {0, -99, 1, 0.4f});
  EXPECT_EQ(levels.divided_by(5).with_missing(1).pixel_scale(), 5);
}

TEST(MissingData, StatisticsAreOfTheOtherValues) {
  const Dataset data = Dataset::from_memory(std::vector<float>{NAN, 0.5f, 0.25f, NAN, 0.75f, 1}, 3, 2, NaNs::missing);
  EXPECT_EQ(data.range(), (std::pair{0.25f, 1.0f}));
  EXPECT_EQ(data.column_means(), (std::vector<float>{0.5f, 0.75f}));
  EXPECT_EQ(data.mean(1), 0.75);
  EXPECT_TRUE(data.within_unit_interval());
  EXPECT_FALSE(Dataset::from_memory(std::vector<float>{NAN, 2}, 1, 2, NaNs::missing).within_unit_interval());
  const Dataset none = Dataset::from_memory(std::vector<float>{NAN, 1}, 1, 2, NaNs::missing);
  expect_error([&] { none.column_means(); }, "memory: column 0 has no value that is not missing");
  expect_error([&] { none.mean(0); }, "memory: column 0 has no value that is not missing");
}

TEST(MissingData, ErrorsNameTheReason) {
  const Dataset bytes = Dataset::from_memory(std::vector<std::uint8_t>{0, 1, 255, 1}, 2, 2);
  expect_error(
      [&] { bytes.with_missing(255); },
      "memory: the largest uint8 value is 1, but values are divided by 255: for 0/1 masks, give the pixel scale 1");
  expect_error([&] { bytes.with_missing(NAN); }, "memory: the missing value is nan but must be finite");
  const Dataset marked = bytes.divided_by(1).with_missing(255);
  expect_error([&] { marked.with_missing(1); }, "memory: the missing value is already 255");
  expect_error([&] { marked.divided_by(2); }, "memory: is already divided by 1");
  expect_error(
      [&] {
        Dataset::from_memory(std::vector<float>{1, 2}, 1, 2).with_missing(1).divided_by(2);
      },
      "memory: must be divided before the missing value is given");
}

}  // namespace
}  // namespace cuvae
