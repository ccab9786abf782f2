// Evaluation of a trained model on held-out examples.
#pragma once
#include <cstdint>
#include <vector>

#include "cuvae/dataset.h"
#include "cuvae/vae.h"

namespace cuvae {

struct EvaluateOptions {
  Index samples = 1;  ///< latent samples per example
  Index batch = 500;  ///< changes the memory needed, not the noise
  Binarize binarize = Binarize::stochastic;
  std::uint64_t seed = 0;
};

/// In nats per example, averaged over the examples. What is not finite was computed so: it is for the caller to refuse.
struct Evaluation {
  Index examples = 0;
  double elbo = 0;              ///< reconstruction - kl
  double reconstruction = 0;    ///< E_q log p(x|z)
  double kl = 0;                ///< KL(q(z|x) || p(z))
  double elbo_error = 0;        ///< standard error of that mean: s / sqrt(N), s^2 over N - 1; NaN for one example
  double bits_per_dim = 0;      ///< -elbo / (D ln 2)
  std::vector<double> kl_dims;  ///< per latent dimension
  Index active_units = 0;       ///< dimensions with Var_x E_q[z|x] > 0.01: Burda et al. 2015, section 5.2
};

/// The steps' counter that evaluation noise uses, which no training step reaches.
inline constexpr std::uint32_t kEvaluationStep = 0xffffffffu;

Evaluation evaluate(const Vae& vae, const Dataset& data, const EvaluateOptions& options = {});

/// Rows first .. first + count as evaluate() of all rows gives them to the model with this binarization and seed:
/// float32 [count, D] in host memory, for Vae::encode. Throws Error for rows that there are not.
std::vector<float> model_input(const Dataset& data, Index first, Index count, Binarize binarize,
                               std::uint64_t seed = 0);

/// The same over some rows of the data.
Evaluation evaluate(const Vae& vae, const Dataset& data, const std::vector<std::uint32_t>& rows,
                    const EvaluateOptions& options);

}  // namespace cuvae
