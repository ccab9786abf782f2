// Bernoulli latents: samples, the gradient of their score, and log-probabilities.
#include "cpu/cpu_backend.h"
#include "math/formulas.h"

namespace cuvae::cpu {
namespace {

// Whole rows of logits, whose samples fit the first-level cache unless one row alone is larger.
Index rows_of_chunk(Index samples, Index latent) { return std::max<Index>(1, 4096 / (samples * latent)); }

}  // namespace

void CpuBackend::do_run(const SampleBernoulli& op) {
  const Index rows = op.logits.rows, latent = op.logits.cols, samples = op.z.rows / rows;
  const bool moments = op.moments != nullptr;
  if (moments) noise_.resize(static_cast<std::size_t>(rows * 2 * latent));
  chunks(rows, rows_of_chunk(samples, latent), [&](Index, Index begin, Index end) {
    const Draw draw = draw_of(op.noise, op.noise.stream);
    const auto number = static_cast<std::uint64_t>((op.noise.first_row + begin) * samples * latent);
    const Index sample_rows = (end - begin) * samples;
    float* z = op.z.f32() + begin * samples * latent;  // first the uniforms
    if (!op.noise.antithetic) p_.uniforms(draw, number, sample_rows * latent, false, z);
    for (Index r = 0; op.noise.antithetic && r < sample_rows; ++r)
      p_.uniforms(draw, number + static_cast<std::uint64_t>((r - r % 2) * latent), latent, r % 2 != 0, z + r * latent);
    const auto from = [&](View v) { return v ? v.f32() + begin * samples : nullptr; };
    p_.sample_bernoulli(op.logits.f32() + begin * latent, end - begin, samples, latent, z, from(op.log_q), op.add,
                        from(op.score_norm), moments ? noise_.data() + begin * 2 * latent : nullptr);
  });
  if (moments) do_run(Moments{.x = {noise_.data(), rows, 2 * latent}, .acc = op.moments});
}

void CpuBackend::do_run(const BernoulliBackward& op) {
  const Index rows = op.logits.rows, latent = op.logits.cols, samples = op.z.rows / rows;
  chunks(rows, rows_of_chunk(samples, latent), [&](Index, Index begin, Index end) {
    p_.bernoulli_backward(op.score, op.optimal_baseline, begin * samples, op.logits.f32() + begin * latent,
                          op.z.f32() + begin * samples * latent, end - begin, samples, latent,
                          op.dlogits.f32() + begin * latent);
  });
}

void CpuBackend::do_run(const BernoulliLogProb& op) {
  const Index rows = op.z.rows, latent = op.z.cols;
  const bool one_row = op.logits.rows == 1, sums = one_row && op.dlogits;
  // At most 64 chunks where each has a sum.
  const Index chunk = std::max<Index>({1, 8192 / latent, sums ? (rows + 63) / 64 : 1});
  if (sums) partial_.assign(static_cast<std::size_t>(chunk_count(rows, chunk) * latent), 0.0f);
  chunks(rows, chunk, [&](Index i, Index begin, Index end) {
    for (Index r = begin; r < end; ++r) {
      float* dlogits = sums ? partial_.data() + i * latent : op.dlogits ? op.dlogits.f32() + r * latent : nullptr;
      const float log_p = p_.bernoulli_row(op.z.f32() + r * latent, op.logits.f32() + (one_row ? 0 : r * latent),
                                           latent, math::at(op.row_weight, r), dlogits, sums);
      if (op.log_p) op.log_p.f32()[r] = op.add ? op.log_p.f32()[r] + log_p : log_p;
    }
  });
  if (sums) combine(partial_, latent, op.dlogits.f32(), op.gradients);
}

}  // namespace cuvae::cpu
