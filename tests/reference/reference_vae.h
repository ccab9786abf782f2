// The whole model in double precision, composed from the reference's ops.
#pragma once
#include <cmath>
#include <string>
#include <utility>

#include "cuvae/vae.h"
#include "reference.h"

namespace cuvae::reference {

struct Elbo {
  Vector stats, log_p, kl, kl_dims, z, log_p_z, log_q, score_norm;
};

class Model {
 public:
  /// `conditions` [B, C] are those of a conditional model.
  explicit Model(const VaeConfig& config, Vector conditions = {})
      : config_(config), layout_(parameter_layout(config)), conditions_(std::move(conditions)) {}

  /// The terms of the ELBO of x [B, D] under the parameters of an arena.
  Elbo elbo(const Vector& arena, const Vector& x, Index samples, const NoiseKey& noise) const {
    const Index dim = config_.data_dim, latent = config_.latent;
    const Vector stats =
        mlp(arena, "encoder", with_conditions(x, dim), dim + config_.condition_dim, config_.encoder_hidden, 2 * latent);
    Latent sample = sample_latent(stats, noise, samples, latent);
    Vector log_p = log_prob(arena, sample.z, x, samples);
    return {stats,
            std::move(log_p),
            std::move(sample.kl),
            std::move(sample.kl_dims),
            std::move(sample.z),
            std::move(sample.log_p_z),
            std::move(sample.log_q),
            std::move(sample.score_norm)};
  }

  /// log p(x|z) of each row of z.
  Vector log_prob(const Vector& arena, const Vector& z, const Vector& x, Index samples) const {
    const Index dim = config_.data_dim, n = traits(config_.likelihood).outputs;
    const Vector out = mlp(arena, "decoder", with_conditions(z, config_.latent), config_.latent + config_.condition_dim,
                           config_.decoder_hidden, n * dim);
    return is_scale_shared(config_.likelihood)
               ? gaussian_log_prob(out, x, log_scale(arena), 0, samples, dim).log_p
               : cuvae::reference::log_prob(config_.likelihood, out, x, 0, samples, dim, n).log_p;
  }

 protected:
  Vector with_conditions(const Vector& left, Index width) const {
    return config_.condition_dim == 0 ? left : join_columns(left, width, conditions_, config_.condition_dim);
  }

  Vector slice(const Vector& arena, const std::string& name) const {
    for (const Parameter& p : layout_.parameters())
      if (p.name == name) return {arena.begin() + p.offset, arena.begin() + p.offset + p.size()};
    throw Error("the layout has no " + name);
  }

  Vector log_scale(const Vector& arena) const {
    if (config_.likelihood == Likelihood::gaussian) return {std::log(double{config_.scale})};
    return slice(arena, "log_scale");
  }

  Vector mlp(const Vector& arena, const std::string& name, Vector x, Index in, std::vector<Index> widths,
             Index out) const {
    widths.push_back(out);
    for (double& value : x)
      if (name == "encoder" && std::isnan(value)) value = 0;  // missing
    for (std::size_t i = 0; i < widths.size(); in = widths[i++]) {
      const std::string layer = name + "." + std::to_string(i);
      x = affine(x, slice(arena, layer + ".weight"), slice(arena, layer + ".bias"), in, widths[i]);
      if (i + 1 < widths.size())
        for (double& value : x) value = activate(config_.activation, value);
    }
    return x;
  }

  VaeConfig config_;
  ParameterLayout layout_;
  Vector conditions_;
};

/// A model of several latent layers, or with a learned prior. z[t] has the rows [R, L_t] of layer t.
class Chain : public Model {
 public:
  explicit Chain(const VaeConfig& config, Vector conditions = {}) : Model(config, std::move(conditions)) {
    latents_.push_back(config.latent), encoders_.push_back(config.encoder_hidden);
    decoders_.push_back(config.decoder_hidden);
    for (const LayerConfig& layer : config.above) {
      latents_.push_back(layer.latent), encoders_.push_back(layer.encoder_hidden);
      decoders_.push_back(layer.decoder_hidden);
    }
  }

  struct Samples {
    std::vector<Vector> stats, z;  // of the posteriors [R, 2L_t], of the first that is sampled [B, 2L_t]
    Vector score_norm;             // |d log q / d stats|^2 [R], the sum over the layers
  };
  Samples sample(const Vector& arena, const Vector& x, Index samples, NoiseKey noise) const {
    if (config_.ladder) return sample_ladder(arena, x, samples, noise);
    Samples s;
    for (std::size_t t = 0; t < latents_.size(); ++t) {
      if (t > 0) noise.stream = static_cast<Stream>(255 + t), noise.first_row *= t == 1 ? samples : 1;
      s.stats.push_back(encode(arena, t, t == 0 ? x : s.z.back()));
      const Latent layer = sample_latent(s.stats.back(), noise, t == 0 ? samples : 1, latents_[t]);
      s.z.push_back(layer.z);
      s.score_norm.resize(layer.score_norm.size());
      add(s.score_norm, layer.score_norm);
    }
    return s;
  }

  /// The posterior's statistics of z_1 of a ladder, with the layers above at their means.
  Vector posterior_at_means(const Vector& arena, const Vector& x) const {
    const std::vector<Vector> encoded = encode_upwards(arena, x);
    Vector stats = encoded.back();
    for (std::size_t t = latents_.size() - 1; t-- > 0;)
      stats = merge_gaussians(decode(arena, t + 1, means(stats, latents_[t + 1])), encoded[t], 1, latents_[t]);
    return stats;
  }

  /// log p(z_1, ..., z_T) of each sample row.
  Vector log_p_z(const Vector& arena, const std::vector<Vector>& z) const {
    Vector sum = log_p_of_layer(arena, z, z.size() - 1);
    for (std::size_t t = 0; t + 1 < z.size(); ++t) add(sum, log_p_of_layer(arena, z, t));
    return sum;
  }
  /// log p(z_t|z_{t+1}), of the top layer log p(z_T).
  Vector log_p_of_layer(const Vector& arena, const std::vector<Vector>& z, std::size_t t) const {
    if (t + 1 == latents_.size()) return log_prior(arena, z[t]);
    return latent_log_prob(z[t], decode(arena, t + 1, z[t + 1]), 0, latents_[t]).log_p;
  }

  /// The outputs of the decoder of layer t, counted from 0.
  Vector decode(const Vector& arena, std::size_t t, const Vector& z) const {
    if (t > 0) return mlp(arena, "decoder" + std::to_string(t + 1), z, latents_[t], decoders_[t], 2 * latents_[t - 1]);
    return mlp(arena, "decoder", with_conditions(z, latents_[0]), latents_[0] + config_.condition_dim, decoders_[0],
               traits(config_.likelihood).outputs * config_.data_dim);
  }
  /// The statistics of layer t from the layer below.
  Vector encode(const Vector& arena, std::size_t t, const Vector& x) const {
    return encode_input(arena, t, t == 0 ? with_conditions(x, config_.data_dim) : x);
  }
  /// The statistics of layer t from all that its encoder reads.
  Vector encode_input(const Vector& arena, std::size_t t, const Vector& input) const {
    return mlp(arena, t == 0 ? "encoder" : "encoder" + std::to_string(t + 1), input,
               t == 0 ? config_.data_dim + config_.condition_dim : latents_[t - 1], encoders_[t], 2 * latents_[t]);
  }

  /// log q of the samples under these statistics, which may be of another pass.
  Vector log_q(const std::vector<Vector>& z, const std::vector<Vector>& stats, Index samples) const {
    Vector sum;
    for (std::size_t t = 0; t < z.size(); ++t) {
      Vector of_rows;  // the statistics of each sample row
      const Index width = 2 * latents_[t], each = t == config_.first_sampled() ? samples : 1;
      for (Index row = 0; row < static_cast<Index>(stats[t].size()) / width; ++row)
        for (Index k = 0; k < each; ++k)
          of_rows.insert(of_rows.end(), stats[t].begin() + row * width, stats[t].begin() + (row + 1) * width);
      const Vector log_q = latent_log_prob(z[t], of_rows, 0, latents_[t]).log_p;
      sum.resize(log_q.size());
      add(sum, log_q);
    }
    return sum;
  }

 private:
  static Vector means(const Vector& stats, Index latent) {
    Vector mu;
    for (auto row = stats.begin(); row != stats.end(); row += 2 * latent) mu.insert(mu.end(), row, row + latent);
    return mu;
  }
  // The encoders' statistics of each layer, each from the means of the layer below.
  std::vector<Vector> encode_upwards(const Vector& arena, const Vector& x) const {
    std::vector<Vector> encoded{encode(arena, 0, x)};
    for (std::size_t t = 1; t < latents_.size(); ++t)
      encoded.push_back(encode(arena, t, means(encoded.back(), latents_[t - 1])));
    return encoded;
  }
  Samples sample_ladder(const Vector& arena, const Vector& x, Index samples, const NoiseKey& noise) const {
    const std::vector<Vector> encoded = encode_upwards(arena, x);
    const std::size_t top = latents_.size() - 1;
    Samples s{encoded, std::vector<Vector>(top + 1), {}};
    for (std::size_t t = top + 1; t-- > 0;) {
      NoiseKey key = noise;
      if (t > 0) key.stream = static_cast<Stream>(255 + t);
      if (t < top) {
        key.first_row *= samples;
        s.stats[t] = merge_gaussians(decode(arena, t + 1, s.z[t + 1]), encoded[t], samples, latents_[t]);
      }
      s.z[t] = sample_latent(s.stats[t], key, t == top ? samples : 1, latents_[t]).z;
    }
    return s;
  }
  static void add(Vector& sum, const Vector& terms) {
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += terms[i];
  }
  Vector log_prior(const Vector& arena, const Vector& z) const {
    const Index latent = latents_.back();
    const Vector standard(static_cast<std::size_t>(2 * latent));
    switch (config_.prior) {
      case Prior::standard:
        return mixture_log_prob(z, standard, {}, 0, latent).log_p;
      case Prior::mixture:
        return mixture_log_prob(z, slice(arena, "prior.components"), slice(arena, "prior.logits"), 0, latent).log_p;
      case Prior::vampprior:
        return mixture_log_prob(z, encode_input(arena, latents_.size() - 1, slice(arena, "prior.pseudo_inputs")), {}, 0,
                                latent)
            .log_p;
    }
    return {};
  }

  std::vector<Index> latents_;
  std::vector<std::vector<Index>> encoders_, decoders_;
};

}  // namespace cuvae::reference
