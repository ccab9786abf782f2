// Annealed importance sampling of a model whose log p(x) is known, and its parts.
#include "evaluate/annealing/annealed_chains.h"

#include "error_text.h"
#include "linear_gaussian.h"
#include "random_model.h"
#include "small_training.h"

namespace cuvae {
namespace {
using namespace test;

class Ais : public LinearGaussianTest {
 protected:
  Ais() : LinearGaussianTest({{{1.5, 1.0}, {-0.5, 0.5}, {1, 0.25}, {0.5, -0.5}}}) {}

  /// The encoder has no part in it.
  BoundEvaluation annealed(const Vae& vae, const AisOptions& ais, Index chains = 16, Index batch = 0,
                           std::uint64_t seed = 4) const {
    return evaluate_bound(vae, data(), {Bound::ais, chains, batch, Binarize::none, seed, ais});
  }
};
CUVAE_ON_EVERY_BACKEND(Ais);
class AisOnTheCpu : public Ais {};  // many transitions
CUVAE_ON_BACKENDS(AisOnTheCpu, std::vector<std::string>{"cpu"});

TEST(AisSchedule, RisesFromZeroToOne) {
  for (const Annealing schedule : {Annealing::linear, Annealing::sigmoidal})
    for (const Index T : {1, 2, 7, 1000}) {
      const AisOptions options{T, schedule};
      EXPECT_EQ(inverse_temperature(options, 0), 0);
      EXPECT_NEAR(inverse_temperature(options, T), 1, 1e-15);
      for (Index t = 1; t <= T; ++t) {
        EXPECT_GT(inverse_temperature(options, t), inverse_temperature(options, t - 1));
        EXPECT_NEAR(inverse_temperature(options, t) + inverse_temperature(options, T - t), 1, 1e-14);  // symmetric
      }
    }
  EXPECT_EQ(inverse_temperature({4, Annealing::linear}, 1), 0.25);
  // (s(-2) - s(-4)) / (s(4) - s(-4)), s the sigmoid.
  EXPECT_NEAR(inverse_temperature({4, Annealing::sigmoidal}, 1),
              (0.11920292202211755 - 0.01798620996209156) / 0.9640275800758169, 1e-12);
}

// log (1/K) sum_k w_k has the variance v = 1 / effective - 1 / K and is below log p by v / 2. Five standard errors for
// each row; with 16 chains the effective size is itself uncertain, so v has a factor of 2.
TEST_P(AisOnTheCpu, FindsTheKnownLogP) {
  const Vae vae = model();
  for (const Annealing schedule : {Annealing::linear, Annealing::sigmoidal}) {
    SCOPED_TRACE(to_string(schedule));
    const BoundEvaluation e = annealed(vae, {200, schedule});
    double exact = 0;
    for (Index i = 0; i < kRows; ++i) {
      const ExampleBound& x = e.of_examples[static_cast<std::size_t>(i)];
      const double variance = 2 * (1 / x.effective - 1.0 / 16);
      EXPECT_NEAR(x.value, log_p(i), 5 * std::sqrt(variance) + variance + kRounding) << "row " << i;
      exact += log_p(i) / kRows;
    }
    EXPECT_NEAR(e.value, exact, 5 * std::sqrt(2.0) * e.sampling_error);
    EXPECT_GT(e.least_effective, 8);  // of 16 draws from the prior it is 1 to 3
    EXPECT_LT(e.sampling_error, 0.05);
    EXPECT_GT(e.acceptance, 0.6);
    EXPECT_LE(e.acceptance, 1);
    EXPECT_EQ(e.samples, 16);
  }
}

// Few temperatures still give an unbiased w: the mean of w / p(x) over many chains is 1, with the error of these
// weights.
TEST_P(AisOnTheCpu, HasUnbiasedWeightsAtFewTemperatures) {
  const BoundEvaluation e = annealed(model(), {5, Annealing::linear}, 2000);
  for (Index i = 0; i < kRows; ++i) {
    const ExampleBound& x = e.of_examples[static_cast<std::size_t>(i)];
    EXPECT_NEAR(std::exp(x.value - log_p(i)), 1, 5 * std::sqrt(1 / x.effective - 1.0 / 2000)) << "row " << i;
    EXPECT_GT(x.effective, 100) << "row " << i;
  }
}

// One temperature has no transition: the weights are those of draws from the prior.
TEST_P(Ais, AtOneTemperatureIsTheBoundOfThePrior) {
  const Vae vae = model();
  const BoundEvaluation got = annealed(vae, {1, Annealing::sigmoidal}),
                        want = evaluate_bound(vae, data(), {Bound::prior, 16, 0, Binarize::none, 4});
  for (std::size_t i = 0; i < got.of_examples.size(); ++i) {
    EXPECT_NEAR(got.of_examples[i].value, want.of_examples[i].value, kRounding);
    EXPECT_NEAR(got.of_examples[i].effective, want.of_examples[i].effective, 4 * 16 * kRounding);
  }
  EXPECT_TRUE(std::isnan(got.acceptance));
}

// The noise of a chain depends on its place, so a batch and a backend change only roundings. Neighbouring paths of a
// linear model stay neighbours.
TEST_P(Ais, DoesNotDependOnTheBatchAndTheBackend) {
  const Vae vae = model();
  const AisOptions ais{8, Annealing::sigmoidal};
  const BoundEvaluation whole = annealed(vae, ais, 3, 12);
  for (const Index batch : {1, 5}) {
    const BoundEvaluation e = annealed(vae, ais, 3, batch);
    for (std::size_t i = 0; i < e.of_examples.size(); ++i)
      EXPECT_NEAR(e.of_examples[i].value, whole.of_examples[i].value, 1e-3) << "batch " << batch;
  }
  EXPECT_EQ(annealed(vae, ais, 3, 12).value, whole.value);
  const std::unique_ptr<Backend> cpu = make_backend("cpu");
  EXPECT_NEAR(annealed(model(*cpu, 1, 1), ais, 3, 12).value, whole.value, 1e-3);
  EXPECT_NE(annealed(vae, ais, 3, 12, 5).value, whole.value);
}

// The step sizes come from pilots. If they followed the chains with weights, E w would not be p(x): 1.026 p(x) was
// measured for one chain and 60 temperatures of this model.
TEST_P(Ais, AChainDoesNotDependOnTheOthers) {
  const Vae vae = model();
  const Matrix x(backend_, 1, kDim, {x_.begin(), x_.begin() + kDim});
  const auto first_chain = [&](Index chains) {
    return AnnealedChains(vae, 1, {.bound = Bound::ais, .samples = chains, .seed = 4, .ais = {12, Annealing::linear}})
        .log_weights(x, 0)[0];
  };
  EXPECT_NEAR(first_chain(1), first_chain(3), 1e-3);
}

TEST_P(Ais, IsInTheDatasUnits) {
  Vae vae = model();
  const BoundOptions options{Bound::ais, 2, 0, Binarize::none, 4, {3, Annealing::linear}};
  const double plain = evaluate_bound(vae, data(), options).value;
  EXPECT_NEAR(evaluate_bound(vae, in_halves(vae), options).value, plain - kDim * std::log(2.0), 1e-9);
}

// A step of the leapfrog that is small enough conserves the energy: then all proposals are accepted.
TEST_P(Ais, SmallStepsConserveTheEnergy) {
  const Vae vae = model();
  constexpr Index kChains = 3;
  const Matrix x(backend_, kRows, kDim, x_);
  const std::vector<float> momenta = random_vector(kRows * kChains * kLatent, 3, -2, 2);
  const auto least = [&](double size) {
    Hamiltonian h(vae, kRows, kChains);
    h.start(x, random_vector(kRows * kChains * kLatent, 4, -2, 2));
    const std::vector<double> p =
        h.move(x, 0.7, std::vector<double>(kRows, size), momenta, std::vector<float>(kRows * kChains, 0.5f));
    return 1 - *std::min_element(p.begin(), p.end());
  };
  // The energy of the leapfrog is off by the square of a step. Half steps left out at the ends would cost about 0.1.
  EXPECT_LT(least(0.02), 0.01);
  EXPECT_GT(least(0.3), 0.1);
}

TEST_P(Ais, RefusesWhatItCannotDo) {
  const auto refused = [&](const VaeConfig& config, const BoundOptions& options, const std::string& text) {
    expect_error([&] { evaluate_bound(random_model(backend_, config), small_data(), options); }, "evaluate: " + text);
  };
  VaeConfig chain = small_model(), mixture = small_model(), belief = small_model();
  chain.above = {{3, {5}, {4}}};
  mixture.prior = Prior::mixture, mixture.prior_components = 2;
  belief.latent_kind = LatentKind::bernoulli;
  const BoundOptions ais{.bound = Bound::ais, .samples = 4};
  refused(chain, ais,
          "the bound ais needs one layer of Gaussian latents but the model has 2 layers of gaussian latents");
  refused(belief, ais, "the bound ais needs one layer of Gaussian latents but the model has 1 layer of bernoulli");
  refused(mixture, ais, "the bound is ais, which needs the model's prior to be standard but it is mixture");
  refused(small_model(), {.bound = Bound::ais, .samples = 4, .ais = {.temperatures = 0}},
          "temperatures is 0 but must be 1 to 2147483647");
  refused(small_model(), {.bound = Bound::ais, .samples = 0}, "samples is 0");
}

}  // namespace
}  // namespace cuvae
