// Mutual information and marginal KL of the aggregate posterior: against the reference and where they are known.
#include "cuvae/aggregate.h"

#include <numeric>

#include "error_text.h"
#include "op_test.h"
#include "random_model.h"
#include "reference_vae.h"
#include "small_training.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

class Aggregate : public OpTest {};
CUVAE_ON_EVERY_BACKEND(Aggregate);

double mean_of(const Vector& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}
double error_of(const Vector& values) {
  double squares = 0;
  for (const double v : values) squares += (v - mean_of(values)) * (v - mean_of(values));
  return std::sqrt(squares) / static_cast<double>(values.size()) *
         std::sqrt(1 + 1 / static_cast<double>(values.size() - 1));
}

TEST_P(Aggregate, MatchesTheReferenceUnderEveryPrior) {
  constexpr Index kSamples = 3;
  VaeConfig mixture = small_model(), vamp = small_model();
  mixture.prior = Prior::mixture, mixture.prior_components = 3;
  vamp.prior = Prior::vampprior, vamp.prior_components = 2;
  for (const VaeConfig& config : {small_model(), mixture, vamp}) {
    SCOPED_TRACE(to_string(config.prior));
    const Vae vae = random_model(backend_, config);
    const reference::Chain chain(config);
    Vector pixels;
    for (const std::uint8_t byte : small_pixels()) pixels.push_back(byte / 255.0);
    std::vector<Index> rows(kSmallRows);
    std::iota(rows.begin(), rows.end(), Index{0});
    const Vector x = reference::gather_batch(pixels, 12, rows, Binarize::stochastic, {9, Stream::binarize, 0xffffffff}),
                 arena = reference::widen(parameters(vae));
    const auto s = chain.sample(arena, x, kSamples, {9, Stream::latent, 0xffffffff});
    const Vector log_q = chain.log_q(s.z, s.stats, kSamples), log_p = chain.log_p_z(arena, s.z),
                 log_aggregate = reference::mixture_log_prob(s.z[0], s.stats[0], {}, 0, 2).log_p;
    Vector information(kSmallRows), marginal(kSmallRows);
    for (std::size_t r = 0; r < log_q.size(); ++r) {
      information[r / kSamples] += (log_q[r] - log_aggregate[r]) / kSamples;
      marginal[r / kSamples] += (log_aggregate[r] - log_p[r]) / kSamples;
    }
    const AggregateEvaluation got = evaluate_aggregate(vae, small_data(), {kSamples, 10, Binarize::stochastic, 9});
    EXPECT_EQ(got.examples, kSmallRows);
    EXPECT_EQ(got.samples, kSamples);
    constexpr double kError = (20 * 0x1p-24 + kSquaredExpError) * 20;  // densities of up to 20 nats
    EXPECT_NEAR(got.mutual_information, mean_of(information), kError);
    EXPECT_NEAR(got.marginal_kl, mean_of(marginal), kError);
    EXPECT_NEAR(got.mutual_information_error, error_of(information), kError);
    EXPECT_NEAR(got.marginal_kl_error, error_of(marginal), kError);
    EXPECT_EQ(got.kl, got.mutual_information + got.marginal_kl);
    EXPECT_LE(got.mutual_information, std::log(kSmallRows) + kError);
    // The KL of the same samples.
    if (config.prior != Prior::standard) {
      EXPECT_NEAR(got.kl, evaluate(vae, small_data(), {kSamples, 10, Binarize::stochastic, 9}).kl, kError);
    }
  }
}

// Two kinds of examples, half of the data each, with q(z|x) = N(+-mean, variance) in one dimension.
Vae two_kinds(Backend& backend, double mean, double variance) {
  VaeConfig config;
  config.data_dim = config.image_width = 2;
  config.latent = 1;
  config.encoder_hidden = config.decoder_hidden = {};
  Vae vae(backend, config, 1);
  std::vector<float> arena(static_cast<std::size_t>(vae.layout().size()));
  const auto at = [&](const Parameter& p) { return arena.data() + p.offset; };
  at(vae.encoder().weights()[0])[0] = static_cast<float>(2 * mean);
  at(vae.encoder().biases()[0])[0] = static_cast<float>(-mean);
  at(vae.encoder().biases()[0])[1] = static_cast<float>(std::log(variance));
  backend.upload(vae.params(), arena.data(), arena.size() * sizeof(float));
  vae.refresh_weights();
  return vae;
}
Dataset two_kinds_of(Index rows) {
  std::vector<float> x;
  for (Index i = 0; i < rows; ++i) x.push_back(static_cast<float>(i % 2)), x.push_back(0);
  return Dataset::from_memory(x, rows, 2);
}

// log 2 - H(kind|z), by the trapezoidal rule, whose error vanishes for such integrands.
double information_of_two_kinds(double mean, double variance) {
  constexpr double h = 0.01;
  double sum = 0;
  for (double z = -20; z < 20; z += h) {
    const double of_first = std::exp(-(z - mean) * (z - mean) / 2 / variance) / std::sqrt(2 * M_PI * variance),
                 of_second = std::exp(-(z + mean) * (z + mean) / 2 / variance) / std::sqrt(2 * M_PI * variance);
    if (of_first > 0) sum += h * of_first * std::log(2 * of_first / (of_first + of_second));
  }
  return sum;
}

TEST_P(Aggregate, FindsTheInformationOfTwoKinds) {
  const Dataset data = two_kinds_of(200);
  for (const auto& [mean, variance] : {std::pair{0.7, 0.25}, {0.2, 1.0}, {0.0, 0.5}, {5.0, 0.1}}) {
    SCOPED_TRACE("mean " + std::to_string(mean) + ", variance " + std::to_string(variance));
    const Vae vae = two_kinds(backend_, mean, variance);
    const AggregateEvaluation e = evaluate_aggregate(vae, data, {20, 64, Binarize::none, 4});
    const double kl = 0.5 * (mean * mean + variance - 1 - std::log(variance)),
                 information = information_of_two_kinds(mean, variance);
    constexpr double kRounding = 20 * 0x1p-24 * 20;
    EXPECT_NEAR(e.mutual_information, information, 5 * e.mutual_information_error + kRounding);
    EXPECT_NEAR(e.marginal_kl, kl - information, 5 * e.marginal_kl_error + kRounding);
    EXPECT_LT(e.mutual_information_error, 0.01);  // or the comparisons say nothing
    EXPECT_LT(e.marginal_kl_error, 0.03);
  }
}

// More posteriors than one op takes.
TEST(AggregateOnTheCpu, SumsOverManyExamplesInBlocks) {
  const auto backend = make_backend("cpu");
  const Vae vae = two_kinds(*backend, 0.7, 0.25);
  const AggregateEvaluation e = evaluate_aggregate(vae, two_kinds_of(9001), {1, 500, Binarize::none, 4});
  EXPECT_NEAR(e.mutual_information, information_of_two_kinds(0.7, 0.25), 5 * e.mutual_information_error);
  EXPECT_LT(e.mutual_information_error, 0.01);
}

class AggregateInEveryPrecision : public OpTest {};
CUVAE_IN_EVERY_PRECISION(AggregateInEveryPrecision);

// As bf16, z is off by up to 2^-9 of itself: by a hundredth of a standard deviation here, which changes densities by
// less than the standard error.
TEST_P(AggregateInEveryPrecision, FindsTheInformationOfTwoKinds) {
  const AggregateEvaluation e =
      evaluate_aggregate(two_kinds(backend_, 0.7, 0.25), two_kinds_of(60), {20, 64, Binarize::none, 4});
  EXPECT_NEAR(e.mutual_information, information_of_two_kinds(0.7, 0.25), 5 * e.mutual_information_error);
  EXPECT_LT(e.mutual_information_error, 0.05);
}

TEST_P(Aggregate, RefusesOtherModels) {
  VaeConfig chain = small_model(), belief = small_model();
  chain.above = {{3, {5}, {4}}};
  belief.latent_kind = LatentKind::bernoulli;
  expect_error([&] { evaluate_aggregate(random_model(backend_, chain), small_data()); },
               "evaluate: the aggregate posterior needs one layer of Gaussian latents but the model has 2 layers of "
               "gaussian latents");
  expect_error([&] { evaluate_aggregate(random_model(backend_, belief), small_data()); },
               "but the model has 1 layer of bernoulli latents");
  expect_error([&] { evaluate_aggregate(random_model(backend_, small_model()), small_data(), {.samples = 0}); },
               "evaluate: samples is 0");
}

}  // namespace
}  // namespace cuvae
