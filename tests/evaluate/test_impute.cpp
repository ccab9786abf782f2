// Missing values of a linear-Gaussian model: z ~ N(0, I), x ~ N(W z + b, s^2 I). Given the observed values x_o, z is
// Gaussian with the precision A / s^2, A = W_o^T W_o + s^2 I, and the mean A^-1 W_o^T (x_o - b_o), so that the
// conditional mean of a missing value, its variance and log p(x_o) are known. The encoder knows the posterior of
// complete data only, so that the weights matter.
#include "cuvae/impute.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "error_text.h"
#include "op_test.h"
#include "small_training.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

constexpr Index kRows = 12, kDim = 4;
constexpr double kScale = 0.5, kW[kDim][2] = {{1.5, 0.5}, {-0.5, 1.5}, {1, 0.25}, {0.5, -0.5}},
                 kB[kDim] = {0.3, -0.2, 0.1, 0.4};
/// Samples of an example.
Index many() { return emulated() ? 400 : 5000; }

class Impute : public OpTest {
 protected:
  Impute() {
    for (Index i = 0; i < kRows; ++i)
      for (Index d = 0; d < kDim; ++d) {
        double value = kB[d] + kScale * reference::normal({3, Stream::data_sample}, i * kDim + d);
        for (Index l = 0; l < 2; ++l) value += kW[d][l] * reference::normal({3, Stream::prior_sample}, i * 2 + l);
        // Row 0 is complete, row 1 is not observed at all.
        const bool missing = i == 1 || (i > 1 && (i + d * d) % 3 == 0);
        x_.push_back(missing ? NAN : static_cast<float>(value));
      }
  }

  Vae model(Likelihood likelihood = Likelihood::gaussian) {
    VaeConfig config;
    config.data_dim = config.image_width = kDim;
    config.latent = 2;
    config.encoder_hidden = config.decoder_hidden = {};
    config.likelihood = likelihood;
    config.scale = static_cast<float>(kScale);
    config.missing_values = true;
    Vae vae(backend_, config, 1);
    std::vector<float> arena = parameters(vae);
    const auto set = [&](const Parameter& p, Index row, Index col, double value) {
      arena[static_cast<std::size_t>(p.offset + row * p.cols + col)] = static_cast<float>(value);
    };
    for (Index l = 0; l < 2; ++l) {
      double norm = kScale * kScale, bias = 0;
      for (const auto& row : kW) norm += row[l] * row[l];
      for (Index d = 0; d < kDim; ++d) {
        set(vae.decoder().weights()[0], d, l, kW[d][l]);
        set(vae.decoder().biases()[0], 0, d, kB[d]);
        set(vae.encoder().weights()[0], l, d, kW[d][l] / norm);
        set(vae.encoder().weights()[0], 2 + l, d, 0);
        bias -= kW[d][l] * kB[d] / norm;
      }
      set(vae.encoder().biases()[0], 0, l, bias);
      set(vae.encoder().biases()[0], 0, 2 + l, 0);  // the prior's variance: no weight is far above the others
    }
    backend_.upload(vae.params(), arena.data(), arena.size() * sizeof(float));
    vae.refresh_weights();
    return vae;
  }
  Dataset data() const { return Dataset::from_memory(x_, kRows, kDim, NaNs::missing); }
  bool missing(Index i, Index d) const { return std::isnan(x_[static_cast<std::size_t>(i * kDim + d)]); }

  /// What the observed values of row i say of x and z.
  struct Exact {
    double log_p = 0, mean[kDim], variance[kDim];  // of E[x|z] given x_o
  };
  Exact exact(Index i) const {
    const double s2 = kScale * kScale;
    double a[2][2] = {{s2, 0}, {0, s2}}, v[2] = {0, 0}, squares = 0, n = 0;
    for (Index d = 0; d < kDim; ++d) {
      if (missing(i, d)) continue;
      const double r = double{x_[static_cast<std::size_t>(i * kDim + d)]} - kB[d];
      squares += r * r, ++n;
      for (int k = 0; k < 2; ++k) {
        v[k] += kW[d][k] * r;
        for (int l = 0; l < 2; ++l) a[k][l] += kW[d][k] * kW[d][l];
      }
    }
    const double det = a[0][0] * a[1][1] - a[0][1] * a[1][0];
    const double inverse[2][2] = {{a[1][1] / det, -a[0][1] / det}, {-a[1][0] / det, a[0][0] / det}};
    const double z[2] = {inverse[0][0] * v[0] + inverse[0][1] * v[1], inverse[1][0] * v[0] + inverse[1][1] * v[1]};
    Exact e;
    // det(W W^T + s^2 I) = s^2n det(A) / s^4, and the inverse by Woodbury.
    e.log_p = -0.5 * (n * std::log(2 * M_PI * s2) + std::log(det) - 2 * std::log(s2) +
                      (squares - v[0] * z[0] - v[1] * z[1]) / s2);
    for (Index d = 0; d < kDim; ++d) {
      e.mean[d] = kB[d] + kW[d][0] * z[0] + kW[d][1] * z[1];
      e.variance[d] = 0;
      for (int k = 0; k < 2; ++k)
        for (int l = 0; l < 2; ++l) e.variance[d] += kW[d][k] * s2 * inverse[k][l] * kW[d][l];
    }
    return e;
  }

  std::vector<float> x_;
};
CUVAE_ON_EVERY_BACKEND(Impute);

float at(const Imputation& r, Index copy, Index i, Index d) {
  return r.completed[static_cast<std::size_t>((copy * kRows + i) * kDim + d)];
}

// The estimate's variance is about sum_k u_k^2 (f_k - mean)^2, f = E[x|z]: the posterior's variance of f over the
// effective sample size, if far values have no larger weights. A factor of 2 is for those.
TEST_P(Impute, ConvergesToTheConditionalMean) {
  const Vae vae = model();
  double squares[2] = {0, 0}, count = 0;
  for (int run = 0; run < 2; ++run) {
    const Index samples = run == 0 ? many() / 50 : many();
    const Imputation r = impute(vae, data(), {.samples = samples, .binarize = Binarize::none, .seed = 4});
    EXPECT_EQ(r.examples, kRows);
    EXPECT_GE(r.least_effective, run == 0 ? 1 : 20);
    for (Index i = 0; i < kRows; ++i) {
      const Exact e = exact(i);
      for (Index d = 0; d < kDim; ++d) {
        if (!missing(i, d)) {
          EXPECT_EQ(at(r, 0, i, d), x_[static_cast<std::size_t>(i * kDim + d)]);
          continue;
        }
        const double error = double{at(r, 0, i, d)} - e.mean[d];
        squares[run] += error * error, ++count;
        if (run == 1) {
          EXPECT_LE(std::fabs(error), 5 * std::sqrt(2 * e.variance[d] / r.least_effective)) << i << ", " << d;
        }
      }
    }
    EXPECT_EQ(r.missing, static_cast<Index>(count) / (run + 1));
  }
  EXPECT_LT(squares[1], squares[0] / 5);  // 50 with as many samples
}

// Draws of x given x_o have the mean above and s^2 more variance. 5 standard errors of M draws; the samples that are
// drawn from are off as above. 4 M^-1 is that of a variance's square, doubled.
TEST_P(Impute, DrawsFromTheConditionalDistribution) {
  const Vae vae = model();
  const Index draws = many() / 4;
  const Imputation r = impute(vae, data(), {.samples = many(), .draws = draws, .binarize = Binarize::none, .seed = 5});
  ASSERT_EQ(r.completed.size(), static_cast<std::size_t>(draws * kRows * kDim));
  const auto n = static_cast<double>(draws);
  for (Index i = 0; i < kRows; ++i) {
    const Exact e = exact(i);
    for (Index d = 0; d < kDim; ++d) {
      double mean = 0, squares = 0;
      for (Index m = 0; m < draws; ++m) mean += double{at(r, m, i, d)} / n;
      for (Index m = 0; m < draws; ++m) squares += std::pow(double{at(r, m, i, d)} - mean, 2) / (n - 1);
      if (!missing(i, d)) {
        EXPECT_EQ(at(r, draws - 1, i, d), x_[static_cast<std::size_t>(i * kDim + d)]);
        continue;
      }
      const double variance = e.variance[d] + kScale * kScale, effective = r.least_effective / 2;
      EXPECT_NEAR(mean, e.mean[d], 5 * std::sqrt(variance / n + e.variance[d] / effective)) << i << ", " << d;
      EXPECT_NEAR(squares, variance, 5 * variance * std::sqrt(4 / n + 2 / effective)) << i << ", " << d;
    }
  }
}

TEST_P(Impute, BoundsAreOfTheObservedValues) {
  const Vae vae = model();
  const BoundEvaluation e = evaluate_bound(vae, data(), {Bound::iwae, many(), 5, Binarize::none, 4});
  double observed = 0;
  for (Index i = 0; i < kRows; ++i) {
    const ExampleBound& x = e.of_examples[static_cast<std::size_t>(i)];
    const double variance = 1 / x.effective - 1 / static_cast<double>(many());
    EXPECT_NEAR(x.value, exact(i).log_p, 5 * std::sqrt(variance) + variance) << "row " << i;
    for (Index d = 0; d < kDim; ++d) observed += missing(i, d) ? 0 : 1;
  }
  EXPECT_NEAR(e.bits_per_dim, -e.value * kRows / (observed * std::log(2.0)), 1e-12 * std::fabs(e.bits_per_dim));
  const Evaluation elbo = evaluate(vae, data(), {20, 5, Binarize::none, 4});
  EXPECT_LT(elbo.elbo, e.value);
  EXPECT_NEAR(elbo.bits_per_dim, -elbo.elbo * kRows / (observed * std::log(2.0)), 1e-12 * std::fabs(e.bits_per_dim));
}

// x' = (x - mean) / scale is off by a rounding, and so is what comes back.
TEST_P(Impute, IsInTheDatasUnits) {
  const Imputation want = impute(model(), data(), {.samples = 60, .draws = 2, .binarize = Binarize::none});
  Vae vae = model();
  const std::vector<double> mean{10, -20, 0, 1}, scale{4, 0.5, 3, 100};
  vae.set_standardization({mean, scale});
  std::vector<float> x = x_;
  vae.standardization().undo(x);
  const Dataset scaled = Dataset::from_memory(x, kRows, kDim, NaNs::missing);
  const Imputation got = impute(vae, scaled, {.samples = 60, .draws = 2, .binarize = Binarize::none});
  for (Index i = 0; i < 2 * kRows * kDim; ++i) {
    const auto d = static_cast<std::size_t>(i % kDim);
    const double value = double{want.completed[static_cast<std::size_t>(i)]} * scale[d] + mean[d];
    EXPECT_NEAR(got.completed[static_cast<std::size_t>(i)], value, 1e-5 * (std::fabs(value) + scale[d])) << i;
  }
  // log p(x) is less by the log scales of the observed values alone.
  const Evaluation a = evaluate(model(), data(), {5, 5, Binarize::none, 4}),
                   b = evaluate(vae, scaled, {5, 5, Binarize::none, 4});
  for (Index i = 0; i < kRows; ++i) {
    double volume = 0;
    for (Index d = 0; d < kDim; ++d) volume += missing(i, d) ? 0 : std::log(scale[static_cast<std::size_t>(d)]);
    EXPECT_NEAR(b.elbos[static_cast<std::size_t>(i)], a.elbos[static_cast<std::size_t>(i)] - volume, 1e-4) << i;
  }
}

TEST_P(Impute, DependsOnTheSeedAndNotOnTheBatch) {
  const Vae vae = model();
  const auto run = [&](Index batch, std::uint64_t seed, Index draws) {
    return impute(vae, data(), {120, draws, batch, Binarize::none, seed}).completed;
  };
  for (const Index draws : {0, 3}) {
    expect_same_bits(run(5, 1, draws), run(5, 1, draws), "the same run");
    expect_close(std::vector<float>(run(1, 1, draws)), reference::widen(run(5, 1, draws)), 1e-5, 1e-5, "another batch");
    EXPECT_NE(run(5, 1, draws), run(5, 2, draws));
  }
}

TEST_P(Impute, DrawsWhatTheLikelihoodHas) {
  for (const LikelihoodTraits& t : kLikelihoods) {
    SCOPED_TRACE(t.name);
    std::vector<float> x = x_;
    if (t.unit_interval)
      for (float& v : x) v = std::isnan(v) ? v : v > 0 ? 1.0f : 0.0f;
    const Dataset data = Dataset::from_memory(x, kRows, kDim, NaNs::missing);
    const Imputation r = impute(model(t.likelihood), data, {.samples = 20, .draws = 2, .binarize = Binarize::none});
    bool between = false;
    for (const float v : r.completed) {
      EXPECT_TRUE(std::isfinite(v));
      EXPECT_TRUE(!t.unit_interval || (v >= 0 && v <= 1)) << v;
      between |= v > 0 && v < 1;
    }
    EXPECT_EQ(between, t.values != 2);
    const Imputation means = impute(model(t.likelihood), data, {.samples = 20, .binarize = Binarize::none});
    EXPECT_TRUE(std::any_of(means.completed.begin(), means.completed.end(), [](float v) { return v > 0 && v < 1; }));
  }
}

TEST_P(Impute, LeavesCompleteDataAsTheyAre) {
  std::vector<float> x = x_;
  for (float& v : x) v = std::isnan(v) ? 0.25f : v;
  const Imputation r = impute(model(), Dataset::from_memory(x, kRows, kDim), {.binarize = Binarize::none});
  expect_same_bits(r.completed, x, "completed");
  EXPECT_EQ(r.incomplete + r.missing, 0);
}

TEST_P(Impute, ErrorsNameTheReason) {
  const Vae vae = model(), other(backend_, small_model(), 1);
  const auto refused = [&](const Vae& v, const ImputeOptions& options, const std::string& part) {
    expect_error([&] { impute(v, data(), options); }, part);
  };
  refused(other, {}, "impute: the model takes no missing values");
  refused(vae, {.draws = -1, .binarize = Binarize::none}, "impute: draws is -1 but must be at least 0");
  refused(vae, {.samples = 0, .binarize = Binarize::none}, "evaluate: samples is 0");
  refused(vae, {}, "binarization needs values in [0, 1]");
}

}  // namespace
}  // namespace cuvae
