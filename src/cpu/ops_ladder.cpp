// Ladder inference: the product of two Gaussians.
#include <algorithm>

#include "cpu/cpu_backend.h"
#include "math/formulas.h"

namespace cuvae::cpu {

void CpuBackend::do_run(const MergeGaussians& op) {
  const Index rows = op.prior.rows, width = op.prior.cols, samples = rows / op.bottom_up.rows;
  chunks(rows, std::max<Index>(1, 4096 / width), [&](Index, Index begin, Index end) {
    for (Index r = begin; r < end; ++r)
      p_.merge_row(op.prior.f32() + r * width, op.bottom_up.f32() + r / samples * width, width / 2,
                   op.merged.f32() + r * width);
  });
}

void CpuBackend::do_run(const MergeGaussiansBackward& op) {
  const Index batch = op.bottom_up.rows, width = op.prior.cols, latent = width / 2, samples = op.prior.rows / batch;
  const auto at = [&](View v, Index row) { return v ? v.f32() + row * width : nullptr; };
  chunks(batch, std::max<Index>(1, 4096 / (width * samples)), [&](Index, Index begin, Index end) {
    for (Index b = begin; b < end; ++b) {
      const float *bottom_up = op.bottom_up.f32() + b * width, *logvar = bottom_up + latent;
      float* d = at(op.dbottom_up, b);
      if (d != nullptr) std::fill_n(d, width, 0.0f);
      for (Index r = b * samples; r < (b + 1) * samples; ++r)
        p_.merge_backward_row(op.prior.f32() + r * width, bottom_up, op.dmerged.f32() + r * width, latent,
                              at(op.dprior, r), d);
      for (Index l = 0; d != nullptr && l < latent; ++l) {
        if (op.dmean) d[l] += op.dmean.f32()[b * latent + l];
        d[latent + l] = math::clamp_gradient(d[latent + l], logvar[l], kLogVarMin, kLogVarMax);
      }
    }
  });
}

}  // namespace cuvae::cpu
