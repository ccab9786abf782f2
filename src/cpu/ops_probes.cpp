// The probes of estimators that evaluate log p(x|z) at further points. The decoder's work on them costs a thousand
// times as much, so that only the normals are vectorized.
#include "cpu/cpu_backend.h"
#include "math/probes.h"

namespace cuvae::cpu {
namespace {
constexpr Index kValuesOfAChunk = 4096;
}  // namespace

void CpuBackend::do_run(const PlaceProbes& op) {
  const ConstView stats = op.stats;
  const Noise& noise = op.noise;
  const bool delta = op.kind == ProbeKind::differences, coupled = op.kind == ProbeKind::coupled_pairs;
  const Index L = op.probes.cols, rows = probes_of_example(op.kind, 1, L), points = op.probes.rows / rows,
              samples = points / stats.rows;
  const Draw latent = draw_of(noise, noise.stream), own = draw_of(noise, Stream::estimator);
  chunks(points, std::max<Index>(1, kValuesOfAChunk / (rows * L)), [&](Index, Index begin, Index end) {
    for (Index p = begin; p < end; ++p) {
      const float *mu = stats.f32() + p / samples * 2 * L, *logvar = mu + L;
      const auto number = static_cast<std::uint64_t>((noise.first_row * samples + p) * L);  // of the sample's normals
      const auto sigma = [&](Index l) { return math::exp(0.5f * math::clamp(logvar[l], kLogVarMin, kLogVarMax)); };
      float* first = op.probes.f32() + p * rows * L;
      if (delta) {
        std::copy(mu, mu + L, first);
      } else {
        p_.normals(latent, number, L, first);
        for (Index l = 0; l < L; ++l) first[l] = mu[l] + sigma(l) * first[l];
      }
      for (Index row = 1; row < rows; ++row) std::copy(first, first + L, first + row * L);
      for (Index l = 0; l < L; ++l) {
        if (delta) {
          first[(2 * l + 1) * L + l] = mu[l] + sigma(l);
          first[(2 * l + 2) * L + l] = mu[l] - sigma(l);
          continue;
        }
        const std::uint64_t at = 2 * (number + static_cast<std::uint64_t>(l));
        const math::Displacements d = math::displacements(coupled, math::philox(own.seed, own.stream, own.step, at),
                                                          math::philox(own.seed, own.stream, own.step, at + 1));
        for (Index j = 0; j < 4; ++j) first[(4 * l + j) * L + l] = mu[l] + sigma(l) * d.v[j];
      }
    }
  });
}

void CpuBackend::do_run(const ProbeBackward& op) {
  const ConstView stats = op.stats, log_p = op.log_p, log_p_probes = op.log_p_probes;
  const Noise& noise = op.noise;
  const bool delta = op.kind == ProbeKind::differences;
  const Index B = stats.rows, L = stats.cols / 2, K = delta ? log_p.rows / B : log_p_probes.rows / (4 * L * B);
  const float per_sample = -1.0f / static_cast<float>(B * K),
              of_kl = op.kl_scale * math::kl_weight(op.weight, *noise.step);
  const Draw latent = draw_of(noise, noise.stream);
  chunks(B, std::max<Index>(1, kValuesOfAChunk / (K * L)), [&](Index, Index begin, Index end) {
    std::vector<float> eps(static_cast<std::size_t>(L));
    for (Index b = begin; b < end; ++b) {
      const float *mu = stats.f32() + b * 2 * L, *logvar = mu + L;
      float *shift = op.dstats.f32() + b * 2 * L, *scale = shift + L;  // sums over k, then the gradients in their place
      std::fill(shift, shift + 2 * L, 0.0f);
      if (delta) {
        const float* f = log_p_probes.f32() + b * (2 * L + 1);
        const auto along = [&](Index l) { return math::quadratic(f[0], f[2 * l + 1], f[2 * l + 2]); };
        for (Index r = b * K; r < (b + 1) * K; ++r) {
          p_.normals(latent, static_cast<std::uint64_t>((noise.first_row * K + r) * L), L, eps.data());
          float h = 0.0f;
          for (Index l = 0; l < L; ++l) h += math::at(along(l), eps[static_cast<std::size_t>(l)]);
          const float rest = log_p.f32()[r] - f[0] - h;
          for (Index l = 0; l < L; ++l) {
            const float e = eps[static_cast<std::size_t>(l)];
            shift[l] += rest * e + along(l).slope;
            scale[l] += rest * (e * e - 1.0f) + along(l).curvature;
          }
        }
      } else {
        const float* f = log_p_probes.f32() + b * K * 4 * L;
        for (Index k = 0; k < K; ++k)
          for (Index l = 0; l < L; ++l, f += 4) {
            shift[l] += math::kMassOfShift * (f[0] - f[1]);
            scale[l] += f[2] - f[3];
          }
      }
      for (Index l = 0; l < L; ++l)
        math::statistics_gradient(mu[l], logvar[l], per_sample * shift[l], per_sample * scale[l],
                                  op.kl_dims.f32()[l] < op.weight.free_bits ? 0.0f : of_kl, shift[l], scale[l]);
    }
  });
}

}  // namespace cuvae::cpu
