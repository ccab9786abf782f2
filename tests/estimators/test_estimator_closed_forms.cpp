// Variances known in closed form where the posterior has several dimensions or another width than the prior:
// q = N(delta, sigma^2 I), p(z) = N(0, I) and no data, so that f = log p(z) (Cost::joint). The draws are the rows of a
// batch that all have the same posterior, and several steps of noise.
#include "cuvae/estimator.h"
#include "moments_of.h"
#include "op_test.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

const Index kNumbers = emulated() ? 1 << 13 : 1 << 17;  // of a step
const std::uint32_t kSteps = emulated() ? 4 : 16;
constexpr std::uint32_t kFirst = 10;  // batches for the running mean to come to rest

const double kLog2Pi = std::log(2 * std::acos(-1.0));

class EstimatorClosedForms : public OpTest {
 protected:
  struct Gradients {
    MomentsOf mu, log_sigma;
  };
  /// Of the loss of one row, by the first coordinate's mean, which is delta, and standard deviation; others have mean
  /// 0.
  Gradients draw(Estimator e, Index K, Index d, double delta, double sigma) {
    const Index B = std::max<Index>(64, kNumbers / (K * d)), R = B * K;
    std::vector<float> posteriors;
    for (Index b = 0; b < B; ++b) {
      for (Index l = 0; l < 2 * d; ++l)
        posteriors.push_back(static_cast<float>(l >= d ? 2 * std::log(sigma) : l == 0 ? delta : 0));
    }
    const auto column = [&](Index rows) {
      return Matrix(backend_, rows, 1, std::vector<float>(static_cast<std::size_t>(rows)));
    };
    const Array<std::uint32_t> step(backend_, std::size_t{1});
    const Noise noise{17, Stream::latent, step.data()};
    const Matrix stats(backend_, B, 2 * d, posteriors), z(backend_, R, d),
        kl = column(B), kl_dims(backend_, 1, d), log_p_z = column(R), log_q = column(R), log_p = column(R),
        score = column(R), dstats(backend_, B, 2 * d);
    const Matrix dz(backend_, R, d, std::vector<float>(static_cast<std::size_t>(R * d)));
    const Array<RunningMean> running(backend_, std::vector<RunningMean>(1));
    const LatentTerms terms = latent_terms(e, Cost::joint, B, K, {}, score);
    const std::uint32_t first = e == Estimator::score_mean ? kFirst : 0;
    Vector mu, log_sigma;
    for (std::uint32_t s = 0; s < first + kSteps; ++s) {
      step.set({s});
      backend_.run(SampleGaussian{stats, noise, z, kl, kl_dims, nullptr, log_p_z, log_q});
      if (uses_score(e)) {
        ScoreWeights weigh = score_weights(e, Cost::joint, log_p, log_p_z, log_q, K, score);
        weigh.mean = running.data();
        backend_.run(weigh);
      }
      backend_.run(
          GaussianBackward{terms, stats, noise, uses_path(e) ? ConstView(dz) : ConstView{}, {}, kl_dims, 0, dstats});
      if (s < first) continue;
      const std::vector<float> got = dstats.get();
      const auto rows = static_cast<double>(B);
      for (Index b = 0; b < B; ++b) {
        mu.push_back(rows * double{got[static_cast<std::size_t>(2 * d * b)]});
        log_sigma.push_back(2 * rows * double{got[static_cast<std::size_t>(2 * d * b + d)]});  // by logvar: half
      }
    }
    return {MomentsOf(mu), MomentsOf(log_sigma)};
  }

  static void expect_variance(const MomentsOf& got, double mean, double variance, const char* what) {
    EXPECT_NEAR(got.mean, mean, 5.5 * got.mean_error() + 1e-6) << what;
    EXPECT_NEAR(got.variance, variance, 5.5 * got.variance_error() + 2e-3 * variance) << what;
  }
};
CUVAE_ON_EVERY_BACKEND(EstimatorClosedForms);

// sigma = 1: with a constant b, Var = V + (b - best)^2, V = (d + 2)/2 + 2 delta^2, best = C - (d + 2 + delta^2)/2; with
// the mean of f V + 1, leave-one-out (K V + K - 2) / (K (K - 1)). By delta = 0, without a baseline: 7.3513, 16.7293,
// 236.7174, 5202.3603 for d = 1, 2, 10, 50. The emulator's draws are too few for the fourth moments of 50.
TEST_P(EstimatorClosedForms, GrowWithTheDimension) {
  for (const auto& [d, known] : {std::pair<Index, double>{1, 7.3513}, {2, 16.7293}, {10, 236.7174}, {50, 5202.3603}})
    for (const double delta : {0.0, 1.5}) {
      SCOPED_TRACE("d " + std::to_string(d) + ", delta " + std::to_string(delta));
      const double C = -static_cast<double>(d) / 2 * kLog2Pi, d2 = delta * delta;
      const double V = static_cast<double>(d + 2) / 2 + 2 * d2, best = C - (static_cast<double>(d + 2) + d2) / 2;
      if (delta == 0) {
        EXPECT_NEAR(V + best * best, known, 1e-4 + 1e-8 * known);
      }
      expect_variance(draw(Estimator::score, 1, d, delta, 1).mu, delta, V + best * best, "score");
      expect_variance(draw(Estimator::score_mean, 1, d, delta, 1).mu, delta, V + 1, "score-mean");
      for (const Index K : {2, 5}) {
        const double k = static_cast<double>(K);
        expect_variance(draw(Estimator::rloo, K, d, delta, 1).mu, delta, (k * V + k - 2) / (k * (k - 1)), "rloo");
      }
      expect_variance(draw(Estimator::total, 1, d, delta, 1).mu, delta, 1, "total");
    }
}

// One dimension, any sigma: of the score function by mu [C^2 - C delta^2 + delta^4/4 + sigma^2 (-12 C + 14 delta^2 +
// 15 sigma^2)/4] / sigma^2, by log sigma 2 C^2 - C (2 delta^2 + 10 sigma^2) + delta^4/2 + 15 delta^2 sigma^2 +
// 37 sigma^4/2; of the path sigma^2 and sigma^2 (delta^2 + 2 sigma^2). The loss's mean gradient by log sigma is
// sigma^2 - 1, the entropy's part in closed form.
TEST_P(EstimatorClosedForms, FollowTheWidth) {
  for (const auto& [delta, sigma] : {std::pair<double, double>{1.3, 0.6}, {0, 1}, {-0.7, 1.8}}) {
    SCOPED_TRACE("delta " + std::to_string(delta) + ", sigma " + std::to_string(sigma));
    const double C = -kLog2Pi / 2, d2 = delta * delta, s2 = sigma * sigma;
    const double by_mu = (C * C - C * d2 + d2 * d2 / 4 + s2 * (-12 * C + 14 * d2 + 15 * s2) / 4) / s2;
    const double by_log_sigma = 2 * C * C - C * (2 * d2 + 10 * s2) + d2 * d2 / 2 + 15 * d2 * s2 + 37.0 / 2 * s2 * s2;
    const Gradients score = draw(Estimator::score, 1, 1, delta, sigma),
                    path = draw(Estimator::total, 1, 1, delta, sigma);
    expect_variance(score.mu, delta, by_mu, "score by mu");
    expect_variance(score.log_sigma, s2 - 1, by_log_sigma, "score by log sigma");
    expect_variance(path.mu, delta, s2, "path by mu");
    expect_variance(path.log_sigma, s2 - 1, s2 * (d2 + 2 * s2), "path by log sigma");
  }
}

}  // namespace
}  // namespace cuvae
