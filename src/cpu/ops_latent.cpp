// The latent variable: sampling with the KL, and the encoder's gradient.
#include "cpu/cpu_backend.h"
#include "math/formulas.h"

namespace cuvae::cpu {
namespace {

// Chunks hold whole rows of stats; their normals fit the first-level cache unless one row alone is larger.
struct LatentChunks {
  Index rows, samples, latent, chunk, noise_floats;
  LatentChunks(ConstView stats, Index sample_rows)
      : rows(stats.rows),
        samples(sample_rows / stats.rows),
        latent(stats.cols / 2),
        chunk(std::max<Index>(1, 4096 / (samples * latent))),
        noise_floats(std::min(chunk, rows) * samples * latent) {}
};

// Odd rows become minus the even ones before them.
void mirror(float* normals, Index rows, Index latent) {
  for (Index r = 1; r < rows; r += 2)
    for (Index l = 0; l < latent; ++l) normals[r * latent + l] = -normals[(r - 1) * latent + l];
}

// Runs f on each chunk, with its normals drawn into one scratch block per chunk in flight.
template <class F>
void with_normals(Team& team, const Passes& p, const LatentChunks& s, const Noise& noise, std::vector<float>& scratch,
                  F f) {
  const Index count = chunk_count(s.rows, s.chunk), lanes = std::min<Index>(count, 4 * team.size());
  scratch.resize(static_cast<std::size_t>(lanes * s.noise_floats));
  team.chunks(lanes, 1, [&](Index lane, Index, Index) {
    float* normals = scratch.data() + lane * s.noise_floats;
    for (Index c = lane; c < count; c += lanes) {
      const Index begin = c * s.chunk, end = std::min(s.rows, begin + s.chunk), per_row = s.samples * s.latent;
      p.normals(draw_of(noise, noise.stream), static_cast<std::uint64_t>((noise.first_row + begin) * per_row),
                (end - begin) * per_row, normals);
      if (noise.antithetic) mirror(normals, (end - begin) * s.samples, s.latent);
      f(c, begin, end, normals);
    }
  });
}

}  // namespace

void CpuBackend::do_sample_latent(ConstView stats, const Noise& noise, View z, View kl, View kl_dims, double* moments,
                                  View log_p_z, View log_q, View score_norm) {
  const LatentChunks s(stats, z.rows);
  partial_.assign(static_cast<std::size_t>(chunk_count(s.rows, s.chunk) * s.latent), 0.0f);
  with_normals(team_, p_, s, noise, noise_, [&](Index c, Index begin, Index end, const float* normals) {
    p_.sample_latent(stats.f32() + begin * stats.cols, normals, end - begin, s.samples, s.latent,
                     z.f32() + begin * s.samples * s.latent, kl.f32() + begin, partial_.data() + c * s.latent);
    if (!log_q) return;
    p_.log_densities(stats.f32() + begin * stats.cols, normals, z.f32() + begin * s.samples * s.latent, end - begin,
                     s.samples, s.latent, log_p_z.f32() + begin * s.samples, log_q.f32() + begin * s.samples,
                     score_norm ? score_norm.f32() + begin * s.samples : nullptr);
  });
  combine(partial_, s.latent, kl_dims.f32());
  for (Index l = 0; l < s.latent; ++l) kl_dims.f32()[l] /= static_cast<float>(s.rows);
  if (moments != nullptr) do_moments(stats, moments);
}

void CpuBackend::do_latent_backward(const LatentTerms& terms, ConstView stats, const Noise& noise, ConstView dz,
                                    const KlWeight& weight, ConstView kl_dims, float kl_scale, View dstats) {
  const LatentChunks s(stats, dz ? dz.rows : terms.score.rows.rows);
  const float scale = kl_scale * math::kl_weight(weight, *noise.step);
  partial_.resize(static_cast<std::size_t>(s.latent));  // s of each dimension
  for (Index l = 0; l < s.latent; ++l)
    partial_[static_cast<std::size_t>(l)] = kl_dims.f32()[l] < weight.free_bits ? 0.0f : scale;
  with_normals(team_, p_, s, noise, noise_, [&](Index, Index begin, Index end, const float* normals) {
    const float *mu = stats.f32() + begin * stats.cols, *d = dz ? dz.f32() + begin * s.samples * s.latent : nullptr;
    float* dmu = dstats.f32() + begin * stats.cols;
    if (terms.pathwise()) {
      p_.latent_backward(mu, normals, d, partial_.data(), end - begin, s.samples, s.latent, dmu);
    } else {
      p_.latent_backward_terms(terms, begin * s.samples, mu, normals, d, partial_.data(), end - begin, s.samples,
                               s.latent, dmu);
    }
  });
}

}  // namespace cuvae::cpu
