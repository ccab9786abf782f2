// What a model computes for data in host memory, in batches.
#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>

#include "cuvae/vae.h"
#include "io/text.h"
#include "math/host_noise.h"
#include "math/likelihoods.h"
#include "math/philox.h"
#include "model/read_values.h"

namespace cuvae {
namespace {

constexpr Index kHostBatch = 256;  // rows that are computed at once

// result [rows, out] = f(a batch of host rows [n, in], uploaded), a batch at a time.
template <class F>
std::vector<float> in_batches(Backend& backend, const char* what, const std::vector<float>& host, Index in, Index out,
                              F f) {
  const Index rows = static_cast<Index>(host.size()) / in;
  if (rows * in != static_cast<Index>(host.size()))
    throw Error(std::string(what) + ": " + std::to_string(host.size()) + " values are not rows of " +
                std::to_string(in));
  std::vector<float> result(static_cast<std::size_t>(rows * out));
  const DType type = backend.activation_type();
  const Buffer device = backend.allocate(static_cast<std::size_t>(kHostBatch * in) * sizeof(float)),
               rounded = type == DType::f32
                             ? Buffer()
                             : backend.allocate(static_cast<std::size_t>(kHostBatch * in) * size_of(type));
  for (Index first = 0; first < rows; first += kHostBatch) {
    const Index n = std::min(kHostBatch, rows - first);
    backend.upload(device.data(), host.data() + first * in, static_cast<std::size_t>(n * in) * sizeof(float));
    View x = device.view(n, in);
    if (type != DType::f32) {
      x = rounded.view(n, in, type);
      backend.run(GatherBatch{device.view(n, in), {nullptr, n, nullptr, 0}, Binarize::none, {}, x});
    }
    read_values(backend, f(x), result.data() + first * out);
  }
  return result;
}

// Rows sigmoid(logits) | logits.
std::vector<float> probabilities_and(const std::vector<float>& logits, Index latent) {
  std::vector<float> rows;
  for (auto row = logits.begin(); row != logits.end(); row += latent) {
    std::transform(row, row + latent, std::back_inserter(rows), [](float logit) { return math::sigmoid(logit); });
    rows.insert(rows.end(), row, row + latent);
  }
  return rows;
}

// Each logit replaced by its sample, with the random number of its place.
void draw_bernoulli(std::uint64_t seed, Stream stream, std::vector<float>& logits) {
  for (std::size_t i = 0; i < logits.size(); ++i) {
    const std::uint32_t word = math::philox_word(seed, static_cast<std::uint32_t>(stream), 0, i);
    logits[i] = math::binarized(math::sigmoid(logits[i]), math::uniform(word));
  }
}

}  // namespace

// Rows left [rows, cols] | conditions [rows, C]; `left` where the model is not conditional.
Vae::HostRows Vae::joined(const char* op, const HostRows& left, Index cols, const HostRows& conditions) const {
  const auto rows = left.size() / static_cast<std::size_t>(cols), C = static_cast<std::size_t>(config_.condition_dim);
  if (conditions.size() != rows * C)
    throw Error(std::string(op) + ": " + std::to_string(conditions.size()) + " values of conditions for " +
                std::to_string(rows) + " rows but the model reads " + std::to_string(C) + " each");
  if (C == 0) return left;
  HostRows both;
  both.reserve(left.size() + conditions.size());
  for (auto l = left.begin(), c = conditions.begin(); c != conditions.end(); l += cols, c += config_.condition_dim) {
    both.insert(both.end(), l, l + cols);
    both.insert(both.end(), c, c + config_.condition_dim);
  }
  return both;
}

Vae::HostRows Vae::encode(const HostRows& x, const HostRows& conditions) const {
  HostRows own = x;
  standardization_.apply(own);
  if (config_.missing_values)
    std::replace_if(
        own.begin(), own.end(), [](float v) { return math::is_missing(v); }, 0.0f);
  const HostRows input = joined("encode", own, config_.data_dim, conditions);
  const auto encoded = [&](auto f) {
    return in_batches(*backend_, "encode", input, encoder().in(), encoder().out(), f);
  };
  HostRows stats;
  if (config_.ladder) {
    const VaeActivations a = allocate(kHostBatch, 1);
    stats = encoded([&](ConstView batch) { return posterior_at_means(batch, a); });
  } else {
    const MlpActivations a = encoder().allocate(*backend_, kHostBatch, DType::f32);
    stats = encoded([&](ConstView batch) { return encoder().forward(*backend_, weights(), batch, a); });
  }
  if (config_.has_bernoulli_latents()) return probabilities_and(stats, config_.latent);
  for (std::size_t i = 0; i < stats.size(); ++i)
    if (static_cast<Index>(i) % (2 * config_.latent) >= config_.latent)
      stats[i] = math::clamp(stats[i], kLogVarMin, kLogVarMax);
  return stats;
}

Vae::HostRows Vae::decoder_outputs(const HostRows& z, const HostRows& conditions) const {
  const MlpActivations a = decoder().allocate(*backend_, kHostBatch, backend_->activation_type());
  return in_batches(*backend_, "decode", joined("decode", z, config_.latent, conditions), decoder().in(),
                    config_.outputs(),
                    [&](ConstView batch) { return decoder().forward(*backend_, weights(), batch, a); });
}

namespace {

// f(i, the outputs of value i) for each value of rows [rows, n D].
template <class Formula, class F>
std::vector<float> of_each_value(const std::vector<float>& rows, Index data_dim, F f) {
  constexpr std::size_t n = Formula::outputs;
  const auto dim = static_cast<std::size_t>(data_dim);
  std::vector<float> values(rows.size() / n);
  for (std::size_t i = 0; i < values.size(); ++i) {
    float outputs[n];
    for (std::size_t j = 0; j < n; ++j) outputs[j] = rows[(i / dim * n + j) * dim + i % dim];
    values[i] = f(i, outputs);
  }
  return values;
}

}  // namespace

Vae::HostRows Vae::decode(const HostRows& z, const HostRows& conditions) const {
  std::vector<float> mean = math::with_likelihood(config_.likelihood, [&]<class Formula>() {
    return of_each_value<Formula>(decoder_outputs(z, conditions), config_.data_dim,
                                  [](std::size_t, const float* outputs) { return Formula::mean(outputs); });
  });
  standardization_.undo(mean);
  return mean;
}

Vae::HostRows Vae::sample(const HostRows& z, std::uint64_t seed, const HostRows& conditions) const {
  return math::with_likelihood(config_.likelihood, [&]<class Formula>() {
    if constexpr (!math::takes_values_alone<Formula>) {
      std::vector<float> x = decode(z, conditions);
      const std::vector<float> scale = likelihood_scale(),
                               noise = standard_normals(seed, Stream::data_sample, x.size());
      for (std::size_t i = 0; i < x.size(); ++i) x[i] += scale[i % scale.size()] * noise[i];
      return x;
    } else {
      const std::vector<float> outputs = decoder_outputs(z, conditions);
      std::vector<float> normals;
      if constexpr (Formula::from_normal)
        normals = standard_normals(seed, Stream::data_sample, outputs.size() / Formula::outputs);
      std::vector<float> x =
          of_each_value<Formula>(outputs, config_.data_dim, [&](std::size_t i, const float* of_value) {
            if constexpr (Formula::from_normal) return Formula::draw(of_value, normals[i]);
            const std::uint32_t word = math::philox_word(seed, static_cast<std::uint32_t>(Stream::data_sample), 0, i);
            return Formula::draw(of_value, math::uniform(word));
          });
      standardization_.undo(x);
      return x;
    }
  });
}

std::vector<float> Vae::sample_prior(Index rows, std::uint64_t seed, float temperature) const {
  const std::size_t top = layers().size() - 1;
  if (config_.has_bernoulli_latents()) {
    if (temperature != 1)
      throw Error("sample_prior: temperature is " + number(temperature) + " but must be 1 for Bernoulli latents");
    return sample_bernoulli_prior(rows, seed);
  }
  const auto normals = [&](Stream stream, Index latent) {
    std::vector<float> values = standard_normals(seed, stream, static_cast<std::size_t>(rows * latent));
    for (float& value : values) value *= temperature;
    return values;
  };
  std::vector<float> z = normals(Stream::prior_sample, layers()[top].latent);
  // Each z_t is drawn in place of its normals, from rows mu | logvar.
  const auto draw = [&](const std::vector<float>& stats, Index latent, const auto& row_of_stats) {
    for (std::size_t i = 0; i < z.size(); ++i) {
      const auto L = static_cast<std::size_t>(latent), at = row_of_stats(i / L) * 2 * L + i % L;
      z[i] = stats[at] + std::exp(0.5f * math::clamp(stats[at + L], kLogVarMin, kLogVarMax)) * z[i];
    }
  };
  if (config_.prior != Prior::standard) {
    const auto [stats, weights_so_far] = prior_mixture();
    draw(stats, layers()[top].latent, [&, &sums = weights_so_far](std::size_t row) {
      const std::uint32_t word =
          math::philox_word(seed, static_cast<std::uint32_t>(Stream::prior_sample), 1, static_cast<std::uint64_t>(row));
      const double u = static_cast<double>(math::uniform(word)) * sums.back();
      const auto chosen = std::lower_bound(sums.begin(), sums.end(), u) - sums.begin();
      return std::min(static_cast<std::size_t>(chosen), sums.size() - 1);
    });
  }
  for (std::size_t t = top; t > 0; --t) {
    const Mlp& decoder = layers()[t].decoder;
    const Index latent = layers()[t - 1].latent;
    const MlpActivations a = decoder.allocate(*backend_, kHostBatch, DType::f32);
    const std::vector<float> stats =
        in_batches(*backend_, "sample_prior", z, decoder.in(), decoder.out(),
                   [&](ConstView batch) { return decoder.forward(*backend_, weights(), batch, a); });
    const Stream stream = noise_of_layer({.stream = Stream::latent_2}, t, 1).stream;
    z = normals(stream, latent);
    draw(stats, latent, [](std::size_t row) { return row; });
  }
  return z;
}

std::vector<float> Vae::sample_bernoulli_prior(Index rows, std::uint64_t seed) const {
  std::vector<float> of_prior(static_cast<std::size_t>(networks_.logits->size())), z;
  backend_->download(of_prior.data(), own(*networks_.logits).data, of_prior.size() * sizeof(float));
  for (Index row = 0; row < rows; ++row) z.insert(z.end(), of_prior.begin(), of_prior.end());
  draw_bernoulli(seed, Stream::prior_sample, z);
  for (std::size_t t = layers().size() - 1; t > 0; --t) {
    const Mlp& decoder = layers()[t].decoder;
    const MlpActivations a = decoder.allocate(*backend_, kHostBatch, DType::f32);
    z = in_batches(*backend_, "sample_prior", z, decoder.in(), decoder.out(),
                   [&](ConstView batch) { return decoder.forward(*backend_, weights(), batch, a); });
    draw_bernoulli(seed, noise_of_layer({.stream = Stream::latent_2}, t, 1).stream, z);
  }
  return z;
}

// The components [C, 2L] of the prior, and the sums of their weights up to each, not normalized.
std::pair<std::vector<float>, std::vector<double>> Vae::prior_mixture() const {
  const auto host = [&](const Parameter& p) {
    std::vector<float> values(static_cast<std::size_t>(p.size()));
    backend_->download(values.data(), own(p).data, values.size() * sizeof(float));
    return values;
  };
  std::vector<double> sums(static_cast<std::size_t>(config_.prior_components), 1.0);
  if (networks_.logits) {
    const std::vector<float> logits = host(*networks_.logits);
    const float most = *std::max_element(logits.begin(), logits.end());
    for (std::size_t c = 0; c < sums.size(); ++c) sums[c] = std::exp(static_cast<double>(logits[c] - most));
  }
  std::partial_sum(sums.begin(), sums.end(), sums.begin());
  if (networks_.components) return {host(*networks_.components), sums};
  const Mlp& encoder = layers().back().encoder;
  const MlpActivations a = encoder.allocate(*backend_, kHostBatch, DType::f32);
  return {in_batches(*backend_, "sample_prior", host(*networks_.pseudo_inputs), encoder.in(), encoder.out(),
                     [&](ConstView batch) { return encoder.forward(*backend_, weights(), batch, a); }),
          sums};
}

std::vector<float> Vae::log_scales() const {
  const ConstView v = log_scale();
  std::vector<float> values(static_cast<std::size_t>(v.size()));
  backend_->download(values.data(), v.data, values.size() * sizeof(float));
  return values;
}

std::vector<float> Vae::likelihood_scale() const {
  if (!is_scale_shared(config_.likelihood)) return {};
  std::vector<float> scale = log_scales();
  for (float& s : scale) s = std::exp(networks_.log_scale ? math::clamp(s, kLogScaleMin, kLogScaleMax) : s);
  if (!standardization_) return scale;
  scale.resize(standardization_.scale.size(), scale.front());
  for (std::size_t d = 0; d < scale.size(); ++d)
    scale[d] = static_cast<float>(static_cast<double>(scale[d]) * standardization_.scale[d]);
  return scale;
}

Index Vae::scales_at_clamp() const {
  if (!networks_.log_scale) return 0;
  const std::vector<float> values = log_scales();
  return std::count_if(values.begin(), values.end(), [](float v) { return v <= kLogScaleMin || v >= kLogScaleMax; });
}

}  // namespace cuvae
