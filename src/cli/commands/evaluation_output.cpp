#include "cli/commands/evaluation_output.h"

#include <cmath>
#include <initializer_list>
#include <utility>

#include "cli/run/layers_json.h"
#include "cli/run/quantities.h"
#include "cuvae/error.h"
#include "cuvae/estimator.h"
#include "cuvae/likelihood.h"
#include "io/text.h"

namespace cuvae::cli {
namespace {

using Json = nlohmann::ordered_json;

// The quantity that the bits per dimension measure. A density depends on the data's units, so its bits can be negative.
std::string bits_are_of(const LikelihoodTraits& likelihood) {
  return likelihood.values == 0 ? "density" : "mass over " + std::to_string(likelihood.values) + " values";
}

// "name            text", the texts in one column.
std::string line(std::string name, const std::string& text) {
  name.resize(16, ' ');
  return name + text + '\n';
}

std::string nats(double value) { return result(value, 7) + " nats"; }
std::string nats(double value, double error) { return with_error(result(value, 7), error) + " nats"; }

std::string examples_line(Index examples, Index samples) {
  return line("examples", std::to_string(examples) + ", " + std::to_string(samples) +
                              (samples == 1 ? " latent sample" : " latent samples") + " each");
}

std::string bits_line(double bits_per_dim, const CheckpointInfo& info) {
  return line("bits per dim", result(bits_per_dim) + " (of a " + bits_are_of(traits(info.model.likelihood)) + ")");
}

std::string parts_lines(double reconstruction, double kl) {
  return line("reconstruction", nats(reconstruction) + " (distortion " + result(-reconstruction, 7) + ")") +
         line("KL", nats(kl) + " (rate)");
}

// The KL and the active units of each layer. Of a single layer, the KL has a line of its own.
std::string layer_lines(const Evaluation& e) {
  std::string lines;
  for (std::size_t t = 0; t < e.layers.size(); ++t) {
    const LayerEvaluation& layer = e.layers[t];
    const std::string active = std::to_string(layer.active_units) + " of " + std::to_string(layer.latent);
    lines += e.layers.size() == 1
                 ? line("active units", active)
                 : line("layer " + std::to_string(t + 1), "KL " + nats(layer.kl) + ", active units " + active);
  }
  return lines;
}

std::string aggregate_lines(const AggregateEvaluation& e) {
  const double most = std::log(static_cast<double>(e.examples));
  return line("mutual info", nats(e.mutual_information, e.mutual_information_error) + " of at most " + result(most, 4) +
                                 ", the log of the number of examples") +
         line("marginal KL", nats(e.marginal_kl, e.marginal_kl_error));
}

std::string pareto_line(const BoundEvaluation& e, const CheckpointInfo& info) {
  if (info.model.has_bernoulli_latents())
    return line("Pareto k-hat", "n/a for Bernoulli latents") +
           "Values of the latents that are never drawn count in none of these numbers: log p(x) may be far higher. "
           "Compare with --exact or --bound prior\n";
  if (e.samples < kLeastParetoSamples)
    return line("Pareto k-hat", "n/a: it needs at least " + std::to_string(kLeastParetoSamples) + " samples");
  if (std::isnan(e.largest_pareto_k))
    return line("Pareto k-hat", "n/a: the largest weights of each example are equal up to 0.1%");
  return line("Pareto k-hat", "at most " + number(e.largest_pareto_k, 3));
}

std::string unreliable_line(Index unreliable, Index examples) {
  if (unreliable == 0) return {};
  return std::to_string(unreliable) + " of " + std::to_string(examples) + " examples have a k-hat above " +
         number(kMostPareto) + ": a few samples decide their values, which may be far below log p(x)\n";
}

void require_finite(const std::string& what, Index examples,
                    std::initializer_list<std::pair<const char*, double>> parts) {
  for (const auto& [name, value] : parts)
    if (!std::isfinite(value))
      throw Error(what + ": the " + name + " over " + std::to_string(examples) + " examples is not finite");
}

}  // namespace

std::string text_of(const ElboResult& all, const CheckpointInfo& info) {
  const Evaluation& e = all.elbo;
  std::string text = examples_line(e.examples, all.samples) +
                     line("ELBO", nats(e.elbo, e.elbo_error) + " (standard error)") +
                     parts_lines(e.reconstruction, e.kl) + bits_line(e.bits_per_dim, info) + layer_lines(e);
  if (all.aggregate) text += aggregate_lines(*all.aggregate);
  if (is_importance_weighted(info.training.estimator))
    text += line("trained on", objective_name(info.training) + ", which is at least the ELBO above");
  return text;
}

std::string text_of(const BoundEvaluation& e, const CheckpointInfo& info) {
  const bool annealed = e.bound == Bound::ais;
  const std::string samples = annealed ? " chains" : " samples";
  std::string text = annealed ? line("examples", std::to_string(e.examples)) : examples_line(e.examples, e.samples);
  text += line("log p(x)", "at least " + with_error(result(e.value, 7), e.error) + " nats (" +
                               bound_name(e.bound, e.samples) + ", standard error)") +
          line("sampling error",
               e.samples == 1 ? "n/a: it needs several" + samples
                              : number(e.sampling_error, 2) + " nats of it, which more" + samples + " make smaller") +
          bits_line(e.bits_per_dim, info) +
          line("effective size", result(e.mean_effective, 4) + " of " + std::to_string(e.samples) + samples +
                                     " on average, " + result(e.least_effective, 4) + " at least");
  if (annealed)
    text += line("acceptance", std::isnan(e.acceptance) ? "n/a: there were no proposals"
                                                        : number(100 * e.acceptance, 3) + "% of the proposals");
  else
    text += pareto_line(e, info) + unreliable_line(e.unreliable, e.examples);
  if (is_importance_weighted(info.training.estimator)) text += line("trained on", objective_name(info.training));
  return text;
}

std::string text_of(const ExactEvaluation& e, const CheckpointInfo& info) {
  return line("examples", std::to_string(e.examples) + ", sums over all values of the latents") +
         line("log p(x)", nats(e.log_p, e.log_p_error) + " (standard error)") +
         line("ELBO", nats(e.elbo, e.elbo_error)) +
         line("KL to posterior", nats(e.posterior_kl, e.posterior_kl_error)) + parts_lines(e.reconstruction, e.kl) +
         bits_line(e.bits_per_dim, info);
}

std::string text_of(const GapEvaluation& e, const CheckpointInfo& /*info*/) {
  return examples_line(e.examples, e.samples) +
         line("log p(x)", "at least " + nats(e.log_p, e.log_p_error) + " (" + bound_name(Bound::iwae, e.samples) +
                              " of the refined posterior, standard error)") +
         line("refined ELBO", nats(e.refined_elbo, e.refined_elbo_error)) + line("ELBO", nats(e.elbo, e.elbo_error)) +
         line("approximation", nats(e.approximation_gap, e.approximation_gap_error) + ", log p(x) - refined ELBO") +
         line("amortization", nats(e.amortization_gap, e.amortization_gap_error) + ", refined ELBO - ELBO") +
         line("effective size",
              result(e.mean_effective, 4) + " of " + std::to_string(e.samples) + " samples on average") +
         unreliable_line(e.unreliable, e.examples);
}

Json json_of(const ElboResult& all, const CheckpointInfo& info) {
  const Evaluation& e = all.elbo;
  Json object = {{"elbo", e.elbo},
                 {"elbo_error", e.elbo_error},
                 {"reconstruction", e.reconstruction},
                 {"kl", e.kl},
                 {"rate", e.rate()},
                 {"distortion", e.distortion()},
                 {"kl_dims", e.kl_dims},
                 {"layers", layers_json(e.layers)},
                 {"bits_per_dim", e.bits_per_dim},
                 {"bits_are_of", bits_are_of(traits(info.model.likelihood))},
                 {"active_units", e.active_units},
                 {"examples", e.examples},
                 {"samples", all.samples},
                 {"trained_on", objective_name(info.training)}};
  if (const auto& a = all.aggregate)
    object.update({{"mutual_information", a->mutual_information},
                   {"mutual_information_error", a->mutual_information_error},
                   {"marginal_kl", a->marginal_kl},
                   {"marginal_kl_error", a->marginal_kl_error},
                   {"kl_from_samples", a->kl}});
  return object;
}

Json json_of(const BoundEvaluation& e, const CheckpointInfo& info) {
  Json object = {{"bound", std::string(to_string(e.bound))},
                 {"value", e.value},
                 {"error", e.error},
                 {"sampling_error", e.sampling_error},
                 {"bits_per_dim", e.bits_per_dim},
                 {"bits_are_of", bits_are_of(traits(info.model.likelihood))},
                 {"mean_effective", e.mean_effective},
                 {"least_effective", e.least_effective},
                 {"largest_pareto_k", e.largest_pareto_k},
                 {"unreliable", e.unreliable},
                 {"examples", e.examples},
                 {"samples", e.samples},
                 {"trained_on", objective_name(info.training)}};
  if (e.bound == Bound::ais) object["acceptance"] = e.acceptance;
  return object;
}

Json json_of(const ExactEvaluation& e, const CheckpointInfo& info) {
  return {{"log_p", e.log_p},
          {"log_p_error", e.log_p_error},
          {"elbo", e.elbo},
          {"elbo_error", e.elbo_error},
          {"posterior_kl", e.posterior_kl},
          {"posterior_kl_error", e.posterior_kl_error},
          {"reconstruction", e.reconstruction},
          {"kl", e.kl},
          {"rate", e.kl},
          {"distortion", -e.reconstruction},
          {"bits_per_dim", e.bits_per_dim},
          {"bits_are_of", bits_are_of(traits(info.model.likelihood))},
          {"examples", e.examples},
          {"trained_on", objective_name(info.training)}};
}

Json json_of(const GapEvaluation& e, const CheckpointInfo& info) {
  return {{"log_p", e.log_p},
          {"log_p_error", e.log_p_error},
          {"refined_elbo", e.refined_elbo},
          {"refined_elbo_error", e.refined_elbo_error},
          {"elbo", e.elbo},
          {"elbo_error", e.elbo_error},
          {"approximation_gap", e.approximation_gap},
          {"approximation_gap_error", e.approximation_gap_error},
          {"amortization_gap", e.amortization_gap},
          {"amortization_gap_error", e.amortization_gap_error},
          {"mean_effective", e.mean_effective},
          {"unreliable", e.unreliable},
          {"examples", e.examples},
          {"samples", e.samples},
          {"trained_on", objective_name(info.training)}};
}

namespace {
template <class Examples, class F>
std::vector<double> of_each(const Examples& examples, F value) {
  std::vector<double> values;
  for (const auto& x : examples) values.push_back(value(x));
  return values;
}
}  // namespace

std::vector<double> values_of(const ElboResult& all) { return all.elbo.elbos; }
std::vector<double> values_of(const BoundEvaluation& e) {
  return of_each(e.of_examples, [](const ExampleBound& x) { return x.value; });
}
std::vector<double> values_of(const ExactEvaluation& e) {
  return of_each(e.of_examples, [](const ExactExample& x) { return x.log_p; });
}
std::vector<double> values_of(const GapEvaluation& e) {
  return of_each(e.of_examples, [](const ExampleGaps& x) { return x.log_p.value; });
}

void require_finite(const ElboResult& all, const std::string& what) {
  require_finite(all.elbo, what);
  if (const auto& a = all.aggregate)
    require_finite(what, a->examples, {{"mutual information", a->mutual_information}, {"marginal KL", a->marginal_kl}});
}
void require_finite(const ExactEvaluation& e, const std::string& what) {
  require_finite(what, e.examples, {{"log p(x)", e.log_p}, {"ELBO", e.elbo}, {"reconstruction", e.reconstruction}});
}
void require_finite(const GapEvaluation& e, const std::string& what) {
  require_finite(what, e.examples, {{"ELBO", e.elbo}, {"refined ELBO", e.refined_elbo}, {"log p(x)", e.log_p}});
}

}  // namespace cuvae::cli
