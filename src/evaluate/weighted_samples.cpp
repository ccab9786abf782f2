#include "evaluate/weighted_samples.h"

#include <algorithm>

#include "evaluate/evaluate_rows.h"

namespace cuvae {

Index examples_at_once(const Vae& vae, const BoundOptions& options, Index chunk, Index count) {
  if (options.batch != 0) return std::min(options.batch, count);
  const Index values = vae.backend().reads_host_memory() ? 640'000 : 8'000'000;
  return std::clamp<Index>(values / vae.config().outputs() / chunk, 1, count);
}

namespace {

const std::vector<std::uint32_t>& checked(const std::vector<std::uint32_t>& rows, const BoundOptions& options,
                                          Index chunk) {
  if (options.samples > 0x7fffffff)
    throw Error("evaluate: samples is " + std::to_string(options.samples) + " but must be at most 2147483647");
  check_options(rows, options.samples, options.batch == 0 ? 1 : options.batch, chunk);
  return rows;
}

}  // namespace

WeightedSamples::WeightedSamples(const Vae& vae, const ResidentData& data, const std::vector<std::uint32_t>& rows,
                                 const BoundOptions& options)
    : vae_(vae),
      backend_(vae.backend()),
      options_(options),
      chunk_(std::min(options.samples, kBoundChunk)),
      batch_(examples_at_once(vae, options, chunk_, static_cast<Index>(checked(rows, options, chunk_).size()))),
      batches_(backend_, data, rows, batch_),
      step_(backend_.allocate(sizeof kEvaluationStep)),
      x_buffer_(backend_.allocate(static_cast<std::size_t>(batch_ * vae.config().data_dim) *
                                  size_of(backend_.activation_type()))),
      log_w_(backend_, options.bound, batch_ * chunk_) {
  const bool of_prior = options.bound == Bound::prior;
  a_ = vae.allocate(batch_, chunk_, {.log_densities = !of_prior, .model_draws = of_prior});
}

void WeightedSamples::set_step(std::uint32_t step) { backend_.upload(step_.data(), &step, sizeof step); }

Noise WeightedSamples::noise(Stream stream) const { return {options_.seed, stream, step_.as<std::uint32_t>(), first_}; }

ConstView WeightedSamples::begin(Index first, Index n) {
  first_ = first;
  const View x = x_buffer_.view(n, vae_.config().data_dim, backend_.activation_type());
  set_step(kEvaluationStep);
  batches_.gather(first, options_.binarize, noise(Stream::binarize), x);
  batches_.gather(first, vae_.conditions(n, a_));
  if (options_.bound != Bound::prior) stats_ = vae_.encode(x, a_);
  return x_ = x;
}

WeightedSamples::Chunk WeightedSamples::chunk(Index k) {
  a_.samples = std::min(chunk_, options_.samples - k);
  set_step(kEvaluationStep - static_cast<std::uint32_t>(k / chunk_));
  const View z = options_.bound == Bound::prior
                     ? vae_.draw_latents(noise(Stream::sleep_latent), x_.rows, a_.samples, a_)
                     : vae_.sample_latents(stats_, noise(Stream::latent), a_);
  const View outputs = vae_.decode(z, a_);
  return {a_.samples, outputs, log_w_.read(vae_.log_prob(outputs, x_, a_), a_)};
}

}  // namespace cuvae
