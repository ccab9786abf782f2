// Means and variances of the estimators over many draws, against exact ones. The draws are the rows of a batch that all
// have the same posterior, and several steps of noise.
#include <array>
#include <functional>

#include "cuvae/estimator.h"
#include "moments_of.h"
#include "op_test.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

const std::uint32_t kSteps = emulated() ? 8 : 32;
const Index kBatch = emulated() ? 256 : 4096;
constexpr double kPi = 3.14159265358979323846;

struct Posterior {
  double mu, logvar;
};

/// Logits w z + b of three pixels x; without one, log p(x|z) is 0.
struct Decoder {
  std::vector<float> w, b, x;
};

class EstimatorMoments : public OpTest {
 protected:
  /// The moments of dmu and dlogvar of the loss of one row.
  std::array<MomentsOf, 2> draw(Estimator e, Cost cost, Index K, Posterior posterior, const Decoder* decoder,
                                std::uint32_t first_step = 0) {
    const Index R = kBatch * K, D = 3;
    std::vector<float> all_stats, all_x;
    for (Index b = 0; b < kBatch; ++b) {
      all_stats.push_back(static_cast<float>(posterior.mu)), all_stats.push_back(static_cast<float>(posterior.logvar));
      const std::vector<float> row = decoder != nullptr ? decoder->x : std::vector<float>(3);
      all_x.insert(all_x.end(), row.begin(), row.end());
    }
    const std::vector<float> zeros(static_cast<std::size_t>(R));
    const Array<std::uint32_t> step(backend_, std::size_t{1});
    const Noise noise{11, Stream::latent, step.data()};
    const Matrix stats(backend_, kBatch, 2, all_stats), z(backend_, R, 1), kl(backend_, kBatch, 1),
        kl_dims(backend_, 1, 1), log_p_z(backend_, R, 1), log_q(backend_, R, 1), norm(backend_, R, 1),
        log_p(backend_, R, 1, zeros), dz(backend_, R, 1, zeros), bound(backend_, kBatch, 1), weights(backend_, R, 1),
        score(backend_, R, 1), dstats(backend_, kBatch, 2);
    const Matrix w(backend_, D, 1, decoder != nullptr ? decoder->w : std::vector<float>(3)),
        bias(backend_, 1, D, decoder != nullptr ? decoder->b : std::vector<float>(3)), x(backend_, kBatch, D, all_x),
        logits(backend_, R, D), dlogits(backend_, R, D), dw(backend_, D, 1), db(backend_, 1, D);
    const Array<RunningMean> running_mean(backend_, std::vector<RunningMean>(1));
    const LatentTerms terms = latent_terms(e, cost, kBatch, K, weights, score);
    const bool weighted = is_importance_weighted(e);

    Vector dmu, dlogvar;
    for (std::uint32_t s = 0; s < first_step + kSteps; ++s) {
      step.set({s});
      backend_.run(SampleGaussian{stats, noise, z, kl, kl_dims, nullptr, log_p_z, log_q, norm});
      const auto log_prob = [&](const RowFactor& weight, View gradient) {
        if (decoder != nullptr) backend_.run(LogProb{Likelihood::bernoulli, logits, x, weight, log_p, gradient});
      };
      if (decoder != nullptr) backend_.run(Linear{z, w, bias, Activation::identity, {}, logits});
      log_prob(-1.0f / static_cast<float>(R), dlogits);
      if (weighted) {
        backend_.run(ImportanceWeights{log_p, log_p_z, log_q, bound, weights, {}});
        log_prob({-1.0f / static_cast<float>(kBatch), weights}, dlogits);
      }
      if (uses_score(e)) {
        ScoreWeights weigh = score_weights(e, cost, log_p, log_p_z, log_q, K, score);
        weigh.mean = running_mean.data(), weigh.score_norm = norm;
        backend_.run(weigh);
      }
      if (decoder != nullptr) backend_.run(LinearBackward{z, w, dlogits, Activation::identity, {}, dw, db, dz});
      const float kl_scale = has_closed_form_kl(e, cost) ? 1.0f / static_cast<float>(kBatch) : 0.0f;
      backend_.run(GaussianBackward{
          terms, stats, noise, uses_path(e) ? ConstView(dz) : ConstView{}, {}, kl_dims, kl_scale, dstats});
      if (s < first_step) continue;
      const std::vector<float> got = dstats.get();
      for (std::size_t i = 0; i < got.size(); i += 2)
        dmu.push_back(double{got[i]} * static_cast<double>(kBatch)),
            dlogvar.push_back(double{got[i + 1]} * static_cast<double>(kBatch));
    }
    return {MomentsOf(dmu), MomentsOf(dlogvar)};
  }
};
CUVAE_ON_EVERY_BACKEND(EstimatorMoments);

// One latent, three samples: exact means by the trapezoidal rule, which converges exponentially for integrands that
// vanish with all derivatives at the ends. 1e-8 is the error of the differences.

const Decoder kDecoder{{2.0f, -1.5f, 1.0f}, {0.3f, -0.2f, 0.1f}, {1, 0, 1}};
constexpr Posterior kPosterior{-0.4, -0.6};
constexpr Index kSamples = 3;

class Quadrature {
 public:
  explicit Quadrature(Posterior q) {
    const double sigma = std::exp(q.logvar / 2);
    for (double eps = -8; eps <= 8; eps += 0.25) {
      const double z = q.mu + sigma * eps;
      double log_w = -z * z / 2 + eps * eps / 2 + q.logvar / 2;
      for (std::size_t d = 0; d < 3; ++d) {
        const double logit = double{kDecoder.w[d]} * z + double{kDecoder.b[d]};
        log_w -= std::log1p(std::exp(kDecoder.x[d] > 0 ? -logit : logit));
      }
      eps_.push_back(eps);
      w_.push_back(std::exp(log_w));
      p_.push_back(0.25 * std::exp(-eps * eps / 2) / std::sqrt(2 * kPi));
    }
    score_scale_ = 1 / sigma;
  }
  double elbo() const {
    double sum = 0;
    for (std::size_t i = 0; i < p_.size(); ++i) sum += p_[i] * std::log(w_[i]);
    return sum;
  }
  /// E f(w_1 + w_2 + w_3, the first sample).
  double over_three(const std::function<double(double, std::size_t)>& f) const {
    double sum = 0;
    for (std::size_t i = 0; i < p_.size(); ++i)
      for (std::size_t j = 0; j < p_.size(); ++j)
        for (std::size_t k = 0; k < p_.size(); ++k) sum += p_[i] * p_[j] * p_[k] * f(w_[i] + w_[j] + w_[k], i);
    return sum;
  }
  double bound() const {
    return over_three([](double sum, std::size_t) { return std::log(sum / 3); });
  }
  /// E sum_k weights_k times the score of q by mu and by logvar.
  Vector wake() const {
    const double by_mu = over_three([&](double sum, std::size_t i) { return 3 * w_[i] / sum * eps_[i]; });
    const double by_logvar =
        over_three([&](double sum, std::size_t i) { return 3 * w_[i] / sum * (eps_[i] * eps_[i] - 1) / 2; });
    return {by_mu * score_scale_, by_logvar};
  }

 private:
  Vector eps_, w_, p_;
  double score_scale_ = 1;
};

struct Exact {
  Vector elbo, bound, wake;  // gradients by mu and logvar
  Exact() {
    const auto by = [](double (Quadrature::*f)() const) {
      return central_differences(
          [&](const Vector& v) {
            return (Quadrature({v[0], v[1]}).*f)();
          },
          {kPosterior.mu, kPosterior.logvar});
    };
    elbo = by(&Quadrature::elbo), bound = by(&Quadrature::bound), wake = Quadrature(kPosterior).wake();
  }
};

TEST_P(EstimatorMoments, MeansAreTheGradients) {
  const Exact exact;
  for (const Estimator e :
       {Estimator::pathwise, Estimator::total, Estimator::stl, Estimator::score, Estimator::score_mean, Estimator::rloo,
        Estimator::optimal, Estimator::optimal_shared, Estimator::iwae, Estimator::stl_iwae, Estimator::dreg,
        Estimator::rws_dreg, Estimator::wake_phi, Estimator::vimco, Estimator::vimco_arithmetic})
    for (const Cost cost : {Cost::elbo, Cost::joint, Cost::likelihood}) {
      if (!takes_cost(e, cost)) continue;
      SCOPED_TRACE(std::string(to_string(e)) + ", " + std::string(to_string(cost)));
      const auto got = draw(e, cost, kSamples, kPosterior, &kDecoder);
      for (const std::size_t i : {0, 1}) {
        double want = -(is_importance_weighted(e) ? exact.bound : exact.elbo)[i];
        if (traits(e).reweighted) want = -exact.wake[i];
        const double bias = e == Estimator::stl_iwae ? -exact.wake[i] : 0;
        // Two components of 25 estimators: at 5.5 standard errors a right one fails once in a million seeds.
        EXPECT_NEAR(got[i].mean, want + bias, 5.5 * got[i].mean_error() + 1e-6) << i;
        // STL-IWAE leaves out the score of the weighted samples, so that it leans to where those are; few draws do not
        // show it.
        if (e == Estimator::stl_iwae && i == 0 && got[i].count > 1e5) {
          EXPECT_GT((got[i].mean - want) * (bias > 0 ? 1 : -1), 5.5 * got[i].mean_error());
        }
      }
    }
}

// The doubly reparameterized gradient has the lower variance, and a baseline lowers that of the score function.
TEST_P(EstimatorMoments, VariancesAreInTheKnownOrder) {
  const auto variance = [&](Estimator e) { return draw(e, Cost::joint, kSamples, kPosterior, &kDecoder)[0].variance; };
  EXPECT_LT(variance(Estimator::dreg), variance(Estimator::iwae));
  EXPECT_LT(variance(Estimator::rloo), variance(Estimator::score));
  EXPECT_LT(variance(Estimator::score_mean), variance(Estimator::score));
}

// q = N(delta, 1), p(z) = N(0, 1) and no data: the gradient by mu is delta, and every moment has a closed form. C is
// the log of the normal density's constant.

constexpr double kC = -0.918938533204672742;
/// Of f = log p(z) times the score, less a baseline that is its mean: the mean is not the best constant.
double score_variance(double d2) { return kC * kC - 3 * kC + 15.0 / 4 + (3.5 - kC) * d2 + d2 * d2 / 4; }
double mean_baseline_variance(double d2) { return 2.5 + 2 * d2; }
double rloo_variance(double d2, double k) { return (2.5 * k - 2 + 2 * k * d2) / (k * (k - 1)); }

TEST_P(EstimatorMoments, VariancesOfTheToyAreExact) {
  for (const double delta : {0.0, 0.5, 1.0, 2.0}) {
    const double d2 = delta * delta;
    const struct {
      Estimator estimator;
      Cost cost;
      Index samples;
      double variance;
    } cases[] = {{Estimator::total, Cost::elbo, 1, 1},
                 {Estimator::stl, Cost::elbo, 1, 0},
                 {Estimator::score, Cost::joint, 1, score_variance(d2)},
                 {Estimator::score, Cost::elbo, 1, 2 * d2 + d2 * d2 / 4},
                 {Estimator::score_mean, Cost::joint, 1, mean_baseline_variance(d2)},
                 {Estimator::rloo, Cost::joint, 2, rloo_variance(d2, 2)},
                 {Estimator::rloo, Cost::joint, 4, rloo_variance(d2, 4)}};
    for (const auto& c : cases) {
      SCOPED_TRACE(std::string(to_string(c.estimator)) + ", " + std::string(to_string(c.cost)) + ", K " +
                   std::to_string(c.samples) + ", delta " + std::to_string(delta));
      // The running mean has twenty batches to come to rest: 4096 costs each, so that it is off by well under 1%.
      const std::uint32_t first = c.estimator == Estimator::score_mean ? 20 : 0;
      const auto got = draw(c.estimator, c.cost, c.samples, {delta, 0}, nullptr, first)[0];
      // 1e-6: the samples' rounding, where the variance is none.
      EXPECT_NEAR(got.mean, delta, 5.5 * got.mean_error() + 1e-6);
      EXPECT_NEAR(got.variance, c.variance, 5.5 * got.variance_error() + 1e-12 + 1e-3 * c.variance);
    }
  }
  EXPECT_NEAR(score_variance(0), 7.35126363, 1e-8);
}

// By log sigma the score function has 2 C^2 - 10 C + 37/2 at delta = 0; by the log variance a quarter of that.
TEST_P(EstimatorMoments, VarianceByTheLogVarianceIsExact) {
  const auto got = draw(Estimator::score, Cost::joint, 1, {0, 0}, nullptr)[1];
  EXPECT_NEAR(got.mean, 0, 5.5 * got.mean_error());
  EXPECT_NEAR(got.variance, (2 * kC * kC - 10 * kC + 18.5) / 4, 5.5 * got.variance_error());
}

}  // namespace
}  // namespace cuvae
