// The estimators of the encoder's gradient: one table of their traits, and the terms of the ops for each of them.
#pragma once
#include <iterator>

#include "cuvae/ops.h"

namespace cuvae {

/// How the gradient reaches the encoder.
enum class GradientKind : std::uint8_t {
  path,            ///< through the samples, by the decoder's dz
  score,           ///< by the score of q at the samples, times their cost
  probes,          ///< by log p(x|z) at other points in addition to the samples
  weighted_score,  ///< by the score of q at the samples, times their importance weights
};

struct EstimatorTraits {
  Estimator estimator;
  GradientKind gradient = GradientKind::path;
  bool of_bound = false;  ///< the objective is the importance-weighted bound log (1/K) sum_k w_k, not the ELBO
  ScoreBaseline baseline = ScoreBaseline::none;  ///< of a score
  ProbeKind probes = ProbeKind::coupled_pairs;   ///< of probes
  Index least_samples = 1;                       ///< the smallest K that it is defined for, or learns with
  bool antithetic = false;      ///< takes antithetic pairs: it averages over samples, without a baseline of the others
  bool other_costs = false;     ///< takes a Cost other than elbo, and adds what that leaves out in closed form
  bool closed_form_kl = false;  ///< the KL's gradient is in closed form with any cost: beta and free bits apply
  bool one_layer = false;       ///< takes one latent layer only: its baselines need several samples of each
  bool stick_the_landing = false;  ///< the path is without the score of q
  bool reweighted = false;         ///< the encoder follows reweighted wake-sleep, and the decoder the bound
};

inline constexpr EstimatorTraits kEstimators[] = {
    {.estimator = Estimator::pathwise, .antithetic = true, .closed_form_kl = true},
    {.estimator = Estimator::total, .antithetic = true},
    {.estimator = Estimator::stl, .antithetic = true, .stick_the_landing = true},
    {.estimator = Estimator::score, .gradient = GradientKind::score, .antithetic = true, .other_costs = true},
    {.estimator = Estimator::score_mean,
     .gradient = GradientKind::score,
     .baseline = ScoreBaseline::running_mean,
     .antithetic = true,
     .other_costs = true},
    {.estimator = Estimator::rloo,
     .gradient = GradientKind::score,
     .baseline = ScoreBaseline::leave_one_out,
     .least_samples = 2,
     .other_costs = true},
    {.estimator = Estimator::optimal,
     .gradient = GradientKind::score,
     .baseline = ScoreBaseline::first_sample,
     .least_samples = 2,
     .other_costs = true,
     .one_layer = true},
    {.estimator = Estimator::optimal_shared,
     .gradient = GradientKind::score,
     .baseline = ScoreBaseline::score_norm,
     .least_samples = 2,
     .other_costs = true},
    {.estimator = Estimator::nvil,
     .gradient = GradientKind::score,
     .baseline = ScoreBaseline::network,
     .antithetic = true,
     .other_costs = true},
    {.estimator = Estimator::nvil_scaled,  // its scale must not meet a closed form: it takes no other cost
     .gradient = GradientKind::score,
     .baseline = ScoreBaseline::network_scaled,
     .antithetic = true},
    {.estimator = Estimator::delta,
     .gradient = GradientKind::probes,
     .probes = ProbeKind::differences,
     .closed_form_kl = true},
    {.estimator = Estimator::measure_valued,
     .gradient = GradientKind::probes,
     .probes = ProbeKind::coupled_pairs,
     .closed_form_kl = true},
    {.estimator = Estimator::measure_valued_independent,
     .gradient = GradientKind::probes,
     .probes = ProbeKind::independent_pairs,
     .closed_form_kl = true},
    {.estimator = Estimator::iwae, .of_bound = true},
    {.estimator = Estimator::stl_iwae, .of_bound = true, .stick_the_landing = true},
    {.estimator = Estimator::dreg, .of_bound = true, .stick_the_landing = true},
    {.estimator = Estimator::rws_dreg,
     .of_bound = true,
     .least_samples = 2,
     .stick_the_landing = true,
     .reweighted = true},
    {.estimator = Estimator::vimco,
     .gradient = GradientKind::score,
     .of_bound = true,
     .baseline = ScoreBaseline::geometric,
     .least_samples = 2},
    {.estimator = Estimator::vimco_arithmetic,
     .gradient = GradientKind::score,
     .of_bound = true,
     .baseline = ScoreBaseline::arithmetic,
     .least_samples = 2},
    {.estimator = Estimator::wake_phi,
     .gradient = GradientKind::weighted_score,
     .of_bound = true,
     .least_samples = 2,
     .reweighted = true},
};

constexpr const EstimatorTraits& traits(Estimator e) { return kEstimators[static_cast<std::size_t>(e)]; }
constexpr bool table_is_in_order() {
  for (std::size_t i = 0; i < std::size(kEstimators); ++i)
    if (static_cast<std::size_t>(kEstimators[i].estimator) != i) return false;
  return true;
}
static_assert(table_is_in_order() && std::size(kEstimators) == static_cast<std::size_t>(Estimator::wake_phi) + 1);

// What follows from the table.
constexpr bool is_importance_weighted(Estimator e) { return traits(e).of_bound; }
constexpr bool uses_path(Estimator e) { return traits(e).gradient == GradientKind::path; }
constexpr bool uses_score(Estimator e) { return traits(e).gradient == GradientKind::score; }
constexpr bool uses_probes(Estimator e) { return traits(e).gradient == GradientKind::probes; }
constexpr bool has_network(Estimator e) { return has_network(traits(e).baseline); }
/// Whether log p(z) and log q(z|x) of each sample are needed.
constexpr bool uses_log_densities(Estimator e) { return traits(e).of_bound || uses_score(e); }
constexpr bool takes_cost(Estimator e, Cost cost) { return cost == Cost::elbo || traits(e).other_costs; }
/// Whether the gradient of the KL is in closed form, so that free bits apply.
constexpr bool has_closed_form_kl(Estimator e, Cost cost) {
  return traits(e).closed_form_kl || (traits(e).other_costs && cost == Cost::likelihood);
}
/// Whether beta and its warm-up apply: where the KL is in closed form, and where its terms follow the ELBO's samples.
/// The objective is then the mean of log p(x|z) + beta (log p(z) - log q(z|x)).
constexpr bool takes_kl_weight(Estimator e, Cost cost) {
  return has_closed_form_kl(e, cost) || (uses_path(e) && !traits(e).of_bound);
}
/// The objective that an estimator belongs to, if none is chosen: elbo, iwae or rws.
constexpr Objective objective_of(Estimator e) {
  return traits(e).reweighted ? Objective::rws : traits(e).of_bound ? Objective::iwae : Objective::elbo;
}
/// The estimator of this objective that a chosen one stands for: with a bound, pathwise is iwae and stl is stl_iwae;
/// with rws, pathwise is wake_phi. All others stand for themselves.
constexpr Estimator estimator_of(Objective objective, Estimator chosen) {
  switch (objective) {
    case Objective::variational:
    case Objective::elbo:
    case Objective::wake_sleep:
      break;
    case Objective::iwae:
    case Objective::miwae:
    case Objective::ciwae:
    case Objective::piwae:
      return chosen == Estimator::pathwise ? Estimator::iwae : chosen == Estimator::stl ? Estimator::stl_iwae : chosen;
    case Objective::rws:
      return chosen == Estimator::pathwise ? Estimator::wake_phi : chosen;
  }
  return chosen;
}
/// Whether estimator_of() an objective goes with it. wake_sleep has no estimator, which pathwise, the default, stands
/// for.
constexpr bool go_together(Objective objective, Estimator e) {
  switch (objective) {
    case Objective::variational:
      break;
    case Objective::elbo:
    case Objective::iwae:
    case Objective::rws:
      return objective_of(e) == objective;
    case Objective::miwae:
    case Objective::piwae:
      return objective_of(e) == Objective::iwae;
    case Objective::ciwae:  // a score would need weights of its own
      return objective_of(e) == Objective::iwae && uses_path(e);
    case Objective::wake_sleep:
      return e == Estimator::pathwise;
  }
  return true;
}

/// ScoreWeights of an estimator that uses_score(), from the log-densities of K samples a row: without those that its
/// cost leaves out, and without what its baseline needs in addition. Throws Error for other estimators and for fewer
/// samples than its least.
ScoreWeights score_weights(Estimator estimator, Cost cost, ConstView log_p_x, ConstView log_p_z, ConstView log_q,
                           Index samples, View score);

/// The terms of an estimator for `batch` rows of K samples each, or `batch` bounds, and the loss -mean(ELBO) or
/// -mean(bound). dz must come from a decoder whose rows have the weight -1/R, or -weights/B for the bound. `weights`
/// and `score` [R, 1] are the outputs of ImportanceWeights and ScoreWeights. They are ignored by estimators that do not
/// need them.
LatentTerms latent_terms(Estimator estimator, Cost cost, Index batch, Index samples, ConstView weights,
                         ConstView score);

}  // namespace cuvae
