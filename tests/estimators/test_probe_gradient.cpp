// The measure-valued estimators and the delta method in the trainer: the gradient of a step, against central
// differences in double of the decoder's objective, and of the statistics weighted by what the reference makes of the
// probes.
#include <numeric>

#include "cuvae/estimator.h"
#include "gradient_test.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

TrainConfig training_by(Estimator estimator, Index samples) {
  TrainConfig t = plain_sgd(samples, estimator);
  t.beta = 0.7f;
  t.kl_warmup_epochs = 4;  // of one step each
  t.free_bits = 0.3f;
  return t;
}

class ProbeGradient : public OpTest {
 protected:
  void expect_gradient(const VaeConfig& model, const TrainConfig& training) {
    const Index K = training.samples;
    SCOPED_TRACE(std::string(to_string(training.estimator)) + ", " + std::string(to_string(model.likelihood)) + ", K " +
                 std::to_string(K));
    Trainer trainer(backend_, model, training, kBatch);
    const std::vector<float> arena = random_parameters(trainer.vae().layout());
    set_parameters(trainer, arena);
    const Vector at = reference::widen(arena);
    const reference::Model reference_model(model, reference::widen(random_conditions(model)));
    const std::optional<Matrix> conditions = batch_conditions(backend_, model);

    for (const std::uint32_t step : {2u, 9u}) {
      SCOPED_TRACE("step " + std::to_string(step));
      const std::vector<float> pixels = random_pixels(step);
      const Vector x = reference::widen(pixels);
      const reference::NoiseKey noise{training.seed, Stream::latent, step};
      const reference::Elbo fixed = reference_model.elbo(at, x, K, noise);
      const Index n = probes_of_example(traits(training.estimator).probes, K, kLatent);
      const Vector probes = reference::place_probes(training.estimator, fixed.stats, noise, K, kLatent).z,
                   at_probes = reference_model.log_prob(at, probes, x, n);
      Vector dstats =
          reference::probe_backward(training.estimator, fixed.stats, noise, fixed.log_p, at_probes, K, kLatent);
      const KlWeight weight{training.beta, 4, training.free_bits};
      const Vector of_kl = reference::latent_backward(fixed.stats, noise, Vector(kBatch * K * kLatent), weight,
                                                      fixed.kl_dims, 1.0 / kBatch, K, kLatent);
      for (std::size_t i = 0; i < dstats.size(); ++i) dstats[i] += of_kl[i];
      const Vector want = central_differences(
          [&](const Vector& v) {
            const Vector log_p = reference_model.log_prob(v, fixed.z, x, K);
            return dot(dstats, reference_model.elbo(v, x, 1, noise).stats) -
                   std::accumulate(log_p.begin(), log_p.end(), 0.0) / static_cast<double>(kBatch * K);
          },
          at);

      trainer.set_step(step);
      const ConstView view = trainer.gradient(Matrix(backend_, kBatch, kDim, pixels), view_of(conditions));
      std::vector<float> got(static_cast<std::size_t>(view.cols));
      backend_.download(got.data(), view.data, got.size() * sizeof(float));
      // Some 20 roundings of log p(x|z), whose differences over the narrowest sigma are the gradient: 11 of its sum,
      // and those of the probes. The rest of a sample in the delta method has seven such values. 1e-8 is the
      // differences'.
      double largest = 1, narrowest = 1;
      for (const double v : at_probes) largest = std::max(largest, std::fabs(v));
      for (Index i = 0; i < kBatch * kLatent; ++i)
        narrowest = std::min(narrowest, std::exp(fixed.stats[i / kLatent * 2 * kLatent + kLatent + i % kLatent] / 2));
      const double bound = 20 * 0x1p-24 * largest / narrowest;
      expect_close(got, want, bound + 1e-8, 80 * 0x1p-24, "gradient");
    }
  }
};
CUVAE_ON_EVERY_BACKEND(ProbeGradient);

TEST_P(ProbeGradient, IsTheReferences) {
  for (const Estimator e : {Estimator::measure_valued, Estimator::measure_valued_independent, Estimator::delta})
    for (const Index samples : {1, 2, 5})
      for (const Likelihood likelihood : {Likelihood::bernoulli, Likelihood::gaussian_learned_per_dim})
        expect_gradient(smooth_model(likelihood), training_by(e, samples));
}

TEST_P(ProbeGradient, OfAConditionalModelToo) {
  for (const Estimator e : {Estimator::measure_valued, Estimator::delta})
    expect_gradient(conditional(smooth_model()), training_by(e, 2));
}

}  // namespace
}  // namespace cuvae
