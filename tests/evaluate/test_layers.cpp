// The KL and the active units of each latent layer: against the reference, and where they are known.
#include <numeric>

#include "cuvae/evaluate.h"
#include "op_test.h"
#include "random_model.h"
#include "reference_belief.h"
#include "small_training.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

class Layers : public OpTest {
 protected:
  /// Log-densities and E[z_t|z_{t-1}] of each sample row of layer t, in double precision.
  struct Layer {
    Vector log_ratio, means;
  };
  static constexpr std::uint64_t kSeed = 9;
  static constexpr std::size_t kWidths[] = {2, 3, 2};  // of chain_model()

  template <class Reference>
  static std::vector<Layer> reference_layers(const Vae& vae, const Vector& x, Index samples, std::uint32_t step) {
    const Reference model(vae.config());
    const Vector arena = reference::widen(parameters(vae));
    const auto s = model.sample(arena, x, samples, {kSeed, Stream::latent, step});
    std::vector<Layer> layers;
    for (std::size_t t = 0; t < s.z.size(); ++t) layers.push_back(layer_of(model, arena, s, t, samples));
    return layers;
  }

  /// The terms of one layer are differences of sums over parts of the chain, each of which is tested elsewhere.
  template <class Reference>
  static Layer layer_of(const Reference& model, const Vector& arena, const typename Reference::Samples& s,
                        std::size_t t, Index samples) {
    const auto log_q_up_to = [&](std::size_t layers) {
      return model.log_q({s.z.begin(), s.z.begin() + static_cast<std::ptrdiff_t>(layers)}, statistics(s), samples);
    };
    Layer layer{log_q_up_to(t + 1), means(s, t)};
    const Vector below = t == 0 ? Vector(layer.log_ratio.size()) : log_q_up_to(t),
                 log_p = model.log_p_of_layer(arena, s.z, t);
    for (std::size_t r = 0; r < below.size(); ++r) layer.log_ratio[r] -= below[r] + log_p[r];
    return layer;
  }
  static const std::vector<Vector>& statistics(const reference::Chain::Samples& s) { return s.stats; }
  static const std::vector<Vector>& statistics(const reference::BeliefNetwork::Samples& s) { return s.logits; }
  static Vector means(const reference::Chain::Samples& s, std::size_t t) {
    const std::size_t width = kWidths[t];
    Vector means;
    for (std::size_t i = 0; i < s.stats[t].size(); ++i)
      if (i % (2 * width) < width) means.push_back(s.stats[t][i]);
    return means;
  }
  static Vector means(const reference::BeliefNetwork::Samples& s, std::size_t t) {
    Vector means;
    for (const double logit : s.logits[t]) means.push_back(1 / (1 + std::exp(-logit)));
    return means;
  }

  /// Units whose examples' means vary: the variance of means over S samples less 1/S of the variance of the samples.
  static Index active(const std::vector<Vector>& passes, Index rows, Index latent) {
    Index count = 0;
    for (Index l = 0; l < latent; ++l) {
      Vector means;
      double within = 0, samples = 0;
      for (Index i = 0; i < rows; ++i) {
        Vector values;
        for (const Vector& pass : passes)
          for (std::size_t at = 0, each = pass.size() / static_cast<std::size_t>(rows * latent); at < each; ++at)
            values.push_back(pass[(static_cast<std::size_t>(i) * each + at) * static_cast<std::size_t>(latent) +
                                  static_cast<std::size_t>(l)]);
        samples = static_cast<double>(values.size());
        means.push_back(std::accumulate(values.begin(), values.end(), 0.0) / samples);
        for (const double v : values)
          within += (v - means.back()) * (v - means.back()) / (samples - 1) / static_cast<double>(rows);
      }
      const double mean = std::accumulate(means.begin(), means.end(), 0.0) / static_cast<double>(rows);
      double between = 0;
      for (const double v : means) between += (v - mean) * (v - mean) / static_cast<double>(rows);
      count += between - within / samples > 0.01 ? 1 : 0;
    }
    return count;
  }

  template <class Reference>
  void expect_as_reference(const VaeConfig& config, Index samples, float weights = 1) {
    const Vae vae = random_model(backend_, config);
    std::vector<float> arena = parameters(vae);
    for (float& w : arena) w *= weights;
    backend_.upload(vae.params(), arena.data(), arena.size() * sizeof(float));
    Vector pixels;
    for (const std::uint8_t byte : small_pixels()) pixels.push_back(byte / 255.0);
    std::vector<Index> rows(kSmallRows);
    std::iota(rows.begin(), rows.end(), Index{0});
    const Vector x =
        reference::gather_batch(pixels, 12, rows, Binarize::stochastic, {kSeed, Stream::binarize, 0xffffffff});
    std::vector<std::vector<Layer>> passes;  // 20 samples or more, those of pass c at step 2^32 - 1 - c
    for (Index done = 0; done < 20; done += samples)
      passes.push_back(
          reference_layers<Reference>(vae, x, samples, 0xffffffffu - static_cast<std::uint32_t>(passes.size())));
    const Evaluation e = evaluate(vae, small_data(), {samples, 10, Binarize::stochastic, kSeed});
    ASSERT_EQ(e.layers.size(), vae.layers().size());
    double kl = 0;
    for (std::size_t t = 0; t < e.layers.size(); ++t) {
      SCOPED_TRACE("layer " + std::to_string(t + 1));
      const Vector& ratio = passes[0][t].log_ratio;
      double size = 0;
      for (const double v : ratio) size += std::fabs(v) / static_cast<double>(ratio.size());
      const double want = std::accumulate(ratio.begin(), ratio.end(), 0.0) / static_cast<double>(ratio.size());
      // Ten roundings of densities of a few nats, and the error of an exp of a log variance.
      EXPECT_NEAR(e.layers[t].kl, want, (10 * 0x1p-24 + kSquaredExpError) * (size + 10));
      std::vector<Vector> means;
      for (const auto& pass : passes) means.push_back(pass[t].means);
      // Without samples below, each is its own mean.
      if (t == config.first_sampled()) means = {passes[0][t].means, passes[0][t].means};
      EXPECT_EQ(e.layers[t].latent, vae.layers()[t].latent);
      EXPECT_EQ(e.layers[t].active_units, active(means, kSmallRows, vae.layers()[t].latent));
      kl += e.layers[t].kl;
    }
    EXPECT_EQ(e.layers[0].active_units, e.active_units);
    EXPECT_NEAR(kl, e.kl, 10 * 0x1p-24 * 40);  // densities of up to 40 nats, summed in another order
  }
};
CUVAE_ON_EVERY_BACKEND(Layers);
class LayersInEveryPrecision : public OpTest {};
CUVAE_IN_EVERY_PRECISION(LayersInEveryPrecision);

VaeConfig chain_model(Prior prior, Index components = 0) {
  VaeConfig m = small_model();
  m.above = {{3, {5}, {4}}, {2, {}, {3}}};
  m.prior = prior, m.prior_components = components;
  return m;
}

TEST_P(Layers, MatchTheReference) {
  for (const Index samples : {1, 3, 25})
    for (const VaeConfig& config :
         {chain_model(Prior::standard), chain_model(Prior::mixture, 3), chain_model(Prior::vampprior, 2)}) {
      SCOPED_TRACE(std::string(to_string(config.prior)) + ", K " + std::to_string(samples));
      expect_as_reference<reference::Chain>(config, samples);
    }
}

TEST_P(Layers, OfALadderMatchTheReference) {
  for (const Index samples : {1, 3})
    for (const float weights : {1.0f, 2.0f}) {
      SCOPED_TRACE("K " + std::to_string(samples));
      VaeConfig config = chain_model(Prior::standard);
      config.ladder = true;
      expect_as_reference<reference::Chain>(config, samples, weights);
    }
}

TEST_P(Layers, OfBernoulliUnitsMatchTheReference) {
  VaeConfig config = chain_model(Prior::standard);
  config.latent_kind = LatentKind::bernoulli;
  for (const Index samples : {1, 3})
    for (const float weights :
         {1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f})  // logits vary more than probabilities, which some of these tell apart
      expect_as_reference<reference::BeliefNetwork>(config, samples, weights);
}

// The parts and the whole are of the same samples, rounded or not.
TEST_P(LayersInEveryPrecision, AddUpToTheKl) {
  for (const VaeConfig& config : {chain_model(Prior::standard), chain_model(Prior::mixture, 3)}) {
    const Evaluation e = evaluate(random_model(backend_, config), small_data(), {3, 10, Binarize::stochastic, 9});
    double kl = 0;
    for (const LayerEvaluation& layer : e.layers) kl += layer.kl;
    EXPECT_NEAR(kl, e.kl, 10 * 0x1p-24 * 40);  // densities of up to 40 nats
  }
}

TEST_P(Layers, OneLayerHasTheWholeKl) {
  VaeConfig mixture = small_model();
  mixture.prior = Prior::mixture, mixture.prior_components = 3;
  for (const VaeConfig& config : {small_model(), mixture}) {
    const Evaluation e = evaluate(random_model(backend_, config), small_data(), {3, 10, Binarize::stochastic, kSeed});
    ASSERT_EQ(e.layers.size(), 1U);
    EXPECT_EQ(e.layers[0].kl, e.kl);
    EXPECT_EQ(e.layers[0].active_units, e.active_units);
    EXPECT_EQ(e.rate(), e.kl);
    EXPECT_EQ(e.distortion(), -e.reconstruction);
  }
}

TEST_P(Layers, DoNotDependOnTheBatchAndLeaveTheElboAsItIs) {
  const Vae vae = random_model(backend_, chain_model(Prior::standard));
  const auto at = [&](Index batch) { return evaluate(vae, small_data(), {2, batch, Binarize::stochastic, kSeed}); };
  const Evaluation whole = at(500);
  for (const Index batch : {1, 7, 43}) {
    const Evaluation e = at(batch);
    EXPECT_NEAR(e.elbo, whole.elbo, 1e-6 * std::fabs(whole.elbo));
    for (std::size_t t = 0; t < 3; ++t) {
      EXPECT_NEAR(e.layers[t].kl, whole.layers[t].kl, 1e-5);
      EXPECT_EQ(e.layers[t].active_units, whole.layers[t].active_units);
    }
  }
}

// z_1 has a unit with the mean 0.21 x_0, whose variance is 0.0110 as x_0 is 0 or 1, and a unit that is pure noise. The
// units of z_2 have means that are multiples of either. Those of the noise vary, but not with x: their variance is
// estimated as 0 with a standard error of (1 / 20) sqrt(2 / 2000) = 0.0016.
TEST_P(Layers, UnitsThatFollowOnlyTheNoiseBelowAreNotActive) {
  VaeConfig config = small_model();
  config.encoder_hidden = {};
  config.above = {{4, {}, {4}}};
  Vae vae(backend_, config, 1);
  std::vector<float> arena = parameters(vae);
  const Parameter &below = vae.encoder().weights()[0], &above = vae.layers()[1].encoder.weights()[0];
  for (const Parameter* p : {&below, &above}) std::fill_n(arena.begin() + p->offset, p->size(), 0.0f);
  arena[static_cast<std::size_t>(below.offset)] = 0.21f;                       // z_1's first mean
  arena[static_cast<std::size_t>(vae.encoder().biases()[0].offset + 2)] = -6;  // and its log variance
  const float factors[][2] = {{0.9f, 0}, {1.1f, 0}, {0, 1}, {1.1f, 0.2f}};     // of both units of z_1
  for (Index l = 0; l < 4; ++l)
    for (Index below_l = 0; below_l < 2; ++below_l)
      arena[static_cast<std::size_t>(above.offset + l * 2 + below_l)] = factors[l][below_l];
  backend_.upload(vae.params(), arena.data(), arena.size() * sizeof(float));
  std::vector<float> pixels(2000 * 12);
  for (std::size_t i = 0; i < 2000; ++i) pixels[i * 12] = static_cast<float>(i % 2);
  const Evaluation e = evaluate(vae, Dataset::from_memory(pixels, 2000, 12), {1, 500, Binarize::none, 0});
  EXPECT_EQ(e.layers[0].active_units, 1);
  EXPECT_EQ(e.layers[1].active_units, 2);  // variances of 0.0089, 0.0133, 0 and 0.0133
}

}  // namespace
}  // namespace cuvae
