// What each of several latent layers contributes to the KL, and how many of its units depend on the data.
#pragma once
#include <vector>

#include "cuvae/evaluate.h"

namespace cuvae {

/// Sums over the batches of an evaluation, of a model of several layers.
class LayerSums {
 public:
  LayerSums(const Vae& vae, Index batch, Index samples);
  /// After sample_latents() of `rows` examples with this noise, whose step lies in `step` and is kEvaluationStep.
  /// Draws more samples, in place of those in `a`, until an example has kActivitySamples: pass c, from 0, has the noise
  /// of step kEvaluationStep - c. Leaves log p(z) and log q of one layer.
  void add(Index rows, const Noise& noise, const Buffer& step, const VaeActivations& a);
  /// z_1 has no active units yet if it is sampled first: those are counted from its moments.
  std::vector<LayerEvaluation> results() const;

 private:
  struct Layer {
    double kl = 0;  // the sum over the examples
    // Of E[z_t|x, the layer sampled before]: over the samples of each example of a batch, [B, L_t] each, then the
    // means of the examples' means, their squared deviations and the sums of the variances within them, [L_t] each.
    std::vector<double> sums, squares, mean, between, within;
  };
  void add_kl(std::size_t t, Index rows);
  void add_means(std::size_t t, Index rows, const VaeActivations& a);
  void close_batch(std::size_t t, Index rows);
  std::size_t first_counted() const { return first_ == 0 ? 1 : 0; }
  double means(std::size_t t) const;  // of an example, in its sums

  const Vae& vae_;
  std::size_t first_;  // the layer that is sampled first
  Index samples_, passes_, count_ = 0;
  std::vector<Layer> layers_;
  std::vector<float> log_q_, log_p_, stats_;
};

}  // namespace cuvae
