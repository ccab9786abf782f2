// Log-densities of latents under learned priors, with their gradients.
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

}  // namespace cuvae::cpu
