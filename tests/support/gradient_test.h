// Common to tests of a whole gradient: a small model, plain SGD, whose step shows the gradient, and random parameters.
#pragma once
#include <optional>

#include "op_test.h"
#include "reference_vae.h"
#include "small_training.h"

namespace cuvae::test {

constexpr Index kBatch = 4, kDim = 7, kLatent = 3;
constexpr double kRate = 0x1p-4;  // a power of two, so that the product of rate and gradient is exact

inline VaeConfig smooth_model(Likelihood likelihood = Likelihood::bernoulli, std::vector<Index> hidden = {5}) {
  VaeConfig m;
  m.data_dim = m.image_width = kDim;
  m.latent = kLatent;
  m.encoder_hidden = hidden;
  m.decoder_hidden.assign(hidden.rbegin(), hidden.rend());
  m.activation = Activation::tanh;
  m.likelihood = likelihood;
  return m;
}

inline TrainConfig plain_sgd(Index samples, Estimator estimator = Estimator::pathwise, Cost cost = Cost::elbo) {
  TrainConfig t;
  t.seed = 3;
  t.batch = kBatch;
  t.samples = samples;
  t.estimator = estimator;
  t.cost = cost;
  t.binarize = Binarize::none;
  t.optimizer = Optimizer::sgd;
  t.beta1 = 0;
  t.schedule.rate = kRate;
  return t;
}

/// Random parameters in [-0.7, 0.7]. The gaps of the arena stay zero.
inline std::vector<float> random_parameters(const ParameterLayout& layout) {
  std::vector<float> arena(static_cast<std::size_t>(layout.size()));
  const std::vector<float> values = random_vector(layout.size(), 21, -0.7f, 0.7f);
  for (const Parameter& p : layout.parameters())
    std::copy_n(values.begin() + p.offset, p.size(), arena.begin() + p.offset);
  return arena;
}

inline std::vector<float> random_pixels(std::uint32_t step) { return random_vector(kBatch * kDim, 22 + step, 0, 1); }
/// Where the model takes missing values, some are: all of row 1, none of row 2.
inline std::vector<float> random_pixels(const VaeConfig& model, std::uint32_t step) {
  std::vector<float> pixels = random_pixels(step);
  for (Index i = 0; model.missing_values && i < kBatch * kDim; ++i)
    if (i / kDim == 1 || (i / kDim != 2 && (i + step) % 3 == 0)) pixels[static_cast<std::size_t>(i)] = NAN;
  return pixels;
}
inline VaeConfig with_missing_values(VaeConfig model) {
  model.missing_values = true;
  return model;
}

/// The model with conditions of three columns, which are its batches'.
inline VaeConfig conditional(VaeConfig model, ConditionKind kind = ConditionKind::columns) {
  model.condition = kind, model.condition_dim = 3;
  return model;
}
inline std::vector<float> random_conditions(const VaeConfig& model) {
  return random_vector(kBatch * model.condition_dim, 27);
}
/// The same in a backend's memory; none for other models, whose trainer takes an empty view.
inline std::optional<Matrix> batch_conditions(Backend& backend, const VaeConfig& model) {
  if (!model.is_conditional()) return std::nullopt;
  return std::optional<Matrix>(std::in_place, backend, kBatch, model.condition_dim, random_conditions(model));
}
inline ConstView view_of(const std::optional<Matrix>& conditions) { return conditions ? *conditions : ConstView{}; }

inline void set_parameters(Trainer& trainer, const std::vector<float>& arena) {
  trainer.vae().backend().upload(trainer.vae().params(), arena.data(), arena.size() * sizeof(float));
}

/// The gradient by all parameters at `start` for random_pixels(0).
inline std::vector<float> gradient_at(Backend& backend, const VaeConfig& model, const TrainConfig& training,
                                      const std::vector<float>& start) {
  Trainer trainer(backend, model, training, kBatch);
  set_parameters(trainer, start);
  const ConstView g = trainer.gradient(Matrix(backend, kBatch, kDim, random_pixels(0)));
  std::vector<float> values(static_cast<std::size_t>(g.size()));
  backend.synchronize();
  backend.download(values.data(), g.data, values.size() * sizeof(float));
  return values;
}

/// The gradient that a step of plain_sgd() applied, against central differences of the objective, with the rounding
/// errors of sums of log-densities up to `largest`. They take most of a test's time: with a sanitizer, of every eighth
/// parameter.
template <class F>
void expect_applied(F objective, const reference::Vector& before, const reference::Vector& after, double largest) {
#if defined(CUVAE_SANITIZED)
  constexpr std::size_t kEvery = 8;
#else
  constexpr std::size_t kEvery = 1;
#endif
  reference::Vector at = before, want, got, bound;
  for (std::size_t i = 0; i < before.size(); i += kEvery) {
    const auto of_parameter = [&](const reference::Vector& value) {
      at[i] = value[0];
      return objective(at);
    };
    want.push_back(central_differences(of_parameter, {before[i]})[0]);
    at[i] = before[i];
    got.push_back((before[i] - after[i]) / kRate);
    bound.push_back(0x1p-24 * std::fabs(after[i]) / kRate + 80 * 0x1p-24 * (largest + std::fabs(want.back())));
  }
  expect_within(got, want, bound, "gradient");
}

}  // namespace cuvae::test
