#include "evaluate/layer_sums.h"

#include <algorithm>
#include <cmath>

namespace cuvae {

LayerSums::LayerSums(const Vae& vae, Index batch, Index samples)
    : vae_(vae),
      first_(vae.config().first_sampled()),
      samples_(samples),
      passes_((kActivitySamples + samples - 1) / samples),
      layers_(vae.layers().size()) {
  log_q_.resize(static_cast<std::size_t>(batch * samples));
  log_p_.resize(log_q_.size());
  for (std::size_t t = first_counted(); t < layers_.size(); ++t) {
    const auto latent = static_cast<std::size_t>(vae.layers()[t].latent),
               values = static_cast<std::size_t>(batch) * latent;
    layers_[t].sums.resize(values), layers_[t].squares.resize(values);
    layers_[t].mean.resize(latent), layers_[t].between.resize(latent), layers_[t].within.resize(latent);
  }
}

void LayerSums::add(Index rows, const Noise& noise, const Buffer& step, const VaeActivations& a) {
  const auto set_step = [&](std::uint32_t value) { vae_.backend().upload(step.data(), &value, sizeof value); };
  for (std::size_t t = 0; t < layers_.size(); ++t) {
    vae_.layer_densities(t, rows, noise, a);
    vae_.backend().download(log_q_.data(), a.log_q.data(), static_cast<std::size_t>(rows * samples_) * sizeof(float));
    vae_.backend().download(log_p_.data(), a.log_p_z.data(), static_cast<std::size_t>(rows * samples_) * sizeof(float));
    add_kl(t, rows);
  }
  for (Index pass = 0; pass < passes_; ++pass) {
    if (pass > 0) {
      set_step(kEvaluationStep - static_cast<std::uint32_t>(pass));
      vae_.sample_layers(vae_.stats(first_, rows, a), noise, a);
    }
    for (std::size_t t = first_counted(); t < layers_.size(); ++t) add_means(t, rows, a);
  }
  set_step(kEvaluationStep);
  for (std::size_t t = first_counted(); t < layers_.size(); ++t) close_batch(t, rows);
  count_ += rows;
}

void LayerSums::add_kl(std::size_t t, Index rows) {
  double sum = 0;
  for (std::size_t r = 0; r < static_cast<std::size_t>(rows * samples_); ++r)
    sum += static_cast<double>(log_q_[r]) - static_cast<double>(log_p_[r]);
  layers_[t].kl += sum / static_cast<double>(samples_);
}

// E[z_t|x, the layer sampled before] of each sample row: mu, or the probability of a Bernoulli unit.
void LayerSums::add_means(std::size_t t, Index rows, const VaeActivations& a) {
  const Index each = t == first_ ? 1 : samples_;
  const ConstView stats = vae_.stats(t, rows * each, a);
  const bool bernoulli = vae_.config().has_bernoulli_latents();
  const Index latent = vae_.layers()[t].latent;
  Layer& layer = layers_[t];
  stats_.resize(static_cast<std::size_t>(stats.size()));
  vae_.backend().download(stats_.data(), stats.data, stats_.size() * sizeof(float));
  for (Index r = 0; r < stats.rows; ++r)
    for (Index l = 0; l < latent; ++l) {
      const auto value = static_cast<double>(stats_[static_cast<std::size_t>(r * stats.cols + l)]),
                 mean = bernoulli ? 1 / (1 + std::exp(-value)) : value;
      const auto at = static_cast<std::size_t>(r / each * latent + l);
      layer.sums[at] += mean;
      layer.squares[at] += mean * mean;
    }
}

double LayerSums::means(std::size_t t) const { return static_cast<double>(passes_ * (t == first_ ? 1 : samples_)); }

void LayerSums::close_batch(std::size_t t, Index rows) {
  Layer& layer = layers_[t];
  const Index latent = vae_.layers()[t].latent;
  const double samples = means(t);
  for (Index i = 0; i < rows * latent; ++i) {
    const auto at = static_cast<std::size_t>(i), l = static_cast<std::size_t>(i % latent);
    const double mean = layer.sums[at] / samples, deviation = mean - layer.mean[l];
    layer.within[l] += std::max(0.0, layer.squares[at] - layer.sums[at] * mean) / std::max(1.0, samples - 1);
    layer.mean[l] += deviation / static_cast<double>(count_ + i / latent + 1);  // Welford 1962
    layer.between[l] += deviation * (mean - layer.mean[l]);
  }
  std::fill(layer.sums.begin(), layer.sums.end(), 0.0);
  std::fill(layer.squares.begin(), layer.squares.end(), 0.0);
}

// The variance of means over S samples is Var_x E[z_t|x] plus 1/S of the variance within the examples.
std::vector<LayerEvaluation> LayerSums::results() const {
  const auto n = static_cast<double>(count_);
  std::vector<LayerEvaluation> results;
  for (std::size_t t = 0; t < layers_.size(); ++t) {
    const Layer& layer = layers_[t];
    results.push_back({.latent = vae_.layers()[t].latent, .kl = layer.kl / n});
    for (std::size_t l = 0; l < layer.mean.size(); ++l)
      results.back().active_units += layer.between[l] / n - layer.within[l] / n / means(t) > 0.01 ? 1 : 0;
  }
  return results;
}

}  // namespace cuvae
