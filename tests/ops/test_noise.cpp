// The random numbers: known answers, the library's words and normals against the reference's, and statistics. Every
// statistical bound is five standard errors (one false alarm in 1.7 million), and the seeds are fixed: it passes always
// or never.
#include <array>

#include "math/philox.h"
#include "op_test.h"

namespace cuvae {
namespace {
using namespace test;

struct KnownAnswer {
  std::array<std::uint32_t, 4> counter;
  std::array<std::uint32_t, 2> key;
  std::array<std::uint32_t, 4> words;
};
// Random123, tests/kat_vectors, philox4x32 with 10 rounds.
constexpr KnownAnswer kKnownAnswers[] = {
    {{0, 0, 0, 0}, {0, 0}, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
    {{0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff},
     {0xffffffff, 0xffffffff},
     {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     {0xa4093822, 0x299f31d0},
     {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
};

TEST(Philox, KnownAnswers) {
  for (const auto& [c, key, words] : kKnownAnswers) {
    EXPECT_EQ(reference::philox(c, key), words);
    const math::Words got = math::philox4x32(c[0], c[1], c[2], c[3], key[0], key[1]);
    EXPECT_EQ(std::to_array(got.v), words);
  }
}

TEST(Philox, WordsAgreeBitForBit) {
  for (const std::uint64_t seed : {0ull, 1ull, 0xfedcba9876543210ull})
    for (const std::uint32_t step : {0u, 1u, 0xffffffffu})
      for (const Stream stream : {Stream::initialization, Stream::latent, Stream::split})
        for (const std::uint64_t index : {0ull, 1ull, 2ull, 3ull, 4ull, 1023ull, 0x3ffffffffull, 0x400000001ull, ~0ull})
          EXPECT_EQ(math::philox_word(seed, static_cast<std::uint32_t>(stream), step, index),
                    reference::word({seed, stream, step}, index));
}

class NoiseTest : public OpTest {
 protected:
  /// [rows, cols] normals as the backend draws them: samples of N(0, 1).
  std::vector<double> normals(Index rows, Index cols, const reference::NoiseKey& key) {
    const Array<std::uint32_t> step(backend_, std::vector<std::uint32_t>{key.step});
    const Matrix stats(backend_, rows, 2 * cols, std::vector<float>(rows * 2 * cols, 0.0f));
    const Matrix z(backend_, rows, cols), kl(backend_, rows, 1), kl_dims(backend_, 1, cols);
    backend_.run(SampleGaussian{stats, {key.seed, key.stream, step.data(), key.first_row}, z, kl, kl_dims});
    return reference::widen(z.get());
  }
};
CUVAE_ON_EVERY_BACKEND(NoiseTest);

/// The correlation of a[i] with b[i + lag]; its standard error is 1/sqrt(n) for independent standard normals.
double correlation(const std::vector<double>& a, const std::vector<double>& b, std::size_t lag) {
  double sum = 0;
  for (std::size_t i = 0; i + lag < a.size(); ++i) sum += a[i] * b[i + lag];
  return sum / static_cast<double>(a.size() - lag);
}

TEST_P(NoiseTest, NormalsAgreeToAFewUlp) {
  constexpr Index kRows = 257, kCols = 33;
  for (const reference::NoiseKey& key : {reference::NoiseKey{1, Stream::latent, 0, 0},
                                         reference::NoiseKey{0xfedcba9876543210ull, Stream::latent, 0xffffffffu, 3},
                                         reference::NoiseKey{5, Stream::prior_sample, 7, Index{1} << 40}}) {
    reference::Vector want, bound;
    for (Index i = 0; i < kRows * kCols; ++i) {
      const std::uint64_t index = key.first_row * kCols + i;
      want.push_back(reference::normal(key, index));
      bound.push_back(reference::normal_error(key, index));
    }
    expect_within(normals(kRows, kCols, key), want, bound, "normals");
  }
}

// Word 1984 of this step is zero, whose logarithm must be that of 2^-33: a normal of 6.76 standard deviations, not
// infinity.
TEST_P(NoiseTest, TheSmallestUniformIsNotZero) {
  const reference::NoiseKey key{1, Stream::latent, 74316};
  ASSERT_EQ(reference::word(key, 1984), 0u);
  const std::vector<double> z = normals(1, 2048, key);
  for (const Index i : {1984, 1985}) EXPECT_NEAR(z[i], reference::normal(key, i), reference::normal_error(key, i));
}

// Standard errors of n normals: mean 1/sqrt(n), variance sqrt(2/n), skewness sqrt(6/n), kurtosis sqrt(24/n).
TEST_P(NoiseTest, NormalsHaveTheirMoments) {
  const std::vector<double> z = normals(1024, 1024, {2024, Stream::latent, 3});
  const auto n = static_cast<double>(z.size());
  double mean = 0, squares = 0, cubes = 0, fourths = 0;
  for (double v : z) mean += v / n;
  for (double v : z) {
    const double d = v - mean;
    squares += d * d / n, cubes += d * d * d / n, fourths += d * d * d * d / n;
  }
  EXPECT_NEAR(mean, 0, 5 * std::sqrt(1 / n));
  EXPECT_NEAR(squares, 1, 5 * std::sqrt(2 / n));
  EXPECT_NEAR(cubes / std::pow(squares, 1.5), 0, 5 * std::sqrt(6 / n));
  EXPECT_NEAR(fourths / (squares * squares), 3, 5 * std::sqrt(24 / n));
}

TEST_P(NoiseTest, NormalsAreUncorrelated) {
  const reference::NoiseKey key{2024, Stream::latent, 3};
  const std::vector<double> z = normals(512, 512, key);
  const double bound = 5 / std::sqrt(static_cast<double>(z.size()) - 512);
  for (const std::size_t lag : {1, 2, 3, 4, 5, 8, 512}) EXPECT_NEAR(correlation(z, z, lag), 0, bound) << "lag " << lag;

  std::vector<double> radii = z;  // the two of a pair share a radius: their squares must still be independent
  for (double& r : radii) r = (r * r - 1) / std::sqrt(2.0);
  EXPECT_NEAR(correlation(radii, radii, 1), 0, bound);

  EXPECT_NEAR(correlation(z, normals(512, 512, {2024, Stream::latent, 4}), 0), 0, bound) << "next step";
  EXPECT_NEAR(correlation(z, normals(512, 512, {2025, Stream::latent, 3}), 0), 0, bound) << "next seed";
  EXPECT_NEAR(correlation(z, normals(512, 512, {2024, Stream::estimator, 3}), 0), 0, bound) << "another stream";
}

// A frequency over n draws has standard error sqrt(p (1 - p) / n); so has that of two neighbours both being 1, at p^2,
// up to the overlap of pairs, avoided by taking disjoint ones.
TEST_P(NoiseTest, BinarizationHasTheFrequencyOfItsPixel) {
  constexpr Index kRows = 256, kCols = 1024;
  const Array<std::uint32_t> step(backend_, std::vector<std::uint32_t>{11});
  for (const float pixel : {0.01f, 0.25f, 0.5f, 0.9f}) {
    SCOPED_TRACE("pixel " + std::to_string(pixel));
    const Matrix pixels(backend_, kRows, kCols, std::vector<float>(kRows * kCols, pixel)), x(backend_, kRows, kCols);
    backend_.run(GatherBatch{
        pixels, {nullptr, kRows, nullptr, 0}, Binarize::stochastic, {12, Stream::binarize, step.data()}, x});
    const std::vector<float> ones = x.get();
    const auto n = static_cast<double>(ones.size());
    double count = 0, pairs = 0;
    for (float f : ones) count += f;
    for (std::size_t i = 0; i < ones.size(); i += 2) pairs += ones[i] * ones[i + 1];
    const double p = pixel, both = p * p;
    EXPECT_NEAR(count / n, p, 5 * std::sqrt(p * (1 - p) / n));
    EXPECT_NEAR(2 * pairs / n, both, 5 * std::sqrt(2 * both * (1 - both) / n));
  }
}

}  // namespace
}  // namespace cuvae
