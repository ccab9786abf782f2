#include "cuvae/estimator.h"

#include <string>

#include "cuvae/error.h"

namespace cuvae {

ScoreWeights score_weights(Estimator estimator, Cost cost, ConstView log_p_x, ConstView log_p_z, ConstView log_q,
                           Index samples, View score) {
  const std::string name(to_string(estimator));
  if (!uses_score(estimator)) throw Error("score_weights: " + name + " takes no scores");
  if (samples < traits(estimator).least_samples)
    throw Error("score_weights: samples is " + std::to_string(samples) + " but " + name + " needs at least " +
                std::to_string(traits(estimator).least_samples));
  const bool whole = traits(estimator).of_bound || cost == Cost::elbo;
  return {.baseline = traits(estimator).baseline,
          .log_p_x = log_p_x,
          .log_p_z = whole || cost == Cost::joint ? log_p_z : ConstView{},
          .log_q = whole ? log_q : ConstView{},
          .samples = samples,
          .score = score};
}

LatentTerms latent_terms(Estimator estimator, Cost cost, Index batch, Index samples, ConstView weights,
                         ConstView score) {
  const float per_batch_row = 1.0f / static_cast<float>(batch), per_row = 1.0f / static_cast<float>(batch * samples);
  LatentTerms t;
  t.stick_the_landing = traits(estimator).stick_the_landing;
  switch (estimator) {
    case Estimator::pathwise:
      break;
    case Estimator::total:
    case Estimator::stl:
      t.density = per_row;
      break;
    case Estimator::score:
    case Estimator::score_mean:
    case Estimator::rloo:
    case Estimator::optimal:
    case Estimator::optimal_shared:
    case Estimator::nvil:
    case Estimator::nvil_scaled:
      t.path = 0.0f;
      t.score = {per_row, score};
      t.entropy = cost == Cost::joint ? per_batch_row : 0.0f;
      t.optimal_baseline = estimator == Estimator::optimal;
      break;
    case Estimator::delta:
    case Estimator::measure_valued:
    case Estimator::measure_valued_independent:
      t.path = 0.0f;
      break;
    case Estimator::iwae:
    case Estimator::stl_iwae:
      t.density = {per_batch_row, weights};
      break;
    case Estimator::dreg:
      t.path = {1.0f, weights};
      t.density = {per_batch_row, weights};
      break;
    case Estimator::rws_dreg:
      t.path = {-1.0f, weights, 1.0f};
      t.density = {per_batch_row, weights};
      break;
    case Estimator::vimco:
    case Estimator::vimco_arithmetic:
      t.path = 0.0f;
      t.score = {per_batch_row, score};
      break;
    case Estimator::wake_phi:
      t.path = 0.0f;
      t.score = {per_batch_row, weights};
      break;
  }
  return t;
}

}  // namespace cuvae
