// The approximation gap and the amortization gap of each example.
#include "cuvae/refine.h"
#include "evaluate/chunk_weights.h"
#include "evaluate/example_batches.h"
#include "evaluate/log_weights.h"
#include "evaluate/observed.h"
#include "evaluate/sums.h"

namespace cuvae {
namespace {

// The mean of log w over the samples of an example, and what its weights say.
struct Estimate {
  explicit Estimate(Index samples) : weights(samples) {}
  void add(const double* log_w, Index count) {
    for (Index k = 0; k < count; ++k) elbo.add(log_w[k]);
    weights.add(log_w, count);
  }
  MeanAndError elbo;
  LogWeights weights;
};

// Of the examples whose posteriors have these statistics, chunk by chunk as evaluate_bound() draws them.
class Estimates {
 public:
  Estimates(const Vae& vae, Index batch, Index samples)
      : vae_(vae),
        samples_(samples),
        chunk_(std::min(samples, kBoundChunk)),
        a_(vae.allocate(batch, chunk_, {.log_densities = true})),
        log_w_(vae.backend(), Bound::iwae, batch * chunk_) {}

  View conditions(Index rows) const { return vae_.conditions(rows, a_); }
  View encode(ConstView x) const { return vae_.encode(x, a_); }
  std::vector<Estimate> of(ConstView x, Index first, ConstView stats, ExampleBatches& batches) {
    std::vector<Estimate> estimates(static_cast<std::size_t>(x.rows), Estimate(samples_));
    for (Index k = 0; k < samples_; k += chunk_) {
      a_.samples = std::min(chunk_, samples_ - k);
      batches.set_step(kEvaluationStep - static_cast<std::uint32_t>(k / chunk_));
      const View z = vae_.sample_latents(stats, batches.noise(Stream::latent, first), a_);
      const double* values = log_w_.read(vae_.log_prob(vae_.decode(z, a_), x, a_), a_);
      for (Estimate& of_example : estimates) of_example.add(values, a_.samples), values += a_.samples;
    }
    return estimates;
  }

 private:
  const Vae& vae_;
  Index samples_, chunk_;
  VaeActivations a_;
  ChunkWeights log_w_;
};

void summarize(GapEvaluation& e) {
  MeanAndError log_p, refined, elbo, approximation, amortization;
  for (const ExampleGaps& x : e.of_examples) {
    log_p.add(x.log_p.value), refined.add(x.refined_elbo), elbo.add(x.elbo);
    approximation.add(x.log_p.value - x.refined_elbo), amortization.add(x.refined_elbo - x.elbo);
    e.mean_effective += x.log_p.effective / static_cast<double>(e.examples);
    e.unreliable += x.log_p.pareto_k > kMostPareto ? 1 : 0;
  }
  e.log_p = log_p.mean(), e.log_p_error = log_p.error();
  e.refined_elbo = refined.mean(), e.refined_elbo_error = refined.error();
  e.elbo = elbo.mean(), e.elbo_error = elbo.error();
  e.approximation_gap = approximation.mean(), e.approximation_gap_error = approximation.error();
  e.amortization_gap = amortization.mean(), e.amortization_gap_error = amortization.error();
}

}  // namespace

GapEvaluation evaluate_gaps(const Vae& vae, const Dataset& data, const GapOptions& options) {
  return evaluate_gaps(vae, data, all_rows(data), options);
}

GapEvaluation evaluate_gaps(const Vae& vae, const Dataset& data, const std::vector<std::uint32_t>& rows,
                            const GapOptions& options) {
  const Index chunk = std::min(options.samples, kBoundChunk);
  ExampleBatches batches(vae, data, rows, {options.samples, options.batch, options.binarize, options.seed}, chunk);
  Refinement refinement(vae, batches.batch(), options.refine);
  Estimates estimates(vae, batches.batch(), options.samples);
  GapEvaluation e;
  e.examples = batches.count(), e.samples = options.samples;
  batches.for_each([&](Index first, ConstView x) {
    batches.take_conditions(first, estimates.conditions(x.rows));
    batches.take_conditions(first, refinement.conditions(x.rows));
    const std::vector<ObservedPart> observed = observed_parts(vae, x);
    const View stats = estimates.encode(x);
    const std::vector<Estimate> encoded = estimates.of(x, first, stats, batches);
    refinement.refine(x, first, stats);
    const std::vector<Estimate> refined = estimates.of(x, first, stats, batches);
    for (std::size_t b = 0; b < encoded.size(); ++b) {
      const double log_volume = observed[b].log_volume;  // to log-densities in the data's units
      ExampleGaps gaps{encoded[b].elbo.mean() - log_volume, refined[b].elbo.mean() - log_volume,
                       refined[b].weights.result()};
      gaps.log_p.value -= log_volume;
      e.of_examples.push_back(gaps);
    }
  });
  summarize(e);
  return e;
}

}  // namespace cuvae
