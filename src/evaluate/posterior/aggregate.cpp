#include "cuvae/aggregate.h"

#include "evaluate/example_batches.h"
#include "evaluate/sums.h"

namespace cuvae {
namespace {

constexpr Index kComponents = 4096;  // posteriors that one op takes

// The statistics [N, 2L] of all examples, in the backend's memory.
Buffer encode_all(const Vae& vae, ExampleBatches& batches) {
  const Index width = 2 * vae.config().latent;
  std::vector<float> host(static_cast<std::size_t>(batches.count() * width));
  const VaeActivations a = vae.allocate(batches.batch(), 1);
  batches.for_each([&](Index first, ConstView x) {
    batches.take_conditions(first, vae.conditions(x.rows, a));
    const View stats = vae.encode(x, a);
    vae.backend().download(host.data() + first * width, stats.data,
                           static_cast<std::size_t>(stats.size()) * sizeof(float));
  });
  Buffer all = vae.backend().allocate(host.size() * sizeof(float));
  vae.backend().upload(all.data(), host.data(), host.size() * sizeof(float));
  return all;
}

// log q(z) of rows z, as log-sum-exps over blocks of the N posteriors.
class AggregateDensity {
 public:
  AggregateDensity(const Vae& vae, const Buffer& stats, Index count, Index rows)
      : backend_(vae.backend()),
        stats_(stats.view(count, 2 * vae.config().latent)),
        column_(backend_.allocate(static_cast<std::size_t>(rows) * sizeof(float))),
        host_(static_cast<std::size_t>(rows)) {}

  std::vector<double> log_prob(ConstView z) {
    std::vector<LogSum> sums(static_cast<std::size_t>(z.rows));
    const View log_p = column_.view(z.rows, 1);
    for (Index first = 0; first < stats_.rows; first += kComponents) {
      const Index n = std::min(kComponents, stats_.rows - first);
      backend_.run(
          MixtureLogProb{.z = z, .components = {stats_.f32() + first * stats_.cols, n, stats_.cols}, .log_p = log_p});
      backend_.download(host_.data(), log_p.data, sums.size() * sizeof(float));
      for (std::size_t r = 0; r < sums.size(); ++r)
        sums[r].add(static_cast<double>(host_[r]) + std::log(static_cast<double>(n)));
    }
    std::vector<double> values;
    for (const LogSum& sum : sums) values.push_back(sum.value() - std::log(static_cast<double>(stats_.rows)));
    return values;
  }

 private:
  Backend& backend_;
  ConstView stats_;
  Buffer column_;
  std::vector<float> host_;
};

}  // namespace

AggregateEvaluation evaluate_aggregate(const Vae& vae, const Dataset& data, const EvaluateOptions& options) {
  return evaluate_aggregate(vae, data, all_rows(data), options);
}

AggregateEvaluation evaluate_aggregate(const Vae& vae, const Dataset& data, const std::vector<std::uint32_t>& rows,
                                       const EvaluateOptions& options) {
  require_one_gaussian_layer(vae, "the aggregate posterior");
  const Index samples = options.samples, latent = vae.config().latent;
  ExampleBatches batches(vae, data, rows, options, samples);
  Backend& backend = vae.backend();
  const Buffer all = encode_all(vae, batches);
  const VaeActivations a = vae.allocate(batches.batch(), samples, {.log_densities = true});
  AggregateDensity density(vae, all, batches.count(), batches.batch() * samples);
  std::vector<float> log_q(static_cast<std::size_t>(batches.batch() * samples)), log_p(log_q.size());
  MeanAndError information, marginal;
  for (Index first = 0; first < batches.count(); first += batches.batch()) {
    const Index n = std::min(batches.batch(), batches.count() - first);
    const ConstView stats = {all.as<float>() + first * 2 * latent, n, 2 * latent};
    const View z = vae.sample_latents(stats, batches.noise(Stream::latent, first), a);
    const std::size_t bytes = static_cast<std::size_t>(z.rows) * sizeof(float);
    backend.download(log_q.data(), a.log_q.data(), bytes);
    backend.download(log_p.data(), a.log_p_z.data(), bytes);
    const std::vector<double> log_aggregate = density.log_prob(z);
    for (Index b = 0; b < n; ++b) {
      double of_information = 0, of_marginal = 0;
      for (auto r = static_cast<std::size_t>(b * samples); r < static_cast<std::size_t>((b + 1) * samples); ++r) {
        of_information += static_cast<double>(log_q[r]) - log_aggregate[r];
        of_marginal += log_aggregate[r] - static_cast<double>(log_p[r]);
      }
      information.add(of_information / static_cast<double>(samples));
      marginal.add(of_marginal / static_cast<double>(samples));
    }
  }
  return {.examples = batches.count(),
          .samples = samples,
          .mutual_information = information.mean(),
          .marginal_kl = marginal.mean(),
          .kl = information.mean() + marginal.mean(),
          .mutual_information_error = information.error(),
          .marginal_kl_error = marginal.error()};
}

}  // namespace cuvae
