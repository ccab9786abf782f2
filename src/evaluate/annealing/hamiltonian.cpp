#include "evaluate/annealing/hamiltonian.h"

#include <algorithm>
#include <cmath>

#include "cuvae/bound.h"

namespace cuvae {

Hamiltonian::Hamiltonian(const Vae& vae, Index batch, Index chains)
    : vae_(vae),
      chains_(chains),
      latent_(static_cast<std::size_t>(vae.config().latent)),
      a_(vae.allocate(batch, chains)),
      g_(vae.allocate_gradients(batch, chains)) {}

void Hamiltonian::start(ConstView x, const std::vector<float>& z) {
  now_.z.assign(z.begin(), z.end());
  evaluate(x, now_);
}

void Hamiltonian::evaluate(ConstView x, State& state) {
  Backend& backend = vae_.backend();
  const std::size_t rows = state.z.size() / latent_;
  const View z = a_.layers[0].z.view(static_cast<Index>(rows), vae_.config().latent);
  const auto narrowed = [](double v) { return static_cast<float>(v); };
  floats_.resize(state.z.size());
  std::transform(state.z.begin(), state.z.end(), floats_.begin(), narrowed);
  backend.upload(z.data, floats_.data(), floats_.size() * sizeof(float));

  const View output = vae_.decode(z, a_);                                        // [R, n D]
  const View log_p = vae_.log_prob_with_gradient(output, x, 1.0f, nullptr, a_);  // doutput in its place
  vae_.decoder_backward(output, nullptr, a_, g_, true);                          // dz [R, L]

  backend.download(floats_.data(), g_.layers[0].dz.data(), floats_.size() * sizeof(float));
  state.gradient.assign(floats_.begin(), floats_.end());
  floats_.resize(rows);
  backend.download(floats_.data(), log_p.data, rows * sizeof(float));
  state.log_p.assign(floats_.begin(), floats_.end());
}

// |z|^2 / 2 - beta log p(x|z) + |momentum|^2 / 2.
double Hamiltonian::energy(const State& state, const std::vector<double>& momenta, double beta, std::size_t row) const {
  double squares = 0;
  for (std::size_t i = row * latent_; i < (row + 1) * latent_; ++i)
    squares += state.z[i] * state.z[i] + momenta[i] * momenta[i];
  return 0.5 * squares - beta * state.log_p[row];
}

std::vector<double> Hamiltonian::move(ConstView x, double beta, const std::vector<double>& step_sizes,
                                      const std::vector<float>& momenta, const std::vector<float>& uniforms) {
  const std::size_t rows = now_.log_p.size();
  State proposed = now_;
  std::vector<double> p(momenta.begin(), momenta.end());
  const auto size_at = [&](std::size_t i) { return step_sizes[i / latent_ / static_cast<std::size_t>(chains_)]; };
  const auto push = [&](double share) {
    for (std::size_t i = 0; i < p.size(); ++i)
      p[i] += share * size_at(i) * (beta * proposed.gradient[i] - proposed.z[i]);
  };
  push(0.5);
  for (int step = 1; step <= kLeapfrogSteps; ++step) {
    for (std::size_t i = 0; i < p.size(); ++i) proposed.z[i] += size_at(i) * p[i];
    evaluate(x, proposed);
    push(step < kLeapfrogSteps ? 1 : 0.5);
  }
  const std::vector<double> start(momenta.begin(), momenta.end());
  std::vector<double> probabilities;
  for (std::size_t r = 0; r < rows; ++r) {
    const double change = energy(proposed, p, beta, r) - energy(now_, start, beta, r);
    probabilities.push_back(std::isfinite(change) ? std::min(1.0, std::exp(-change)) : 0.0);
    if (!(static_cast<double>(uniforms[r]) <= probabilities.back())) continue;
    const auto from = static_cast<std::ptrdiff_t>(r * latent_), to = from + static_cast<std::ptrdiff_t>(latent_);
    std::copy(proposed.z.begin() + from, proposed.z.begin() + to, now_.z.begin() + from);
    std::copy(proposed.gradient.begin() + from, proposed.gradient.begin() + to, now_.gradient.begin() + from);
    now_.log_p[r] = proposed.log_p[r];
  }
  return probabilities;
}

}  // namespace cuvae
