// Estimates of log p(x) from many latent samples, and how far their importance weights can be trusted.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "cuvae/evaluate.h"

namespace cuvae {

/// What is computed from the K samples of an example, in nats. The expectation of each is at most log p(x). z stands
/// for all latent layers, x for the values that are not missing.
enum class Bound : std::uint8_t {
  elbo,   ///< E_q log p(x|z) - KL(q(z|x) || p(z)): see evaluate()
  iwae,   ///< L_K = log (1/K) sum_k w_k, w = p(x|z) p(z) / q(z|x), z ~ q(z|x): Burda et al. 2015, section 3
  prior,  ///< log (1/K) sum_k w_k, w = p(x|z), z ~ p(z): naive Monte Carlo, for comparison
  ais,    ///< the same with the weights of K chains from p(z) to p(z|x): annealed importance sampling, Neal 2001
};
std::string_view to_string(Bound bound);

/// The samples of an example are drawn in chunks of this number, so that K does not change the memory. Chunk c, from 0,
/// has the noise of step kEvaluationStep - c; the last one has the rest. So K up to this number has the samples of
/// evaluate() with the same K and seed. Training of fewer than 2^32 - 1 - K / 50 steps never draws the same.
inline constexpr Index kBoundChunk = 50;

/// The fewest samples that k-hat is computed from: a tail of five weights.
inline constexpr Index kLeastParetoSamples = 21;
/// Where k-hat is above it, a few weights decide and the error falls slowly with K: Vehtari et al. 2017.
inline constexpr double kMostPareto = 0.7;

/// The inverse temperatures beta_0 = 0 to beta_T = 1 of annealed importance sampling.
enum class Annealing : std::uint8_t {
  linear,     ///< t / T
  sigmoidal,  ///< (s(4 (2 t / T - 1)) - s(-4)) / (s(4) - s(-4)), s the sigmoid: denser at both ends, Wu et al. 2017
};
std::string_view to_string(Annealing annealing);

/// Annealed importance sampling as Wu, Burda, Salakhutdinov and Grosse 2017 evaluate decoders. A chain starts at z ~
/// p(z); its weight is w = prod_t p(x|z_{t-1})^(beta_t - beta_{t-1}). Between the temperatures z moves by Hamiltonian
/// Monte Carlo on p(z) p(x|z)^beta_t.
struct AisOptions {
  Index temperatures = 1000;  ///< T
  Annealing schedule = Annealing::sigmoidal;
};
inline constexpr int kLeapfrogSteps = 10;          ///< of a proposal
inline constexpr double kWantedAcceptance = 0.65;  ///< the step size of an example follows what its pilots accept
inline constexpr Index kPilotChains = 4;           ///< of an example, without a weight
inline constexpr double kMostStepSize = 0.5;       ///< of the leapfrog

struct BoundOptions {
  Bound bound = Bound::iwae;  ///< iwae, or for a model whose prior is a standard normal also prior and ais
  Index samples = 5000;       ///< K, latent samples or chains per example, up to 2147483647
  /// Examples per batch; changes the memory that is needed, not the noise. 0: so many that the decoder's outputs of a
  /// chunk take 2.5 MB on the CPU, which its caches hold, and 32 MB on other devices.
  Index batch = 0;
  Binarize binarize = Binarize::stochastic;
  std::uint64_t seed = 0;
  AisOptions ais = {};  ///< of the bound ais, which needs one layer of Gaussian latents
};

/// Of one example.
struct ExampleBound {
  double value = 0;      ///< log (1/K) sum_k w_k in nats, of data in their own units
  double effective = 0;  ///< the effective sample size (sum_k w_k)^2 / sum_k w_k^2, from 1 to K: Kong 1992
  /// k-hat, the shape of the generalized Pareto distribution that is fitted to the ceil(min(K / 5, 3 sqrt K)) largest
  /// weights (Vehtari et al. 2017; fit: Zhang and Stephens 2009). Moments of w above order 1 / k are infinite. Infinity
  /// where the tail spans more than double holds. NaN for fewer than kLeastParetoSamples samples, where the log
  /// weights in the tail differ by less than 0.001, and for Bernoulli latents, whose weights have no continuous tail.
  double pareto_k = 0;
};

/// Values may be NaN or infinite; the caller must check.
struct BoundEvaluation {
  Bound bound = Bound::iwae;
  Index examples = 0, samples = 0;
  double value = 0;           ///< the mean over the examples, in nats
  double error = 0;           ///< its standard error over the examples: s / sqrt(N), with N - 1 in s^2; NaN for N = 1
  double sampling_error = 0;  ///< the part that the finite K adds to it: sqrt(sum_n (1 / effective_n - 1 / K)) / N
  /// -value / (D ln 2), of a density or a mass: see LikelihoodTraits::values; D without missing values, on average.
  double bits_per_dim = 0;
  double mean_effective = 0, least_effective = 0;  ///< effective sample size over the examples
  double largest_pareto_k = 0;                     ///< over the examples that have one; NaN where none has
  Index unreliable = 0;                            ///< examples whose k-hat is above kMostPareto
  double acceptance = 0;                           ///< of ais: the share of the proposals that were accepted
  std::vector<ExampleBound> of_examples;           ///< [N], in the order of the rows
};

/// The bound of all rows of the data. Encodes each example once. Throws Error if data and model do not fit, for options
/// out of range, and for a bound that is not from samples or that the model's prior does not have.
BoundEvaluation evaluate_bound(const Vae& vae, const Dataset& data, const BoundOptions& options = {});

/// The bound of some rows of the data.
BoundEvaluation evaluate_bound(const Vae& vae, const Dataset& data, const std::vector<std::uint32_t>& rows,
                               const BoundOptions& options);

}  // namespace cuvae
