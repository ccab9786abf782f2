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
  explicit Model(const VaeConfig& config) : config_(config), layout_(parameter_layout(config)) {}

  /// The terms of the ELBO of x [B, D] under the parameters of an arena.
  Elbo elbo(const Vector& arena, const Vector& x, Index samples, const NoiseKey& noise) const {
    const Index dim = config_.data_dim, latent = config_.latent;
    const Vector stats = mlp(arena, "encoder", x, dim, config_.encoder_hidden, 2 * latent);
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
    const Vector out = mlp(arena, "decoder", z, config_.latent, config_.decoder_hidden, n * dim);
    return is_scale_shared(config_.likelihood)
               ? gaussian_log_prob(out, x, log_scale(arena), 0, samples, dim).log_p
               : cuvae::reference::log_prob(config_.likelihood, out, x, 0, samples, dim, n).log_p;
  }

 private:
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
};

}  // namespace cuvae::reference
