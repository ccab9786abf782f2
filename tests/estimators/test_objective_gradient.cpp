// The bounds of several kinds and reweighted wake-sleep: the gradient of each network against central differences at
// fixed noise, with each estimator, and what the objectives have in common.
#include "chain_gradient.h"

namespace cuvae {
namespace {
using namespace test;

TrainConfig with_objective(Objective objective, Index samples, Index bounds = 1,
                           Estimator estimator = Estimator::pathwise) {
  TrainConfig t = plain_sgd(samples, estimator);
  t.objective = objective;
  t.bounds = bounds;
  return t;
}
TrainConfig ciwae(Index samples, float share, Estimator estimator = Estimator::pathwise) {
  TrainConfig t = with_objective(Objective::ciwae, samples, 1, estimator);
  t.elbo_share = share;
  return t;
}
TrainConfig rws(Index samples, float share, Estimator estimator = Estimator::pathwise) {
  TrainConfig t = with_objective(Objective::rws, samples, 1, estimator);
  t.sleep_share = share;
  return t;
}

class ObjectiveGradient : public OpTest {
 protected:
  void expect_gradients(const VaeConfig& model, const TrainConfig& training) {
    test::expect_gradients(backend_, model, training, 2);
  }
  std::vector<float> gradient(const VaeConfig& model, const TrainConfig& training) {
    return gradient_at(backend_, model, training, random_parameters(parameter_layout(model)));
  }
  /// Sums of some ten terms of order one in another order.
  void expect_the_same(const TrainConfig& a, const TrainConfig& b, const std::string& what) {
    for (const int layers : {1, 2}) {
      const VaeConfig model = with_layers(smooth_model(), layers);
      expect_close(gradient(model, a), reference::widen(gradient(model, b)), 40 * 0x1p-24, 40 * 0x1p-24, what);
    }
  }
};
CUVAE_ON_EVERY_BACKEND(ObjectiveGradient);

constexpr Estimator kOfBounds[] = {Estimator::pathwise, Estimator::stl, Estimator::dreg, Estimator::vimco,
                                   Estimator::vimco_arithmetic};

TEST_P(ObjectiveGradient, OfSeveralBounds) {
  for (const Objective objective : {Objective::miwae, Objective::piwae}) {
    for (const Estimator e : kOfBounds)
      for (const Likelihood likelihood : {Likelihood::bernoulli, Likelihood::gaussian_learned_per_dim})
        expect_gradients(smooth_model(likelihood), with_objective(objective, 2, 3, e));
    for (const Estimator e : kOfBounds)
      expect_gradients(with_layers(smooth_model(Likelihood::gaussian_learned), 2), with_objective(objective, 3, 2, e));
    for (const Estimator e : {Estimator::pathwise, Estimator::dreg}) {
      for (const Prior prior : {Prior::mixture, Prior::vampprior})
        for (const int layers : {1, 2})
          expect_gradients(with_prior(with_layers(smooth_model(), layers), prior, 3),
                           with_objective(objective, 2, 2, e));
    }
  }
}

TEST_P(ObjectiveGradient, OfTheMixWithTheElbo) {
  for (const float share : {0.0f, 0.25f, 1.0f})
    for (const Estimator e : {Estimator::pathwise, Estimator::stl, Estimator::dreg}) {
      for (const Index samples : {1, 4}) expect_gradients(smooth_model(), ciwae(samples, share, e));
      expect_gradients(with_prior(smooth_model(), Prior::vampprior, 3), ciwae(3, share, e));
      expect_gradients(with_prior(with_layers(smooth_model(), 2), Prior::mixture, 3), ciwae(3, share, e));
    }
}

TEST_P(ObjectiveGradient, OfReweightedWakeSleep) {
  for (const float share : {0.0f, 0.25f, 1.0f}) {
    for (const Index samples : {share > 0 ? 1 : 2, 4})
      for (const int layers : {1, 2, 3}) expect_gradients(with_layers(smooth_model(), layers), rws(samples, share));
    for (const int layers : {1, 2})
      expect_gradients(with_layers(smooth_model(Likelihood::gaussian), layers), rws(3, share, Estimator::rws_dreg));
  }
  for (const Prior prior : {Prior::mixture, Prior::vampprior})
    for (const int layers : {1, 2})
      expect_gradients(with_prior(with_layers(smooth_model(), layers), prior, 3), rws(3, 0));
}

TEST_P(ObjectiveGradient, OfDataWithMissingValues) {
  for (const Objective objective : {Objective::miwae, Objective::piwae})
    expect_gradients(with_missing_values(with_layers(smooth_model(Likelihood::gaussian), 2)),
                     with_objective(objective, 2, 2));
  expect_gradients(with_missing_values(with_prior(smooth_model(), Prior::vampprior, 3)), ciwae(3, 0.25f));
  expect_gradients(with_missing_values(smooth_model()), rws(3, 0));
}

TEST_P(ObjectiveGradient, OneBoundIsIwae) {
  for (const Estimator e : {Estimator::pathwise, Estimator::stl, Estimator::dreg, Estimator::vimco})
    for (const Objective objective : {Objective::miwae, Objective::piwae})
      expect_the_same(with_objective(objective, 3, 1, e), with_objective(Objective::iwae, 3, 1, e),
                      std::string(to_string(objective)) + ", " + std::string(to_string(e)));
}

TEST_P(ObjectiveGradient, BoundsOfOneSampleAreTheElbo) {
  expect_the_same(with_objective(Objective::miwae, 1, 4), plain_sgd(4, Estimator::total), "miwae");
  expect_the_same(with_objective(Objective::miwae, 1, 4, Estimator::stl), plain_sgd(4, Estimator::stl), "miwae, stl");
}

TEST_P(ObjectiveGradient, TheEndsOfTheMixAreItsParts) {
  expect_the_same(ciwae(4, 0), plain_sgd(4, Estimator::iwae), "share 0");
  expect_the_same(ciwae(4, 1), plain_sgd(4, Estimator::total), "share 1");
  expect_the_same(ciwae(4, 1, Estimator::stl), plain_sgd(4, Estimator::stl), "share 1, stl");
  expect_same_bits(gradient(smooth_model(), ciwae(4, 0, Estimator::dreg)),
                   gradient(smooth_model(), plain_sgd(4, Estimator::dreg)), "share 0, dreg");
}

// With one sample the wake phase is log q of the sample, whose mean is zero; the generative network's is the ELBO's.
TEST_P(ObjectiveGradient, ReweightedWakeSleepOfOneSampleIsWakeSleep) {
  TrainConfig wake_sleep = plain_sgd(1);
  wake_sleep.objective = Objective::wake_sleep;
  expect_the_same(rws(1, 1), wake_sleep, "all sleep");
  const std::vector<float> of_rws = gradient(smooth_model(), rws(1, 0.5f)),
                           of_elbo = gradient(smooth_model(), plain_sgd(1, Estimator::total));
  const ParameterLayout layout = parameter_layout(smooth_model());
  for (const Parameter& p : layout.parameters()) {
    if (!p.name.starts_with("decoder")) continue;
    const auto slice = [&](const std::vector<float>& v) {
      return std::vector<float>(v.begin() + p.offset, v.begin() + p.offset + p.size());
    };
    expect_close(slice(of_rws), reference::widen(slice(of_elbo)), 40 * 0x1p-24, 40 * 0x1p-24, p.name);
  }
}

TEST_P(ObjectiveGradient, SpellingsOfTheSameAreTheSameBits) {
  const struct {
    TrainConfig spelled, today;
  } same[] = {{with_objective(Objective::elbo, 2), plain_sgd(2)},
              {with_objective(Objective::elbo, 2, 1, Estimator::rloo), plain_sgd(2, Estimator::rloo)},
              {with_objective(Objective::iwae, 2), plain_sgd(2, Estimator::iwae)},
              {with_objective(Objective::iwae, 2, 1, Estimator::stl), plain_sgd(2, Estimator::stl_iwae)},
              {with_objective(Objective::iwae, 2, 1, Estimator::dreg), plain_sgd(2, Estimator::dreg)},
              {rws(2, 0), plain_sgd(2, Estimator::wake_phi)},
              {rws(2, 0, Estimator::rws_dreg), plain_sgd(2, Estimator::rws_dreg)}};
  for (const auto& [spelled, today] : same) {
    SCOPED_TRACE(std::string(to_string(spelled.objective)) + ", " + std::string(to_string(today.estimator)));
    EXPECT_TRUE(resolved(spelled) == resolved(today));
    EXPECT_TRUE(resolved(today) == today);
    EXPECT_EQ(objective_of(spelled), objective_of(today));
    expect_same_bits(gradient(smooth_model(), spelled), gradient(smooth_model(), today), "gradient");
  }
}

// wake-phi and rws-dreg estimate the same gradient (Tucker et al. 2018). Means over draws of the noise; a coordinate's
// difference has the variance of both. At 5.5 standard errors one of 100 coordinates is wrong by chance once in 250,000
// seeds.
TEST_P(ObjectiveGradient, WakePhiHasTheMeanOfItsDoublyReparameterizedForm) {
  const std::uint32_t steps = emulated() ? 60 : 4000;
  const VaeConfig model = smooth_model();
  const ParameterLayout layout = parameter_layout(model);
  struct Moments {
    Vector sum, squares;
  };
  const auto moments = [&](Estimator e) {
    Trainer trainer(backend_, model, rws(4, 0, e), kBatch);
    set_parameters(trainer, random_parameters(layout));
    const Matrix x(backend_, kBatch, kDim, random_pixels(0));
    Moments m{Vector(static_cast<std::size_t>(layout.size())), Vector(static_cast<std::size_t>(layout.size()))};
    std::vector<float> g(m.sum.size());
    for (std::uint32_t step = 0; step < steps; ++step) {
      trainer.set_step(step + (e == Estimator::wake_phi ? 0 : steps));  // independent draws
      const ConstView view = trainer.gradient(x);
      backend_.synchronize();
      backend_.download(g.data(), view.data, g.size() * sizeof(float));
      for (std::size_t i = 0; i < g.size(); ++i) m.sum[i] += double{g[i]}, m.squares[i] += double{g[i]} * double{g[i]};
    }
    return m;
  };
  const Moments a = moments(Estimator::wake_phi), b = moments(Estimator::rws_dreg);
  const auto variance_of_mean = [&](const Moments& m, std::size_t i) {
    const double mean = m.sum[i] / steps;
    return (m.squares[i] / steps - mean * mean) / (steps - 1);
  };
  double largest = 0;  // of a mean, in standard errors: the test must be able to see a wrong one
  for (const Parameter& p : layout.parameters()) {
    if (!p.name.starts_with("encoder")) continue;
    for (auto i = static_cast<std::size_t>(p.offset); i < static_cast<std::size_t>(p.offset + p.size()); ++i) {
      const double error = std::sqrt(variance_of_mean(a, i) + variance_of_mean(b, i));
      EXPECT_NEAR(a.sum[i] / steps, b.sum[i] / steps, 5.5 * error) << p.name;
      largest = std::max(largest, std::fabs(b.sum[i] / steps) / error);
    }
  }
  if (!emulated()) {
    EXPECT_GT(largest, 11);
  }
}

}  // namespace
}  // namespace cuvae
