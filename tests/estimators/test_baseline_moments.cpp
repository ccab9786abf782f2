// Means and variances of the score function with its baselines and of antithetic pairs, against closed forms. The toy:
// q = N(delta, 1), p(z) = N(0, 1) and no data, so that f = log p(z) (Cost::joint) and the loss's gradient by mu is
// delta. The draws are the rows of a batch that all have the same posterior, and several steps of noise.
#include <cmath>

#include "cuvae/estimator.h"
#include "moments_of.h"
#include "op_test.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

const Index kRows = emulated() ? 1 << 11 : 1 << 14;  // times samples: of a step
const std::uint32_t kSteps = emulated() ? 3 : 16;

class BaselineMoments : public OpTest {
 protected:
  /// The moments of dmu of the loss of one row, once `rest` steps have brought running means to rest. The network of
  /// nvil says `network` whatever the row.
  MomentsOf draw(Estimator e, Cost cost, Index K, double delta, bool antithetic = false, float network = 0) {
    const Index B = kRows / K, R = B * K;
    std::vector<float> all_stats;
    for (Index b = 0; b < B; ++b) all_stats.push_back(static_cast<float>(delta)), all_stats.push_back(0);
    const Array<std::uint32_t> step(backend_, std::size_t{1});
    const Noise noise{12, Stream::latent, step.data(), 0, antithetic};
    const auto column = [&](Index rows, float value = 0) {
      return Matrix(backend_, rows, 1, std::vector<float>(static_cast<std::size_t>(rows), value));
    };
    const Matrix stats(backend_, B, 2, all_stats), dstats(backend_, B, 2),
        z = column(R), kl = column(B), kl_dims = column(1), log_p_z = column(R), log_q = column(R), norm = column(R),
        log_p = column(R), dz = column(R), score = column(R), of_x = column(B, network);
    const Array<RunningMean> running(backend_, std::vector<RunningMean>(2));
    const LatentTerms terms = latent_terms(e, cost, B, K, {}, score);

    const std::uint32_t rest =
        !antithetic && (e == Estimator::score_mean || has_network(e)) ? 8 : 0;  // pairs need none
    Vector dmu;
    for (std::uint32_t s = 0; s < rest + kSteps; ++s) {
      step.set({s});
      backend_.run(SampleGaussian{stats, noise, z, kl, kl_dims, nullptr, log_p_z, log_q, norm});
      if (uses_score(e)) {
        ScoreWeights weigh = score_weights(e, cost, log_p, log_p_z, log_q, K, score);
        weigh.mean = running.data(), weigh.variance = running.data() + 1;
        weigh.score_norm = norm, weigh.network = of_x;
        backend_.run(weigh);
      }
      if (s < rest) continue;
      backend_.run(
          GaussianBackward{terms, stats, noise, uses_path(e) ? ConstView(dz) : ConstView{}, {}, kl_dims, 0.0f, dstats});
      const std::vector<float> got = dstats.get();
      for (std::size_t i = 0; i < got.size(); i += 2) dmu.push_back(double{got[i]} * static_cast<double>(B));
    }
    return MomentsOf(dmu);
  }
};
CUVAE_ON_EVERY_BACKEND(BaselineMoments);

// The best constant leaves V = 3/2 + 2 delta^2 of each sample's variance. Estimated from the others, with
// u = (f - b) s^2, it adds [Var u + (E u s)^2] / (K (K - 1)) = (10.5 + 24 delta^2) / (K (K - 1)) to the average over K,
// less what is of order 1/K of that: a tenth at K = 64 by a simulation in double, 0.3 allowed.
TEST_P(BaselineMoments, TheOptimalBaselineIsNearTheBest) {
  constexpr Index K = 64;
  for (const double delta : {0.0, 1.0, 2.0}) {
    SCOPED_TRACE("delta " + std::to_string(delta));
    const double d2 = delta * delta, best = (1.5 + 2 * d2) / K, excess = (10.5 + 24 * d2) / (K * (K - 1));
    const MomentsOf got = draw(Estimator::optimal, Cost::joint, K, delta);
    EXPECT_NEAR(got.mean, delta, 5.5 * got.mean_error());
    EXPECT_NEAR(got.variance, best + 0.85 * excess, 0.15 * excess + 5.5 * got.variance_error());
  }
}

// From two or three samples the constants are poor, but independent of what they are taken from.
TEST_P(BaselineMoments, BaselinesFromFewSamplesAreUnbiased) {
  for (const Estimator e : {Estimator::optimal, Estimator::optimal_shared})
    for (const Cost cost : {Cost::elbo, Cost::joint})
      for (const Index K : {2, 3}) {
        SCOPED_TRACE(std::string(to_string(e)) + ", " + std::string(to_string(cost)) + ", K " + std::to_string(K));
        const MomentsOf got = draw(e, cost, K, 1.5);
        EXPECT_NEAR(got.mean, 1.5, 5.5 * got.mean_error());
      }
}

// One constant for mu and logvar is best for neither: E[f n] / E[n] is 1/3 from mu's own. Taken from few samples its
// noise adds to that; n is heavy-tailed, so that the first order of that noise, as above, is doubled.
TEST_P(BaselineMoments, TheSharedBaselineLiesBetweenTheBestAndItsOwnNoise) {
  constexpr Index K = 64;
  for (const double delta : {0.0, 1.0}) {
    const double d2 = delta * delta, best = (1.5 + 2 * d2 + 1.0 / 9) / K;
    const MomentsOf got = draw(Estimator::optimal_shared, Cost::joint, K, delta);
    EXPECT_NEAR(got.mean, delta, 5.5 * got.mean_error());
    EXPECT_GT(got.variance, best - 5.5 * got.variance_error());
    EXPECT_LT(got.variance, best + 2 * (10.5 + 24 * d2) / (K * (K - 1)) + 5.5 * got.variance_error());
  }
}

// The network says the same of every row, so that the running mean makes up for it: what is left is the mean baseline's
// variance. Scaling divides mean and deviation by that of f, Var f = 1/2 + delta^2.
TEST_P(BaselineMoments, NvilIsTheMeanBaselineWhereInputsDoNotDiffer) {
  for (const double delta : {0.0, 0.5, 2.0}) {
    const double d2 = delta * delta, variance = 2.5 + 2 * d2;
    for (const bool scaled : {false, true}) {
      SCOPED_TRACE("delta " + std::to_string(delta) + (scaled ? ", scaled" : ""));
      const double scale = scaled ? 1 / std::max(1.0, std::sqrt(0.5 + d2)) : 1;
      const MomentsOf got =
          draw(scaled ? Estimator::nvil_scaled : Estimator::nvil, Cost::joint, 1, delta, false, -7.25f);
      // The running moments are off by about 1%: of many thousand draws.
      EXPECT_NEAR(got.mean, delta * scale, 5.5 * got.mean_error() + 0.01 * delta * scale);
      EXPECT_NEAR(got.variance, variance * scale * scale, 5.5 * got.variance_error() + 0.02 * variance * scale * scale);
    }
  }
}

// f(eps) eps - f(-eps) eps over 2 is -delta eps^2: of variance 2 delta^2, whatever constant f is less. The gradient
// through the samples is linear in eps, so that a pair has none.
TEST_P(BaselineMoments, AntitheticPairsOfTheToyAreExact) {
  for (const double delta : {0.0, 0.5, 2.0})
    for (const Index K : {2, 4}) {
      SCOPED_TRACE("delta " + std::to_string(delta) + ", K " + std::to_string(K));
      const double pairs = static_cast<double>(K) / 2;
      for (const Estimator e : {Estimator::score, Estimator::score_mean, Estimator::nvil}) {
        const MomentsOf got = draw(e, Cost::joint, K, delta, true, 3.5f);
        EXPECT_NEAR(got.mean, delta, 5.5 * got.mean_error() + 1e-6) << to_string(e);
        EXPECT_NEAR(got.variance, 2 * delta * delta / pairs, 5.5 * got.variance_error() + 1e-10) << to_string(e);
      }
      const MomentsOf total = draw(Estimator::total, Cost::elbo, K, delta, true);
      EXPECT_NEAR(total.mean, delta, 1e-6);
      EXPECT_NEAR(total.variance, 0, 1e-12);
    }
}

}  // namespace
}  // namespace cuvae
