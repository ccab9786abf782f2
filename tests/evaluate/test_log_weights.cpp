// The streaming statistics of importance weights against two passes over all of them, and at their limits.
#include "evaluate/log_weights.h"

#include <cmath>
#include <limits>

#include "op_test.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

constexpr double kInf = std::numeric_limits<double>::infinity();

/// In parts of at most `part`.
ExampleBound streamed(const Vector& log_w, Index part = 50) {
  LogWeights weights(static_cast<Index>(log_w.size()));
  for (Index at = 0; at < static_cast<Index>(log_w.size()); at += part)
    weights.add(log_w.data() + at, std::min(part, static_cast<Index>(log_w.size()) - at));
  return weights.result();
}

/// Log weights of this standard deviation.
Vector normals(Index count, double scale, std::uint64_t seed = 1) {
  Vector v;
  for (Index i = 0; i < count; ++i) v.push_back(scale * reference::normal({seed, Stream::latent}, i));
  return v;
}

/// Logs of draws from a generalized Pareto distribution with scale 1: ((1 - u)^-k - 1) / k.
Vector log_pareto(Index count, double k, std::uint64_t seed) {
  Vector v;
  for (Index i = 0; i < count; ++i) {
    const double u = reference::uniform({seed, Stream::split}, i), log_rest = std::log(u);
    v.push_back(std::log(k == 0 ? -log_rest : std::expm1(-k * log_rest) / k));
  }
  return v;
}

// Sums of up to 5000 positive terms in double: 5000 roundings of 2^-53, and as many of their rescaling.
TEST(LogWeights, AreThoseOfTwoPasses) {
  for (const Index samples : {1, 20, 21, 50, 51, 1000, 5000})
    for (const double scale : {0.01, 1.0, 8.0})
      for (const double offset : {0.0, -1e4, 1e4}) {
        SCOPED_TRACE(std::to_string(samples) + " weights, " + std::to_string(scale) + ", " + std::to_string(offset));
        Vector log_w = normals(samples, scale);
        for (double& v : log_w) v += offset;
        const auto want = reference::importance_weights(log_w, samples);
        for (const Index part : {Index{1}, Index{50}, samples}) {
          const ExampleBound got = streamed(log_w, part);
          EXPECT_NEAR(got.value, want.bound[0], 1e-12 + 1e-15 * std::fabs(offset));
          EXPECT_NEAR(got.effective, want.effective[0], 1e-11 * want.effective[0]);
          if (samples < 21) {
            EXPECT_TRUE(std::isnan(got.pareto_k));
          } else {
            EXPECT_NEAR(got.pareto_k, reference::pareto_k(log_w), 1e-8);
          }
        }
      }
}

// The tail of a generalized Pareto distribution has the same k. An estimate from n values has the standard error
// (1 + k) / sqrt(n) where k > -1/2, and is moved towards 1/2 by 10 / (n + 10) of the distance. The mean over 20 seeds
// has a 20th of the variance; the estimate's own bias is of order 1 / n.
TEST(LogWeights, RecoverTheShapeOfAParetoTail) {
  constexpr int kSeeds = 20;
  constexpr Index kSamples = 40000;
  const auto n = static_cast<double>(tail_size(kSamples));
  EXPECT_EQ(n, 600);
  for (const double k : {-0.3, 0.0, 0.3, 0.7, 1.0, 1.5}) {
    double mean = 0;
    for (int seed = 0; seed < kSeeds; ++seed)
      mean += streamed(log_pareto(kSamples, k, static_cast<std::uint64_t>(seed))).pareto_k / kSeeds;
    EXPECT_NEAR(mean, k + 10 / (n + 10) * (0.5 - k), 4 * (1 + k) / std::sqrt(n * kSeeds) + 5 / n) << "k " << k;
  }
}

TEST(LogWeights, TailHasTheDocumentedSize) {
  EXPECT_EQ(tail_size(21), 5);
  EXPECT_EQ(tail_size(100), 20);
  EXPECT_EQ(tail_size(225), 45);  // K / 5 = 3 sqrt K
  EXPECT_EQ(tail_size(5000), 213);
  EXPECT_EQ(tail_size(1000000), 3000);
}

TEST(LogWeights, OfOneWeightAreThatWeight) {
  const ExampleBound x = streamed({-123.5});
  EXPECT_EQ(x.value, -123.5);
  EXPECT_EQ(x.effective, 1);
  EXPECT_TRUE(std::isnan(x.pareto_k));
}

TEST(LogWeights, ThatAreAllEqualHaveNoTail) {
  const ExampleBound x = streamed(Vector(1000, -80.25));
  EXPECT_EQ(x.value, -80.25);
  EXPECT_EQ(x.effective, 1000);
  EXPECT_TRUE(std::isnan(x.pareto_k));
}

// Weights that differ by roundings of float32 only have no shape. Where many tie with the threshold, those above it do.
TEST(LogWeights, ThatAreNearlyEqualHaveNoTailButTiesDo) {
  const auto steps = [](double step) {
    Vector log_w;
    for (Index i = 0; i < 5000; ++i)
      log_w.push_back(-80 + step * std::round(reference::normal({2, Stream::latent}, i)));
    return streamed(log_w);
  };
  EXPECT_NEAR(steps(0x1p-17).effective, 5000, 1e-5);
  EXPECT_TRUE(std::isnan(steps(0x1p-17).pareto_k));
  EXPECT_TRUE(std::isfinite(steps(0.1).pareto_k));
}

TEST(LogWeights, OfZeroCount) {
  Vector log_w = normals(100, 1);
  const double sum = 100 * std::exp(streamed(log_w).value);
  log_w.insert(log_w.begin() + 30, 100, -kInf);
  EXPECT_NEAR(streamed(log_w).value, std::log(sum / 200), 1e-12);
  EXPECT_TRUE(std::isfinite(streamed(log_w).pareto_k));
  const ExampleBound none = streamed(Vector(100, -kInf));
  EXPECT_EQ(none.value, -kInf);
  EXPECT_TRUE(std::isnan(none.effective) && std::isnan(none.pareto_k));
}

TEST(LogWeights, ThatAreNotFiniteShow) {
  for (const double bad : {kInf, std::numeric_limits<double>::quiet_NaN()})
    for (const std::size_t at : {std::size_t{0}, std::size_t{60}, std::size_t{99}}) {
      Vector log_w = normals(100, 1);
      log_w[at] = bad;
      const ExampleBound x = streamed(log_w);
      EXPECT_FALSE(std::isfinite(x.value));
      EXPECT_TRUE(std::isnan(x.effective) && std::isnan(x.pareto_k));
    }
}

// One weight is all that counts.
TEST(LogWeights, ThatSpanMoreThanDoubleHaveAnInfiniteShape) {
  Vector log_w = normals(1000, 1);
  log_w[500] = 1e5;
  const ExampleBound x = streamed(log_w);
  EXPECT_NEAR(x.value, 1e5 - std::log(1000), 1e-9);
  EXPECT_EQ(x.effective, 1);
  EXPECT_EQ(x.pareto_k, kInf);
}

}  // namespace
}  // namespace cuvae
