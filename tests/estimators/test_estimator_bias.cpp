// Every estimator in a small VAE: the mean of the encoder's gradient over fresh noise against the mean of many more
// pathwise gradients of the same objective.
#include "cuvae/estimator.h"
#include "cuvae/trainer.h"
#include "moments_of.h"
#include "op_test.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

constexpr Index kBatch = 3, kDim = 6;
const std::uint32_t kDraws = emulated() ? 60 : 3000;
const std::uint32_t kReferenceDraws = 4 * kDraws;
// 48 coordinates of 40 estimators: at 6 standard errors a right one fails once in 100,000 seeds.
constexpr double kErrors = 6;

VaeConfig small_model() {
  VaeConfig m;
  m.data_dim = m.image_width = kDim;
  m.latent = 2;
  m.encoder_hidden = m.decoder_hidden = {4};
  m.activation = Activation::tanh;
  return m;
}

class EstimatorBias : public OpTest {
 protected:
  EstimatorBias() : x_(backend_, kBatch, kDim, random_vector(kBatch * kDim, 31, 0, 1)) {}

  /// The draws of each of the encoder's parameters; the first step names other noise for each estimator.
  std::vector<MomentsOf> draw(const TrainConfig& config, std::uint32_t draws) {
    Trainer trainer(backend_, small_model(), config, kBatch);
    const ParameterLayout& layout = trainer.vae().layout();
    std::vector<float> values = random_vector(layout.size(), 32, -1, 1), got(values.size());
    backend_.upload(trainer.vae().params(), values.data(), values.size() * sizeof(float));
    std::vector<Vector> all;
    for (std::uint32_t n = 0; n < draws; ++n) {
      trainer.set_step(first_step_++);
      backend_.download(got.data(), trainer.gradient(x_, RunningMeans::update).data, got.size() * sizeof(float));
      std::size_t i = 0;
      for (const Parameter& p : layout.parameters()) {
        if (!p.name.starts_with("encoder.")) continue;
        for (Index j = 0; j < p.size(); ++j, ++i) {
          if (n == 0) all.emplace_back();
          all[i].push_back(double{got[static_cast<std::size_t>(p.offset + j)]});
        }
      }
    }
    return {all.begin(), all.end()};
  }

  /// By how many standard errors the means differ, at most.
  static double distance(const std::vector<MomentsOf>& a, const std::vector<MomentsOf>& b) {
    double most = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      const double error = std::hypot(a[i].mean_error(), b[i].mean_error());
      // 1e-6: the rounding of gradients near 1.
      most = std::max(most, std::fabs(a[i].mean - b[i].mean) / (error + 1e-6 / kErrors));
    }
    return most;
  }

  static TrainConfig training(Estimator estimator, Index samples, Cost cost = Cost::elbo) {
    TrainConfig t;
    t.batch = kBatch;
    t.samples = samples;
    t.estimator = estimator;
    t.cost = cost;
    t.binarize = Binarize::none;
    return t;
  }

 private:
  Matrix x_;
  std::uint32_t first_step_ = 0;
};
CUVAE_ON_EVERY_BACKEND(EstimatorBias);

TEST_P(EstimatorBias, OfTheElboIsNone) {
  const auto want = draw(training(Estimator::pathwise, 1), kReferenceDraws);
  for (const Estimator e : all_estimators()) {
    if (is_importance_weighted(e) || e == Estimator::nvil_scaled) continue;  // another objective, another scale
    for (const Cost cost : {Cost::elbo, Cost::joint, Cost::likelihood}) {
      if (!takes_cost(e, cost)) continue;
      for (const Index samples : {1, 3}) {
        if (samples < traits(e).least_samples) continue;
        SCOPED_TRACE(std::string(to_string(e)) + ", " + std::string(to_string(cost)) + ", K " +
                     std::to_string(samples));
        EXPECT_LT(distance(draw(training(e, samples, cost), kDraws), want), kErrors);
      }
    }
  }
}

TEST_P(EstimatorBias, OfTheBoundIsNone) {
  const Index samples = 4;
  const auto want = draw(training(Estimator::iwae, samples), kReferenceDraws);
  for (const Estimator e : {Estimator::dreg, Estimator::vimco, Estimator::vimco_arithmetic}) {
    SCOPED_TRACE(to_string(e));
    EXPECT_LT(distance(draw(training(e, samples), kDraws), want), kErrors);
  }
  if (emulated()) return;  // few draws do not show the bias
  EXPECT_GT(distance(draw(training(Estimator::stl_iwae, samples), kDraws), want), kErrors);
}

}  // namespace
}  // namespace cuvae
