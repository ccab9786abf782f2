// The estimator of the encoder's gradient: the buffers and ops between log p(x|z) of the samples and dstats.
#pragma once
#include <memory>

#include "cuvae/estimator.h"
#include "cuvae/group.h"
#include "train/input_baseline.h"

namespace cuvae {

/// The log-densities of R sample rows, [R, 1] each. score_norm is that of SampleGaussian.
struct Densities {
  ConstView log_p_x, log_p_z, log_q, score_norm;
};

/// The R sample rows in groups with an ELBO or a bound each: of a whole example, or of a part of its samples.
struct SampleGroups {
  Index count, samples;  ///< R = count * samples
  Index rows() const { return count * samples; }
};

/// What the gradient of a layer's posterior needs in addition to the samples. Above the first layer stats and dstats
/// have R rows.
struct PosteriorGradient {
  ConstView stats;  ///< [B, 2L]
  Noise noise;      ///< that of the samples
  KlWeight weight;
  ConstView kl_dims;  ///< [1, L], or empty
  View dstats;        ///< [B, 2L] [A]
  SampleGroups groups;
  bool standard_prior = true;  ///< of this layer: see LatentTerms
  ConstView z = {};            ///< [R, L] [A] of Bernoulli units, whose stats and dstats are logits; else empty
  float share = 1.0f;          ///< the gradient is that of `share` times the loss, for estimators of rws
  /// dstats are for the samples of the layer below: they have the score of q and no path factor, which is that layer's.
  bool for_layer_below = false;
};

class EncoderGradient {
 public:
  /// Takes memory for `batch` rows of `samples` samples each. `data_dim` and `seed` are those of a baseline's network.
  /// With an `elbo_share` above 0 the bound is that of CIWAE, see ImportanceWeights.
  EncoderGradient(Backend& backend, Estimator estimator, Index batch, Index samples, Index data_dim, std::uint64_t seed,
                  float elbo_share);

  Estimator estimator() const { return estimator_; }
  /// The weight of a sample row in the decoder's loss: -1/R, or minus its importance weight over the number of bounds.
  RowFactor row_weight(const SampleGroups& groups) const;
  /// Weighs the samples of x [B, D], with the loss in the same pass. `log_prob(row_weight, loss, with_gradient)` must
  /// compute log_p_x: once with its gradient, for a bound also before that without, since its weights need all of it.
  template <class LogProb>
  void weigh(const Densities& densities, Cost cost, ConstView x, const SampleGroups& groups, const ElboLoss& loss,
             RunningMeans running, LogProb log_prob);
  /// dstats from dz, the decoder's gradient by the samples, or from `at_probes()`, log p(x|z) [B * n, 1] at the probes.
  template <class AtProbes>
  void backward(const PosteriorGradient& posterior, Cost cost, ConstView log_p_x, ConstView dz, AtProbes at_probes);
  /// One step of a baseline's network by the last batch, unless `loss` [1] is not finite.
  void learn(ConstView x, const LearningRate& rate, const float* loss, Group* group);
  /// The running mean of a batch of several ranks, from those that each rank has with its part.
  void reduce(Group& group);

  // What a checkpoint keeps, empty or null where the estimator has none.
  Buffer running_mean;
  std::unique_ptr<InputBaseline> network;

 private:
  void bound(const Densities& densities, const SampleGroups& groups, const ElboLoss& loss);
  void score(const Densities& densities, Cost cost, ConstView x, const SampleGroups& groups, RunningMeans running);
  LatentTerms latent_terms_of(const SampleGroups& groups, Cost cost) const;
  void gaussian_backward(const PosteriorGradient& posterior, Cost cost, ConstView dz);
  void bernoulli_backward(const PosteriorGradient& posterior, Cost cost);
  void probe_backward(const PosteriorGradient& posterior, ConstView log_p_x, ConstView log_p_probes);

  Backend& backend_;
  Estimator estimator_;
  float elbo_share_;
  Buffer bound_, weights_, score_;  // [R, 1] each, of which a bound uses one row for each group; as the estimator needs
  Buffer path_;                     // [R, 1], of dreg with an elbo_share
};

template <class LogProb>
void EncoderGradient::weigh(const Densities& densities, Cost cost, ConstView x, const SampleGroups& groups,
                            const ElboLoss& loss, RunningMeans running, LogProb log_prob) {
  if (traits(estimator_).of_bound) {
    log_prob(RowFactor(0.0f), ElboLoss{}, false);  // [R, 1]
    bound(densities, groups, loss);                // [1], [R, 1]
  } else {
    log_prob(row_weight(groups), loss, true);  // [1], doutput
  }
  if (uses_score(estimator_)) score(densities, cost, x, groups, running);           // [R, 1]
  if (traits(estimator_).of_bound) log_prob(row_weight(groups), ElboLoss{}, true);  // doutput
}

template <class AtProbes>
void EncoderGradient::backward(const PosteriorGradient& posterior, Cost cost, ConstView log_p_x, ConstView dz,
                               AtProbes at_probes) {
  if (posterior.z) return bernoulli_backward(posterior, cost);
  if (uses_probes(estimator_)) return probe_backward(posterior, log_p_x, at_probes());
  gaussian_backward(posterior, cost, uses_path(estimator_) ? dz : ConstView{});
}

}  // namespace cuvae
