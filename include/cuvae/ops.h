// The ops: what a device computes, each a struct of its inputs and outputs. Backend::run() checks and runs one.
//
// Notation: B batch rows, K samples a row, R = B*K sample rows with r = b*K + k, D data width, L latent width; [A] is
// Backend::activation_type(), the type of batches, of layers' inputs and results, of the decoder's output and of their
// gradients. Everything else is f32. Values stored as bf16 are computed in float32 and rounded once, to nearest even.
// One exception: where a kernel continues a product, the product is stored between them and is rounded too.
//
// stats [B, 2L] = mu | logvar of the posterior q(z|x) = N(mu, exp(logvar)); logvar is clamped to [kLogVarMin,
// kLogVarMax]. The gradient by a clamped value outside its clamp is that at the bound; it is 0 when a step against it
// would lead further out. All log-densities and KLs are in nats.
//
// Views lie in the backend's memory and do not overlap unless an op allows it. An output that is empty is not computed.
// Every op checks its shapes and throws Error, with the op and both shapes, before anything is computed.
#pragma once
#include "cuvae/ops_bernoulli.h"
#include "cuvae/ops_data.h"
#include "cuvae/ops_ladder.h"
#include "cuvae/types.h"
#include "cuvae/view.h"

namespace cuvae {

class Backend;

/// joined = [left | right], each row of `right` in K = R/B rows, one after the other: a network's input with
/// conditions.
struct JoinColumns {
  static constexpr const char* name = "join_columns";
  ConstView left = {};   ///< [R, I] [A]
  ConstView right = {};  ///< [B, C] [A]
  View joined = {};      ///< [R, I + C] [A]
  void check(const Backend& backend) const;
};

/// y = act(x w^T + b).
struct Linear {
  static constexpr const char* name = "linear";
  ConstView x = {};  ///< [B, I] [A]
  ConstView w = {};  ///< [O, I] [A]
  ConstView b = {};  ///< [1, O], of the type of y
  Activation activation = Activation::identity;
  View pre =
      {};       ///< [B, O] of the type of y: x w^T + b. Required where needs_pre_activation(activation), else optional.
  View y = {};  ///< [B, O], [A] or f32
  void check(const Backend& backend) const;
};

/// The backward pass of a linear layer, from dy, the gradient at its pre-activation:
///   dw = dy^T x;  db = column sums of dy;
///   dx = (dy w) * act'(below), the gradient at the pre-activation of the layer below.
struct LinearBackward {
  static constexpr const char* name = "linear_backward";
  ConstView x = {};                         ///< [B, I] [A], the result of the layer below
  ConstView w = {};                         ///< [O, I] [A]
  ConstView dy = {};                        ///< [B, O] [A]
  Activation below = Activation::identity;  ///< of the layer below
  ConstView below_pre = {};                 ///< [B, I] [A], its pre-activation, where needs_pre_activation(below)
  View dw = {}, db = {};                    ///< [O, I], [1, O]; may both be empty where dx is given
  /// [B, I] [A], or where `below` is the identity f32 or [A], and of the first J <= I columns alone; may be empty.
  View dx = {};
  Gradients gradients = Gradients::replace;     ///< of dw and db
  Gradients dx_gradients = Gradients::replace;  ///< `add` only to an f32 dx
  void check(const Backend& backend) const;
};

/// z = mu + exp(logvar/2) * eps (Kingma and Welling 2013, section 2.4), eps the normal with index ((noise.first_row +
/// b) * K + k) * L + l, or with noise.antithetic for odd k minus that of k - 1. In the same pass the KL to N(0, I) in
/// closed form (their appendix B): kl_dim = (mu^2 + exp(logvar) - logvar - 1) / 2.
struct SampleGaussian {
  static constexpr const char* name = "sample_gaussian";
  ConstView stats = {};  ///< [B, 2L]
  Noise noise = {};
  View z = {};                ///< [R, L] [A]
  View kl = {};               ///< [B, 1], sums of kl_dim over l; with kl_dims, or both empty
  View kl_dims = {};          ///< [1, L], means of kl_dim over the batch
  double* moments = nullptr;  ///< [1 + 4L] or null: `stats`, not clamped, are merged into them, see Moments
  View log_p_z = {};          ///< [R, 1] = log N(z; 0, I) of z before its rounding; may be empty
  View log_q = {};            ///< [R, 1] = log q(z|x), likewise
  View score_norm = {};  ///< [R, 1] = sum_l eps^2 exp(-logvar) + (eps^2 - 1)^2 / 4 = |d log q / d stats|^2; needs log_q
  bool add = false;      ///< log_q and score_norm are added to what is there: the sums over the layers of a chain
  void check(const Backend& backend) const;
};

/// dstats, the loss's gradient by the posterior's statistics, from dz, its gradient through the decoder. Draws the same
/// eps again; sigma = exp(logvar/2), z = mu + sigma eps before rounding:
///   path = t (dz + w (z - e eps / sigma)), without z where the prior is not N(0, I)
///   dmu     =      sum_k [path - c eps / sigma] + s mu
///   dlogvar = 1/2 (sum_k [path sigma eps - (1 - e) t w - c (eps^2 - 1)] + s (sigma^2 - 1) - h),
///   s = kl_scale * beta(*step), 0 in dimensions with kl_dims below the free bits.
/// By default dmu = sum_k dz + s mu, dlogvar = 1/2 (sum_k dz sigma eps + s (sigma^2 - 1)). With terms.optimal_baseline,
/// K >= 2 and a score for each row, c_k is less the baseline sum_{j != k} c_j s_j^2 / sum_{j != k} s_j^2, s = eps in
/// dmu and eps^2 - 1 in dlogvar: the constant of least variance of that coordinate, from the row's other samples
/// (Ranganath et al. 2014). Where all their s are 0, it is their mean.
struct GaussianBackward {
  static constexpr const char* name = "gaussian_backward";
  LatentTerms terms = {};  ///< t, w, c, h, e
  ConstView stats = {};    ///< [B, 2L]
  Noise noise = {};        ///< that of SampleGaussian
  ConstView dz = {};       ///< [R, L]; may be empty where t is 0 for all rows
  KlWeight weight = {};
  ConstView kl_dims = {};  ///< [1, L], of SampleGaussian; may be empty where kl_scale is 0
  float kl_scale = 0.0f;
  View dstats = {};  ///< [B, 2L] [A]
  void check(const Backend& backend) const;
};

/// Points where log p(x|z) is evaluated in addition to the samples, rows of an example together.
///   pairs: four for each sample and latent l, the sample as it was drawn with its coordinate l replaced by mu + sigma
///   {W, -W', m, v}: W and W' Rayleigh(1), m a random sign times the norm of three normals, v normal. In coupled pairs
///   W' = W and v = m U (Mohamed et al. 2020, section 6). The numbers are words 8 i to 8 i + 7 of the stream
///   `estimator`, i the index of the sample's normal: for W, W', U and the sign (positive from 1/2 on), then four
///   normals.
///   differences: mu, then for each latent l mu + sigma_l e_l and mu - sigma_l e_l.
/// As bf16 a point is off by up to 2^-9 of itself: use float32 where a sigma is not well above that.
struct PlaceProbes {
  static constexpr const char* name = "place_probes";
  ProbeKind kind = ProbeKind::coupled_pairs;
  ConstView stats = {};  ///< [B, 2L]
  Noise noise = {};      ///< that of SampleGaussian, without antithetic pairs
  View probes = {};      ///< [B * n, L] [A], n = probes_of_example(kind, K, L)
  void check(const Backend& backend) const;
};

/// dstats of the loss -mean(log p(x|z)) + KL, from log p(x|z) at the probes (f with a subscript) and, for differences,
/// at the samples (f):
///   dmu     =     -(1/R) sum_k shift / sigma + s mu
///   dlogvar = 1/2 (-(1/R) sum_k scale + s (sigma^2 - 1)), s as in GaussianBackward;
///   pairs: shift = (f_1 - f_2) / sqrt(2 pi), scale = f_3 - f_4;
///   differences: shift = (f - h) eps + a, scale = (f - h) (eps^2 - 1) + c, h = f_0 + sum_l a eps + c eps^2 / 2,
///   a = (f_+ - f_-) / 2, c = f_+ - 2 f_0 + f_-.
/// The quadratic h interpolates values a standard deviation apart: its expectation is known for any coefficients, so
/// that the estimate is unbiased, and it fits over the width of the posterior.
struct ProbeBackward {
  static constexpr const char* name = "probe_backward";
  ProbeKind kind = ProbeKind::coupled_pairs;
  ConstView stats = {};  ///< [B, 2L]
  Noise noise = {};
  ConstView log_p = {};         ///< [R, 1], at the samples: differences only
  ConstView log_p_probes = {};  ///< [B * n, 1]
  KlWeight weight = {};
  ConstView kl_dims = {};  ///< [1, L]
  float kl_scale = 0.0f;
  View dstats = {};  ///< [B, 2L] [A]
  void check(const Backend& backend) const;
};

/// log_p = sum_d log p(x_d | the decoder's outputs for d), for a likelihood whose formula takes the values one by one
/// (src/math/likelihoods.h; n outputs a value). NaN where an x is outside [0, 1] and the likelihood has none there. In
/// the same pass doutputs, the gradient of the sum of row_weight[r] log_p[r], a loss that descent makes smaller, and
/// the step's loss. Throws Error for a Gaussian whose scale all rows share: see GaussianLogProb.
struct LogProb {
  static constexpr const char* name = "log_prob";
  Likelihood likelihood = Likelihood::bernoulli;
  ConstView outputs = {};       ///< [R, n D] [A]: first all D of output 0, then all D of output 1
  ConstView x = {};             ///< [B, D] [A]
  RowFactor row_weight = 0.0f;  ///< of a row in the gradient
  View log_p = {};              ///< [R, 1]
  View doutputs = {};           ///< [R, n D] [A], may be the outputs themselves, or empty
  ElboLoss loss = {};           ///< none where loss.loss is null
  bool missing = false;         ///< a NaN in x is a missing value: it adds nothing to log_p, its gradients are 0
  void check(const Backend& backend) const;
};

/// log_p = -sum_d ((x - mean)/s)^2/2 + log s + log(2 pi)/2, s = exp(log_scale). An op of its own, because all rows
/// share the scale, whose gradient is a sum over them. In the same pass gradients of the sum of row_weight[r] log_p[r],
/// a loss that descent makes smaller, and the step's loss.
struct GaussianLogProb {
  static constexpr const char* name = "gaussian_log_prob";
  ConstView mean = {};                       ///< [R, D] [A]
  ConstView x = {};                          ///< [B, D] [A]
  ConstView log_scale = {};                  ///< [1, 1] or [1, D]
  RowFactor row_weight = 0.0f;               ///< of a row in the gradients
  View log_p = {};                           ///< [R, 1]
  View dmean = {};                           ///< [R, D] [A], may be the mean itself, or empty
  View dlog_scale = {};                      ///< shaped as log_scale, of a learned one; may be empty
  ElboLoss loss = {};                        ///< none where loss.loss is null
  bool learned = true;                       ///< clamps log_scale to [kLogScaleMin, kLogScaleMax]
  Gradients gradients = Gradients::replace;  ///< of dlog_scale
  bool missing = false;                      ///< as in LogProb
  void check(const Backend& backend) const;
};

/// x ~ p(x | the decoder's outputs), by the formula of the likelihood. Value d of row r draws with random number
/// (noise.first_row + r) * D + d: a uniform, or for a Gaussian a normal.
struct DrawData {
  static constexpr const char* name = "draw_data";
  Likelihood likelihood = Likelihood::bernoulli;
  ConstView outputs = {};    ///< [R, n D] [A], as LogProb takes them; the mean of a Gaussian whose scale rows share
  ConstView log_scale = {};  ///< [1, 1] or [1, D] of a Gaussian whose scale all rows share, else empty
  bool learned = true;       ///< clamps log_scale to [kLogScaleMin, kLogScaleMax]
  Noise noise = {};
  View x = {};  ///< [R, D] [A]
  void check(const Backend& backend) const;
};

/// log_p = log N(z; mu, exp(logvar)) = -1/2 sum_l logvar + (z - mu)^2 exp(-logvar) + log(2 pi), whose mu and logvar are
/// outputs of a network: a layer of a hierarchical prior. In the same pass gradients of the sum of row_weight[r]
/// log_p[r], a loss that descent makes smaller. At least one output is given.
struct LatentLogProb {
  static constexpr const char* name = "latent_log_prob";
  ConstView z = {};             ///< [R, L] [A]
  ConstView stats = {};         ///< [R, 2L], mu | logvar, which is clamped as a posterior's
  RowFactor row_weight = 0.0f;  ///< of a row in the gradients
  View log_p = {};              ///< [R, 1]; may be empty
  bool add = false;             ///< log_p is added to what is there
  View dz = {};                 ///< [R, L], added to what is there; may be empty
  View dstats = {};             ///< [R, 2L] [A], replaced; may be empty
  void check(const Backend& backend) const;
};

/// log_p = log sum_c softmax(logits)_c N(z; mu_c, exp(logvar_c)): a mixture of Gaussians, or with equal weights and
/// components from the encoder a VampPrior (Tomczak and Welling 2018). In the same pass gradients of the sum of
/// row_weight[r] log_p[r], a loss that descent makes smaller. The largest term is taken out, so that a z far from all
/// components has a finite log_p; it is NaN only where every term overflows float32.
struct MixtureLogProb {
  static constexpr const char* name = "mixture_log_prob";
  ConstView z = {};                          ///< [R, L] [A]
  ConstView components = {};                 ///< [C, 2L], mu | logvar, which is clamped as a posterior's
  ConstView logits = {};                     ///< [1, C], or empty: equal weights
  RowFactor row_weight = 0.0f;               ///< of a row in the gradients
  View log_p = {};                           ///< [R, 1]; may be empty where a gradient is asked for
  bool add = false;                          ///< log_p is added to what is there
  View responsibilities = {};                ///< [R, C] = p(c|z); required with a gradient, else may be empty
  View dz = {};                              ///< [R, L], added to what is there; may be empty
  View dcomponents = {};                     ///< [C, 2L], f32, or [A] where it is replaced; may be empty
  View dlogits = {};                         ///< [1, C]; may be empty
  Gradients gradients = Gradients::replace;  ///< of dcomponents and dlogits
  void check(const Backend& backend) const;
};

/// The importance-weighted bound over the K = R/G samples of each of G groups, log w = log p(x|z) + log p(z) - log
/// q(z|x), u = w / sum_k w. A group is all samples of an example or a part of them. The largest w is taken out, so that
/// nothing overflows. In the same pass the step's loss: -mean(bound), in place of the ELBO's. With an elbo_share s, the
/// bound is s mean_k log w + (1 - s) log mean_k w, and the weights are its derivatives by log w (CIWAE, Rainforth et
/// al. 2018).
struct ImportanceWeights {
  static constexpr const char* name = "importance_weights";
  ConstView log_p_x = {}, log_p_z = {}, log_q = {};  ///< [R, 1]
  View bound = {};                                   ///< [G, 1] = log mean_k w (Burda et al. 2015, section 3)
  View weights = {};                                 ///< [R, 1] = u, or with a share s / K + (1 - s) u
  View effective = {};      ///< [G, 1], the effective sample size 1 / sum_k u^2, from 1 to K (Kong 1992); may be empty
  ElboLoss loss = {};       ///< none where loss.loss is null; the rows of its kl may be fewer than G, and divide G
  float elbo_share = 0.0f;  ///< s, in [0, 1]
  View path = {};  ///< [R, 1] = (s / K + (1 - s) u^2) / weights, the path factor of dreg; needs s > 0; may be empty
  void check(const Backend& backend) const;
};

/// The factor of each sample's score (c times R, or B for the bounds, see GaussianBackward), f being the cost of a
/// sample, log_p_x + log_p_z - log_q, or what of it is given:
///   none f;  running_mean f - mean, which then takes this batch in;  leave_one_out f_k - mean_{j != k} f_j;
///   first_sample f_k - f_0 of the row, for GaussianBackward with optimal_baseline;
///   score_norm f_k - sum_{j != k} f_j n_j / sum_{j != k} n_j, n = score_norm, or as leave_one_out where all n are 0;
///   network l = f - network of the row - mean;  network_scaled l / max(1, sqrt(variance));
///   geometric, arithmetic: L - L_k - weights_k, L the importance-weighted bound and L_k the bound with the mean of the
///   others' w, of either kind, in place of sample k's (VIMCO).
/// After network and network_scaled the running mean and variance take in those of f - network over this batch. A batch
/// whose mean cost is not finite leaves the running means as they were. Throws Error for fewer samples than the
/// baseline needs: 2 where it depends on the row's other samples.
struct ScoreWeights {
  static constexpr const char* name = "score_weights";
  ScoreBaseline baseline = ScoreBaseline::none;
  ConstView log_p_x = {};           ///< [R, 1]
  ConstView log_p_z = {};           ///< [R, 1], or empty: f is the likelihood's alone
  ConstView log_q = {};             ///< [R, 1], or empty: f is without it
  Index samples = 1;                ///< K
  View score = {};                  ///< [R, 1]
  RunningMean* mean = nullptr;      ///< running_mean, network, network_scaled
  ConstView score_norm = {};        ///< [R, 1] score_norm: of SampleGaussian
  RunningMean* variance = nullptr;  ///< network, network_scaled
  ConstView network = {};           ///< [B, 1], network and network_scaled
  bool update_running = true;       ///< whether the running means take this batch in
  View dnetwork = {};  ///< [B, 1] [A] = -2/R sum_k l_k, the gradient of mean(l^2) by the network; may be empty
  void check(const Backend& backend) const;
};

/// Adam, AdamW or SGD over the whole arena, learning rate and bias correction from `state`. Changes no parameter when
/// loss[0] or the square of the gradients' global norm is not a finite float32. Then advances `state`, and adds the
/// norm to `sums` on an update. After step.max_skipped such steps in a row it does nothing and counts no step.
struct Adam {
  static constexpr const char* name = "adam";
  Arena arena = {};
  OptimizerStep step = {};
  const float* loss = nullptr;  ///< [1]
  StepState* state = nullptr;
  double* sums = nullptr;  ///< see metric::Slot
  void check(const Backend& backend) const;
};

/// to = from rounded: a copy of parameters for products. Only where activation_type() is bf16.
struct RoundToBf16 {
  static constexpr const char* name = "round_to_bf16";
  ConstView from = {};
  View to = {};  ///< bf16, shaped as `from`
  void check(const Backend& backend) const;
};

/// Merges the rows of x into acc: count, means, sums of squared deviations (Chan et al. 1983).
struct Moments {
  static constexpr const char* name = "moments";
  ConstView x = {};       ///< [N, C]
  double* acc = nullptr;  ///< [1 + 2C]
  void check(const Backend& backend) const;
};

/// Counts a step of several ranks in the metrics, after all of its parts were averaged. When *loss is finite, `of_step`
/// (see metric::Slot) is added to `sums`, and `step_moments` are merged into `moments`, as a likelihood does it with
/// ElboLoss. In either case of_step and step_moments are then emptied.
struct CountStep {
  static constexpr const char* name = "count_step";
  const float* loss = nullptr;                         ///< [1]
  Index latent = 0;                                    ///< L
  double *of_step = nullptr, *sums = nullptr;          ///< [kl_dims + L]
  double *step_moments = nullptr, *moments = nullptr;  ///< [1 + 4L]
  void check(const Backend& backend) const;
};

/// A private virtual function for each op of a list.
template <class Op>
class Runs {
 protected:
  virtual ~Runs() = default;
  virtual void do_run(const Op& op) = 0;
};
template <class... Op>
class RunsAll : protected Runs<Op>... {
 protected:
  using Runs<Op>::do_run...;
};
/// All ops. A backend that lacks one does not compile.
template <template <class...> class List>
using WithAllOps = List<GatherBatch, FillMissing, JoinColumns, Linear, LinearBackward, SampleGaussian, GaussianBackward,
                        PlaceProbes, ProbeBackward, SampleBernoulli, BernoulliBackward, LogProb, GaussianLogProb,
                        DrawData, LatentLogProb, MixtureLogProb, BernoulliLogProb, MergeGaussians,
                        MergeGaussiansBackward, ImportanceWeights, ScoreWeights, Adam, RoundToBf16, Moments, CountStep>;

}  // namespace cuvae
