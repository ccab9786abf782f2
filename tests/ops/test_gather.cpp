// gather_batch: which rows make a batch, and binarization on the way.
#include <numeric>

#include "op_test.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

constexpr Binarize kBinarize[] = {Binarize::none, Binarize::threshold, Binarize::stochastic};

std::vector<std::uint8_t> random_bytes(Index size, std::uint64_t seed) {
  std::vector<std::uint8_t> v;
  for (Index i = 0; i < size; ++i) v.push_back(static_cast<std::uint8_t>(reference::word({seed, Stream::split}, i)));
  return v;
}

/// Bytes as the reference's pixels: exact quotients.
Vector fractions(const std::vector<std::uint8_t>& bytes) {
  Vector v;
  for (std::uint8_t byte : bytes) v.push_back(byte / 255.0);
  return v;
}

/// A permutation of [0, n).
std::vector<std::uint32_t> shuffled(std::uint32_t n) {
  std::vector<std::uint32_t> order(n);
  std::iota(order.begin(), order.end(), 0u);
  std::sort(order.begin(), order.end(), [](std::uint32_t a, std::uint32_t b) {
    return reference::word({9, Stream::shuffle}, a) < reference::word({9, Stream::shuffle}, b);
  });
  return order;
}

class Gather : public OpTest {
 protected:
  Noise noise(const std::uint32_t* step, Index first_row = 0) const { return {77, Stream::binarize, step, first_row}; }
};
CUVAE_IN_EVERY_PRECISION(Gather);

// A quotient by 255 is one rounding, or two as a product with 1/255; zeros and ones are exact.
TEST_P(Gather, MatchesTheReferenceForBothPixelTypes) {
  constexpr Index kRows = 40;
  const Array<std::uint32_t> step(backend_, std::vector<std::uint32_t>{5});
  for (const Index width : {1, 2, 3, 7, 31, 32, 33, 65, 128, 129, 257})
    for (const Index batch : {1, 3, 7, 33})
      for (const Binarize binarize : kBinarize) {
        SCOPED_TRACE("D " + std::to_string(width) + ", B " + std::to_string(batch) + ", " +
                     std::string(to_string(binarize)));
        const Array<std::uint8_t> bytes(backend_, random_bytes(kRows * width, 3));
        const Matrix floats(backend_, kRows, width, random_vector(kRows * width, 4, 0, 1));
        const Matrix x(backend_, batch, width, type_);
        const BatchRows rows{nullptr, kRows, nullptr, 4};
        const auto numbers = reference::batch_rows({}, kRows, -1, 4, batch);
        const reference::NoiseKey key{77, Stream::binarize, 5};
        const double rtol = binarize == Binarize::none ? 0x1p-23 : 0;

        backend_.run(GatherBatch{{bytes.data(), kRows, width, DType::u8}, rows, binarize, noise(step.data()), x});
        expect_stored_close(x.get(), reference::gather_batch(fractions(bytes.get()), width, numbers, binarize, key), 0,
                            rtol, "u8");
        backend_.run(GatherBatch{floats, rows, binarize, noise(step.data()), x});
        expect_stored_close(x.get(),
                            reference::gather_batch(reference::widen(floats.get()), width, numbers, binarize, key), 0,
                            0, "f32");
      }
}

TEST_P(Gather, ThresholdIsInclusiveAtOneHalf) {
  const Matrix pixels(backend_, 1, 4, {0.0f, std::nextafter(0.5f, 0.0f), 0.5f, 1.0f}), x(backend_, 1, 4, type_);
  backend_.run(GatherBatch{pixels, {nullptr, 1, nullptr, 0}, Binarize::threshold, noise(nullptr), x});
  EXPECT_EQ(x.get(), (std::vector<float>{0, 0, 1, 1}));
  const Array<std::uint8_t> bytes(backend_, std::vector<std::uint8_t>{0, 127, 128, 255});
  backend_.run(
      GatherBatch{{bytes.data(), 1, 4, DType::u8}, {nullptr, 1, nullptr, 0}, Binarize::threshold, noise(nullptr), x});
  EXPECT_EQ(x.get(), (std::vector<float>{0, 0, 1, 1}));
}

TEST_P(Gather, OrderStepAndFirstRowSelectTheRows) {
  constexpr Index kRows = 23, kBatch = 5;
  std::vector<float> numbers(kRows);
  std::iota(numbers.begin(), numbers.end(), 0.0f);
  const Matrix pixels(backend_, kRows, 1, numbers), x(backend_, kBatch, 1, type_);
  const std::vector<std::uint32_t> permutation = shuffled(kRows);
  const Array<std::uint32_t> order(backend_, permutation), step(backend_, 1);
  const auto expect_rows = [&](const BatchRows& rows, const std::vector<std::uint32_t>& order_given, Index step_given) {
    backend_.run(GatherBatch{pixels, rows, Binarize::none, noise(nullptr), x});
    const auto want = reference::batch_rows(order_given, kRows, step_given, rows.first_row, kBatch);
    EXPECT_EQ(x.get(), std::vector<float>(want.begin(), want.end()));
  };
  for (const std::uint32_t s : {0u, 1u, 3u, 4u, 7u, 4000000003u}) {  // 4 batches an epoch, so that 4 is the first again
    SCOPED_TRACE("step " + std::to_string(s));
    step.set({s});
    expect_rows({nullptr, kRows, step.data(), 0}, {}, s);
    expect_rows({order.data(), kRows, step.data(), 0}, permutation, s);
  }
  expect_rows({nullptr, kRows, nullptr, 18}, {}, -1);
  expect_rows({order.data(), kRows, nullptr, 11}, permutation, -1);
}

// Two ranks with 3 rows each of a batch of 6: together they take the rows of the whole.
TEST_P(Gather, PartsOfABatchAreTheWhole) {
  constexpr Index kRows = 23, kBatch = 6, kPart = 3;
  std::vector<float> numbers(kRows);
  std::iota(numbers.begin(), numbers.end(), 0.0f);
  const Matrix pixels(backend_, kRows, 1, numbers), x(backend_, kPart, 1, type_);
  const std::vector<std::uint32_t> permutation = shuffled(kRows);
  const Array<std::uint32_t> order(backend_, permutation), step(backend_, 1);
  for (const std::uint32_t s : {0u, 1u, 2u, 3u, 10u}) {
    SCOPED_TRACE("step " + std::to_string(s));
    step.set({s});
    std::vector<float> joined;
    for (const Index first : {Index{0}, kPart}) {
      backend_.run(
          GatherBatch{pixels, {order.data(), kRows, step.data(), first, kBatch}, Binarize::none, noise(nullptr), x});
      const std::vector<float> part = x.get();
      joined.insert(joined.end(), part.begin(), part.end());
    }
    const auto want = reference::batch_rows(permutation, kRows, s, 0, kBatch);
    EXPECT_EQ(joined, std::vector<float>(want.begin(), want.end()));
  }
}

TEST_P(Gather, AnEpochMayBePartOfThePixels) {
  const Matrix pixels(backend_, 10, 1, {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}), x(backend_, 2, 1, type_);
  const Array<std::uint32_t> order(backend_, std::vector<std::uint32_t>{9, 1, 8, 2}),
      step(backend_, std::vector<std::uint32_t>{3});
  backend_.run(GatherBatch{pixels, {order.data(), 4, step.data(), 0}, Binarize::none, noise(nullptr), x});
  EXPECT_EQ(x.get(), (std::vector<float>{8, 2}));
}

TEST_P(Gather, BinarizationDependsOnThePlaceInTheGlobalBatchOnly) {
  constexpr Index kBatch = 14, kWidth = 33, kHalf = 7;
  const Matrix pixels(backend_, kBatch, kWidth, std::vector<float>(kBatch * kWidth, 0.5f));
  const Array<std::uint32_t> step(backend_, std::vector<std::uint32_t>{8});
  const Matrix whole(backend_, kBatch, kWidth, type_), upper(backend_, kHalf, kWidth, type_),
      lower(backend_, kHalf, kWidth, type_);
  const auto gather = [&](Index first_row, const Matrix& x) {
    backend_.run(GatherBatch{
        pixels, {nullptr, kBatch, nullptr, first_row}, Binarize::stochastic, noise(step.data(), first_row), x});
  };
  gather(0, whole);
  gather(0, upper);
  gather(kHalf, lower);
  std::vector<float> joined = upper.get();
  for (float v : lower.get()) joined.push_back(v);
  expect_same_bits(whole.get(), joined, "x");

  const std::vector<float> before = whole.get();
  gather(0, whole);
  expect_same_bits(whole.get(), before, "x again");
  step.set({9});
  gather(0, whole);
  EXPECT_NE(whole.get(), before) << "a new step draws anew";
}

// Word 1109 of this step is 0xffffffe9, whose uniform rounds to one in float32: a white pixel must be white all the
// same.
TEST_P(Gather, BlackAndWhitePixelsAreCertain) {
  constexpr std::uint32_t kWhiteStep = 12223;
  const Array<std::uint32_t> step(backend_, std::vector<std::uint32_t>{kWhiteStep});
  const reference::NoiseKey key{77, Stream::binarize, kWhiteStep};
  ASSERT_EQ(static_cast<float>(reference::uniform(key, 1109)), 1.0f);
  for (const float pixel : {0.0f, 1.0f}) {
    const Matrix pixels(backend_, 1, 4096, std::vector<float>(4096, pixel)), x(backend_, 1, 4096, type_);
    backend_.run(GatherBatch{pixels, {nullptr, 1, nullptr, 0}, Binarize::stochastic, noise(step.data()), x});
    EXPECT_EQ(x.get(), pixels.get());
  }
}

}  // namespace
}  // namespace cuvae
