// The model: q(z|x) = N(mu(x), diag exp(logvar(x))), p(z) = N(0, I), p(x|z) by the likelihood. Kingma and Welling 2013.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "cuvae/backend.h"
#include "cuvae/mlp.h"
#include "cuvae/standardization.h"

namespace cuvae {

struct VaeConfig {
  Index data_dim = 784;                    ///< D
  Index latent = 20;                       ///< L
  std::vector<Index> encoder_hidden{400};  ///< widths from x to z; may be empty
  std::vector<Index> decoder_hidden{400};  ///< widths from z to x
  Activation activation = Activation::relu;
  Likelihood likelihood = Likelihood::bernoulli;
  /// Standard deviation of a Gaussian likelihood, from kScaleMin to kScaleMax, or where a learned one starts, from
  /// exp(kLogScaleMin) to exp(kLogScaleMax).
  float scale = 1.0f;
  Initialization initialization = Initialization::glorot;
  // How pictures lay out the D values, and show them.
  Index image_height = 1, image_width = 784, image_channels = 1;  ///< 1 channel is gray, 3 are RGB
  bool image_channels_first = false;                              ///< [C, H, W] in place of [H, W, C]
  float image_black = 0.0f, image_white = 1.0f;                   ///< the values that are black and white

  /// Throws Error naming the first value that is out of range.
  void validate() const;
  bool operator==(const VaeConfig&) const = default;
};

/// The parameters of a model, before any memory is taken for them.
ParameterLayout parameter_layout(const VaeConfig& config);

/// The buffers of one pass, in the backend's activation type where the seam has them so, over at most `batch` rows with
/// `samples` latent samples each.
struct VaeActivations {
  Index batch = 0, samples = 1;
  MlpActivations encoder, decoder;
  Buffer z, kl, kl_dims, log_p;       // [R, L], [B, 1], [1, L], [R, 1]
  Buffer log_p_z, log_q, score_norm;  // [R, 1], where they are asked for
};

/// The gradients' buffers besides: two scratch matrices, dz [R, L] and dstats [B, 2L].
struct VaeGradients {
  Buffer scratch[2], dz, dstats;
};

class Vae {
 public:
  /// Parameters drawn from the noise of `seed` (stream initialization), biases zero, log scales at log(config.scale).
  Vae(Backend& backend, const VaeConfig& config, std::uint64_t seed);

  Backend& backend() const { return *backend_; }
  const VaeConfig& config() const { return config_; }
  const ParameterLayout& layout() const { return layout_; }
  const Mlp& encoder() const { return encoder_; }
  const Mlp& decoder() const { return decoder_; }
  float* params() const { return params_.as<float>(); }
  Buffer& params_buffer() { return params_; }
  Weights weights() const { return {params(), rounded_.data()}; }  ///< what products read
  /// To be called when the parameters were changed by anything but `adam`, so that what products read follows.
  void refresh_weights();

  /// Between the data's units and those that the network computes in, which the forms for memory of the backend take
  /// and give, those for host memory not. Throws Error unless it has D columns, finite, of positive scales, or none,
  /// and for a Bernoulli likelihood.
  void set_standardization(Standardization standardization);
  const Standardization& standardization() const { return standardization_; }

  /// Sets the last decoder bias so that an untrained decoder gives the data's mean [D]: its logit, the mean clamped to
  /// [.001, .999] (Burda et al. 2015, reference code), for a Bernoulli, the mean itself for a Gaussian.
  void set_output_bias(const std::vector<float>& mean);

  VaeActivations allocate(Index batch, Index samples) const;
  /// The same, with room for the log-densities of each sample, which sample_latent then computes.
  VaeActivations allocate_with_log_densities(Index batch, Index samples) const;
  VaeGradients allocate_gradients(Index batch, Index samples) const;

  // The stages of a training step, each one op or one MLP; all asynchronous on the backend. They throw Error for more
  // rows than the activations were made for.
  View encode(ConstView x, const VaeActivations& a) const;  ///< stats [B, 2L]
  /// z [R, L]; kl, kl_dims; log_p_z, log_q, score_norm where `a` has them; stats merged into `moments` [1 + 4L] where
  /// given.
  View sample_latent(ConstView stats, const Noise& noise, const VaeActivations& a, double* moments = nullptr) const;
  View decode(ConstView z, const VaeActivations& a) const;  ///< logits or means [R, D]
  /// log p(x|z) [R, 1], and the loss where given; with `grads` (an arena), `output` becomes row_weight times log p's
  /// gradient.
  View log_prob(View output, ConstView x, const RowFactor& row_weight, float* grads, const VaeActivations& a,
                const ElboLoss* loss = nullptr) const;
  /// log p(x|z) alone, into log_p [R, 1].
  void log_prob(ConstView output, ConstView x, View log_p) const;

  // The same for callers with host memory; any number of rows, computed in batches. x is in the data's units.
  /// x [rows, D] -> stats [rows, 2L] = mu | logvar (clamped).
  std::vector<float> encode(const std::vector<float>& x) const;
  /// z [rows, L] -> E[x|z] [rows, D]: probabilities for a Bernoulli, means for a Gaussian.
  std::vector<float> decode(const std::vector<float>& z) const;
  /// z [rows, L] -> a draw from p(x|z) [rows, D]: 0 or 1 for a Bernoulli, decode(z) plus noise of likelihood_scale()
  /// for a Gaussian. Value i takes random number i of `seed` (stream data_sample), on every backend.
  std::vector<float> sample(const std::vector<float>& z, std::uint64_t seed) const;
  /// The standard deviations of p(x|z), one value or D of them; empty for a Bernoulli.
  std::vector<float> likelihood_scale() const;
  /// How many learned scales lie at or outside of their clamp.
  Index scales_at_clamp() const;

 private:
  Backend* backend_;
  VaeConfig config_;
  ParameterLayout layout_;
  Mlp encoder_, decoder_;
  std::optional<Parameter> log_scale_;  // a learned scale is a parameter, a fixed one a constant
  Buffer params_, rounded_, fixed_log_scale_;
  Standardization standardization_;
  ConstView log_scale() const;
  std::vector<float> log_scales() const;
};

}  // namespace cuvae
