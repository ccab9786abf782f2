// The range of data: divisions, and data that training and evaluation refuse, with a remedy in the message.
#include "data/check_data.h"

#include <gtest/gtest.h>

#include "error_text.h"
#include "small_training.h"

namespace cuvae::test {
namespace {

using Bytes = std::vector<std::uint8_t>;

Dataset floats(std::vector<float> values) {
  const auto rows = static_cast<Index>(values.size() / 3);
  return Dataset::from_memory(std::move(values), rows, 3);
}
Dataset bytes(Bytes values) {
  const auto rows = static_cast<Index>(values.size() / 3);
  return Dataset::from_memory(std::move(values), rows, 3);
}

VaeConfig model_of(Likelihood likelihood) {
  VaeConfig model = small_model();
  model.data_dim = model.image_width = 3;
  model.image_height = 1;
  model.likelihood = likelihood;
  return model;
}
const VaeConfig kBernoulli = model_of(Likelihood::bernoulli), kGaussian = model_of(Likelihood::gaussian);

std::string refusal(const Dataset& data, const VaeConfig& model = kBernoulli, Binarize binarize = Binarize::none) {
  return error_text([&] { check_data_fits(data, model, binarize); });
}

TEST(CheckData, NamesTheFirstValueOutsideItsPlaceAndTheWayOut) {
  EXPECT_EQ(refusal(floats({0, 1, 0.5F, 0, 173.5F, 200})),
            "memory: row 1, column 1 is 173.5, but a bernoulli likelihood needs values in [0, 1]: divide by 255 "
            "(--pixel-scale 255), or use another one (--likelihood gaussian)");
  EXPECT_NE(refusal(floats({0, 4095, 2})).find("row 0, column 1 is 4095, but"), std::string::npos);
  EXPECT_NE(refusal(floats({0, 4095, 2})).find("divide by 4095 (--pixel-scale 4095)"), std::string::npos);
  EXPECT_NE(refusal(floats({16, 3, 2})).find("divide by 16 (--pixel-scale 16)"), std::string::npos);
  EXPECT_NE(refusal(floats({0.5F, -1, 1})).find("row 0, column 1 is -1, but"), std::string::npos);
  EXPECT_NE(refusal(floats({0.5F, -1, 1})).find("map [-1, 1] to [0, 1] by (x + 1) / 2"), std::string::npos);
  EXPECT_NE(refusal(floats({0.5F, -7, 1})).find("map the data to [0, 1]"), std::string::npos);
}

TEST(CheckData, BinarizationNeedsTheUnitIntervalToo) {
  const Dataset data = floats({0, 12, 3});
  for (const Binarize mode : {Binarize::threshold, Binarize::stochastic})
    EXPECT_NE(refusal(data, kGaussian, mode).find("(--binarize none)"), std::string::npos);
  check_data_fits(data, kGaussian, Binarize::none);
}

TEST(CheckData, RefusesBytesThatAreAllButBlack) {
  EXPECT_EQ(
      refusal(bytes({0, 1, 0})),
      "memory: the largest uint8 value is 1, but values are divided by 255: for 0/1 masks, give the pixel scale 1 "
      "(--pixel-scale 1); to divide by 255, give 255");
  EXPECT_NE(refusal(bytes({0, 16, 3}), kGaussian).find("the pixel scale 16 (--pixel-scale 16)"), std::string::npos);
  check_data_fits(bytes({0, 32, 0}), kBernoulli, Binarize::none);
  for (const float scale : {1.0F, 255.0F})
    check_data_fits(bytes({0, 1, 0}).divided_by(scale), kBernoulli, Binarize::none);
}

TEST(CheckData, ConstantDataAreKnown) {
  for (const Dataset& data : {floats({0.5F, 0.5F, 0.5F}), bytes({0, 0, 0}), bytes({255, 255, 255})}) {
    EXPECT_TRUE(is_constant(data));
    check_data_fits(data, kBernoulli, Binarize::none);
  }
  for (const Dataset& data : {floats({0.5F, 0.5F, 0.25F}), bytes({0, 1, 0})}) EXPECT_FALSE(is_constant(data));
}

TEST(DividedBy, KeepsBytesWhereTheScaleDivides255) {
  for (const float scale : {1.0F, 3.0F, 15.0F, 51.0F, 255.0F}) {
    const auto top = static_cast<std::uint8_t>(scale);
    const Dataset set = bytes({0, top, 1}).divided_by(scale);
    EXPECT_EQ(set.dtype(), DType::u8) << scale;
    EXPECT_EQ(set.row(0), (std::vector<float>{0, 1, 1 / scale})) << scale;
    EXPECT_EQ(set.pixel_scale(), scale);
  }
}

TEST(DividedBy, MakesFloatsOfOtherValues) {
  const Dataset sixteenths = bytes({0, 16, 4}).divided_by(16);
  EXPECT_EQ(sixteenths.dtype(), DType::f32);
  EXPECT_EQ(sixteenths.row(0), (std::vector<float>{0, 1, 0.25F}));
  EXPECT_EQ(bytes({0, 2, 1}).divided_by(1).row(0), (std::vector<float>{0, 2, 1}));  // no pixel stands for 2 / 1
  const Dataset pixels = floats({0, 255, 51}).divided_by(255);
  EXPECT_EQ(pixels.row(0), (std::vector<float>{0, 1, 51.0F / 255.0F}));
  check_data_fits(pixels, kBernoulli, Binarize::none);
}

TEST(DividedBy, RefusesWhatMakesNoSense) {
  const Dataset set = floats({0, 1, 2});
  for (const float scale :
       {0.0F, -1.0F, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()})
    expect_error([&] { set.divided_by(scale); }, "but must be positive");
  expect_error([&] { set.divided_by(1e-45F); }, "are beyond float32");
  expect_error([&] { set.divided_by(2).divided_by(2); }, "is already divided by 2");
}

}  // namespace
}  // namespace cuvae::test
