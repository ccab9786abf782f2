// Which estimators of the encoder's gradient need what, and the terms that make latent_backward compute them.
#pragma once
#include "cuvae/types.h"

namespace cuvae {

/// Bounds over K samples, sharper than the ELBO: log-mean-exp of log w, w = p(x|z) p(z) / q(z|x).
constexpr bool is_importance_weighted(Estimator e) { return e >= Estimator::iwae; }
constexpr bool is_vimco(Estimator e) { return e == Estimator::vimco || e == Estimator::vimco_arithmetic; }
/// The ELBO by the score of q and a Cost.
constexpr bool is_score_function(Estimator e) { return e >= Estimator::score && e <= Estimator::nvil_scaled; }
constexpr bool is_nvil(Estimator e) { return e == Estimator::nvil || e == Estimator::nvil_scaled; }
constexpr bool is_measure_valued(Estimator e) {
  return e == Estimator::measure_valued || e == Estimator::measure_valued_independent;
}
/// Whether it evaluates log p(x|z) at further points than the samples.
constexpr bool uses_probes(Estimator e) { return e == Estimator::delta || is_measure_valued(e); }
/// The points at which it does for each example: for delta the posterior's mean and two for each latent, else four for
/// each latent of each sample.
constexpr Index probes_of_example(Estimator e, Index samples, Index latent) {
  return e == Estimator::delta ? 2 * latent + 1 : samples * 4 * latent;
}
/// Whether score_weights makes an array for it.
constexpr bool uses_score(Estimator e) { return is_score_function(e) || is_vimco(e); }
/// Whether it differentiates through the samples, and so needs the decoder's dz.
constexpr bool uses_path(Estimator e) { return !uses_score(e) && !uses_probes(e); }
/// Whether log p(z) and log q(z|x) of each sample are needed.
constexpr bool uses_log_densities(Estimator e) { return is_importance_weighted(e) || is_score_function(e); }
/// Whether it may be given that cost. What another cost than the ELBO leaves out is added in closed form, which a
/// scaled score must not be mixed with.
constexpr bool takes_cost(Estimator e, Cost cost) {
  return cost == Cost::elbo || (is_score_function(e) && e != Estimator::nvil_scaled);
}
/// Whether its samples may come in antithetic pairs: it averages over samples, and no baseline depends on others.
constexpr bool allows_antithetic(Estimator e) { return e <= Estimator::score_mean || is_nvil(e); }
/// The fewest samples K that it is defined for.
constexpr Index least_samples(Estimator e) {
  const bool others = e == Estimator::rloo || e == Estimator::optimal || e == Estimator::optimal_shared;
  return others || e == Estimator::rws_dreg || is_vimco(e) ? 2 : 1;
}
/// Whether the KL's gradient is in closed form, so that it can be weighted.
constexpr bool has_closed_form_kl(Estimator e, Cost cost) {
  return e == Estimator::pathwise || uses_probes(e) || (is_score_function(e) && cost == Cost::likelihood);
}

/// The terms of an estimator over a batch of `batch` rows with K samples each, for the loss -mean(ELBO) or
/// -mean(bound). dz must come from a decoder whose rows have the weight -1/R or, for importance-weighted ones,
/// -weights/B. `weights` and `score` [R, 1] are those of importance_weights and score_weights; an estimator that needs
/// none ignores them.
LatentTerms latent_terms(Estimator estimator, Cost cost, Index batch, Index samples, ConstView weights,
                         ConstView score);

}  // namespace cuvae
