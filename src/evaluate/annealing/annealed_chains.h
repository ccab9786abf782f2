// Annealed importance sampling of log p(x): see AisOptions.
#pragma once
#include <array>

#include "cuvae/bound.h"
#include "evaluate/annealing/hamiltonian.h"

namespace cuvae {

/// beta_t of t from 0 to T.
double inverse_temperature(const AisOptions& options, Index t);

/// The step size of an example follows what kPilotChains chains of its own accept. They have no weights: so the step
/// sizes do not depend on the chains whose weights count, and E w = p(x).
class AnnealedChains {
 public:
  AnnealedChains(const Vae& vae, Index batch, const BoundOptions& options);
  /// Where the conditions of a conditional model are read, twice; to be written before log_weights().
  std::array<View, 2> conditions(Index rows) const {
    return {weighted_.hamiltonian.conditions(rows), pilots_.hamiltonian.conditions(rows)};
  }
  /// log w of the K chains of each example of x [B, D], the first of which is row `first`: [B, K].
  std::vector<double> log_weights(ConstView x, Index first);
  /// Of all proposals with a weight so far; NaN where there was none.
  double acceptance() const { return accepted_ / proposed_; }

 private:
  struct Group {
    Hamiltonian hamiltonian;
    Index chains;  // of an example
  };
  void start(Group& group, ConstView x, Index first, std::uint32_t step);
  std::vector<double> move(Group& group, ConstView x, Index first, Index t, std::uint32_t step);
  std::vector<float> normals(const Group& group, ConstView x, Index first, Stream stream, std::uint32_t step) const;

  const Vae& vae_;
  BoundOptions options_;
  Group weighted_, pilots_;
  std::vector<double> step_sizes_;  // [B]
  double accepted_ = 0, proposed_ = 0;
};

}  // namespace cuvae
