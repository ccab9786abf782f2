// Bounds of a model whose log p(x) is known: z ~ N(0, I), x ~ N(W z + b, s^2 I), so that x ~ N(b, W W^T + s^2 I). The
// columns of W are orthogonal, so that the posterior N((W^T W + s^2 I)^-1 W^T (x - b), s^2 (W^T W + s^2 I)^-1) has a
// diagonal covariance, which the linear encoder can have too.
#include <algorithm>
#include <cmath>

#include "cuvae/bound.h"
#include "op_test.h"
#include "small_training.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

constexpr Index kRows = 12, kDim = 4, kLatent = 2;
constexpr double kScale = 0.5, kW[kDim][kLatent] = {{1.5, 0.5}, {-0.5, 1.5}, {1, 0.25}, {0.5, -0.5}},
                 kB[kDim] = {0.3, -0.2, 0.1, 0.4};

double squared_norm(Index l) {
  double sum = 0;
  for (const auto& row : kW) sum += row[l] * row[l];
  return sum;
}
double posterior_variance(Index l) { return kScale * kScale / (squared_norm(l) + kScale * kScale); }

class LinearGaussian : public OpTest {
 protected:
  LinearGaussian() {
    for (Index i = 0; i < kRows; ++i)  // from the model
      for (Index d = 0; d < kDim; ++d) {
        double value = kB[d] + kScale * reference::normal({3, Stream::data_sample}, i * kDim + d);
        for (Index l = 0; l < kLatent; ++l)
          value += kW[d][l] * reference::normal({3, Stream::prior_sample}, i * kLatent + l);
        x_.push_back(static_cast<float>(value));
      }
  }

  /// q has the posterior's mean times `shrink`, and its variances times `widen`.
  Vae model(double shrink = 1, double widen = 1) {
    VaeConfig config;
    config.data_dim = config.image_width = kDim;
    config.latent = kLatent;
    config.encoder_hidden = config.decoder_hidden = {};
    config.likelihood = Likelihood::gaussian;
    config.scale = static_cast<float>(kScale);
    Vae vae(backend_, config, 1);
    std::vector<float> arena(static_cast<std::size_t>(vae.layout().size()));
    const auto set = [&](const Parameter& p, Index row, Index col, double value) {
      arena[static_cast<std::size_t>(p.offset + row * p.cols + col)] = static_cast<float>(value);
    };
    for (Index l = 0; l < kLatent; ++l) {
      const double factor = shrink / (squared_norm(l) + kScale * kScale);
      double bias = 0;
      for (Index d = 0; d < kDim; ++d) {
        set(vae.decoder().weights()[0], d, l, kW[d][l]);
        set(vae.decoder().biases()[0], 0, d, kB[d]);
        set(vae.encoder().weights()[0], l, d, factor * kW[d][l]);
        bias -= factor * kW[d][l] * kB[d];
      }
      set(vae.encoder().biases()[0], 0, l, bias);
      set(vae.encoder().biases()[0], 0, kLatent + l, std::log(widen * posterior_variance(l)));
    }
    backend_.upload(vae.params(), arena.data(), arena.size() * sizeof(float));
    vae.refresh_weights();
    return vae;
  }

  /// Value l of the mean of row i's posterior.
  double posterior_mean(Index i, Index l) const {
    double sum = 0;
    for (Index d = 0; d < kDim; ++d) sum += kW[d][l] * (double{x_[static_cast<std::size_t>(i * kDim + d)]} - kB[d]);
    return sum / (squared_norm(l) + kScale * kScale);
  }

  /// log N(x; b, C), C = W W^T + s^2 I, by Gaussian elimination of C.
  double log_p(Index i) const {
    double c[kDim][kDim + 1], log_p = 0;
    for (Index r = 0; r < kDim; ++r) {
      for (Index k = 0; k < kDim; ++k) {
        c[r][k] = r == k ? kScale * kScale : 0;
        for (Index l = 0; l < kLatent; ++l) c[r][k] += kW[r][l] * kW[k][l];
      }
      c[r][kDim] = double{x_[static_cast<std::size_t>(i * kDim + r)]} - kB[r];
    }
    for (Index r = 0; r < kDim; ++r) {  // with C = L D L^T, the terms are those of L^-1 (x - b)
      log_p -= 0.5 * (std::log(2 * M_PI * c[r][r]) + c[r][kDim] * c[r][kDim] / c[r][r]);
      for (Index below = r + 1; below < kDim; ++below) {
        const double factor = c[below][r] / c[r][r];
        for (Index k = r; k <= kDim; ++k) c[below][k] -= factor * c[r][k];
      }
    }
    return log_p;
  }

  /// KL(q || posterior) of row i.
  double kl_to_posterior(Index i, double shrink, double widen) const {
    double kl = 0;
    for (Index l = 0; l < kLatent; ++l) {
      const double off = (shrink - 1) * posterior_mean(i, l);
      kl += 0.5 * (widen + off * off / posterior_variance(l) - 1 - std::log(widen));
    }
    return kl;
  }

  BoundEvaluation bound(const Vae& vae, Index samples, Bound kind = Bound::iwae) const {
    return evaluate_bound(vae, data(), {kind, samples, 5, Binarize::none, 4});
  }
  Dataset data() const { return Dataset::from_memory(x_, kRows, kDim); }

  std::vector<float> x_;
};
CUVAE_ON_EVERY_BACKEND(LinearGaussian);

// Ten roundings of terms of up to 40 nats: the squares of four residuals, and the log-densities of z.
constexpr double kRounding = 10 * 0x1p-24 * 40;

TEST_P(LinearGaussian, HasWeightsThatAreAllEqualUnderThePosterior) {
  EXPECT_NEAR(kW[0][0] * kW[0][1] + kW[1][0] * kW[1][1] + kW[2][0] * kW[2][1] + kW[3][0] * kW[3][1], 0, 1e-15);
  const Vae vae = model();
  for (const Index samples : {1, 5, 50, 130}) {
    const BoundEvaluation e = bound(vae, samples);
    for (Index i = 0; i < kRows; ++i) {
      const ExampleBound& x = e.of_examples[static_cast<std::size_t>(i)];
      EXPECT_NEAR(x.value, log_p(i), kRounding) << "row " << i << ", K " << samples;
      EXPECT_NEAR(x.effective, static_cast<double>(samples), 4 * kRounding * static_cast<double>(samples));
    }
    EXPECT_LE(e.sampling_error, std::sqrt(4 * kRounding));
    EXPECT_EQ(e.unreliable, 0);
  }
}

// log (1/K) sum_k w_k has the variance v = (1 / effective - 1 / K) and is below log p by v / 2, up to terms of higher
// order. Five standard errors for each of 12 rows.
TEST_P(LinearGaussian, IsFoundByImportanceSamplingWithinItsError) {
  for (const auto& [kind, samples] : {std::pair{Bound::iwae, Index{1000}}, {Bound::prior, Index{4000}}}) {
    const BoundEvaluation e = bound(model(0.8, 1.5), samples, kind);
    double exact = 0, bias = 0;
    for (Index i = 0; i < kRows; ++i) {
      const ExampleBound& x = e.of_examples[static_cast<std::size_t>(i)];
      const double variance = 1 / x.effective - 1 / static_cast<double>(samples);
      EXPECT_NEAR(x.value, log_p(i), 5 * std::sqrt(variance) + variance) << to_string(kind) << ", row " << i;
      exact += log_p(i) / kRows, bias += variance / 2 / kRows;
    }
    EXPECT_NEAR(e.value, exact, 4 * e.sampling_error + 2 * bias) << to_string(kind);
    EXPECT_LT(e.sampling_error, 0.05) << to_string(kind);  // or the comparisons say nothing
  }
}

// E L_K does not fall in K (Burda et al. 2015, theorem 1), and E L_1 = log p - KL(q || posterior).
TEST_P(LinearGaussian, DoesNotFallWithMoreSamples) {
  const double shrink = 0.5, widen = 3;
  const Vae vae = model(shrink, widen);
  double exact = 0, kl = 0;
  for (Index i = 0; i < kRows; ++i) exact += log_p(i) / kRows, kl += kl_to_posterior(i, shrink, widen) / kRows;
  Vector means, errors;
  for (const Index samples : {1, 5, 50, 500}) {
    Vector values;
    const int seeds = samples < 500 ? 40 : 10;
    for (int seed = 0; seed < seeds; ++seed)
      values.push_back(
          evaluate_bound(vae, data(), {Bound::iwae, samples, 5, Binarize::none, static_cast<std::uint64_t>(seed)})
              .value);
    double mean = 0, squares = 0;
    for (const double v : values) mean += v / seeds;
    for (const double v : values) squares += (v - mean) * (v - mean);
    means.push_back(mean), errors.push_back(std::sqrt(squares / (seeds - 1) / seeds));
  }
  EXPECT_NEAR(means[0], exact - kl, 4 * errors[0]);
  EXPECT_GT(kl, 10 * errors[0]);  // or the bounds could not be told apart
  for (std::size_t k = 1; k < means.size(); ++k) EXPECT_GT(means[k], means[k - 1] - 4 * (errors[k] + errors[k - 1]));
  EXPECT_GT(means[2], means[0] + 4 * (errors[2] + errors[0]));
  EXPECT_LT(means.back(), exact + 4 * errors.back());
}

// log p - ELBO = KL(q || posterior), with the ELBO of evaluate(): its KL is in closed form, and its reconstruction has
// the error of 40 seeds.
TEST_P(LinearGaussian, IsAboveTheElboByTheKlToThePosterior) {
  const double shrink = 0.8, widen = 1.5;
  const Vae vae = model(shrink, widen);
  constexpr int kSeeds = 40;
  Vector sums(kRows), squares(kRows);
  for (int seed = 0; seed < kSeeds; ++seed) {
    const Evaluation e = evaluate(vae, data(), {20, 5, Binarize::none, static_cast<std::uint64_t>(seed)});
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += e.elbos[i], squares[i] += e.elbos[i] * e.elbos[i];
  }
  for (Index i = 0; i < kRows; ++i) {
    const double mean = sums[i] / kSeeds, error = std::sqrt((squares[i] / kSeeds - mean * mean) / (kSeeds - 1));
    EXPECT_NEAR(log_p(i) - mean, kl_to_posterior(i, shrink, widen), 5 * error) << "row " << i;
  }
}

}  // namespace
}  // namespace cuvae
