// Posteriors that are refined for each example, and the gaps between log p(x) and the ELBO, of a model in which all are
// known. Its posterior has correlated latents: with the precision P, the best q with independent latents has the same
// mean, the variances 1 / P_ll, and KL(q* || posterior) = (sum_l log P_ll - log det P) / 2.
#include "cuvae/refine.h"

#include "error_text.h"
#include "linear_gaussian.h"
#include "random_model.h"
#include "small_training.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

class Gaps : public LinearGaussianTest {
 protected:
  Gaps() : LinearGaussianTest({{{1.5, 1.0}, {-0.5, 0.5}, {1, 0.25}, {0.5, -0.5}}}) {}

  /// What the noise of the last steps leaves: means off by 5% of a standard deviation, or log variances by 0.08.
  static constexpr double kConverged = 1.5e-3;

  double best_kl() const { return 0.5 * (std::log(precision(0, 0) * precision(1, 1)) - std::log(determinant())); }

  /// KL(N(mean, diag variances) || posterior of row i), and the variance of log w = log p(x, z) - log q(z|x) under it:
  /// with z = mean + D eps and off = mean - the posterior's, log w = const - (off + D eps)^T P (off + D eps) / 2 +
  /// eps^T eps / 2.
  struct Of {
    double kl, variance;
  };
  Of of(Index i, const Vector& mean, const Vector& variances) const {
    Of r{-0.5 * (kLatent + std::log(determinant())), 0};
    for (Index k = 0; k < kLatent; ++k) {
      const double off = mean[k] - posterior_mean(i, k);
      double linear = 0;
      for (Index l = 0; l < kLatent; ++l) {
        linear += precision(k, l) * (mean[l] - posterior_mean(i, l));
        const double quadratic = precision(k, l) * std::sqrt(variances[k] * variances[l]) - (k == l ? 1 : 0);
        r.variance += 0.5 * quadratic * quadratic;
      }
      r.kl += 0.5 * (precision(k, k) * variances[k] - std::log(variances[k]) + off * linear);
      r.variance += linear * linear * variances[k];
    }
    return r;
  }

  /// That of the encoder of model(shrink, widen).
  Of of_encoder(Index i, double shrink, double widen) const {
    return of(i, {shrink * posterior_mean(i, 0), shrink * posterior_mean(i, 1)},
              {widen / precision(0, 0), widen / precision(1, 1)});
  }

  /// The refined statistics [N, 2L] of all rows.
  Vector refined(const Vae& vae, const RefineOptions& options, Index batch = kRows) {
    Refinement refinement(vae, batch, options);
    const VaeActivations a = vae.allocate(batch, 1);
    Backend& backend = vae.backend();
    Vector all;
    for (Index first = 0; first < kRows; first += batch) {
      const Index n = std::min(batch, kRows - first);
      const Matrix x(backend, n, kDim, {x_.begin() + first * kDim, x_.begin() + (first + n) * kDim});
      const View stats = vae.encode(x, a);
      refinement.refine(x, first, stats);
      std::vector<float> host(static_cast<std::size_t>(stats.size()));
      backend.download(host.data(), stats.data, host.size() * sizeof(float));
      all.insert(all.end(), host.begin(), host.end());
    }
    return all;
  }

  void expect_best(const Vector& stats) const {
    for (Index i = 0; i < kRows; ++i) {
      const auto at = [&](Index c) { return stats[static_cast<std::size_t>(i * 2 * kLatent + c)]; };
      const double kl = of(i, {at(0), at(1)}, {std::exp(at(2)), std::exp(at(3))}).kl;
      EXPECT_NEAR(kl, best_kl(), kConverged) << "row " << i;
    }
  }
};
CUVAE_ON_EVERY_BACKEND(Gaps);
class GapsOnTheCpu : public Gaps {};  // many steps
CUVAE_ON_BACKENDS(GapsOnTheCpu, std::vector<std::string>{"cpu"});

constexpr RefineOptions kThorough{.steps = 300, .samples = 16, .learning_rate = 0.05f, .seed = 5};

TEST_P(GapsOnTheCpu, TheRefinedPosteriorIsTheBest) {
  EXPECT_GT(best_kl(), 0.1);
  const Vae vae = model(0.3, 4);
  EXPECT_GT(of_encoder(0, 0.3, 4).kl, best_kl() + 0.3);
  expect_best(refined(vae, kThorough));
  expect_best(refined(vae, kThorough, 5));
}

// A mixture of one standard normal is the standard normal, but with the KL from the samples.
TEST_P(GapsOnTheCpu, TheRefinedPosteriorIsTheBestUnderALearnedPrior) {
  const Vae standard = model(0.3, 4);
  VaeConfig config = standard.config();
  config.prior = Prior::mixture, config.prior_components = 1;
  const Vae vae(backend_, config, 1);
  std::vector<float> arena(static_cast<std::size_t>(vae.layout().size()));
  const std::vector<float> from = parameters(standard);
  std::copy(from.begin(), from.end(), arena.begin());  // the prior's follow and are 0
  backend_.upload(vae.params(), arena.data(), arena.size() * sizeof(float));
  expect_best(refined(vae, kThorough));
}

TEST_P(GapsOnTheCpu, AreThoseOfTheModel) {
  constexpr double kShrink = 0.3, kWiden = 4;
  constexpr Index kSamples = 2000;
  const GapEvaluation e =
      evaluate_gaps(model(kShrink, kWiden), data(),
                    {.samples = kSamples, .batch = 5, .binarize = Binarize::none, .seed = 4, .refine = kThorough});
  ASSERT_EQ(e.of_examples.size(), static_cast<std::size_t>(kRows));
  const double best_variance =
      of(0, {posterior_mean(0, 0), posterior_mean(0, 1)}, {1 / precision(0, 0), 1 / precision(1, 1)}).variance;
  double amortization = 0, error = 0, encoder_error = 0;
  for (Index i = 0; i < kRows; ++i) {
    const ExampleGaps& x = e.of_examples[static_cast<std::size_t>(i)];
    const Of encoder = of_encoder(i, kShrink, kWiden);
    const double variance = 1 / x.log_p.effective - 1.0 / kSamples;
    EXPECT_NEAR(x.elbo, log_p(i) - encoder.kl, 5 * std::sqrt(encoder.variance / kSamples) + kRounding);
    EXPECT_NEAR(x.refined_elbo, log_p(i) - best_kl(), 5 * std::sqrt(best_variance / kSamples) + kConverged);
    EXPECT_NEAR(x.log_p.value, log_p(i), 5 * std::sqrt(variance) + variance);
    amortization += (encoder.kl - best_kl()) / kRows;
    error += (best_variance / kSamples + variance) / kRows / kRows;
    encoder_error += (best_variance + encoder.variance) / kSamples / kRows / kRows;
  }
  EXPECT_NEAR(e.approximation_gap, best_kl(), 5 * std::sqrt(error) + kConverged);
  EXPECT_NEAR(e.amortization_gap, amortization, 5 * std::sqrt(encoder_error) + kConverged);
  EXPECT_LT(5 * std::sqrt(error), 0.5 * best_kl());  // or the comparison says nothing
  EXPECT_NEAR(e.log_p - e.elbo, e.approximation_gap + e.amortization_gap, 1e-9);
  EXPECT_GT(e.amortization_gap_error, 0);
  EXPECT_EQ(e.unreliable, 0);
}

TEST_P(Gaps, TheSameSeedGivesTheSameBits) {
  const Vae vae = model(0.3, 4);
  RefineOptions options{.steps = 20, .samples = 2, .learning_rate = 0.05f, .seed = 5};
  const Vector once = refined(vae, options);
  EXPECT_EQ(refined(vae, options), once);
  const Vector in_parts = refined(vae, options, 5);  // only products are rounded otherwise
  for (std::size_t i = 0; i < once.size(); ++i) EXPECT_NEAR(in_parts[i], once[i], 1e-4);
  options.seed = 6;
  EXPECT_NE(refined(vae, options), once);
  const std::unique_ptr<Backend> cpu = make_backend("cpu");
  options.seed = 5;
  const Vector on_the_cpu = refined(model(*cpu, 0.3, 4), options);
  for (std::size_t i = 0; i < once.size(); ++i) EXPECT_NEAR(on_the_cpu[i], once[i], 1e-4);
}

// After few steps, other noise would show.
TEST_P(Gaps, DoNotDependOnTheBatch) {
  const Vae vae = model(0.3, 4);
  const auto at = [&](Index batch, std::uint64_t seed) {
    return evaluate_gaps(vae, data(),
                         {.samples = 60,
                          .batch = batch,
                          .binarize = Binarize::none,
                          .seed = 4,
                          .refine = {.steps = 10, .samples = 1, .learning_rate = 0.1f, .seed = seed}})
        .of_examples;
  };
  const std::vector<ExampleGaps> whole = at(12, 5), other = at(12, 6);
  for (const Index batch : {1, 5}) {
    const std::vector<ExampleGaps> e = at(batch, 5);
    for (std::size_t i = 0; i < e.size(); ++i) {
      EXPECT_NEAR(e[i].elbo, whole[i].elbo, kRounding);
      EXPECT_NEAR(e[i].refined_elbo, whole[i].refined_elbo, 1e-4);
      EXPECT_NEAR(e[i].log_p.value, whole[i].log_p.value, 1e-4);
      EXPECT_GT(std::fabs(e[i].refined_elbo - other[i].refined_elbo), 3e-4);
    }
  }
}

TEST_P(Gaps, AreCloserUnderAVampPriorToo) {
  VaeConfig config = small_model();
  config.prior = Prior::vampprior, config.prior_components = 2;
  const GapEvaluation e = evaluate_gaps(random_model(backend_, config), small_data(), {0, 20, 42},
                                        {.samples = 60, .refine = {.steps = 20, .samples = 4, .learning_rate = 0.1f}});
  for (const ExampleGaps& x : e.of_examples) {
    EXPECT_GT(x.refined_elbo, x.elbo + 0.1);
    EXPECT_GT(x.log_p.value, x.refined_elbo);  // Jensen, as both are of the same weights
  }
}

TEST_P(Gaps, AreInTheDatasUnits) {
  Vae vae = model(0.3, 4);
  const GapOptions options{.samples = 3,
                           .batch = 12,
                           .binarize = Binarize::none,
                           .refine = {.steps = 3, .samples = 1, .learning_rate = 0.1f}};
  const GapEvaluation plain = evaluate_gaps(vae, data(), options), got = evaluate_gaps(vae, in_halves(vae), options);
  EXPECT_NEAR(got.elbo, plain.elbo - kDim * std::log(2.0), 1e-9);
  EXPECT_NEAR(got.refined_elbo, plain.refined_elbo - kDim * std::log(2.0), 1e-9);
  EXPECT_NEAR(got.log_p, plain.log_p - kDim * std::log(2.0), 1e-9);
}

class GapsInEveryPrecision : public OpTest {};
CUVAE_IN_EVERY_PRECISION(GapsInEveryPrecision);

TEST_P(GapsInEveryPrecision, NeedActivationsOfF32) {
  const Vae vae = random_model(backend_, small_model());
  if (type_ == DType::f32) return (void)Refinement(vae, 5);
  expect_error([&] { Refinement(vae, 5); },
               "a refined posterior needs activations of f32 but those of cuda:0 are bf16");
  expect_error([&] { evaluate_bound(vae, small_data(), {.bound = Bound::ais, .samples = 2}); },
               "evaluate: the bound is ais, which needs activations of f32 but those of cuda:0 are bf16");
}

TEST_P(Gaps, RefuseWhatTheyCannotDo) {
  VaeConfig chain = small_model();
  chain.above = {{3, {5}, {4}}};
  expect_error([&] { evaluate_gaps(random_model(backend_, chain), small_data()); },
               "evaluate: a refined posterior needs one layer of Gaussian latents but the model has 2 layers");
  const Vae vae = random_model(backend_, small_model());
  const auto refused = [&](const RefineOptions& options, const std::string& text) {
    expect_error([&] { Refinement(vae, 5, options); }, "refine: " + text);
  };
  refused({.steps = 0}, "steps is 0 but must be 1 to 2147483647");
  refused({.samples = 0}, "samples is 0 but must be 1 to 2147483647");
  refused({.learning_rate = 0}, "learning_rate is 0 but must be above 0 and finite");
  expect_error([&] { evaluate_gaps(vae, small_data(), {.samples = 0}); }, "evaluate: samples is 0");
}

}  // namespace
}  // namespace cuvae
