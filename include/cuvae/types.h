// The closed sets of choices, and the small structs that ops take instead of long argument lists.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "cuvae/view.h"

namespace cuvae {

/// How products multiply, and what lies in memory; sums are float32 or wider.
enum class Precision : std::uint8_t {
  fp32,
  tf32,  ///< inputs of products rounded to 10 fraction bits where the device is faster so; fp32 elsewhere
  bf16,  ///< activations, their gradients and a copy of the weights as bf16; parameters and optimizer stay float32
};

enum class Binarize : std::uint8_t {
  none,        ///< pixels as they are
  threshold,   ///< 1 where the pixel is at least 0.5
  stochastic,  ///< 1 with probability equal to the pixel, drawn anew each step ("dynamic binarization")
};

/// leaky_relu: max(x, kLeak x), Maas et al. 2013.
enum class Activation : std::uint8_t { identity, relu, tanh, softplus, silu, gelu, elu, leaky_relu };
inline constexpr float kLeak = 0.01f;

/// Whether the derivative needs the value before the activation (it cannot be had from the result).
constexpr bool needs_pre_activation(Activation a) { return a == Activation::silu || a == Activation::gelu; }

enum class Likelihood : std::uint8_t {
  bernoulli,                 ///< logits per dimension
  gaussian,                  ///< mean per dimension, one fixed standard deviation
  gaussian_learned,          ///< mean per dimension, one learned log standard deviation
  gaussian_learned_per_dim,  ///< mean per dimension, a learned log standard deviation per dimension
  continuous_bernoulli,      ///< logits per dimension; a density on [0, 1]: Loaiza-Ganem and Cunningham 2019
  gaussian_scale,            ///< mean and log standard deviation per dimension, both from the decoder
  beta_binomial,  ///< logs of alpha and beta per dimension; over 0/255, 1/255 ... 1: Townsend, Bird and Barber 2019
};

/// What the units of all latent layers are.
enum class LatentKind : std::uint8_t {
  gaussian,   ///< mu and log variance from a network
  bernoulli,  ///< 0 or 1, logits from a network: with one to three layers, a sigmoid belief network (Neal 1992)
};

/// What the networks next to x read in addition to x and z_1, see VaeConfig::condition: nothing, one of C classes as C
/// columns of 0 and one 1, or C numbers.
enum class ConditionKind : std::uint8_t { none, labels, columns };

/// The prior p(z) of the top latent layer.
enum class Prior : std::uint8_t {
  standard,   ///< N(0, I); of Bernoulli units, Bernoulli with learned logits
  mixture,    ///< C Gaussians with learned weights, means and variances
  vampprior,  ///< the mean of the posteriors of C learned pseudo-inputs: Tomczak and Welling 2018
};

enum class Initialization : std::uint8_t {
  glorot,  ///< uniform on +-sqrt(6 / (in + out)), Glorot and Bengio 2010, eq. 16
  he,      ///< uniform on +-sqrt(6 / in), He et al. 2015, eq. 10 as a uniform
};

/// How the encoder's gradient is estimated. All but stl_iwae and, in its scale, nvil_scaled are unbiased: of the ELBO,
/// then, from iwae on, of the bound log-mean-exp over K samples (Burda et al. 2015), which the decoder follows too.
/// With rws_dreg and wake_phi the encoder follows another objective, that of reweighted wake-sleep. See
/// cuvae/estimator.h.
enum class Estimator : std::uint8_t {
  pathwise,        ///< reparameterized samples, KL in closed form: Kingma and Welling 2013, eq. 10 (SGVB-B)
  total,           ///< reparameterized samples, gradient of the KL by the samples: Kingma and Welling 2013 (SGVB-A);
                   ///< as with every estimator of the ELBO, the loss shown has the KL in closed form
  stl,             ///< the same without the score of log q, "sticking the landing": Roeder et al. 2017
  score,           ///< score function (REINFORCE): Williams 1992
  score_mean,      ///< less a running mean of its cost over the batches before: Mnih and Gregor 2014
  rloo,            ///< less the mean cost of the row's other samples, K >= 2: Kool et al. 2019
  optimal,         ///< less the constant of least variance of each coordinate, from the row's other samples, K >= 2:
                   ///< Ranganath et al. 2014; Mohamed et al. 2020, section 7.4.1
  optimal_shared,  ///< less one such constant for all coordinates of a row, K >= 2
  nvil,            ///< less a network of x and a running mean: Mnih and Gregor 2014
  nvil_scaled,     ///< the same over the running standard deviation, where that is above 1; scales the gradient
  delta,           ///< less a quadratic around the posterior's mean, its expectation added: the delta method of Mohamed
                   ///< et al. 2020, 7.4.2, with differences a standard deviation wide for derivatives, weight 1
  measure_valued,  ///< differences of log p(x|z) at coupled pairs of points: Mohamed et al. 2020, section 6
  measure_valued_independent,  ///< the same at independent points
  iwae,                        ///< reparameterized gradient of the bound: Burda et al. 2015
  stl_iwae,          ///< the same without the score of log q, Roeder et al. 2017; biased for K > 1, Tucker et al. 2018
  dreg,              ///< doubly reparameterized: Tucker et al. 2018
  rws_dreg,          ///< doubly reparameterized wake-phase update of reweighted wake-sleep, K >= 2: Tucker et al. 2018
  vimco,             ///< score function, the other samples' geometric mean as baseline, K >= 2: Mnih and Rezende 2016
  vimco_arithmetic,  ///< with their arithmetic mean, K >= 2: Mnih and Rezende 2016
  wake_phi,  ///< wake-phase update of reweighted wake-sleep: sum_k w_k grad log q(z_k|x), w normalized, z held fixed;
             ///< its bias falls as 1/K: Bornschein and Bengio 2015
};

/// What training optimizes, as a list of phases (src/train/phases.h). log w_k = log p(x, z_k) - log q(z_k|x).
enum class Objective : std::uint8_t {
  variational,  ///< what the estimator belongs to: the ELBO, IWAE, or reweighted wake-sleep without a sleep phase
  elbo,         ///< the mean of log w: Kingma and Welling 2013
  iwae,         ///< log (1/K) sum_k w_k: Burda et al. 2015
  miwae,        ///< the mean of M such bounds, of K samples each: Rainforth et al. 2018
  ciwae,        ///< s ELBO + (1 - s) IWAE, both from the same K samples: Rainforth et al. 2018
  piwae,        ///< generative network: IWAE over all M K samples; inference network: MIWAE: Rainforth et al. 2018
  wake_sleep,  ///< wake: the generative network, by the ELBO at z ~ q(z|x); sleep: the inference network, by log q(z|x)
               ///< of z and x that are drawn from the model. Hinton, Dayan, Frey and Neal 1995
  rws,         ///< reweighted wake-sleep. Generative network: IWAE; inference network: (1 - s) sum_k w_k log q(z_k|x) +
               ///< s log q(z|x) of the model's own draws. Bornschein and Bengio 2015
};

/// What the score function of the ELBO weighs a sample by. All are unbiased, their variances differ.
enum class Cost : std::uint8_t {
  elbo,        ///< log p(x|z) + log p(z) - log q(z|x), log q frozen
  joint,       ///< log p(x|z) + log p(z); the entropy of q is added in closed form
  likelihood,  ///< log p(x|z); the KL is added in closed form
};

/// The score function's baseline: sum / weight, the mean of all batches' means with weights decaying by kBaselineDecay,
/// also what nvil subtracts in addition to its network (Mnih and Gregor 2014; the decay is our choice). Zero before
/// the first batch. Lies in the backend's memory.
struct RunningMean {
  double sum = 0.0, weight = 0.0;
};
inline constexpr double kBaselineDecay = 0.9;

/// Whether the gradients of parameters take the place of what their arrays hold, or are added to it: that of a batch in
/// parts, of a network that is used twice, of several objectives.
enum class Gradients : std::uint8_t { replace, add };

/// Whether a gradient updates the running means of its baseline.
enum class RunningMeans : std::uint8_t { update, keep };

/// What is taken off a sample's cost before it weighs the sample's score: see ScoreWeights.
enum class ScoreBaseline : std::uint8_t {
  none,
  running_mean,    ///< of the batches before
  leave_one_out,   ///< the mean of the row's other samples
  first_sample,    ///< the row's first cost
  score_norm,      ///< the other samples' mean, weighted by the squared norm of their scores
  network,         ///< a network of x and a running mean
  network_scaled,  ///< the same, over the running standard deviation where that is above 1
  geometric,       ///< of the bound over the samples: without the sample, the others' geometric mean in its place
  arithmetic,      ///< the same with their arithmetic mean
};
/// Whether the baseline is of an importance-weighted bound.
constexpr bool is_of_bound(ScoreBaseline b) { return b == ScoreBaseline::geometric || b == ScoreBaseline::arithmetic; }
constexpr bool has_running_mean(ScoreBaseline b) {
  return b == ScoreBaseline::running_mean || b == ScoreBaseline::network || b == ScoreBaseline::network_scaled;
}
constexpr bool has_network(ScoreBaseline b) {
  return b == ScoreBaseline::network || b == ScoreBaseline::network_scaled;
}
/// The fewest samples K that it is defined for.
constexpr Index least_samples(ScoreBaseline b) { return b == ScoreBaseline::none || has_running_mean(b) ? 1 : 2; }

/// Points other than the samples where log p(x|z) is evaluated: see PlaceProbes.
enum class ProbeKind : std::uint8_t { coupled_pairs, independent_pairs, differences };

/// The points of each example: for differences the posterior's mean and two for each latent, else four for each latent
/// of each sample.
constexpr Index probes_of_example(ProbeKind kind, Index samples, Index latent) {
  return kind == ProbeKind::differences ? 2 * latent + 1 : samples * 4 * latent;
}

enum class Optimizer : std::uint8_t {
  adam,       ///< Kingma and Ba 2015, algorithm 1; weight decay is L2 added to the gradient
  adamw,      ///< Loshchilov and Hutter 2019, algorithm 2: decoupled weight decay
  sgd,        ///< momentum in beta1 (m = beta1 m + g, p -= lr m); weight decay is L2 added to the gradient
  adam_iwae,  ///< Adam as in the reference code of Burda et al. 2015 (github.com/yburda/iwae): p -= lr m_hat
              ///< sqrt(1 - beta2^t) / (sqrt(v) + epsilon), v not corrected. A trainer starts v at one: see TrainConfig
};

/// The clamp of a posterior log variance. Outside it the value is held at the bound; the loss's gradient there reaches
/// the log variance where a step against it leads back inside, and is zero where it leads further out.
inline constexpr float kLogVarMin = -15.0f, kLogVarMax = 15.0f;
/// The clamp of a learned log standard deviation of a Gaussian likelihood, likewise.
inline constexpr float kLogScaleMin = -7.0f, kLogScaleMax = 7.0f;
/// The clamp of the logs of alpha and beta of a beta-binomial likelihood, likewise: 9e-4 to 22026.
inline constexpr float kLogConcentrationMin = -7.0f, kLogConcentrationMax = 10.0f;
/// What a fixed standard deviation may be: its square and the inverse of that are float32.
inline constexpr float kScaleMin = 1e-18f, kScaleMax = 1e18f;

/// Independent uses of the random numbers. New ones are appended, never renumbered.
enum class Stream : std::uint32_t {
  initialization = 0,
  shuffle = 1,
  binarize = 2,
  latent = 3,
  prior_sample = 4,
  data_sample = 5,
  estimator = 6,
  split = 7,
  sleep_latent = 8,          ///< z of the top layer, of the model's own draws in the sleep phase
  sleep_data = 9,            ///< x of these draws
  refine = 15,               ///< z of posteriors that are refined for single examples
  ais_momentum = 16,         ///< of annealed importance sampling, step t: the momenta before the transition at t
  ais_accept = 17,           ///< the uniforms that accept or refuse its proposals
  resampling = 20,           ///< which latent sample a completed copy of an example has: see impute()
  sleep_latent_below = 128,  ///< z of the first layer in these draws; 129 of the second, and so on
  latent_2 = 256,            ///< of the second latent layer; 257 of the third, and so on
};

/// Names a family of random numbers: number i is philox(seed, stream, *step, i). `step` lies in the backend's memory,
/// so that a replayed CUDA graph draws fresh numbers. `first_row` is the place of row 0 in the global batch. Antithetic
/// samples come in pairs: an odd one takes minus the normals of the one before it.
struct Noise {
  std::uint64_t seed = 0;
  Stream stream = Stream::latent;
  const std::uint32_t* step = nullptr;
  Index first_row = 0;
  bool antithetic = false;  ///< of latents, K even
};

/// Counters of a training run, resident in the backend's memory; `adam` advances them.
struct StepState {
  std::uint32_t step = 0;              ///< steps taken, skipped ones included: selects batch, noise and schedules
  std::uint32_t updates = 0;           ///< steps that changed the parameters: Adam's t
  std::uint32_t skipped = 0;           ///< steps whose loss or gradient norm was not finite
  std::uint32_t skipped_in_a_row = 0;  ///< since the last update
};

/// Which rows of the data make the B rows of a batch, or of a rank's part of it: rows first + [0, B), first =
/// (*step % (rows / batch)) * batch + first_row, through `order` when it is given. With step == nullptr, first is
/// `first_row`.
struct BatchRows {
  const std::uint32_t* order = nullptr;  ///< [rows] row numbers of this epoch, in the backend's memory
  Index rows = 0;                        ///< rows in one epoch
  const std::uint32_t* step = nullptr;
  Index first_row = 0;
  Index batch = 0;  ///< rows of the whole batch; 0: B
};

/// beta * min(1, *step / warmup_steps) times the KL, with free bits: a latent dimension whose KL, averaged over the
/// batch, is below `free_bits` nats counts as `free_bits` and has no KL gradient (Kingma et al. 2016, eq. 15).
struct KlWeight {
  float beta = 1.0f;
  std::uint32_t warmup_steps = 0;
  float free_bits = 0.0f;
};

/// A number for each sample row r: offset + scale * rows[r], or the offset alone where there are no rows. Where a step
/// is given, times beta(*step): the factor of a term of the KL.
struct RowFactor {
  constexpr RowFactor(float constant) : offset(constant) {}  // NOLINT: one number for all rows is the common case
  constexpr RowFactor(float s, ConstView r, float o = 0.0f) : offset(o), scale(s), rows(r) {}
  constexpr bool is(float constant) const { return !rows && step == nullptr && offset == constant; }  ///< for all rows
  /// This factor times beta(*at).
  constexpr RowFactor times(const KlWeight& weight, const std::uint32_t* at) const {
    RowFactor f = *this;
    if (!is(0) && (weight.beta != 1 || weight.warmup_steps > 0)) f.kl = weight, f.step = at;
    return f;
  }
  float offset, scale = 0.0f;
  ConstView rows;                       ///< [R, 1], in the backend's memory
  KlWeight kl = {};                     ///< beta; its free bits are ignored
  const std::uint32_t* step = nullptr;  ///< in the backend's memory; may be null
};

/// What GaussianBackward sums over the samples of a row; see there for the letters. The default is the pathwise
/// gradient with the KL in closed form.
struct LatentTerms {
  RowFactor path = 1.0f;           ///< t, of what reaches the encoder through z
  RowFactor density = 0.0f;        ///< w, of log p(z) - log q(z|x) in the loss
  RowFactor score = 0.0f;          ///< c, of the score of q
  float entropy = 0.0f;            ///< h, of the posterior's entropy in closed form
  bool stick_the_landing = false;  ///< the path alone, without the gradient by the parameters of log q: e = 1
  bool optimal_baseline = false;   ///< c less a constant for each of stats' coordinates, from the row's other samples
  bool standard_prior = true;      ///< p(z) = N(0, I); the gradient of any other prior by z is part of dz
  constexpr bool pathwise() const { return path.is(1) && density.is(0) && score.is(0) && entropy == 0; }
};

/// The loss of a step, for a likelihood to compute with its log p: -mean(log_p) + beta(*step) * KL, where the KL is
/// mean(kl), or sum_l max(free_bits, kl_dims) with free bits. Without kl it is mean(log_q - log_p_z), the KL estimated
/// from the samples; kl_dims are then empty. When the loss is finite, it, mean(log_p), mean(kl) and
/// kl_dims are added to `sums` (doubles, see metric::Slot), and `step_moments`, both given or neither, are merged into
/// `moments` [1 + 4L] (of stats, see Moments; L is latent). In either case step_moments are then emptied.
struct ElboLoss {
  ConstView kl = {}, kl_dims = {};  ///< [B, 1], [1, L]
  KlWeight weight = {};
  const std::uint32_t* step = nullptr;
  float* loss = nullptr;  ///< [1]
  double* sums = nullptr;
  double *step_moments = nullptr, *moments = nullptr;
  ConstView log_p_z = {}, log_q = {};  ///< [R, 1], in place of kl and kl_dims
  Index latent = 0;                    ///< L of the moments; 0: that of kl_dims
  constexpr bool given() const {
    return kl || kl_dims || log_p_z || log_q || step || loss || sums || step_moments || moments;
  }
  constexpr Index moment_columns() const { return 2 * (latent > 0 ? latent : kl_dims.cols); }
};

/// A learning-rate schedule as plain data, evaluated on the device from the step counter.
struct LearningRate {
  enum class Kind : std::uint32_t {
    constant,
    cosine,  ///< linear warm-up over warmup_steps, then half a cosine down to final_rate at total_steps
    step,    ///< rate * decay^(floor(step / every_steps))
    pieces,  ///< rate_i until step end_i: Burda et al. 2015, section 5, "3^i passes at 0.001 * 10^(-i/7)"
  };
  static constexpr int kMaxPieces = 16;
  Kind kind = Kind::constant;
  float rate = 1e-3f, final_rate = 0.0f, decay = 1.0f;
  std::uint32_t warmup_steps = 0, total_steps = 0, every_steps = 0, pieces = 0;
  std::uint32_t piece_end[kMaxPieces] = {};  // plain arrays: device code reads them
  float piece_rate[kMaxPieces] = {};
};

/// One optimizer step.
struct OptimizerStep {
  Optimizer kind = Optimizer::adam;
  LearningRate learning_rate;
  float beta1 = 0.9f, beta2 = 0.999f, epsilon = 1e-8f;
  float weight_decay = 0.0f;
  float clip_norm = 0.0f;         ///< gradients are scaled down to this global norm; 0: no clipping
  float clip_value = 0.0f;        ///< then each is clamped to [-clip_value, clip_value]; 0: no clamping
  float ema_decay = 0.0f;         ///< ema = d ema + (1 - d) params; 0: none
  std::uint32_t max_skipped = 0;  ///< steps in a row that are not finite after which a step does nothing; 0: never
};

/// Parameters, gradients, the two moments, and optionally averaged weights: flat arrays of the same layout and size.
struct Arena {
  float *params = nullptr, *grads = nullptr, *m = nullptr, *v = nullptr, *ema = nullptr;
  Index size = 0;
  void* rounded = nullptr;  ///< the parameters as bf16, where the backend's activations are; written with them
};

/// The sums over steps that live in the backend's memory as doubles until they are read: [kl_dims + L].
namespace metric {
enum Slot : int { steps, loss, reconstruction, kl, updates, gradient_norm, kl_dims };
}

// Names as the command line and files spell them; the parsing forms throw Error naming what is allowed.
std::string_view to_string(Precision);
std::string_view to_string(Binarize);
std::string_view to_string(Activation);
std::string_view to_string(Likelihood);
std::string_view to_string(LatentKind);
std::string_view to_string(ConditionKind);
std::string_view to_string(Prior);
std::string_view to_string(Initialization);
std::string_view to_string(Estimator);
std::string_view to_string(Objective);
std::string_view to_string(Cost);
std::string_view to_string(Optimizer);
std::string_view to_string(LearningRate::Kind);
template <class Enum>
Enum parse(std::string_view name);
std::vector<Estimator> all_estimators();  ///< in their order

}  // namespace cuvae
