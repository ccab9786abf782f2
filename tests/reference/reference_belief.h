// A chain of Bernoulli latents in double precision, a sigmoid belief network, with exact sums over all latents.
#pragma once
#include <algorithm>
#include <cmath>

#include "reference_vae.h"

namespace cuvae::reference {

class BeliefNetwork : public Model {
 public:
  explicit BeliefNetwork(const VaeConfig& config) : Model(config) {
    add_layer({config.latent, config.encoder_hidden, config.decoder_hidden});
    for (const LayerConfig& layer : config.above) add_layer(layer);
  }

  /// z[t] has the rows [R, L_t] of layer t, logits[0] has B rows, those above it R.
  struct Samples {
    std::vector<Vector> logits, z;
  };
  Samples sample(const Vector& arena, const Vector& x, Index samples, NoiseKey noise) const {
    Samples s;
    for (std::size_t t = 0; t < layers_.size(); ++t) {
      if (t > 0) noise.stream = static_cast<Stream>(255 + t), noise.first_row *= t == 1 ? samples : 1;
      s.logits.push_back(encode(arena, t, t == 0 ? x : s.z.back()));
      const BernoulliSample drawn = sample_bernoulli(s.logits.back(), noise, t == 0 ? samples : 1, layers_[t].latent);
      Vector z;
      for (std::size_t i = 0; i < drawn.u.size(); ++i) z.push_back(drawn.u[i] <= drawn.probability[i] ? 1 : 0);
      s.z.push_back(z);
    }
    return s;
  }

  /// The logits of layer t from the layer below.
  Vector encode(const Vector& arena, std::size_t t, const Vector& below) const {
    return mlp(arena, t == 0 ? "encoder" : "encoder" + std::to_string(t + 1), below,
               t == 0 ? config_.data_dim : layers_[t - 1].latent, layers_[t].encoder_hidden, layers_[t].latent);
  }
  /// The outputs of the decoder of layer t, counted from 0: above the first, the logits of the layer below.
  Vector decode(const Vector& arena, std::size_t t, const Vector& z) const {
    const Index out = t == 0 ? traits(config_.likelihood).outputs * config_.data_dim : layers_[t - 1].latent;
    return mlp(arena, t == 0 ? "decoder" : "decoder" + std::to_string(t + 1), z, layers_[t].latent,
               layers_[t].decoder_hidden, out);
  }
  Vector prior_logits(const Vector& arena) const { return slice(arena, "prior.logits"); }

  /// log p(z_1, ..., z_T) of each sample row.
  Vector log_p_z(const Vector& arena, const std::vector<Vector>& z) const {
    Vector sum = log_p_of_layer(arena, z, z.size() - 1);
    for (std::size_t t = 0; t + 1 < layers_.size(); ++t) add(sum, log_p_of_layer(arena, z, t));
    return sum;
  }
  /// log p(z_t|z_{t+1}), of the top layer log p(z_T).
  Vector log_p_of_layer(const Vector& arena, const std::vector<Vector>& z, std::size_t t) const {
    if (t + 1 < layers_.size()) return log_p(z[t], decode(arena, t + 1, z[t + 1]), t, 1);
    return bernoulli_log_prob(z[t], prior_logits(arena), 0, layers_[t].latent).log_p;
  }
  /// log q of the samples under logits which may be of another pass.
  Vector log_q(const std::vector<Vector>& z, const std::vector<Vector>& logits, Index samples) const {
    Vector sum(z[0].size() / layers_[0].latent);
    for (std::size_t t = 0; t < z.size(); ++t) add(sum, log_p(z[t], logits[t], t, t == 0 ? samples : 1));
    return sum;
  }

  /// Every value of all latents together: z[t] [2^n, L_t], n the number of units.
  std::vector<Vector> all_z() const {
    Index units = 0;
    for (const LayerConfig& layer : layers_) units += layer.latent;
    std::vector<Vector> z(layers_.size());
    for (Index row = 0; row < Index{1} << units; ++row) {
      Index bit = 0;
      for (std::size_t t = 0; t < layers_.size(); ++t)
        for (Index l = 0; l < layers_[t].latent; ++l) z[t].push_back(static_cast<double>(row >> bit++ & 1));
    }
    return z;
  }
  /// log p(x, z) and log q(z|x) of one x at every z.
  struct Joint {
    Vector log_p, log_q;
  };
  Joint joint(const Vector& arena, const Vector& x) const {
    const std::vector<Vector> z = all_z();
    const auto rows = static_cast<Index>(z[0].size()) / layers_[0].latent;
    Joint out{log_prob(arena, z[0], x, rows), {}};
    add(out.log_p, log_p_z(arena, z));
    std::vector<Vector> logits{encode(arena, 0, x)};
    for (std::size_t t = 1; t < z.size(); ++t) logits.push_back(encode(arena, t, z[t - 1]));
    out.log_q = log_q(z, logits, rows);
    return out;
  }
  /// log p(x) = log sum_z p(x, z) of one x.
  double log_likelihood(const Vector& arena, const Vector& x) const {
    const Vector log_p = joint(arena, x).log_p;
    const double largest = *std::max_element(log_p.begin(), log_p.end());
    double sum = 0;
    for (const double v : log_p) sum += std::exp(v - largest);
    return largest + std::log(sum);
  }
  /// The bound over K samples of one x, its expectation as a sum over all z of each sample; with one, the ELBO.
  double bound(const Vector& arena, const Vector& x, Index samples) const {
    const Joint all = joint(arena, x);
    return mean_bound(all, samples, 0, 0);
  }

 private:
  void add_layer(const LayerConfig& layer) { layers_.push_back(layer); }
  static void add(Vector& sum, const Vector& terms) {
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += terms[i];
  }
  // log p of rows z of layer t, `each` of them for a row of logits.
  Vector log_p(const Vector& z, const Vector& logits, std::size_t t, Index each) const {
    const Index latent = layers_[t].latent;
    Vector sum(z.size() / latent);
    for (Index i = 0; i < static_cast<Index>(z.size()); ++i)
      sum[i / latent] += bernoulli_log_p(logits[i / latent / each * latent + i % latent], z[i]);
    return sum;
  }
  // E log(1/K (w + sum of the rest)), `left` samples still to come.
  double mean_bound(const Joint& all, Index left, double weights, Index done) const {
    if (left == 0) return std::log(weights / static_cast<double>(done));
    double mean = 0;
    for (std::size_t i = 0; i < all.log_q.size(); ++i)
      mean +=
          std::exp(all.log_q[i]) * mean_bound(all, left - 1, weights + std::exp(all.log_p[i] - all.log_q[i]), done + 1);
    return mean;
  }

  std::vector<LayerConfig> layers_;
};

}  // namespace cuvae::reference
