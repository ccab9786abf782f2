#include "cuvae/bound.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "evaluate/annealing/annealed_chains.h"
#include "evaluate/example_batches.h"
#include "evaluate/log_weights.h"
#include "evaluate/observed.h"
#include "evaluate/weighted_samples.h"

namespace cuvae {
namespace {

void check_bound(const Vae& vae, const BoundOptions& options) {
  if (options.samples > 0x7fffffff)
    throw Error("evaluate: samples is " + std::to_string(options.samples) + " but must be at most 2147483647");
  if (options.bound == Bound::elbo) throw Error("evaluate: the bound is elbo, which is not one of evaluate_bound()");
  const bool of_prior = options.bound == Bound::prior || options.bound == Bound::ais;
  if (const Prior prior = vae.config().prior; of_prior && prior != Prior::standard)
    throw Error("evaluate: the bound is " + std::string(to_string(options.bound)) +
                ", which needs the model's prior to be standard but it is " + std::string(to_string(prior)));
  if (options.bound != Bound::ais) return;
  require_one_gaussian_layer(vae, "the bound ais");
  if (vae.backend().activation_type() != DType::f32)
    throw Error("evaluate: the bound is ais, which needs activations of f32 but those of " + vae.backend().name() +
                " are bf16");
  if (const Index T = options.ais.temperatures; T < 1 || T > 0x7fffffff)
    throw Error("evaluate: temperatures is " + std::to_string(T) + " but must be 1 to 2147483647");
}

// With the value of the data in their own units. Weights of discrete latents have no tail that a k-hat describes.
void add_example(BoundEvaluation& e, const Vae& vae, const LogWeights& weights, const ObservedPart& observed,
                 Index& observed_values) {
  e.of_examples.push_back(weights.result());
  if (vae.config().has_bernoulli_latents()) e.of_examples.back().pareto_k = std::numeric_limits<double>::quiet_NaN();
  e.of_examples.back().value -= observed.log_volume;
  observed_values += observed.values;
}

// The fields that are over all examples.
void summarize(BoundEvaluation& e, Index observed_values) {
  const auto n = static_cast<double>(e.examples), samples = static_cast<double>(e.samples);
  double squares = 0, excess = 0;  // squared deviations, and the variances of log (1/K) sum_k w_k
  e.least_effective = std::numeric_limits<double>::infinity();
  e.largest_pareto_k = std::numeric_limits<double>::quiet_NaN();
  double count = 0;
  for (const ExampleBound& x : e.of_examples) {
    const double deviation = x.value - e.value;
    e.value += deviation / ++count;  // Welford 1962
    squares += deviation * (x.value - e.value);
    excess += std::max(0.0, 1 / x.effective - 1 / samples);
    e.mean_effective += x.effective;
    e.least_effective = std::min(e.least_effective, x.effective);
    if (!(x.pareto_k <= e.largest_pareto_k) && !std::isnan(x.pareto_k)) e.largest_pareto_k = x.pareto_k;
    e.unreliable += x.pareto_k > kMostPareto ? 1 : 0;
  }
  e.mean_effective /= n;
  e.error = std::sqrt(squares / (n - 1) / n);  // 0 / 0 for one example
  e.sampling_error = std::sqrt(excess) / n;
  e.bits_per_dim = -e.value / (static_cast<double>(observed_values) / n * std::log(2.0));
}

}  // namespace

BoundEvaluation evaluate_bound_rows(const Vae& vae, const ResidentData& data, const std::vector<std::uint32_t>& rows,
                                    const BoundOptions& options) {
  check_bound(vae, options);
  WeightedSamples samples(vae, data, rows, options);
  const Index count = static_cast<Index>(rows.size());
  BoundEvaluation e;
  e.bound = options.bound, e.examples = count, e.samples = options.samples;
  Index observed_values = 0;
  for (Index first = 0; first < count; first += samples.batch()) {
    const Index n = std::min(samples.batch(), count - first);
    const std::vector<ObservedPart> observed = observed_parts(vae, samples.begin(first, n));
    std::vector<LogWeights> weights(static_cast<std::size_t>(n), LogWeights(options.samples));
    for (Index k = 0; k < options.samples; k += kBoundChunk) {
      const WeightedSamples::Chunk chunk = samples.chunk(k);
      const double* values = chunk.log_w;
      for (LogWeights& of_example : weights) of_example.add(values, chunk.samples), values += chunk.samples;
    }
    for (std::size_t b = 0; b < weights.size(); ++b) add_example(e, vae, weights[b], observed[b], observed_values);
  }
  summarize(e, observed_values);
  return e;
}

namespace {

BoundEvaluation evaluate_annealed(const Vae& vae, const Dataset& data, const std::vector<std::uint32_t>& rows,
                                  const BoundOptions& options) {
  const Index samples = options.samples;
  check_options(rows, samples, options.batch == 0 ? 1 : options.batch, samples);
  check_bound(vae, options);
  const Index batch = examples_at_once(vae, options, samples, static_cast<Index>(rows.size()));
  ExampleBatches batches(vae, data, rows, {samples, batch, options.binarize, options.seed}, samples);
  AnnealedChains chains(vae, batches.batch(), options);
  BoundEvaluation e;
  e.bound = options.bound, e.examples = batches.count(), e.samples = samples;
  Index observed_values = 0;
  batches.for_each([&](Index first, ConstView x) {
    for (const View conditions : chains.conditions(x.rows)) batches.take_conditions(first, conditions);
    const std::vector<double> log_w = chains.log_weights(x, first);
    const double* values = log_w.data();
    for (const ObservedPart& observed : observed_parts(vae, x)) {
      LogWeights weights(samples);
      weights.add(values, samples), values += samples;
      add_example(e, vae, weights, observed, observed_values);
    }
  });
  e.acceptance = chains.acceptance();
  summarize(e, observed_values);
  return e;
}

}  // namespace

BoundEvaluation evaluate_bound(const Vae& vae, const Dataset& data, const BoundOptions& options) {
  return evaluate_bound(vae, data, all_rows(data), options);
}

BoundEvaluation evaluate_bound(const Vae& vae, const Dataset& data, const std::vector<std::uint32_t>& rows,
                               const BoundOptions& options) {
  if (options.bound == Bound::ais) return evaluate_annealed(vae, data, rows, options);
  check_rows(vae, data, rows, options.binarize);
  return evaluate_bound_rows(vae, ResidentData(vae.backend(), vae.standardization().apply(data)), rows, options);
}

}  // namespace cuvae
