// Means and variances of the measure-valued estimators and of the delta method over many draws, against exact ones. The
// draws are the rows of a batch that all have the same posterior, and several steps of noise; log p(x|z) is any
// function of z, computed here.
#include <array>
#include <functional>
#include <numbers>

#include "cuvae/estimator.h"
#include "moments_of.h"
#include "op_test.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

const std::uint32_t kSteps = emulated() ? 4 : 32;
const Index kBatch = emulated() ? 1024 : 4096;
constexpr double kPi = std::numbers::pi;

using Function = std::function<double(const double* z)>;

class ProbeMoments : public OpTest {
 protected:
  /// The moments of the gradient of E f by each mu and each sigma of one row.
  std::vector<MomentsOf> draw(Estimator e, Index K, const std::vector<float>& mu, const std::vector<float>& logvar,
                              const Function& f) {
    const auto L = static_cast<Index>(mu.size());
    std::vector<float> all_stats;
    for (Index b = 0; b < kBatch; ++b) {
      all_stats.insert(all_stats.end(), mu.begin(), mu.end());
      all_stats.insert(all_stats.end(), logvar.begin(), logvar.end());
    }
    const Index R = kBatch * K, P = kBatch * probes_of_example(traits(e).probes, K, L);
    const Array<std::uint32_t> step(backend_, std::size_t{1});
    const Noise noise{11, Stream::latent, step.data()};
    const Matrix stats(backend_, kBatch, 2 * L, all_stats), z(backend_, R, L), kl(backend_, kBatch, 1),
        kl_dims(backend_, 1, L), probes(backend_, P, L), log_p(backend_, R, 1), at_probes(backend_, P, 1),
        dstats(backend_, kBatch, 2 * L);
    const auto evaluate = [&](const Matrix& points, const Matrix& values) {
      const Vector at = reference::widen(points.get());
      std::vector<float> v;
      for (std::size_t i = 0; i < at.size(); i += mu.size()) v.push_back(static_cast<float>(f(at.data() + i)));
      values.set(v);
    };
    std::vector<Vector> draws(2 * mu.size());
    for (std::uint32_t s = 0; s < kSteps; ++s) {
      step.set({s});
      backend_.run(SampleGaussian{stats, noise, z, kl, kl_dims});
      backend_.run(PlaceProbes{traits(e).probes, stats, noise, probes});
      evaluate(z, log_p);
      evaluate(probes, at_probes);
      backend_.run(ProbeBackward{traits(e).probes, stats, noise, log_p, at_probes, {}, kl_dims, 0.0f, dstats});
      const std::vector<float> got = dstats.get();
      for (std::size_t i = 0; i < got.size(); ++i) {
        const std::size_t column = i % draws.size();
        const bool by_mu = column < mu.size();
        // logvar = 2 log sigma
        const double scale = by_mu ? 1 : 2 / std::exp(double{logvar[column - mu.size()]} / 2);
        draws[column].push_back(-double{got[i]} * static_cast<double>(kBatch) * scale);
      }
    }
    return {draws.begin(), draws.end()};
  }
};
CUVAE_ON_EVERY_BACKEND(ProbeMoments);

/// 5.5 standard errors: of some two hundred comparisons, a right one fails once in a hundred thousand seeds. 1e-6 and
/// 1e-11 are for what has no variance but float32's.
void expect_moments(const MomentsOf& got, double mean, double variance) {
  EXPECT_NEAR(got.mean, mean, 5.5 * got.mean_error() + 1e-6 * (1 + std::fabs(mean)));
  EXPECT_NEAR(got.variance, variance, 5.5 * got.variance_error() + 1e-11);
}

// q = N(theta + delta, 1), f = log N(z; theta, 1): the gradients are -delta and -1, and every variance has a closed
// form.
TEST_P(ProbeMoments, VariancesOfTheToyAreExact) {
  constexpr double theta = 0.25;
  const Function f = [](const double* z) { return -std::log(2 * kPi) / 2 - std::pow(*z - theta, 2) / 2; };
  for (const double delta : {0.0, 0.5, 1.0, 2.0}) {
    SCOPED_TRACE("delta " + std::to_string(delta));
    const double d2 = delta * delta;
    const auto drawn = [&](Estimator e, Index K) { return draw(e, K, {static_cast<float>(theta + delta)}, {0}, f); };
    const auto coupled = drawn(Estimator::measure_valued, 1);
    expect_moments(coupled[0], -delta, d2 * (4 / kPi - 1));
    expect_moments(coupled[1], -1, 1 + d2);
    const auto independent = drawn(Estimator::measure_valued_independent, 1);
    expect_moments(independent[0], -delta, (1 + d2 * (2 - kPi / 2)) / kPi);
    expect_moments(independent[1], -1, 2 + 4 * d2);
    const auto quadratic = drawn(Estimator::delta, 1);  // leaves nothing of a quadratic
    expect_moments(quadratic[0], -delta, 0);
    expect_moments(quadratic[1], -1, 0);
    // The mean of three samples.
    const auto three = drawn(Estimator::measure_valued, 3);
    expect_moments(three[0], -delta, d2 * (4 / kPi - 1) / 3);
    expect_moments(three[1], -1, (1 + d2) / 3);
  }
}

// Mu = sigma = 1: exact gradients and variances by quadrature, of the coupled estimator.
TEST_P(ProbeMoments, VariancesOfOtherFunctionsAreExact) {
  const struct {
    const char* name;
    double (*f)(double);
    double by_mu, variance, by_sigma, variance_by_sigma;
  } cases[] = {
      {"(z + 3)^2", [](double z) { return (z + 3) * (z + 3); }, 8, 17.48733, 2, 68},
      {"z^2", [](double z) { return z * z; }, 2, 1.092958, 2, 8},
      {"exp(-z^2/10)", [](double z) { return std::exp(-0.1 * z * z); }, -0.13998, 0.002509089, -0.11665, 0.02197055},
      {"exp(-10 z^2)", [](double z) { return std::exp(-10 * z * z); }, -0.12909, 0.0206558, -0.00614716, 0.1167317},
      {"cos(z/2)", [](double z) { return std::cos(z / 2); }, -0.211546, 0.008275467, -0.193616, 0.06526619},
      {"cos(5 z)", [](double z) { return std::cos(5 * z); }, 1.787e-5, 0.2957168, -2.643e-5, 0.99999}};
  for (const auto& c : cases) {
    SCOPED_TRACE(c.name);
    const auto f = [&](const double* z) { return c.f(*z); };
    const auto got = draw(Estimator::measure_valued, 1, {1}, {0}, f);
    expect_moments(got[0], c.by_mu, c.variance);
    expect_moments(got[1], c.by_sigma, c.variance_by_sigma);
    const auto delta = draw(Estimator::delta, 1, {1}, {0}, f);
    EXPECT_NEAR(delta[0].mean, c.by_mu, 5.5 * delta[0].mean_error() + 1e-5);
    EXPECT_NEAR(delta[1].mean, c.by_sigma, 5.5 * delta[1].mean_error() + 1e-5);
  }
}

// Three latents that f couples: E f by sums over a grid, differentiated.
TEST_P(ProbeMoments, MeansAreTheGradients) {
  const std::vector<float> mu{-0.4f, 0.3f, 0.9f}, logvar{-0.6f, 0.4f, -1.5f};
  const Function f = [](const double* z) {
    return std::sin(z[0] + 0.5 * z[1]) - std::log1p(std::exp(z[1] * z[2])) + 0.3 * z[0] * z[2];
  };
  // The trapezoidal rule converges exponentially for integrands that vanish with all derivatives at the ends.
  const auto expectation = [&](const Vector& at) {
    double sum = 0;
    for (double a = -6; a <= 6; a += 0.5)
      for (double b = -6; b <= 6; b += 0.5)
        for (double c = -6; c <= 6; c += 0.5) {
          const double sigma[] = {std::exp(at[3] / 2), std::exp(at[4] / 2), std::exp(at[5] / 2)};
          const double z[] = {at[0] + sigma[0] * a, at[1] + sigma[1] * b, at[2] + sigma[2] * c};
          sum += 0.125 * std::exp(-(a * a + b * b + c * c) / 2) / std::pow(2 * kPi, 1.5) * f(z);
        }
    return sum;
  };
  Vector start = reference::widen(mu);
  start.insert(start.end(), logvar.begin(), logvar.end());
  const Vector want = central_differences(expectation, start);
  for (const Estimator e : {Estimator::measure_valued, Estimator::measure_valued_independent, Estimator::delta})
    for (const Index samples : {1, 3}) {
      SCOPED_TRACE(std::string(to_string(e)) + ", K " + std::to_string(samples));
      const auto got = draw(e, samples, mu, logvar, f);
      for (std::size_t i = 0; i < want.size(); ++i) {
        const double by_sigma = i < mu.size() ? 1 : 2 / std::exp(start[i] / 2);
        EXPECT_NEAR(got[i].mean, want[i] * by_sigma, 5.5 * got[i].mean_error() + 1e-6) << i;
      }
    }
}

}  // namespace
}  // namespace cuvae
