// The model: q(z|x) = N(mu(x), diag exp(logvar(x))), p(z) = N(0, I), p(x|z) by the likelihood. Kingma and Welling 2013.
#pragma once
#include <cstdint>
#include <optional>
#include <vector>

#include "cuvae/backend.h"
#include "cuvae/likelihood.h"
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
  /// Standard deviation of a Gaussian likelihood, from kScaleMin to kScaleMax. For a learned one, or one from the
  /// decoder, its initial value, from exp(kLogScaleMin) to exp(kLogScaleMax).
  float scale = 1.0f;
  Initialization initialization = Initialization::glorot;
  // The layout and the colors of the D values in pictures.
  Index image_height = 1, image_width = 784, image_channels = 1;  ///< 1 channel is gray, 3 are RGB
  bool image_channels_first = false;                              ///< [C, H, W] instead of [H, W, C]
  float image_black = 0.0f, image_white = 1.0f;                   ///< the values shown as black and white

  /// The width of the decoder's output, n D.
  Index outputs() const { return traits(likelihood).outputs * data_dim; }
  /// Throws Error naming the first value that is out of range.
  void validate() const;
  bool operator==(const VaeConfig&) const = default;
};

/// The parameters of a model. Allocates no memory for them.
ParameterLayout parameter_layout(const VaeConfig& config);

/// The buffers of one pass over at most `batch` rows with `samples` latent samples each. backend.h says which of them
/// have the backend's activation type.
struct VaeActivations {
  Index batch = 0, samples = 1;
  MlpActivations encoder, decoder;
  Buffer z, kl, kl_dims, log_p;       // [R, L], [B, 1], [1, L], [R, 1]
  Buffer log_p_z, log_q, score_norm;  // [R, 1]; empty unless requested
};

/// The buffers of the backward pass: two scratch matrices, dz [R, L] and dstats [B, 2L].
struct VaeGradients {
  Buffer scratch[2], dz, dstats;
};

class Vae {
 public:
  /// Draws the weights with `seed` (stream initialization). Biases are 0, learned log scales log(config.scale), and so
  /// are the biases of log scales from the decoder.
  Vae(Backend& backend, const VaeConfig& config, std::uint64_t seed);

  Backend& backend() const { return *backend_; }
  const VaeConfig& config() const { return config_; }
  const ParameterLayout& layout() const { return layout_; }
  const Mlp& encoder() const { return encoder_; }
  const Mlp& decoder() const { return decoder_; }
  float* params() const { return params_.as<float>(); }
  Buffer& params_buffer() { return params_; }
  Weights weights() const { return {params(), rounded_.data()}; }  ///< the weights that matrix products read
  /// Updates the bf16 copy of the weights. Must be called when anything but `adam` has changed the parameters.
  void refresh_weights();

  /// Sets the change from the data's units to the model's. Functions with host memory use the data's units, functions
  /// with the backend's memory the model's. Throws Error for a likelihood of values in [0, 1], and unless it is empty
  /// or has D finite columns with positive scales.
  void set_standardization(Standardization standardization);
  const Standardization& standardization() const { return standardization_; }

  /// Sets the decoder's last bias so that an untrained decoder gives the data's mean [D]. For a Bernoulli the bias is
  /// the logit of the mean, clamped to [.001, .999] (Burda et al. 2015, reference code); for a continuous Bernoulli the
  /// logit with this mean, clamped to [.01, .99]; for a Gaussian, the mean; for a beta-binomial alpha + beta = 2.
  void set_output_bias(const std::vector<float>& mean);

  VaeActivations allocate(Index batch, Index samples) const;
  /// Also allocates log_p_z and log_q, which sample_latent then computes.
  VaeActivations allocate_with_log_densities(Index batch, Index samples) const;
  VaeGradients allocate_gradients(Index batch, Index samples) const;

  // The stages of a training step. Each is one op or one MLP, and asynchronous on the backend. They throw Error for
  // more rows than the activations were made for.
  View encode(ConstView x, const VaeActivations& a) const;  ///< stats [B, 2L]
  /// z [R, L]; also kl and kl_dims, and log_p_z, log_q and score_norm if `a` has them. Merges stats into `moments`
  /// [1 + 4L] if given.
  View sample_latent(ConstView stats, const Noise& noise, const VaeActivations& a, double* moments = nullptr) const;
  View decode(ConstView z, const VaeActivations& a) const;  ///< the outputs that LogProb takes [R, n D]
  /// log p(x|z) [R, 1], and the loss if given. With `grads` (an arena), `output` is replaced by row_weight times the
  /// gradient of log p.
  View log_prob(View output, ConstView x, const RowFactor& row_weight, float* grads, const VaeActivations& a,
                const ElboLoss& loss = {}) const;
  /// Only log p(x|z), written to log_p [R, 1].
  void log_prob(ConstView output, ConstView x, View log_p) const;

  // The same with host memory, for any number of rows, computed in batches. x is in the data's units.
  /// x [rows, D] -> stats [rows, 2L] = mu | logvar (clamped).
  std::vector<float> encode(const std::vector<float>& x) const;
  /// z [rows, L] -> E[x|z] [rows, D]: probabilities for a Bernoulli.
  std::vector<float> decode(const std::vector<float>& z) const;
  /// z [rows, L] -> a sample from p(x|z) [rows, D]: 0 or 1 for a Bernoulli, decode(z) plus noise of likelihood_scale()
  /// for a Gaussian. Value i uses random number i of `seed` (stream data_sample) on every backend.
  std::vector<float> sample(const std::vector<float>& z, std::uint64_t seed) const;
  /// The standard deviations of p(x|z): one value or D values; empty where there is none that all z share.
  std::vector<float> likelihood_scale() const;
  /// The number of learned scales that are at their clamp or outside.
  Index scales_at_clamp() const;

 private:
  Backend* backend_;
  VaeConfig config_;
  ParameterLayout layout_;
  Mlp encoder_, decoder_;
  std::optional<Parameter> log_scale_;  // only if the scale is learned
  Buffer params_, rounded_, fixed_log_scale_;
  Standardization standardization_;
  std::vector<float> decoder_outputs(const std::vector<float>& z) const;
  ConstView log_scale() const;
  std::vector<float> log_scales() const;
};

}  // namespace cuvae
