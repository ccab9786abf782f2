// Annealed importance sampling of log p(x): see AisOptions.
#pragma once
#include "cuvae/bound.h"
#include "evaluate/annealing/hamiltonian.h"

namespace cuvae {

/// beta_t of t from 0 to T.
double inverse_temperature(const AisOptions& options, Index t);

class AnnealedChains {
 public:
  AnnealedChains(const Vae& vae, Index batch, const BoundOptions& options);
  /// log w of the K chains of each example of x [B, D], the first of which is row `first`: [B, K].
  std::vector<double> log_weights(ConstView x, Index first, const Noise& of_start);
  /// Of all proposals so far; NaN where there was none.
  double acceptance() const { return accepted_ / proposed_; }

 private:
  void move(ConstView x, Index first, Index t);

  const Vae& vae_;
  BoundOptions options_;
  Hamiltonian hamiltonian_;
  std::vector<double> step_sizes_;  // [B]
  double accepted_ = 0, proposed_ = 0;
};

}  // namespace cuvae
