// Posteriors that are optimized for single examples, in place of the answers of an encoder: the gap between log p(x)
// and the ELBO in two parts (Cremer, Li and Duvenaud 2018). With q the encoder's answer and q* the best Gaussian with a
// diagonal covariance,
//   log p(x) - ELBO[q] = (log p(x) - ELBO[q*]) + (ELBO[q*] - ELBO[q]), the approximation gap + the amortization gap.
#pragma once
#include <memory>

#include "cuvae/bound.h"

namespace cuvae {

struct RefineOptions {
  Index steps = 500;            ///< of Adam (Kingma and Ba 2015), with beta1 0.9 and beta2 0.999
  Index samples = 8;            ///< of each example in a step; they are fresh, of the stream `refine`
  float learning_rate = 0.05f;  ///< at first; falls to 0 by half a cosine
  std::uint64_t seed = 0;
};

/// Ascends on the ELBO of each example by its statistics mu | logvar, with the model held fixed. The gradient is the
/// pathwise one without the score of log q ("sticking the landing", Roeder et al. 2017): near the posterior it has the
/// least noise.
class Refinement {
 public:
  /// Takes memory for batches of `batch` examples. Throws Error for options out of range, and unless the model has one
  /// layer of Gaussian latents and the backend's activations are f32.
  Refinement(const Vae& vae, Index batch, const RefineOptions& options = {});
  Refinement(Refinement&&) noexcept;
  ~Refinement();

  /// Where refine() reads the conditions of a conditional model, to be written before: see Vae::conditions().
  View conditions(Index rows) const;
  /// stats [B, 2L] become those of q*, from where they are; x [B, D] in the model's units, both in the backend's
  /// memory. The noise of an example depends on the seed and its place, first_row + b. An example whose gradient is not
  /// finite stops the whole batch.
  void refine(ConstView x, Index first_row, View stats);

 private:
  struct Buffers;
  std::unique_ptr<Buffers> buffers_;
};

struct GapOptions {
  Index samples = 5000;  ///< K, of the ELBOs and of log p(x)
  Index batch = 100;     ///< examples per batch; changes the memory that is needed, not the noise
  Binarize binarize = Binarize::stochastic;
  std::uint64_t seed = 0;  ///< of the evaluation; refine.seed is that of the refinement
  RefineOptions refine = {};
};

/// Of one example, in nats. The two ELBOs are means of log w over the same normals.
struct ExampleGaps {
  double elbo = 0, refined_elbo = 0;
  ExampleBound log_p;  ///< the bound over K samples of the refined q: see evaluate_bound()
};

/// Averages over the examples. Values may be NaN or infinite; the caller must check.
struct GapEvaluation {
  Index examples = 0, samples = 0;
  double log_p = 0, refined_elbo = 0, elbo = 0;
  double approximation_gap = 0;  ///< log_p - refined_elbo; too small where log_p is below log p(x)
  double amortization_gap = 0;   ///< refined_elbo - elbo
  double log_p_error = 0, refined_elbo_error = 0, elbo_error = 0;  ///< standard errors over the examples
  double approximation_gap_error = 0, amortization_gap_error = 0;  ///< likewise
  double mean_effective = 0;                                       ///< effective sample size of log_p
  Index unreliable = 0;                                            ///< examples whose k-hat is above kMostPareto
  std::vector<ExampleGaps> of_examples;                            ///< [N], in the order of the rows
};

/// The gaps of all rows of the data, of data in their own units. Throws Error as evaluate() and Refinement do.
GapEvaluation evaluate_gaps(const Vae& vae, const Dataset& data, const GapOptions& options = {});

/// Of some rows of the data.
GapEvaluation evaluate_gaps(const Vae& vae, const Dataset& data, const std::vector<std::uint32_t>& rows,
                            const GapOptions& options);

}  // namespace cuvae
