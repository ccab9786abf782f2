// Log-densities of latents under learned priors, with their gradients.
#include <cmath>

#include "cpu/cpu_backend.h"
#include "math/prior.h"

namespace cuvae::cpu {

void CpuBackend::do_run(const LatentLogProb& op) {
  const Index latent = op.z.cols;
  chunks(op.z.rows, std::max<Index>(1, 8192 / latent), [&](Index, Index begin, Index end) {
    for (Index r = begin; r < end; ++r) {
      const float log_p = p_.latent_log_prob_row(op.z.f32() + r * latent, op.stats.f32() + r * 2 * latent, latent,
                                                 math::at(op.row_weight, r), op.dz ? op.dz.f32() + r * latent : nullptr,
                                                 op.dstats ? op.dstats.f32() + r * 2 * latent : nullptr);
      if (op.log_p) op.log_p.f32()[r] = op.add ? op.log_p.f32()[r] + log_p : log_p;
    }
  });
}

namespace {

// The same for all rows: the tables of the passes, and the components' weights.
struct Mixture {
  std::vector<float> mu, inverse, constant;
  std::vector<double> weights;

  Mixture(ConstView components, ConstView logits) {
    const Index n = components.rows, latent = components.cols / 2;
    const auto size = static_cast<std::size_t>(n);
    mu.resize(static_cast<std::size_t>(components.size()) / 2), inverse.resize(mu.size()), constant.resize(size);
    weights.resize(size);
    const auto logit = [&](Index c) { return logits ? static_cast<double>(logits.f32()[c]) : 0.0; };
    double max = logit(0), sum = 0.0;
    for (Index c = 0; c < n; ++c) max = std::max(max, logit(c));
    for (Index c = 0; c < n; ++c) sum += std::exp(logit(c) - max);
    for (Index c = 0; c < n; ++c) {
      const float* stats = components.f32() + c * components.cols;
      const double log_weight = logit(c) - max - std::log(sum);
      double volume = 0.0;
      for (Index l = 0; l < latent; ++l) {
        const auto at = static_cast<std::size_t>(l * n + c);
        mu[at] = stats[l];
        inverse[at] = math::inverse_sigma(stats[latent + l]);
        volume += static_cast<double>(math::held_logvar(stats[latent + l]) + math::kLog2Pi);
      }
      constant[static_cast<std::size_t>(c)] = static_cast<float>(log_weight - 0.5 * volume);
      weights[static_cast<std::size_t>(c)] = std::exp(log_weight);
    }
  }
};

void put(const View& to, Index i, float value, Gradients gradients) {
  to.f32()[i] = gradients == Gradients::add ? to.f32()[i] + value : value;
}

}  // namespace

void CpuBackend::do_run(const MixtureLogProb& op) {
  const ConstView z = op.z, components = op.components;
  const View responsibilities = op.responsibilities;
  const Index rows = z.rows, latent = z.cols, n = components.rows;
  const Mixture mixture(components, op.logits);
  const MixtureTables tables{mixture.mu.data(), mixture.inverse.data(), mixture.constant.data(), n, latent};
  // At most 64 chunks, for each of which there is a row of responsibilities where none are asked for.
  const Index chunk = std::max<Index>({1, 8192 / (n * latent), (rows + 63) / 64});
  if (!responsibilities) partial_.resize(static_cast<std::size_t>(chunk_count(rows, chunk) * n));
  chunks(rows, chunk, [&](Index i, Index begin, Index end) {
    for (Index r = begin; r < end; ++r) {
      const float log_p = p_.mixture_row(tables, z.f32() + r * latent, math::at(op.row_weight, r),
                                         responsibilities ? responsibilities.f32() + r * n : partial_.data() + i * n,
                                         op.dz ? op.dz.f32() + r * latent : nullptr);
      if (op.log_p) op.log_p.f32()[r] = op.add ? op.log_p.f32()[r] + log_p : log_p;
    }
  });
  if (op.dcomponents) {
    const Index width = 3 * latent;  // the gradient, then 1 / sigma
    partial_.resize(static_cast<std::size_t>(n * width));
    chunks(n, 1, [&](Index, Index c, Index) {
      float* d = partial_.data() + c * width;
      p_.mixture_component(z.f32(), responsibilities.f32() + c, n, op.row_weight, rows,
                           components.f32() + c * components.cols, latent, d + 2 * latent, d);
      for (Index l = 0; l < 2 * latent; ++l) put(op.dcomponents, c * 2 * latent + l, d[l], op.gradients);
    });
  }
  if (!op.dlogits) return;
  partial64_.assign(static_cast<std::size_t>(n), 0.0);
  chunks(n, 16, [&](Index, Index begin, Index end) {
    for (Index r = 0; r < rows; ++r) {
      const auto weight = static_cast<double>(math::at(op.row_weight, r));
      for (Index c = begin; c < end; ++c)
        partial64_[static_cast<std::size_t>(c)] += weight * (static_cast<double>(responsibilities.f32()[r * n + c]) -
                                                             mixture.weights[static_cast<std::size_t>(c)]);
    }
    for (Index c = begin; c < end; ++c)
      put(op.dlogits, c, static_cast<float>(partial64_[static_cast<std::size_t>(c)]), op.gradients);
  });
}

}  // namespace cuvae::cpu
