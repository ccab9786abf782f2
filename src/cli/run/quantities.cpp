#include "cli/run/quantities.h"

#include <algorithm>
#include <cmath>

#include "cuvae/error.h"
#include "cuvae/estimator.h"
#include "io/text.h"

namespace cuvae::cli {

std::string objective_name(const TrainConfig& t) {
  const std::string M = std::to_string(t.bounds), K = std::to_string(t.samples);
  switch (objective_of(t)) {
    case Objective::iwae:
    case Objective::rws:  // the generative network's
      return bound_name(Bound::iwae, t.samples);
    case Objective::miwae:
      return "MIWAE bound, M = " + M + " of K = " + K + " samples";
    case Objective::ciwae:
      return "CIWAE bound over K = " + K + " samples with ELBO share " + number(t.elbo_share);
    case Objective::piwae:
      return "IWAE bound over M K = " + std::to_string(t.bounds * t.samples) + " samples (PIWAE: M = " + M +
             ", K = " + K + ")";
    case Objective::variational:
    case Objective::elbo:
    case Objective::wake_sleep:
      break;
  }
  const bool plain = t.beta == 1 && t.kl_warmup_epochs == 0 && t.free_bits == 0;
  return plain ? "ELBO" : "reconstruction - beta KL";
}

std::string validated_name(const TrainConfig& t) {
  return is_importance_weighted(t.estimator) ? bound_name(Bound::iwae, validation_samples(t)) : "ELBO";
}

std::string bound_name(Bound bound, Index samples) {
  const std::string over = " over K = " + std::to_string(samples) + " samples";
  switch (bound) {
    case Bound::elbo:
      break;
    case Bound::iwae:
      return "IWAE bound" + over;
    case Bound::prior:
      return "naive Monte Carlo" + over + " from the prior";
    case Bound::ais:
      return "AIS bound over K = " + std::to_string(samples) + " chains";
  }
  return "ELBO" + over;
}

std::string loss_name(const TrainConfig& training) {
  const std::string objective = objective_name(training);
  return objective.find(' ') == objective.npos ? "-" + objective : "-(" + objective + ")";
}

std::string with_error(const std::string& value, double error) {
  return value + " +- " + (std::isfinite(error) ? number(error, 2) : "n/a");
}

namespace {
template <class F>
std::string of_layers(const Evaluation& e, F text) {
  std::string sum;
  for (const LayerEvaluation& layer : e.layers) sum += (sum.empty() ? "" : " + ") + text(layer);
  return sum;
}
}  // namespace

std::string kl_of_layers(const Evaluation& e, int decimals) {
  return of_layers(e, [&](const LayerEvaluation& layer) { return fixed(layer.kl, decimals); });
}

std::string active_of_layers(const Evaluation& e) {
  return of_layers(e, [](const LayerEvaluation& layer) { return std::to_string(layer.active_units); });
}

void require_finite(const Evaluation& e, const std::string& what) {
  const std::pair<const char*, double> parts[] = {{"ELBO", e.elbo}, {"reconstruction", e.reconstruction}, {"KL", e.kl}};
  for (const auto& [name, value] : parts)
    if (!std::isfinite(value))
      throw Error(what + ": the " + name + " over " + std::to_string(e.examples) + " examples is not finite");
}

void require_finite(const BoundEvaluation& e, const std::string& what) {
  for (std::size_t n = 0; n < e.of_examples.size(); ++n)
    if (!std::isfinite(e.of_examples[n].value))
      throw Error(what + ": the " + bound_name(e.bound, e.samples) + " of example " + std::to_string(n) +
                  " is not finite");
}

void require_finite(const std::vector<float>& values, Index cols, const std::string& what) {
  const auto at = std::find_if(values.begin(), values.end(), [](float v) { return !std::isfinite(v); });
  if (at == values.end()) return;
  const Index place = at - values.begin();
  throw Error(what + ": the value in row " + std::to_string(place / cols) + ", column " + std::to_string(place % cols) +
              " is not finite");
}

}  // namespace cuvae::cli
