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
    : vae_(vae),
      options_(options),
      weighted_{Hamiltonian(vae, batch, options.samples), options.samples},
      pilots_{Hamiltonian(vae, batch, kPilotChains), kPilotChains} {}

std::vector<double> AnnealedChains::log_weights(ConstView x, Index first) {
  const Index T = options_.ais.temperatures;
  step_sizes_.assign(static_cast<std::size_t>(x.rows), kFirstStepSize);
  start(weighted_, x, first, kEvaluationStep);
  if (T > 1) start(pilots_, x, first, kEvaluationStep - 1);
  std::vector<double> log_w(static_cast<std::size_t>(x.rows * options_.samples));
  for (Index t = 1; t <= T; ++t) {
    const double rise = inverse_temperature(options_.ais, t) - inverse_temperature(options_.ais, t - 1);
    for (std::size_t r = 0; r < log_w.size(); ++r) log_w[r] += rise * weighted_.hamiltonian.log_p()[r];
    if (t == T) break;
    const auto step = static_cast<std::uint32_t>(t);
    for (const double share : move(weighted_, x, first, t, step)) accepted_ += share, proposed_ += 1;
    const std::vector<double> of_examples = move(pilots_, x, first, t, kEvaluationStep - step);
    for (std::size_t b = 0; b < step_sizes_.size(); ++b)
      step_sizes_[b] =
          std::min(kMostStepSize, step_sizes_[b] * std::exp(kAdaptation * (of_examples[b] - kWantedAcceptance)));
  }
  return log_w;
}

// The normals of a group's chains [R, L]. They depend on the seed, the step and the chain's place.
std::vector<float> AnnealedChains::normals(const Group& group, ConstView x, Index first, Stream stream,
                                           std::uint32_t step) const {
  const Index of_example = group.chains * vae_.config().latent;
  return standard_normals(options_.seed, stream, step, static_cast<std::uint64_t>(first * of_example),
                          static_cast<std::size_t>(x.rows * of_example));
}

// z from the prior, as the bound `prior` draws it on a device.
void AnnealedChains::start(Group& group, ConstView x, Index first, std::uint32_t step) {
  group.hamiltonian.start(x, normals(group, x, first, Stream::sleep_latent, step));
}

// The transition at beta_t. Returns the share of each example's proposals that are accepted on average.
std::vector<double> AnnealedChains::move(Group& group, ConstView x, Index first, Index t, std::uint32_t step) {
  const Index chains = group.chains;
  const auto rows = static_cast<std::size_t>(x.rows * chains);
  const std::vector<double> accepted = group.hamiltonian.move(
      x, inverse_temperature(options_.ais, t), step_sizes_, normals(group, x, first, Stream::ais_momentum, step),
      uniforms(options_.seed, step, static_cast<std::uint64_t>(first * chains), rows));
  std::vector<double> of_examples(static_cast<std::size_t>(x.rows));
  for (std::size_t r = 0; r < rows; ++r)
    of_examples[r / static_cast<std::size_t>(chains)] += accepted[r] / static_cast<double>(chains);
  return of_examples;
}

}  // namespace cuvae
