// Bounds of a model whose log p(x) is known.
#include "cuvae/aggregate.h"
#include "cuvae/refine.h"
#include "linear_gaussian.h"
#include "small_training.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

class LinearGaussian : public LinearGaussianTest {
 protected:
  static constexpr Index kColumns = 3;  // of conditions
  static constexpr double kV[kDim][kColumns] = {{2, 0, -1}, {0.5, 1, 1}, {-1, 0.25, 0}, {0, -2, 1.5}};

  /// The same model of x + V c, with the exact posterior: log p(x + V c | c) = log p(x).
  Vae conditional_model() {
    const Vae plain = model();
    VaeConfig config = plain.config();
    config.condition = ConditionKind::columns, config.condition_dim = kColumns;
    Vae vae(backend_, config, 1);
    const std::vector<float> from = parameters(plain);
    std::vector<float> arena(static_cast<std::size_t>(vae.layout().size()));
    const auto copy = [&](const Mlp& network, const Mlp& own) {
      const Parameter &w = network.weights()[0], &b = network.biases()[0];
      for (Index i = 0; i < w.size(); ++i)
        arena[own.weights()[0].offset + i / w.cols * own.in() + i % w.cols] = from[w.offset + i];
      std::copy_n(from.begin() + b.offset, b.size(), arena.begin() + own.biases()[0].offset);
    };
    copy(plain.encoder(), vae.encoder()), copy(plain.decoder(), vae.decoder());
    for (Index d = 0; d < kDim; ++d)
      for (Index j = 0; j < kColumns; ++j) {
        arena[vae.decoder().weights()[0].offset + d * vae.decoder().in() + kLatent + j] = static_cast<float>(kV[d][j]);
        for (Index l = 0; l < kLatent; ++l)
          arena[vae.encoder().weights()[0].offset + l * vae.encoder().in() + kDim + j] -=
              from[plain.encoder().weights()[0].offset + l * kDim + d] * static_cast<float>(kV[d][j]);
      }
    backend_.upload(vae.params(), arena.data(), arena.size() * sizeof(float));
    vae.refresh_weights();
    return vae;
  }
  /// The rows x + V c with their c, or with those of the next row.
  Dataset conditional_data(Index shift = 0) const {
    const std::vector<float> c = random_vector(kRows * kColumns, 8, -2, 2);
    std::vector<float> x = x_, own;
    for (Index i = 0; i < kRows; ++i)
      for (Index j = 0; j < kColumns; ++j) {
        for (Index d = 0; d < kDim; ++d) x[i * kDim + d] += static_cast<float>(kV[d][j]) * c[i * kColumns + j];
        own.push_back(c[(i + shift) % kRows * kColumns + j]);
      }
    return Dataset::from_memory(x, kRows, kDim).with_conditions(Dataset::from_memory(own, kRows, kColumns));
  }

  /// KL(q || posterior) of row i.
  double kl_to_posterior(Index i, double shrink, double widen) const {
    double kl = 0;
    for (Index l = 0; l < kLatent; ++l) {
      const double off = (shrink - 1) * posterior_mean(i, l);
      kl += 0.5 * (widen + off * off / covariance(l, l) - 1 - std::log(widen));
    }
    return kl;
  }

  BoundEvaluation bound(const Vae& vae, Index samples, Bound kind = Bound::iwae) const {
    return evaluate_bound(vae, data(), {kind, samples, 5, Binarize::none, 4});
  }
};
CUVAE_ON_EVERY_BACKEND(LinearGaussian);

TEST_P(LinearGaussian, HasWeightsThatAreAllEqualUnderThePosterior) {
  EXPECT_NEAR(precision(0, 1), 0, 1e-14);
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

// Residuals and shifts of up to 8, whose squares over s^2 = 1/4 are of the size of log p: twenty roundings.
TEST_P(LinearGaussian, ConditionalModelsHaveTheDensityGivenTheConditions) {
  const Vae vae = conditional_model();
  for (const Index samples : {1, 5}) {
    const BoundEvaluation e = evaluate_bound(vae, conditional_data(), {Bound::iwae, samples, 5, Binarize::none, 4});
    for (Index i = 0; i < kRows; ++i)
      EXPECT_NEAR(e.of_examples[static_cast<std::size_t>(i)].value, log_p(i), 4 * kRounding) << "row " << i;
  }
  const BoundEvaluation drawn = evaluate_bound(vae, conditional_data(), {Bound::prior, 4000, 5, Binarize::none, 4});
  const BoundEvaluation other = evaluate_bound(vae, conditional_data(1), {Bound::iwae, 5, 5, Binarize::none, 4});
  for (Index i = 0; i < kRows; ++i) {
    const ExampleBound& x = drawn.of_examples[static_cast<std::size_t>(i)];
    const double variance = 1 / x.effective - 1 / 4000.0;
    EXPECT_NEAR(x.value, log_p(i), 5 * std::sqrt(variance) + variance) << "row " << i;
    EXPECT_GT(std::fabs(other.of_examples[static_cast<std::size_t>(i)].value - log_p(i)), 0.01) << "row " << i;
  }
}

// Batches of 5 of the 12 rows. The exact posterior has no gap, and x + V c the same posterior under c as x has. Of
// annealed sampling, the variance of its weights as above.
TEST_P(LinearGaussian, ConditionalModelsAreEvaluatedUnderTheConditions) {
  const Vae vae = conditional_model(), plain = model();
  GapOptions options{.samples = 2, .batch = 5, .binarize = Binarize::none, .seed = 4};
  options.refine.steps = 2, options.refine.learning_rate = 1e-4f;
  const GapEvaluation gaps = evaluate_gaps(vae, conditional_data(), options);
  BoundOptions of_ais{Bound::ais, 64, 5, Binarize::none, 4};
  of_ais.ais.temperatures = 40;
  const BoundEvaluation ais = evaluate_bound(vae, conditional_data(), of_ais);
  for (Index i = 0; i < kRows; ++i) {
    const ExampleGaps& of = gaps.of_examples[static_cast<std::size_t>(i)];
    EXPECT_NEAR(of.elbo, log_p(i), 4 * kRounding) << "row " << i;
    EXPECT_NEAR(of.refined_elbo, log_p(i), 0.01) << "row " << i;
    const ExampleBound& x = ais.of_examples[static_cast<std::size_t>(i)];
    const double variance = 1 / x.effective - 1 / 64.0;
    EXPECT_NEAR(x.value, log_p(i), 5 * std::sqrt(variance) + variance) << "row " << i;
  }
  const EvaluateOptions of_aggregate{4, 5, Binarize::none, 4};
  EXPECT_NEAR(evaluate_aggregate(vae, conditional_data(), of_aggregate).mutual_information,
              evaluate_aggregate(plain, data(), of_aggregate).mutual_information, 1e-4);
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
