#include "cuvae/bound.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "evaluate/annealing/annealed_chains.h"
#include "evaluate/chunk_weights.h"
#include "evaluate/example_batches.h"
#include "evaluate/log_weights.h"

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

// The examples of a batch, of which each has `chunk` samples: see BoundOptions::batch.
Index batch_of(const Vae& vae, const BoundOptions& options, Index chunk, Index count) {
  if (options.batch != 0) return std::min(options.batch, count);
  const Index values = vae.backend().reads_host_memory() ? 640'000 : 8'000'000;
  return std::clamp<Index>(values / vae.config().outputs() / chunk, 1, count);
}

// The fields that are over all examples.
void summarize(BoundEvaluation& e, Index data_dim) {
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
  e.bits_per_dim = -e.value / (static_cast<double>(data_dim) * std::log(2.0));
}

}  // namespace

BoundEvaluation evaluate_bound_rows(const Vae& vae, const ResidentData& data, const std::vector<std::uint32_t>& rows,
                                    const BoundOptions& options) {
  const Index chunk = std::min(options.samples, kBoundChunk);
  check_options(rows, options.samples, options.batch == 0 ? 1 : options.batch, chunk);
  check_bound(vae, options);
  Backend& backend = vae.backend();
  const Index count = static_cast<Index>(rows.size()), dim = vae.config().data_dim;
  const Index batch = batch_of(vae, options, chunk, count);
  const bool of_prior = options.bound == Bound::prior;

  RowBatches batches(backend, data, rows, batch);
  const Buffer step = backend.allocate(sizeof kEvaluationStep);
  const auto set_step = [&](std::uint32_t value) { backend.upload(step.data(), &value, sizeof value); };
  const DType type = backend.activation_type();
  const Buffer x_buffer = backend.allocate(static_cast<std::size_t>(batch * dim) * size_of(type));
  VaeActivations a = vae.allocate(batch, chunk, {.log_densities = !of_prior, .model_draws = of_prior});
  ChunkWeights log_w(backend, options.bound, batch * chunk);

  BoundEvaluation e;
  e.bound = options.bound, e.examples = count, e.samples = options.samples;
  const double log_volume = vae.standardization().log_volume();  // to log-densities in the data's units
  for (Index first = 0; first < count; first += batch) {
    const Index n = std::min(batch, count - first);
    const auto noise = [&](Stream s) { return Noise{options.seed, s, step.as<std::uint32_t>(), first}; };
    const View x = x_buffer.view(n, dim, type);
    set_step(kEvaluationStep);
    batches.gather(first, options.binarize, noise(Stream::binarize), x);
    batches.gather(first, vae.conditions(n, a));
    const View stats = of_prior ? View{} : vae.encode(x, a);
    std::vector<LogWeights> weights(static_cast<std::size_t>(n), LogWeights(options.samples));
    for (Index k = 0; k < options.samples; k += chunk) {
      a.samples = std::min(chunk, options.samples - k);
      set_step(kEvaluationStep - static_cast<std::uint32_t>(k / chunk));
      const View z = of_prior ? vae.draw_latents(noise(Stream::sleep_latent), n, a.samples, a)
                              : vae.sample_latents(stats, noise(Stream::latent), a);
      const double* values = log_w.read(vae.log_prob(vae.decode(z, a), x, a), a);
      for (LogWeights& of_example : weights) of_example.add(values, a.samples), values += a.samples;
    }
    for (const LogWeights& of_example : weights) {
      e.of_examples.push_back(of_example.result());
      e.of_examples.back().value -= log_volume;
    }
  }
  summarize(e, dim);
  return e;
}

namespace {

BoundEvaluation evaluate_annealed(const Vae& vae, const Dataset& data, const std::vector<std::uint32_t>& rows,
                                  const BoundOptions& options) {
  const Index samples = options.samples;
  check_options(rows, samples, options.batch == 0 ? 1 : options.batch, samples);
  check_bound(vae, options);
  const Index batch = batch_of(vae, options, samples, static_cast<Index>(rows.size()));
  ExampleBatches batches(vae, data, rows, {samples, batch, options.binarize, options.seed}, samples);
  AnnealedChains chains(vae, batches.batch(), options);
  BoundEvaluation e;
  e.bound = options.bound, e.examples = batches.count(), e.samples = samples;
  const double log_volume = vae.standardization().log_volume();  // to log-densities in the data's units
  batches.for_each([&](Index first, ConstView x) {
    for (const View conditions : chains.conditions(x.rows)) batches.take_conditions(first, conditions);
    const std::vector<double> log_w = chains.log_weights(x, first);
    for (auto at = log_w.begin(); at != log_w.end(); at += samples) {
      LogWeights weights(samples);
      weights.add(&*at, samples);
      e.of_examples.push_back(weights.result());
      e.of_examples.back().value -= log_volume;
    }
  });
  e.acceptance = chains.acceptance();
  summarize(e, vae.config().data_dim);
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
