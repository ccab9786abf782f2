// Evaluation of a trained model on held-out examples.
#pragma once
#include <cstdint>
#include <vector>

#include "cuvae/dataset.h"
#include "cuvae/vae.h"

namespace cuvae {

struct EvaluateOptions {
  Index samples = 1;  ///< latent samples per example
  Index batch = 500;  ///< examples per batch; changes the memory that is needed, not the noise
  Binarize binarize = Binarize::stochastic;
  std::uint64_t seed = 0;
};

/// What is computed of layer t, in nats.
struct LayerEvaluation {
  Index latent = 0;        ///< L_t
  double kl = 0;           ///< E_q log q(z_t|z_{t-1}) - log p(z_t|z_{t+1}), of the top layer p(z_T); may be below 0
  Index active_units = 0;  ///< units with Var_x E_q[z_t|x] > 0.01: Burda et al. 2015, section 5.2
};

/// E_q[z_t|x] of a layer that is sampled after another one is estimated from at least so many samples of that one.
inline constexpr Index kActivitySamples = 20;

/// Nats per example, of what is not missing of it, averaged over the examples. Values may be NaN or infinite; the
/// caller must check.
struct Evaluation {
  Index examples = 0;
  double elbo = 0;            ///< reconstruction - kl
  double reconstruction = 0;  ///< E_q log p(x|z)
  double kl = 0;              ///< KL(q(z|x) || p(z)), from the samples where it has no closed form
  double elbo_error = 0;      ///< standard error of elbo: s / sqrt(N), with N - 1 in s^2; NaN for one example
  /// -elbo / (D ln 2), of a density or a mass: see LikelihoodTraits::values; D without missing values, on average.
  double bits_per_dim = 0;
  std::vector<double> kl_dims;  ///< KL per latent dimension; empty where it has no closed form
  Index active_units = 0;       ///< dimensions of z_1 with Var_x E_q[z|x] > 0.01: Burda et al. 2015, section 5.2
  std::vector<double> elbos;    ///< [N], the ELBO of each example, in the order of the rows
  std::vector<LayerEvaluation> layers;  ///< of z_1 to z_T; the sum of their KLs is kl

  // As rate-distortion theory names the parts of the ELBO: Alemi et al. 2018.
  double rate() const { return kl; }
  double distortion() const { return -reconstruction; }
};

/// The step counter in the noise of evaluation. Training never reaches it.
inline constexpr std::uint32_t kEvaluationStep = 0xffffffffu;

/// Evaluates the model on all rows of the data. Throws Error if data and model do not fit.
Evaluation evaluate(const Vae& vae, const Dataset& data, const EvaluateOptions& options = {});

/// Rows first .. first + count - 1 as evaluate() of all rows passes them to the model with this binarization and seed:
/// float32 [count, D] in host memory, for Vae::encode. Throws Error for rows that do not exist.
std::vector<float> model_input(const Dataset& data, Index first, Index count, Binarize binarize,
                               std::uint64_t seed = 0);

/// Evaluates the model on some rows of the data.
Evaluation evaluate(const Vae& vae, const Dataset& data, const std::vector<std::uint32_t>& rows,
                    const EvaluateOptions& options);

}  // namespace cuvae
