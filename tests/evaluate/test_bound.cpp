// Importance-sampled bounds of log p(x) against the reference in double precision, batch by batch and chunk by chunk.
#include "cuvae/bound.h"

#include <limits>
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

class BoundTest : public OpTest {
 protected:
  /// log w of the K samples of each row, and what the float32 error of one of them is at most: ten roundings of its
  /// largest term, and the error of a scale's squared exp.
  struct Weights {
    std::vector<Vector> log_w;
    Vector error;
  };
  /// Chunks of 50 samples: number c has the noise of step 2^32 - 1 - c.
  static Weights reference_weights(const Vae& vae, const std::vector<std::uint32_t>& rows, const BoundOptions& o) {
    Vector pixels;
    for (const std::uint8_t byte : small_pixels()) pixels.push_back(byte / 255.0);
    const Vector x = reference::gather_batch(pixels, 12, {rows.begin(), rows.end()}, o.binarize,
                                             {o.seed, Stream::binarize, 0xffffffff}),
                 arena = reference::widen(parameters(vae));
    const reference::Chain chain(vae.config());
    Weights w{std::vector<Vector>(rows.size()), Vector(rows.size())};
    std::uint32_t step = 0xffffffff;
    for (Index done = 0; done < o.samples; done += 50, --step) {
      const Index samples = std::min<Index>(50, o.samples - done);
      Vector log_p_z, log_q, z;
      if (o.bound == Bound::iwae) {
        const auto s = chain.sample(arena, x, samples, {o.seed, Stream::latent, step});
        log_p_z = chain.log_p_z(arena, s.z), log_q = chain.log_q(s.z, s.stats, samples), z = s.z[0];
      } else {
        z = from_prior(chain, arena, vae, samples * static_cast<Index>(rows.size()), {o.seed, Stream::latent, step});
        log_p_z = log_q = Vector(rows.size() * static_cast<std::size_t>(samples));
      }
      const Vector log_p = chain.log_prob(arena, z, x, samples);
      for (std::size_t r = 0; r < log_p.size(); ++r) {
        const std::size_t row = r / static_cast<std::size_t>(samples);
        w.log_w[row].push_back(log_p[r] + log_p_z[r] - log_q[r]);
        for (const double term : {log_p[r], log_p_z[r], log_q[r]})
          w.error[row] = std::max(w.error[row], (10 * 0x1p-24 + kSquaredExpError) * std::fabs(term));
      }
    }
    return w;
  }

  void expect_as_reference(const Vae& vae, const std::vector<std::uint32_t>& rows, const BoundOptions& options) {
    const Weights want = reference_weights(vae, rows, options);
    const BoundEvaluation got = evaluate_bound(vae, small_data(), rows, options);
    ASSERT_EQ(got.of_examples.size(), rows.size());
    EXPECT_EQ(got.examples, static_cast<Index>(rows.size()));
    EXPECT_EQ(got.samples, options.samples);
    const auto n = static_cast<double>(rows.size()), samples = static_cast<double>(options.samples);
    Vector values;
    double mean = 0, effective = 0, least = INFINITY, excess = 0, squares = 0, worst = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      const auto w = reference::importance_weights(want.log_w[i], options.samples);
      const ExampleBound& x = got.of_examples[i];
      EXPECT_NEAR(x.value, w.bound[0], want.error[i]);
      EXPECT_NEAR(x.effective, w.effective[0], 4 * want.error[i] * w.effective[0]);  // w^2 above and below
      EXPECT_EQ(std::isnan(x.pareto_k), options.samples < 21);
      values.push_back(w.bound[0]);
      mean += w.bound[0] / n;
      effective += w.effective[0] / n;
      least = std::min(least, w.effective[0]);
      excess += 1 / w.effective[0] - 1 / samples;
      worst = std::max(worst, want.error[i]);
    }
    for (const double v : values) squares += (v - mean) * (v - mean);
    EXPECT_NEAR(got.value, mean, worst);
    EXPECT_NEAR(got.bits_per_dim, -mean / 12 / std::log(2.0), worst);
    EXPECT_NEAR(got.mean_effective, effective, 4 * worst * effective);
    EXPECT_NEAR(got.least_effective, least, 4 * worst * least);
    // The first error is a norm of deviations that are off by 2 worst at most, the square of the second a sum of terms
    // that are off by 4 worst.
    const double error = std::sqrt(squares / (n - 1) / n);
    if (rows.size() == 1) {
      EXPECT_TRUE(std::isnan(got.error));
    } else {
      EXPECT_NEAR(got.error, error, 2 * worst);
    }
    EXPECT_NEAR(got.sampling_error * got.sampling_error, excess / n / n, 4 * worst / n);
  }

 private:
  // z_1 of draws from the model, row by row with `samples` each.
  static Vector from_prior(const reference::Chain& chain, const Vector& arena, const Vae& vae, Index rows,
                           reference::NoiseKey noise) {
    const std::size_t top = vae.layers().size() - 1;
    Vector z;
    for (std::size_t t = top + 1; t-- > 0;) {
      const Index latent = vae.layers()[t].latent;
      noise.stream = t == top ? Stream::sleep_latent : static_cast<Stream>(128 + t);
      const Vector stats =
          t == top ? Vector(static_cast<std::size_t>(rows * 2 * latent)) : chain.decode(arena, t + 1, z);
      z = reference::sample_latent(stats, noise, 1, latent).z;
    }
    return z;
  }
};
CUVAE_ON_EVERY_BACKEND(BoundTest);

std::vector<std::uint32_t> every_row() {
  std::vector<std::uint32_t> rows(kSmallRows);
  std::iota(rows.begin(), rows.end(), 0u);
  return rows;
}

VaeConfig chain_model(Prior prior, Index components = 0) {
  VaeConfig m = small_model();
  m.above = {{3, {5}, {4}}};
  m.prior = prior, m.prior_components = components;
  return m;
}

TEST_P(BoundTest, MatchesTheReferenceWithEveryLikelihood) {
  for (const LikelihoodTraits& t : kLikelihoods)
    for (const Index samples : {1, 7, 50, 120}) {
      SCOPED_TRACE(std::string(t.name) + ", K " + std::to_string(samples));
      VaeConfig config = small_model();
      config.likelihood = t.likelihood;
      config.scale = 0.5f;
      const Binarize binarize = is_binary(t.likelihood) ? Binarize::stochastic : Binarize::none;
      expect_as_reference(random_model(backend_, config), every_row(), {Bound::iwae, samples, 10, binarize, 9});
    }
}

TEST_P(BoundTest, MatchesTheReferenceWithEveryPriorAndSeveralLayers) {
  VaeConfig mixture = small_model();
  mixture.prior = Prior::mixture, mixture.prior_components = 3;
  for (const VaeConfig& config :
       {mixture, chain_model(Prior::standard), chain_model(Prior::mixture, 3), chain_model(Prior::vampprior, 2)}) {
    SCOPED_TRACE(std::string(to_string(config.prior)) + ", " + std::to_string(config.above.size() + 1) + " layers");
    expect_as_reference(random_model(backend_, config), every_row(), {Bound::iwae, 60, 10, Binarize::stochastic, 9});
  }
}

TEST_P(BoundTest, OfThePriorMatchesTheReference) {
  for (const VaeConfig& config : {small_model(), chain_model(Prior::standard)})
    for (const Index samples : {1, 60}) {
      SCOPED_TRACE(std::to_string(config.above.size() + 1) + " layers, K " + std::to_string(samples));
      expect_as_reference(random_model(backend_, config), every_row(),
                          {Bound::prior, samples, 10, Binarize::stochastic, 9});
    }
}

TEST_P(BoundTest, SomeRowsInAnyOrder) {
  const Vae vae = random_model(backend_, small_model());
  for (const std::vector<std::uint32_t>& rows :
       std::vector<std::vector<std::uint32_t>>{{42}, {3, 1, 2}, {7, 7, 0, 41, 20}})
    expect_as_reference(vae, rows, {Bound::iwae, 60, 2, Binarize::stochastic, 9});
}

// The noise depends only on the row and the sample, so the batch size changes only the rounding of products.
TEST_P(BoundTest, DoesNotDependOnTheBatch) {
  for (const Bound bound : {Bound::iwae, Bound::prior}) {
    const Vae vae = random_model(backend_, chain_model(Prior::standard));
    const BoundOptions options{bound, 120, 500, Binarize::stochastic, 9};
    const Vector error = reference_weights(vae, every_row(), options).error;
    const auto of_examples = [&](Index batch, std::uint64_t seed = 9) {
      return evaluate_bound(vae, small_data(), {bound, 120, batch, Binarize::stochastic, seed}).of_examples;
    };
    const std::vector<ExampleBound> whole = of_examples(500);
    for (const Index batch : {0, 1, 2, 7, 42, 43, 44}) {
      const std::vector<ExampleBound> got = of_examples(batch);
      for (std::size_t i = 0; i < whole.size(); ++i) {
        EXPECT_NEAR(got[i].value, whole[i].value, 2 * error[i]) << "batch " << batch;
        EXPECT_NEAR(got[i].effective, whole[i].effective, 8 * error[i] * whole[i].effective) << "batch " << batch;
        if (batch >= kSmallRows) {
          EXPECT_EQ(got[i].value, whole[i].value) << "batch " << batch;
        }
      }
    }
    EXPECT_NE(of_examples(500, 10)[0].value, whole[0].value);
  }
}

// Up to a chunk, the samples are those of evaluate(): with one sample, L_1 is its ELBO with the KL from that sample.
TEST_P(BoundTest, OfOneSampleIsTheElboOfThatSample) {
  const Vae vae = random_model(backend_, chain_model(Prior::standard));
  const Evaluation elbo = evaluate(vae, small_data(), {1, 500, Binarize::stochastic, 9});
  const BoundEvaluation bound = evaluate_bound(vae, small_data(), {Bound::iwae, 1, 500, Binarize::stochastic, 9});
  for (std::size_t i = 0; i < elbo.elbos.size(); ++i)  // the same float32 values, added in double
    EXPECT_NEAR(bound.of_examples[i].value, elbo.elbos[i], 1e-13 * std::fabs(elbo.elbos[i]));
  EXPECT_NEAR(bound.error, elbo.elbo_error, 1e-12);
  EXPECT_EQ(bound.mean_effective, 1);
}

// log p of standardized data is less by the log of the volume: sum_d log scale_d.
TEST_P(BoundTest, OfStandardizedDataIsInTheDatasUnits) {
  VaeConfig config = small_model();
  config.likelihood = Likelihood::gaussian;
  const Index rows = 9;
  const std::vector<float> values = random_vector(rows * 12, 3, -5, 20);
  const Dataset data = Dataset::from_memory(values, rows, 12);
  Vae vae = random_model(backend_, config);
  std::vector<std::uint32_t> all(static_cast<std::size_t>(rows));
  std::iota(all.begin(), all.end(), 0u);
  const Standardization s = Standardization::of(data, all);
  std::vector<float> standardized = values;
  s.apply(standardized);
  const BoundOptions options{Bound::iwae, 60, 4, Binarize::none, 9};
  const BoundEvaluation plain = evaluate_bound(vae, Dataset::from_memory(standardized, rows, 12), options);
  vae.set_standardization(s);
  double log_volume = 0;
  for (const double scale : s.scale) log_volume += std::log(scale);
  const BoundEvaluation got = evaluate_bound(vae, data, options);
  for (std::size_t i = 0; i < got.of_examples.size(); ++i) {
    EXPECT_NEAR(got.of_examples[i].value, plain.of_examples[i].value - log_volume, 1e-9);
    EXPECT_EQ(got.of_examples[i].effective, plain.of_examples[i].effective);
  }
  BoundOptions binarized = options;
  binarized.binarize = Binarize::threshold;
  expect_error([&] { evaluate_bound(vae, data, binarized); }, "must be none for a model of standardized data");
}

TEST_P(BoundTest, RefusesWhatItCannotDo) {
  const Vae vae = random_model(backend_, small_model());
  const Dataset data = small_data();
  const auto refused = [&](const BoundOptions& options, const std::string& text) {
    expect_error([&] { evaluate_bound(vae, data, options); }, "evaluate: " + text);
  };
  refused({.samples = 0}, "samples is 0 and batch is 1 but both must be at least 1");
  refused({.batch = -1}, "samples is 5000 and batch is -1 but both must be at least 1");
  refused({.samples = 100, .batch = std::numeric_limits<Index>::max()}, "50 samples in batches of");
  refused({.samples = Index{1} << 31}, "samples is 2147483648 but must be at most 2147483647");
  refused({.bound = Bound::elbo}, "the bound is elbo, which is not one of evaluate_bound()");
  expect_error([&] { evaluate_bound(vae, data, std::vector<std::uint32_t>{}, {}); }, "evaluate: no examples");
  expect_error([&] { evaluate_bound(vae, data, {3, 43}, {}); }, "evaluate: row is 43 but the data have only 43 rows");
  expect_error(
      [&] { evaluate_bound(random_model(backend_, chain_model(Prior::mixture, 2)), data, {.bound = Bound::prior}); },
      "the bound is prior, which needs the model's prior to be standard but it is mixture");
}

}  // namespace
}  // namespace cuvae
