#include "evaluate/annealing/annealed_chains.h"

#include <algorithm>
#include <cmath>

#include "math/host_noise.h"
#include "math/philox.h"

namespace cuvae {
namespace {

constexpr double kFirstStepSize = 0.1, kAdaptation = 0.1;  // log step size per unit of acceptance

std::vector<float> uniforms(std::uint64_t seed, std::uint32_t step, std::uint64_t first, std::size_t count) {
  std::vector<float> values;
  for (std::size_t i = 0; i < count; ++i)
    values.push_back(
        math::uniform(math::philox_word(seed, static_cast<std::uint32_t>(Stream::ais_accept), step, first + i)));
  return values;
}

}  // namespace

double inverse_temperature(const AisOptions& options, Index t) {
  const double share = static_cast<double>(t) / static_cast<double>(options.temperatures);
  switch (options.schedule) {
    case Annealing::linear:
      break;
    case Annealing::sigmoidal: {
      const auto s = [](double v) { return 1 / (1 + std::exp(-v)); };
      return (s(4 * (2 * share - 1)) - s(-4)) / (s(4) - s(-4));
    }
  }
  return share;
}

AnnealedChains::AnnealedChains(const Vae& vae, Index batch, const BoundOptions& options)
    : vae_(vae), options_(options), hamiltonian_(vae, batch, options.samples) {}

std::vector<double> AnnealedChains::log_weights(ConstView x, Index first, const Noise& of_start) {
  const Index T = options_.ais.temperatures;
  step_sizes_.assign(static_cast<std::size_t>(x.rows), kFirstStepSize);
  hamiltonian_.start(x, of_start);
  std::vector<double> log_w(static_cast<std::size_t>(x.rows * options_.samples));
  for (Index t = 1; t <= T; ++t) {
    const double rise = inverse_temperature(options_.ais, t) - inverse_temperature(options_.ais, t - 1);
    for (std::size_t r = 0; r < log_w.size(); ++r) log_w[r] += rise * hamiltonian_.log_p()[r];
    if (t < T) move(x, first, t);
  }
  return log_w;
}

// The transition at beta_t. Its noise depends on the seed, t and the chain's place.
void AnnealedChains::move(ConstView x, Index first, Index t) {
  const Index chains = options_.samples, latent = vae_.config().latent;
  const auto rows = static_cast<std::size_t>(x.rows * chains);
  const auto step = static_cast<std::uint32_t>(t);
  const std::vector<double> accepted = hamiltonian_.move(
      x, inverse_temperature(options_.ais, t), step_sizes_,
      standard_normals(options_.seed, Stream::ais_momentum, step, static_cast<std::uint64_t>(first * chains * latent),
                       rows * static_cast<std::size_t>(latent)),
      uniforms(options_.seed, step, static_cast<std::uint64_t>(first * chains), rows));
  for (std::size_t b = 0; b < step_sizes_.size(); ++b) {
    double mean = 0;
    for (auto r = b * static_cast<std::size_t>(chains); r < (b + 1) * static_cast<std::size_t>(chains); ++r)
      mean += accepted[r] / static_cast<double>(chains);
    step_sizes_[b] = std::min(kMostStepSize, step_sizes_[b] * std::exp(kAdaptation * (mean - kWantedAcceptance)));
    accepted_ += mean, proposed_ += 1;
  }
}

}  // namespace cuvae
