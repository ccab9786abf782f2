// Hamiltonian Monte Carlo on p(z) p(x|z)^beta, z ~ N(0, I) a priori: Neal 2011; Wu et al. 2017, section 3.
#pragma once
#include <vector>

#include "cuvae/vae.h"

namespace cuvae {

/// The states of R chains, K for each example, and the decoder's part of their energies. The device computes log p(x|z)
/// and its gradient by z, the host moves z in double precision.
class Hamiltonian {
 public:
  Hamiltonian(const Vae& vae, Index batch, Index chains);

  /// Where the conditions of a conditional model are read; to be written before start(). See Vae::conditions().
  View conditions(Index rows) const { return vae_.conditions(rows, a_); }
  /// All chains at z [R, L].
  void start(ConstView x, const std::vector<float>& z);
  const std::vector<double>& log_p() const { return now_.log_p; }  ///< log p(x|z) [R]

  /// One proposal for each chain by kLeapfrogSteps steps of the leapfrog, of a size for each example [B], from momenta
  /// [R, L]. Accepts that of row r where uniforms[r] is at most its probability min(1, exp(-energy difference)).
  /// Returns these probabilities; 0 where the energy is not finite.
  std::vector<double> move(ConstView x, double beta, const std::vector<double>& step_sizes,
                           const std::vector<float>& momenta, const std::vector<float>& uniforms);

 private:
  struct State {
    std::vector<double> z, gradient, log_p;  // [R, L], d log p(x|z) / dz, [R]
  };
  void evaluate(ConstView x, State& state);  // gradient and log_p of z
  double energy(const State& state, const std::vector<double>& momenta, double beta, std::size_t row) const;

  const Vae& vae_;
  Index chains_;
  std::size_t latent_;
  VaeActivations a_;
  VaeGradients g_;
  std::vector<float> floats_;
  State now_;
};

}  // namespace cuvae
