// Means, draws and starts of the likelihoods' formulas against sums and integrals of the reference's densities; the
// reference and the formulas against values in closed form.
#include "math/likelihoods.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "reference.h"

namespace cuvae {
namespace {
using math::BernoulliFormula;
using math::BetaBinomialFormula;
using math::ContinuousBernoulliFormula;
using math::GaussianScaleFormula;

/// P(X <= x) of a continuous Bernoulli, from 1e-3 on without cancellation; nearer to 0 by the first terms of its
/// series.
double distribution(double l, double x) {
  return std::fabs(l) < 1e-3 ? x * (1 + l * (x - 1) / 2 + l * l * (2 * x - 1) * (x - 1) / 12)
                             : std::expm1(l * x) / std::expm1(l);
}

/// E[x] by the midpoint rule, whose relative error is (l h)^2 / 24.
double integrated_mean(double l) {
  constexpr int kSteps = 200000;
  double sum = 0;
  for (int i = 0; i < kSteps; ++i) {
    const double x = (i + 0.5) / kSteps;
    sum += x * std::exp(reference::value_log_prob(Likelihood::continuous_bernoulli, {l}, x).log_p) / kSteps;
  }
  return sum;
}

/// Expects log p and its derivatives at these outputs, of the formula within `tolerance` and of the reference.
template <class Formula>
void expect_closed(Likelihood likelihood, const reference::Vector& outputs, double x, double tolerance, double log_p,
                   const reference::Vector& derivatives) {
  SCOPED_TRACE(std::string(to_string(likelihood)) + " of " + std::to_string(x) + " at " + std::to_string(outputs[0]));
  float o[Formula::outputs], got, d[Formula::outputs];
  std::transform(outputs.begin(), outputs.end(), o, [](double v) { return static_cast<float>(v); });
  Formula::log_prob(o, static_cast<float>(x), got, d);
  const auto reference = reference::value_log_prob(likelihood, outputs, x);
  EXPECT_NEAR(got, log_p, tolerance);
  EXPECT_NEAR(reference.log_p, log_p, 1e-10);
  for (std::size_t i = 0; i < derivatives.size(); ++i) {
    EXPECT_NEAR(d[i], derivatives[i], tolerance) << i;
    EXPECT_NEAR(reference.derivatives[i], derivatives[i], 1e-10) << i;
  }
}

// The density at the odds e^l = 3 is log(3) 3^x / 2; that at l = 0 is 1.
TEST(ContinuousBernoulli, HasTheClosedForm) {
  const double l = std::log(3.0), mean = 1.5 - 1 / l;
  for (const double x : {0.0, 0.25, 1.0}) {
    // Roundings of l and x, below 2, enter times at most 1; the formula adds a few.
    expect_closed<ContinuousBernoulliFormula>(Likelihood::continuous_bernoulli, {l}, x, 0x1p-21,
                                              std::log(l / 2) + x * l, {x - mean});
    expect_closed<ContinuousBernoulliFormula>(Likelihood::continuous_bernoulli, {0}, x, 0x1p-21, 0, {x - 0.5});
  }
}

TEST(GaussianScale, HasTheClosedForm) {
  const double log_2pi = std::log(2 * std::acos(-1.0));
  expect_closed<GaussianScaleFormula>(Likelihood::gaussian_scale, {1, 0}, 3, 0x1p-20, -2 - log_2pi / 2, {2, 3});
  // At s = 2: u = 1.5.
  expect_closed<GaussianScaleFormula>(Likelihood::gaussian_scale, {-1, std::log(2.0)}, 2, 0x1p-20,
                                      -1.125 - std::log(2.0) - log_2pi / 2, {0.75, 1.25});
}

// alpha = beta = 1 is uniform; alpha = 2, beta = 1 is proportional to k + 1. The derivatives are sums of 1/i: digamma(z
// + m) - digamma(z) = 1/z + ... + 1/(z + m - 1).
TEST(BetaBinomial, HasTheClosedForms) {
  const auto harmonic = [](double from, int count) {
    double sum = 0;
    for (int i = 0; i < count; ++i) sum += 1 / (from + i);
    return sum;
  };
  for (const int k : {0, 1, 4, 100, 254, 255}) {
    // The bounds of test_log_prob: 64 u, 16 u of log p up to 12, 5 u of derivatives up to 8; the derivatives' own
    // 32 u and 16 u times 8 + 255.
    const double x = k / 255.0, tolerance = 300 * 0x1p-24, coarse = 4500 * 0x1p-24;
    expect_closed<BetaBinomialFormula>(Likelihood::beta_binomial, {0, 0}, x, coarse, -std::log(256.0),
                                       {harmonic(1, k) - harmonic(2, 255), harmonic(1, 255 - k) - harmonic(2, 255)});
    const double l2 = std::log(2.0);
    expect_closed<BetaBinomialFormula>(
        Likelihood::beta_binomial, {l2, 0}, x, coarse, std::log(2 * (k + 1) / (256.0 * 257)),
        {2 * (harmonic(2, k) - harmonic(3, 255)), harmonic(1, 255 - k) - harmonic(3, 255)});
    const float o[] = {0, 0};
    float log_p, d[2];
    BetaBinomialFormula::log_prob(o, static_cast<float>(x), log_p, d);
    EXPECT_NEAR(log_p, -std::log(256.0), tolerance) << k;
  }
}

constexpr float kLogits[] = {0.0f, 1e-7f, -1e-3f, 0.5f, -1.9f, 1.999f, -2.001f, 3.0f, 8.0f, -20.0f, 90.0f, -1000.0f};
constexpr float kUniforms[] = {1e-9f, 1e-4f, 0.1f, 0.25f, 0.5f, 0.7f, 0.99f, 1.0f};

TEST(ContinuousBernoulli, TheMeanIsTheIntegral) {
  for (const float l : kLogits) {
    const double want = integrated_mean(l);
    // Four roundings of numbers up to one; the integral's own error is 1e-6 of it at l = 1000.
    EXPECT_NEAR(ContinuousBernoulliFormula::mean(&l), want, 0x1p-22 + 2e-6 * want * std::pow(l / 1000, 2)) << l;
  }
}

// A small l is at the place where the inverse of the distribution function turns from one form to another.
TEST(ContinuousBernoulli, DrawsInvertTheDistributionFunction) {
  for (const float l : kLogits)
    for (const float u : kUniforms) {
      const double x = ContinuousBernoulliFormula::draw(&l, u), from_below = l >= 0 ? 1 - double{u} : double{u};
      ASSERT_TRUE(x >= 0 && x <= 1) << l << ", " << u;
      // x is good to a few ulp of itself or of 1 - x; the density by which an error becomes one of u is below |l| + 1.
      EXPECT_NEAR(distribution(l, x), from_below, 0x1p-21 * (std::fabs(l) + 1)) << l << ", " << u;
    }
}

TEST(ContinuousBernoulli, StartsAtTheMean) {
  for (const float wanted : {0.0f, 0.01f, 0.1f, 0.499f, 0.5f, 0.7f, 0.99f, 1.0f}) {
    float l = 0;
    ContinuousBernoulliFormula::start(wanted, 1.0f, &l);
    EXPECT_NEAR(integrated_mean(l), std::clamp(wanted, 0.01f, 0.99f), 1e-6) << wanted;
  }
}

TEST(GaussianScale, DrawsAreTheMeanAndTheClampedScaleTimesANormal) {
  for (const float log_scale : {-100.0f, -7.0f, -1.0f, 0.0f, 3.0f, 7.0f, 100.0f}) {
    const float o[] = {0.5f, log_scale};
    EXPECT_EQ(GaussianScaleFormula::mean(o), 0.5f);
    const double scale = std::exp(std::clamp<double>(log_scale, kLogScaleMin, kLogScaleMax));
    EXPECT_NEAR(GaussianScaleFormula::draw(o, -2.0f), 0.5 - 2 * scale, 0x1p-20 * (0.5 + 2 * scale)) << log_scale;
  }
  float o[2];
  GaussianScaleFormula::start(-3.0f, 0.25f, o);
  EXPECT_EQ(o[0], -3.0f);
  EXPECT_FLOAT_EQ(o[1], std::log(0.25f));
}

std::vector<double> masses(const float* o) {
  std::vector<double> all;
  for (int k = 0; k <= 255; ++k)
    all.push_back(std::exp(reference::value_log_prob(Likelihood::beta_binomial, {o[0], o[1]}, k / 255.0).log_p));
  return all;
}

TEST(BetaBinomial, MeansAndDrawsAreThoseOfTheMasses) {
  for (const float a : {-100.0f, -7.0f, -1.0f, 0.0f, 2.0f, 9.0f, 100.0f})
    for (const float b : {-7.0f, -0.5f, 0.0f, 3.0f, 10.0f}) {
      SCOPED_TRACE(std::to_string(a) + ", " + std::to_string(b));
      const float o[] = {a, b};
      const std::vector<double> mass = masses(o);
      std::vector<double> below{0};  // P(X < k), and at last the whole
      double mean = 0;
      for (std::size_t k = 0; k < mass.size(); ++k) {
        below.push_back(below.back() + mass[k]);
        mean += static_cast<double>(k) / 255 * mass[k];
      }
      EXPECT_NEAR(BetaBinomialFormula::mean(o), mean, 0x1p-21 * (1 + std::fabs(a - b)) * mean);
      for (const float u : kUniforms) {
        const double x = BetaBinomialFormula::draw(o, u), count = std::round(255 * x);
        EXPECT_EQ(x, static_cast<double>(static_cast<float>(count) / 255.0f));
        // Ratios of masses are off by 4 roundings each, a hundred of them apart from the mean by 2^-16 at most.
        const auto k = static_cast<std::size_t>(count);
        EXPECT_LE(below[k], double{u} + 0x1p-15) << u;
        EXPECT_GE(below[k + 1], double{u} - 0x1p-15) << u;
      }
    }
}

TEST(BetaBinomial, DrawsOfNaNAreNaN) {
  for (const std::size_t bad : {0, 1}) {
    float o[] = {0.5f, 0.5f};
    o[bad] = NAN;
    EXPECT_TRUE(std::isnan(BetaBinomialFormula::draw(o, 0.5f)));
  }
}

TEST(BetaBinomial, StartsAtTheMeanWithTwoPseudocounts) {
  for (const float wanted : {0.0f, 0.001f, 0.3f, 0.5f, 1.0f}) {
    float o[2];
    BetaBinomialFormula::start(wanted, 1.0f, o);
    EXPECT_NEAR(BetaBinomialFormula::mean(o), std::clamp(wanted, 0.001f, 0.999f), 1e-6);
    EXPECT_NEAR(std::exp(o[0]) + std::exp(o[1]), 2, 1e-6);
  }
}

TEST(Bernoulli, StartsAtTheMean) {
  for (const float wanted : {0.0f, 0.001f, 0.3f, 0.5f, 1.0f}) {
    float l = 0;
    BernoulliFormula::start(wanted, 1.0f, &l);
    EXPECT_NEAR(BernoulliFormula::mean(&l), std::clamp(wanted, 0.001f, 0.999f), 1e-6);
  }
}

}  // namespace
}  // namespace cuvae
