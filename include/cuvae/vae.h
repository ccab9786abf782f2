// The model, a chain x <- z_1 <- ... <- z_T of latent layers, most often of one. q(z_t|z_{t-1}) = N(mu, diag
// exp(logvar)) with statistics from an encoder (z_0 = x), p(x|z_1) by the likelihood, p(z_{t-1}|z_t) a Gaussian like q
// with statistics from a decoder, p(z_T) by the prior. Kingma and Welling 2013; several layers: Burda et al. 2015.
// Where the latents are Bernoulli units, the statistics of a layer are its L_t logits in place of 2L_t numbers mu |
// logvar. A conditional model is p(x, z|c) = p(x|z_1, c) p(z) with q(z_1|x, c): Kingma et al. 2014, model M2 with its
// labels known; Sohn, Lee and Yan 2015 with a prior that does not depend on c. Only the two networks next to x read c.
#pragma once
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "cuvae/backend.h"
#include "cuvae/likelihood.h"
#include "cuvae/mlp.h"
#include "cuvae/standardization.h"

namespace cuvae {

/// A latent layer z_t above the first.
struct LayerConfig {
  Index latent = 50;                       ///< the width of z_t
  std::vector<Index> encoder_hidden{100};  ///< widths from z_{t-1} to z_t; may be empty
  std::vector<Index> decoder_hidden{100};  ///< widths from z_t to z_{t-1}
  bool operator==(const LayerConfig&) const = default;
};

struct VaeConfig {
  Index data_dim = 784;                    ///< D
  Index latent = 20;                       ///< L, the width of z_1
  std::vector<Index> encoder_hidden{400};  ///< widths from x to z_1; may be empty
  std::vector<Index> decoder_hidden{400};  ///< widths from z_1 to x
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
  std::vector<LayerConfig> above{};                               ///< z_2 ... z_T
  Prior prior = Prior::standard;
  Index prior_components = 0;                     ///< C of a mixture or VampPrior; 0 for the standard normal
  LatentKind latent_kind = LatentKind::gaussian;  ///< of all layers
  /// Ladder inference over several Gaussian layers (Sonderby et al. 2016): the encoders read x and the means of the
  /// encoders below, and q(z_t|z_{t+1}, x) is the product of encoder t's Gaussian and p(z_t|z_{t+1}).
  bool ladder = false;
  /// The columns c that the encoder from x and the decoder to x read in addition to x and z_1.
  ConditionKind condition = ConditionKind::none;
  Index condition_dim = 0;  ///< C, the number of classes or columns; 0 without conditions
  /// Whether NaN in x is a missing value: log p(x|z) is then that of the observed values, and the encoder reads 0 in
  /// the place of a missing one (Mattei and Frellsen 2019).
  bool missing_values = false;
  std::optional<float> missing_value{};  ///< of the data's files, missing like NaN: see Dataset::with_missing

  /// The width of the decoder's output, n D.
  Index outputs() const { return traits(likelihood).outputs * data_dim; }
  bool is_conditional() const { return condition != ConditionKind::none; }
  bool has_bernoulli_latents() const { return latent_kind == LatentKind::bernoulli; }
  /// The number of statistics of a layer of this width.
  Index statistics(Index width) const { return has_bernoulli_latents() ? width : 2 * width; }
  /// Whether KL(q(z|x) || p(z)) is known in closed form: one layer under a standard normal. Otherwise it is estimated
  /// from the samples.
  bool has_closed_form_kl() const { return above.empty() && prior == Prior::standard && !has_bernoulli_latents(); }
  /// The layer, counted from 0, that is sampled first, with K samples for each example. All others have one for each
  /// sample row of the layer before.
  std::size_t first_sampled() const { return ladder ? above.size() : 0; }
  /// Throws Error naming the first value that is out of range.
  void validate() const;
  bool operator==(const VaeConfig&) const = default;
};

/// The parameters of a model. Allocates no memory for them.
ParameterLayout parameter_layout(const VaeConfig& config);

/// z_t, its encoder from z_{t-1} and its decoder to z_{t-1}.
struct LatentLayer {
  Index latent;  ///< L_t
  Mlp encoder, decoder;
};

/// The networks and other parameters of a model, as slices of an arena.
struct Networks {
  std::vector<LatentLayer> layers;      ///< z_1 ... z_T
  std::optional<Parameter> log_scale;   ///< of a learned scale
  std::optional<Parameter> components;  ///< [C, 2L] = mu | logvar, of a mixture
  std::optional<Parameter> logits;      ///< [1, C], of a mixture; [1, L_T], of the prior of Bernoulli units
  /// [C, I], of VampPrior, I the width of the top encoder's input: D and the condition's, or that of the layer below.
  std::optional<Parameter> pseudo_inputs;
  Networks(const VaeConfig& config, ParameterLayout& layout);
};

/// The noise of latent layer t, counted from 0, where `noise` is that of the first: streams of their own. Layers other
/// than `first_sampled` have one sample for each of the K sample rows.
Noise noise_of_layer(const Noise& noise, std::size_t t, Index samples, std::size_t first_sampled = 0);

/// What is needed of passes over these buffers in addition to the samples.
struct PassNeeds {
  bool log_densities = false;  ///< log p(z) and log q(z|x); always computed where the KL has no closed form
  bool score_norm = false;     ///< |d log q / d stats|^2
  bool model_draws = false;    ///< room for draw()
};

/// The buffers of one pass over at most `batch` rows with `samples` latent samples each. backend.h says which of them
/// have the backend's activation type.
struct VaeActivations {
  struct Layer {
    MlpActivations encoder, decoder;
    Buffer z;             // [R, L_t]
    Buffer mean, merged;  // of a ladder below the top: [B, L_t] of encoder t, [R, 2L_t] of the posterior
  };
  Index batch = 0, samples = 1;
  PassNeeds needs;
  std::vector<Layer> layers;
  // Of conditional models; written by the caller: see Vae::conditions(). Then what the networks next to x read.
  Buffer conditions, input, decoder_input;   // [B, C], [B, D + C], [R, L + C]
  Buffer kl, kl_dims;                        // [B, 1], [1, L]: only in closed form
  Buffer log_p, log_p_z, log_q, score_norm;  // [R, 1]; of all layers together; the last three as in `needs`
  MlpActivations pseudo_inputs;              // of VampPrior: the encoder's [C, 2L]
  Buffer responsibilities;                   // [R, C] of a mixture or VampPrior
  Buffer standard_stats;                     // [B, 2L_T] zeros: a standard normal's, for draw()
  Buffer prior_logits;                       // [B, L_T] of Bernoulli units, for draw(), which then takes fewer zeros
  Buffer even_rows;                          // [B] of a ladder: 0, 2, 4 ...
};

/// The buffers of the backward pass.
struct VaeGradients {
  struct Layer {
    Buffer dz, dstats;       // [R, L_t]; [R, 2L_t], of the layer that is sampled first [B, 2L_t]
    Buffer dprior;           // [R, 2L_t], by the statistics of p(z_t|z_{t+1}); none of the top layer
    Buffer dencoded, dmean;  // of a ladder below the top: [B, 2L_t] by encoder t's statistics, [B, L_t] by their mean
  };
  Buffer scratch[2];
  std::vector<Layer> layers;
  Buffer dcomponents;  // [C, 2L], of VampPrior
};

class Vae {
 public:
  /// Draws the weights with `seed` (stream initialization). Biases are 0, learned log scales log(config.scale), and so
  /// are the biases of log scales from the decoder.
  Vae(Backend& backend, const VaeConfig& config, std::uint64_t seed);

  Backend& backend() const { return *backend_; }
  const VaeConfig& config() const { return config_; }
  const ParameterLayout& layout() const { return layout_; }
  const Networks& networks() const { return networks_; }
  const std::vector<LatentLayer>& layers() const { return networks_.layers; }
  const Mlp& encoder() const { return layers().front().encoder; }  ///< from x to z_1
  const Mlp& decoder() const { return layers().front().decoder; }  ///< from z_1 to x
  /// The posterior's statistics [R, 2L_t] of layer t from the last pass; of the layer that is sampled first [B, 2L_t].
  View stats(std::size_t t, Index rows, const VaeActivations& a) const;
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

  VaeActivations allocate(Index batch, Index samples, PassNeeds needs = {}) const;
  VaeGradients allocate_gradients(Index batch, Index samples) const;

  /// Where passes over these buffers read the conditions of the first `rows` examples, [rows, C] [A]. A conditional
  /// model needs them before encode(), decode() and draw(); empty for others.
  View conditions(Index rows, const VaeActivations& a) const;
  /// What the encoder from x reads: x, or after encode() [x | conditions], with 0 in the place of missing values.
  ConstView encoder_input(ConstView x, const VaeActivations& a) const;
  /// What the decoder to x reads: z_1 [R, L], or after decode() [z_1 | conditions].
  ConstView decoder_input(Index rows, const VaeActivations& a) const;

  // The stages of a training step, asynchronous on the backend. They throw Error for more rows than the activations
  // were made for. `grads` is an arena of gradients; of a decoder or a prior that does not learn it is null.
  View encode(ConstView x, const VaeActivations& a) const;  ///< stats [B, 2L] of q(z_1|x); of a ladder, of q(z_T|x)
  /// z_1 [R, L] from its stats, then the layers above it; of a ladder z_T, then the layers below it. Also kl and
  /// kl_dims where they have a closed form, and what a.needs says: log_p_z = log p(z_1, ..., z_T) and log_q, the sum
  /// over the layers. The posterior's stats of z_1 are merged into `moments`, 1 + 4L doubles, if given.
  View sample_latents(ConstView stats, const Noise& noise, const VaeActivations& a, double* moments = nullptr) const;
  /// The same without log p(z), where it is not that of a standard normal.
  View sample_layers(ConstView stats, const Noise& noise, const VaeActivations& a, double* moments = nullptr) const;
  /// After sample_latents() of `rows` examples with this noise, in a model of several layers: log_q and log_p_z become
  /// those of layer t alone, log q(z_t|z_{t-1}) and log p(z_t|z_{t+1}), of the top layer log p(z_T).
  void layer_densities(std::size_t t, Index rows, const Noise& noise, const VaeActivations& a) const;
  View decode(ConstView z, const VaeActivations& a) const;  ///< the outputs that LogProb takes [R, n D]
  /// log p(x|z) [R, 1], and the loss if given.
  View log_prob(ConstView output, ConstView x, const VaeActivations& a, const ElboLoss& loss = {}) const;
  /// Also the gradient of the sum of row_weight[r] log_p[r], in place of `output` and in `grads`.
  View log_prob_with_gradient(View output, ConstView x, const RowFactor& row_weight, float* grads,
                              const VaeActivations& a, const ElboLoss& loss = {},
                              Gradients gradients = Gradients::replace) const;
  /// Only log p(x|z), written to log_p [R, 1].
  void log_prob(ConstView output, ConstView x, View log_p) const;

  /// The first decoder's gradients from doutput [R, n D]; with `through_samples` also dz of the first layer. These and
  /// the following take the place of what `grads` holds, or are added to it.
  void decoder_backward(ConstView doutput, float* grads, const VaeActivations& a, const VaeGradients& g,
                        bool through_samples, Gradients gradients = Gradients::replace) const;
  /// The gradient of the sum of row_weight[r] log p(z_t|z_{t+1})[r], or for the top layer log p(z_T)[r], t from 0 up:
  /// dprior, or the gradients by the prior's parameters; with `through_samples` it is added to dz. It is nothing under
  /// a standard normal: see GaussianBackward. Throws Error for Bernoulli units with `through_samples`: no gradient
  /// passes through them.
  void prior_backward(std::size_t t, Index rows, const RowFactor& row_weight, float* grads, const VaeActivations& a,
                      const VaeGradients& g, bool through_samples, Gradients gradients = Gradients::replace) const;
  /// The gradients of the decoder of layer t > 0 from dprior of the layer below, to which those by a ladder's dstats
  /// are added first; with `through_samples` also dz of layer t.
  void decoder_backward(std::size_t t, Index rows, float* grads, const VaeActivations& a, const VaeGradients& g,
                        bool through_samples, Gradients gradients = Gradients::replace) const;
  /// The gradients of the encoder of layer t from its dstats, t from the top down to 0, unless `grads` is null. Above
  /// the first layer, with `through_samples` and Gaussian latents, the gradient by its input is added to dz of layer t
  /// - 1, or in a ladder is dmean of it.
  void encoder_backward(std::size_t t, ConstView x, float* grads, const VaeActivations& a, const VaeGradients& g,
                        Gradients gradients = Gradients::replace, bool through_samples = true) const;

  /// z_1 [rows * samples, L] from the model and the layers above it, `samples` for each row, as draw() has them.
  View draw_latents(const Noise& noise, Index rows, Index samples, const VaeActivations& a) const;
  /// x [B, D] and all z of it from the model: z_T from the prior, which must be `standard`, the others and x through
  /// the decoders, x under the conditions. Seed, step and first row are those of `noise`; the streams are sleep_*.
  void draw(const Noise& noise, View x, const VaeActivations& a) const;
  /// After draw(): the gradients by all encoders of the sum of row_weight[b] log q(z_1, ..., z_T|x)[b], with z and x
  /// held fixed.
  void draws_backward(ConstView x, const RowFactor& row_weight, float* grads, const VaeActivations& a,
                      const VaeGradients& g, Gradients gradients = Gradients::replace) const;

  // The same with host memory, for any number of rows, computed in batches. x is in the data's units. A conditional
  // model needs the conditions [rows, C]; others take none.
  using HostRows = std::vector<float>;
  /// x [rows, D] -> stats [rows, 2L] = mu | logvar (clamped) of z_1; of Bernoulli units their probabilities | logits.
  /// Of a ladder, those of q(z_1|z_2, x) with all layers above at their means. NaN is 0, as in encoder_input().
  HostRows encode(const HostRows& x, const HostRows& conditions = {}) const;
  /// z [rows, L] -> E[x|z] [rows, D]: probabilities for a Bernoulli.
  HostRows decode(const HostRows& z, const HostRows& conditions = {}) const;
  /// z [rows, L] -> a sample from p(x|z) [rows, D]: 0 or 1 for a Bernoulli, decode(z) plus noise of likelihood_scale()
  /// for a Gaussian. Value i uses random number i of `seed` (stream data_sample) on every backend.
  HostRows sample(const HostRows& z, std::uint64_t seed, const HostRows& conditions = {}) const;
  /// z_1 [rows, L] from p(z_1), that is from the prior and through all decoders but the first, with all standard
  /// deviations times `temperature`, which must be 1 for Bernoulli units. Streams prior_sample, and those of
  /// noise_of_layer.
  std::vector<float> sample_prior(Index rows, std::uint64_t seed, float temperature = 1.0f) const;
  /// The standard deviations of p(x|z): one value or D values; empty where there is none that all z share.
  std::vector<float> likelihood_scale() const;
  /// The number of learned scales that are at their clamp or outside.
  Index scales_at_clamp() const;

 private:
  Backend* backend_;
  VaeConfig config_;
  ParameterLayout layout_;
  Networks networks_;
  Buffer params_, rounded_, fixed_log_scale_;
  Standardization standardization_;
  struct LikelihoodPass {
    ConstView output, x;
    RowFactor row_weight = 0.0f;
    View log_p = {}, doutput = {}, dlog_scale = {};
    ElboLoss loss = {};
    Gradients gradients = Gradients::replace;
  };
  void run(const LikelihoodPass& pass) const;
  enum class LogDensity { alone, added };  ///< of a layer: in place of what is there, or added to it
  void log_prior(Index rows, const VaeActivations& a) const;
  void top_log_prior(Index rows, const VaeActivations& a) const;
  void layer_log_prior(std::size_t t, Index rows, const VaeActivations& a, LogDensity log_p) const;
  MixtureLogProb mixture(Index rows, const VaeActivations& a) const;
  void sample_layer(std::size_t t, ConstView stats, const Noise& noise, const VaeActivations& a, double* moments,
                    LogDensity log_q) const;
  void top_prior_backward(Index rows, const RowFactor& row_weight, float* grads, const VaeActivations& a,
                          const VaeGradients& g, View dz, Gradients gradients) const;
  View encoded(std::size_t t, Index rows, const VaeActivations& a) const;
  View prior_of(std::size_t t, Index rows, const VaeActivations& a) const;
  // Of ladders, in ladder.cpp.
  View mean_of(std::size_t t, Index rows, const VaeActivations& a) const;
  View take_mean(ConstView stats, View mean, const VaeActivations& a) const;
  View encode_upwards(View stats, const VaeActivations& a) const;
  View merge(std::size_t t, Index batch, const VaeActivations& a) const;
  MergeGaussiansBackward merge_backward(std::size_t t, Index rows, const VaeActivations& a,
                                        const VaeGradients& g) const;
  View encoded_backward(std::size_t t, Index batch, const VaeActivations& a, const VaeGradients& g) const;
  View posterior_at_means(ConstView input, const VaeActivations& a) const;
  void density_backward(std::size_t t, ConstView stats, const RowFactor& row_weight, const VaeActivations& a, View dz,
                        View dstats) const;
  View prior_stats(Index rows, const VaeActivations& a) const;
  View z_of(std::size_t t, Index rows, const VaeActivations& a) const;
  std::vector<float> sample_bernoulli_prior(Index rows, std::uint64_t seed) const;
  ConstView own(const Parameter& p) const;
  View decode_examples(ConstView z, Index examples, const VaeActivations& a) const;
  HostRows joined(const char* op, const HostRows& left, Index cols, const HostRows& conditions) const;
  HostRows decoder_outputs(const HostRows& z, const HostRows& conditions) const;
  ConstView log_scale() const;
  std::vector<float> log_scales() const;
  std::pair<std::vector<float>, std::vector<double>> prior_mixture() const;
};

}  // namespace cuvae
