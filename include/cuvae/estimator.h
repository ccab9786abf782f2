// Properties of the estimators of the encoder's gradient, and the terms that latent_backward needs for each of them.
#pragma once
#include "cuvae/types.h"

namespace cuvae {

/// Whether the objective is the importance-weighted bound log (1/K) sum_k w_k, w = p(x|z) p(z) / q(z|x).
constexpr bool is_importance_weighted(Estimator e) { return e >= Estimator::iwae; }
constexpr bool is_vimco(Estimator e) { return e == Estimator::vimco || e == Estimator::vimco_arithmetic; }
/// Whether it uses the score function of q with a Cost, for the ELBO.
constexpr bool is_score_function(Estimator e) { return e >= Estimator::score && e <= Estimator::nvil_scaled; }
constexpr bool is_nvil(Estimator e) { return e == Estimator::nvil || e == Estimator::nvil_scaled; }
constexpr bool is_measure_valued(Estimator e) {
  return e == Estimator::measure_valued || e == Estimator::measure_valued_independent;
}
/// Whether it evaluates log p(x|z) at other points in addition to the samples.
constexpr bool uses_probes(Estimator e) { return e == Estimator::delta || is_measure_valued(e); }
/// The number of these points per example: for delta the posterior's mean and two per latent dimension, for the
/// measure-valued estimators four per latent dimension of each sample.
constexpr Index probes_of_example(Estimator e, Index samples, Index latent) {
  return e == Estimator::delta ? 2 * latent + 1 : samples * 4 * latent;
}
/// Whether it needs the output of score_weights.
constexpr bool uses_score(Estimator e) { return is_score_function(e) || is_vimco(e); }
/// Whether it differentiates through the samples and therefore needs dz from the decoder.
constexpr bool uses_path(Estimator e) { return !uses_score(e) && !uses_probes(e); }
/// Whether log p(z) and log q(z|x) of each sample are needed.
constexpr bool uses_log_densities(Estimator e) { return is_importance_weighted(e) || is_score_function(e); }
/// Whether it supports the cost. A cost other than elbo adds the missing terms in closed form; nvil_scaled does not
/// support this, because it scales only the score.
constexpr bool takes_cost(Estimator e, Cost cost) {
  return cost == Cost::elbo || (is_score_function(e) && e != Estimator::nvil_scaled);
}
/// Whether it supports antithetic pairs. It must average over samples without a baseline from the other samples.
constexpr bool allows_antithetic(Estimator e) { return e <= Estimator::score_mean || is_nvil(e); }
/// The smallest number of samples K that it is defined for.
constexpr Index least_samples(Estimator e) {
  const bool others = e == Estimator::rloo || e == Estimator::optimal || e == Estimator::optimal_shared;
  return others || e == Estimator::rws_dreg || is_vimco(e) ? 2 : 1;
}
/// Whether the gradient of the KL is in closed form, so that beta, warm-up and free bits apply.
constexpr bool has_closed_form_kl(Estimator e, Cost cost) {
  return e == Estimator::pathwise || uses_probes(e) || (is_score_function(e) && cost == Cost::likelihood);
}

/// The terms of an estimator for a batch of `batch` rows with K samples each, and the loss -mean(ELBO) or -mean(bound).
/// dz must come from a decoder whose rows have the weight -1/R, or -weights/B for importance-weighted estimators.
/// `weights` and `score` [R, 1] are the outputs of importance_weights and score_weights. They are ignored by estimators
/// that do not need them.
LatentTerms latent_terms(Estimator estimator, Cost cost, Index batch, Index samples, ConstView weights,
                         ConstView score);

}  // namespace cuvae
