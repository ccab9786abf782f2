// The independent reference: every op as plain loops in double precision. It shares no code with the library, only its
// types.
#pragma once
#include <array>
#include <cstdint>
#include <utility>
#include <vector>

#include "cuvae/types.h"

namespace cuvae::reference {

using Vector = std::vector<double>;
Vector widen(const std::vector<float>& values);
/// The nearest number with 8 significant bits, the even one of two: what bf16 holds.
double round_to_bf16(double value);

// Random numbers.

/// Philox4x32-10: Salmon et al. 2011, figure 2 and table 2.
std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key);

/// A family of random numbers with its step by value.
struct NoiseKey {
  std::uint64_t seed = 0;
  Stream stream = Stream::latent;
  std::uint32_t step = 0;
  Index first_row = 0;
  bool antithetic = false;
};

std::uint32_t word(const NoiseKey& noise, std::uint64_t index);
double uniform(const NoiseKey& noise, std::uint64_t index);
double normal(const NoiseKey& noise, std::uint64_t index);
/// The largest error of a float32 Box-Muller relative to `normal`; derived at the definition.
double normal_error(const NoiseKey& noise, std::uint64_t index);

// Batches.

/// The numbers of the batch's rows; `step` < 0 stands for none, an empty `order` likewise.
std::vector<Index> batch_rows(const std::vector<std::uint32_t>& order, Index rows, Index step, Index first_row,
                              Index batch);
Vector gather_batch(const Vector& pixels, Index width, const std::vector<Index>& rows, Binarize binarize,
                    const NoiseKey& noise);

/// Rows [left | right], each row of `right` for as many rows of `left`, whose rows have `width` numbers; C is right's.
Vector join_columns(const Vector& left, Index width, const Vector& right, Index C);

// Linear layers. `inputs` and `outputs` are I and O.

double activate(Activation act, double pre);
/// The derivative at `pre`, from the pre-activation.
double activation_slope(Activation act, double pre);
/// x w^T + b.
Vector affine(const Vector& x, const Vector& w, const Vector& b, Index inputs, Index outputs);

struct LinearGradients {
  Vector dw, db, dx;
};
/// `slope` [B, I] is the derivative of the activation below.
LinearGradients linear_backward(const Vector& x, const Vector& w, const Vector& dy, const Vector& slope, Index inputs,
                                Index outputs);

/// The gradient of a loss by a value x that is clamped to [low, high], from the gradient at the clamped value. Zero if
/// descent would move x further away from the interval.
double clamp_gradient(double gradient, double x, double low, double high);

// Latents.

/// The normal of latent l of sample row `row`.
double sample_normal(const NoiseKey& noise, Index samples, Index latent, Index row, Index l);

struct Latent {
  Vector z, kl, kl_dims, log_p_z, log_q, score_norm;
};
Latent sample_latent(const Vector& stats, const NoiseKey& noise, Index samples, Index latent);
/// beta * min(1, step / warmup_steps).
double beta(const KlWeight& weight, std::uint32_t step);
Vector latent_backward(const Vector& stats, const NoiseKey& noise, const Vector& dz, const KlWeight& weight,
                       const Vector& kl_dims, double kl_scale, Index samples, Index latent);

/// The terms of each sample row (cuvae::LatentTerms), and what each term adds to dstats.
struct LatentTerms {
  Vector path, density, score;
  double entropy = 0;
  bool stick_the_landing = false, optimal_baseline = false;
};
/// sum_{j != k} costs_j scores_j^2 / sum_{j != k} scores_j^2, or 0 if all scores are 0.
double optimal_baseline(const Vector& costs, const Vector& scores, Index k);
Vector latent_terms_backward(const LatentTerms& terms, const Vector& stats, const NoiseKey& noise, const Vector& dz,
                             Index samples, Index latent);

// Likelihoods, x [B, D] and the other matrices [B * samples, D], or n D wide with n outputs a value.

/// The weight of each row's gradient, or one for all rows.
struct RowWeight {
  Vector values;
  RowWeight(double of_all) : values{of_all} {}
  RowWeight(Vector v) : values(std::move(v)) {}
  double operator[](Index row) const { return values[values.size() == 1 ? 0 : static_cast<std::size_t>(row)]; }
};
struct LogProb {
  Vector log_p, gradient, dlog_scale;
};
LogProb bernoulli_log_prob(const Vector& logits, const Vector& x, const RowWeight& row_weight, Index samples,
                           Index width);
LogProb gaussian_log_prob(const Vector& mean, const Vector& x, const Vector& log_scale, const RowWeight& row_weight,
                          Index samples, Index width);

/// log p of one value, and its derivatives by its outputs, those that are clamped at their clamp. For the likelihoods
/// whose scale is the value's own.
struct ValueLogProb {
  double log_p;
  Vector derivatives;
};
ValueLogProb value_log_prob(Likelihood likelihood, const Vector& outputs, double x);
LogProb log_prob(Likelihood likelihood, const Vector& outputs, const Vector& x, const RowWeight& row_weight,
                 Index samples, Index width, Index outputs_of_value);

// Learned priors of latents: z [R, latent], stats and components rows of mu | logvar.

struct LatentLogProb {
  Vector log_p, dz, dstats;
};
LatentLogProb latent_log_prob(const Vector& z, const Vector& stats, const RowWeight& row_weight, Index latent);

struct MixtureLogProb {
  Vector log_p, responsibilities, dz, dcomponents, dlogits;
};
/// Without logits the weights are equal.
MixtureLogProb mixture_log_prob(const Vector& z, const Vector& components, const Vector& logits,
                                const RowWeight& row_weight, Index latent);

// Ladder inference: prior [R, 2 latent], bottom_up [R / samples, 2 latent], rows of mu | logvar.

Vector merge_gaussians(const Vector& prior, const Vector& bottom_up, Index samples, Index latent);
/// The gradients, dprior without what is there before, and the sums of the magnitudes of their terms.
struct MergeGradients {
  Vector dprior, dbottom_up, size_of_prior, size_of_bottom_up;
};
/// `dmean` [R / samples, latent] may be empty.
MergeGradients merge_gaussians_backward(const Vector& prior, const Vector& bottom_up, const Vector& dmerged,
                                        const Vector& dmean, Index samples, Index latent);

// Bernoulli latents, from their logits: z is 0 or 1.

double bernoulli_log_p(double logit, double z);
/// z - sigmoid(logit), the derivative of the log-probability.
double bernoulli_score(double logit, double z);
/// The uniform of latent l of sample row `row`.
double sample_uniform(const NoiseKey& noise, Index samples, Index latent, Index row, Index l);
struct BernoulliSample {
  Vector u, probability;  // [R, latent]; z is 1 where u is at most the probability
};
BernoulliSample sample_bernoulli(const Vector& logits, const NoiseKey& noise, Index samples, Index latent);
/// dlogits [B, latent] from the factors `score` [R] of the samples z [R, latent].
Vector bernoulli_backward(const Vector& score, bool optimal, const Vector& logits, const Vector& z, Index samples,
                          Index latent);
struct BernoulliLogProb {
  Vector log_p, dlogits;
};
/// `logits` are rows [R, latent], or one for all rows of z.
BernoulliLogProb bernoulli_log_prob(const Vector& z, const Vector& logits, const RowWeight& row_weight, Index latent);

// Weights of the samples of a row, from their log-densities.

struct ImportanceWeights {
  Vector bound, weights, effective, path;
};
/// With a share of the ELBO in the bound; `path` only with one.
ImportanceWeights importance_weights(const Vector& log_w, Index samples, double elbo_share = 0);
/// k of a generalized Pareto distribution for the ceil(min(K / 5, 3 sqrt K)) largest of these K weights, as the package
/// loo fits it: Zhang and Stephens 2009, then (n k + 5) / (n + 10).
double pareto_k(Vector log_w);
/// `costs` are log w, or for another Cost fewer terms. `baseline` is the running mean, `norms` the scores' squared
/// norms.
Vector score_weights(Estimator estimator, const Vector& costs, Index samples, double baseline,
                     const Vector& norms = {});

// Probes of the measure-valued estimators and of the delta method.

struct Probes {
  Vector z, error;  // and the largest float32 error of each value, derived at the definition
};
/// `noise` is the samples'.
Probes place_probes(Estimator estimator, const Vector& stats, const NoiseKey& noise, Index samples, Index latent);
/// dstats of -mean(log p(x|z)), without the KL.
Vector probe_backward(Estimator estimator, const Vector& stats, const NoiseKey& noise, const Vector& log_p,
                      const Vector& log_p_probes, Index samples, Index latent);

struct Loss {
  double loss, reconstruction, kl;
};
Loss elbo_loss(const Vector& log_p, const Vector& kl, const Vector& kl_dims, const KlWeight& weight,
               std::uint32_t step);

// The optimizer.

double learning_rate(const LearningRate& schedule, std::uint32_t step);

struct OptimizerState {
  Vector params, m, v, ema;
  StepState counters;
  double gradient_norm = 0;  // of the last step, before clipping
};
void optimize(const OptimizerStep& step, const Vector& grads, double loss, OptimizerState& state);

/// Count, means and sums of squared deviations of the columns: [1 + 2C].
Vector moments(const Vector& x, Index cols);

}  // namespace cuvae::reference
