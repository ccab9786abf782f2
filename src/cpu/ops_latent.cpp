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

void CpuBackend::do_run(const SampleGaussian& op) {
  const ConstView stats = op.stats;
  const LatentChunks s(stats, op.z.rows);
  partial_.assign(static_cast<std::size_t>(chunk_count(s.rows, s.chunk) * s.latent), 0.0f);
  with_normals(team_, p_, s, op.noise, noise_, [&](Index c, Index begin, Index end, const float* normals) {
    p_.sample_latent(stats.f32() + begin * stats.cols, normals, end - begin, s.samples, s.latent,
                     op.z.f32() + begin * s.samples * s.latent, op.kl ? op.kl.f32() + begin : nullptr,
                     partial_.data() + c * s.latent);
    if (!op.log_q && !op.log_p_z) return;
    const auto from = [&](View v) { return v ? v.f32() + begin * s.samples : nullptr; };
    p_.log_densities(stats.f32() + begin * stats.cols, normals, op.z.f32() + begin * s.samples * s.latent, end - begin,
                     s.samples, s.latent, from(op.log_p_z), from(op.log_q), op.add, from(op.score_norm));
  });
  if (op.kl_dims) {
    combine(partial_, s.latent, op.kl_dims.f32());
    for (Index l = 0; l < s.latent; ++l) op.kl_dims.f32()[l] /= static_cast<float>(s.rows);
  }
  if (op.moments != nullptr) do_run(Moments{.x = stats, .acc = op.moments});
}

void CpuBackend::do_run(const GaussianBackward& op) {
  const LatentTerms& terms = op.terms;
  const ConstView stats = op.stats, dz = op.dz;
  const LatentChunks s(stats, dz ? dz.rows : terms.score.rows.rows);
  const float scale = op.kl_scale * math::kl_weight(op.weight, *op.noise.step);
  partial_.resize(static_cast<std::size_t>(s.latent));  // s of each dimension
  for (Index l = 0; l < s.latent; ++l)
    partial_[static_cast<std::size_t>(l)] = op.kl_dims && op.kl_dims.f32()[l] < op.weight.free_bits ? 0.0f : scale;
  with_normals(team_, p_, s, op.noise, noise_, [&](Index, Index begin, Index end, const float* normals) {
    const float *mu = stats.f32() + begin * stats.cols, *d = dz ? dz.f32() + begin * s.samples * s.latent : nullptr;
    float* dmu = op.dstats.f32() + begin * stats.cols;
    if (terms.pathwise()) {
      p_.latent_backward(mu, normals, d, partial_.data(), end - begin, s.samples, s.latent, dmu);
    } else {
      p_.latent_backward_terms(terms, begin * s.samples, mu, normals, d, partial_.data(), end - begin, s.samples,
                               s.latent, dmu);
    }
  });
}

}  // namespace cuvae::cpu
