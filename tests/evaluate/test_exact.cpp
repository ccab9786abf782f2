// Exact sums over Bernoulli latents against the reference's, which enumerates all layers at once.
#include "cuvae/exact.h"

#include "cuvae/bound.h"

#include <numeric>

#include "error_text.h"
#include "op_test.h"
#include "random_model.h"
#include "reference_belief.h"
#include "small_training.h"

namespace cuvae {
namespace {
using namespace test;
using reference::BeliefNetwork;
using reference::Vector;

class Exact : public OpTest {};
CUVAE_ON_EVERY_BACKEND(Exact);
class ExactInEveryPrecision : public OpTest {};
CUVAE_IN_EVERY_PRECISION(ExactInEveryPrecision);

VaeConfig belief_network(std::vector<LayerConfig> above, Index latent = 3) {
  VaeConfig m = small_model();
  m.latent = latent;
  m.above = std::move(above);
  m.latent_kind = LatentKind::bernoulli;
  return m;
}

TEST_P(Exact, MatchesTheReference) {
  constexpr double kError = 10 * 0x1p-24 * 40;  // ten roundings of log-densities of up to 40 nats
  for (const VaeConfig& config : {belief_network({}), belief_network({{2, {4}, {3}}}),
                                  belief_network({{4, {}, {3}}, {3, {}, {}}}), belief_network({}, 11)}) {
    const bool wide = config.latent > 10;  // more values than a network reads at once
    SCOPED_TRACE(std::to_string(config.above.size() + 1) + " layers, " + std::to_string(config.latent));
    const Vae vae = random_model(backend_, config);
    const BeliefNetwork net(config);
    const Vector arena = reference::widen(parameters(vae));
    Vector pixels;
    for (const std::uint8_t byte : small_pixels()) pixels.push_back(byte / 255.0);
    std::vector<std::uint32_t> rows{3, 1, 42, 7};
    if (wide) rows = {5};
    const Vector x = reference::gather_batch(pixels, 12, {rows.begin(), rows.end()}, Binarize::stochastic,
                                             {9, Stream::binarize, 0xffffffff});
    const ExactEvaluation got = evaluate_exact(vae, small_data(), rows, {3, Binarize::stochastic, 9});
    ASSERT_EQ(got.of_examples.size(), rows.size());
    const auto n = static_cast<double>(rows.size());
    double log_p = 0, elbo = 0, reconstruction = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const Vector row(x.begin() + static_cast<std::ptrdiff_t>(12 * i),
                       x.begin() + static_cast<std::ptrdiff_t>(12 * (i + 1)));
      const BeliefNetwork::Joint all = net.joint(arena, row);
      const std::vector<Vector> z = net.all_z();
      const Vector log_p_x = net.log_prob(arena, z[0], row, static_cast<Index>(all.log_p.size()));
      double of_x = 0;
      for (std::size_t j = 0; j < log_p_x.size(); ++j) of_x += std::exp(all.log_q[j]) * log_p_x[j];
      EXPECT_NEAR(got.of_examples[i].log_p, net.log_likelihood(arena, row), kError);
      EXPECT_NEAR(got.of_examples[i].elbo, net.bound(arena, row, 1), kError);
      EXPECT_NEAR(got.of_examples[i].reconstruction, of_x, kError);
      log_p += net.log_likelihood(arena, row) / n, elbo += net.bound(arena, row, 1) / n, reconstruction += of_x / n;
    }
    EXPECT_EQ(got.examples, static_cast<Index>(rows.size()));
    EXPECT_NEAR(got.log_p, log_p, kError);
    EXPECT_NEAR(got.elbo, elbo, kError);
    EXPECT_NEAR(got.posterior_kl, log_p - elbo, 2 * kError);
    EXPECT_NEAR(got.kl, reconstruction - elbo, 2 * kError);
    EXPECT_NEAR(got.bits_per_dim, -log_p / 12 / std::log(2.0), kError);
    EXPECT_GT(got.posterior_kl, 0.01);  // or the ELBO could not be told from log p
  }
}

// The probabilities of all data add up to one.
TEST_P(Exact, ProbabilitiesOfAllDataAddUpToOne) {
  VaeConfig config = belief_network({{2, {}, {}}});
  config.data_dim = config.image_width = 4, config.image_height = 1;
  std::vector<float> all;
  for (Index i = 0; i < 16 * 4; ++i) all.push_back(static_cast<float>(i / 4 >> i % 4 & 1));
  const ExactEvaluation e =
      evaluate_exact(random_model(backend_, config), Dataset::from_memory(all, 16, 4), {5, Binarize::none, 0});
  double sum = 0;
  for (const ExactExample& x : e.of_examples) sum += std::exp(x.log_p);
  EXPECT_NEAR(sum, 1, 10 * 0x1p-24 * 10);
}

// As bf16, 12 logits of up to 4 are off by up to 2^-8 of themselves three times: weights, activations, outputs.
TEST_P(ExactInEveryPrecision, IsCloseToTheReference) {
  const VaeConfig config = belief_network({{2, {4}, {3}}});
  const Vae vae = random_model(backend_, config);
  std::vector<float> x;
  for (Index d = 0; d < 12; ++d) x.push_back(static_cast<float>(d % 2));
  const ExactEvaluation e = evaluate_exact(vae, Dataset::from_memory(x, 1, 12), {1, Binarize::none, 0});
  const BeliefNetwork net(config);
  const Vector arena = reference::widen(parameters(vae));
  const double error = 12 * 4 * 3 * rounding_ + 10 * 0x1p-24 * 40;
  EXPECT_NEAR(e.log_p, net.log_likelihood(arena, reference::widen(x)), error);
  EXPECT_NEAR(e.elbo, net.bound(arena, reference::widen(x), 1), error);
}

TEST_P(Exact, IsInTheDatasUnits) {
  VaeConfig config = belief_network({});
  config.likelihood = Likelihood::gaussian;
  const std::vector<float> values = random_vector(5 * 12, 3);
  std::vector<float> twice = values;
  for (float& v : twice) v *= 2;
  Vae vae = random_model(backend_, config);
  const ExactOptions options{5, Binarize::none, 0};
  const ExactEvaluation plain = evaluate_exact(vae, Dataset::from_memory(values, 5, 12), options);
  vae.set_standardization({std::vector<double>(12, 0.0), std::vector<double>(12, 2.0)});
  const ExactEvaluation got = evaluate_exact(vae, Dataset::from_memory(twice, 5, 12), options);
  EXPECT_NEAR(got.log_p, plain.log_p - 12 * std::log(2.0), 1e-9);
  EXPECT_NEAR(got.elbo, plain.elbo - 12 * std::log(2.0), 1e-9);
  EXPECT_NEAR(got.reconstruction, plain.reconstruction - 12 * std::log(2.0), 1e-9);
}

// The bounds from samples agree with the sums.
TEST_P(Exact, IsWhatSamplesFind) {
  const Vae vae = random_model(backend_, belief_network({{2, {4}, {3}}}));
  const std::vector<std::uint32_t> rows{3, 1, 42, 7};
  const ExactEvaluation exact = evaluate_exact(vae, small_data(), rows, {3, Binarize::stochastic, 9});
  const BoundEvaluation bound =
      evaluate_bound(vae, small_data(), rows, {Bound::iwae, 2000, 0, Binarize::stochastic, 9});
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const double variance = 1 / bound.of_examples[i].effective - 1.0 / 2000;
    EXPECT_NEAR(bound.of_examples[i].value, exact.of_examples[i].log_p, 5 * std::sqrt(variance) + variance);
  }
}

TEST_P(Exact, RefusesOtherModels) {
  expect_error([&] { evaluate_exact(random_model(backend_, small_model()), small_data()); },
               "evaluate: exact sums need bernoulli latents but those of the model are gaussian");
  expect_error(
      [&] {
        evaluate_exact(random_model(backend_, belief_network({{10, {}, {}}}, 11)), small_data());
      },
      "evaluate: exact sums are possible over at most 20 units but the model has 21");
  expect_error([&] { evaluate_exact(random_model(backend_, belief_network({})), small_data(), {.batch = 0}); },
               "batch is 0 but both must be at least 1");
}

}  // namespace
}  // namespace cuvae
