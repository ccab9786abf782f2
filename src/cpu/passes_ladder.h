// The passes of ladder inference: a part of passes.cpp, compiled with it once per instruction set.
#pragma once
#include "cpu/passes.h"
#include "math/merge.h"

namespace cuvae::cpu::CUVAE_ISA {
namespace {

namespace m = cuvae::math;

void merge_row(const float* prior, const float* bottom_up, Index latent, float* merged) {
#pragma omp simd
  for (Index l = 0; l < latent; ++l) {
    const m::MergedGaussian g = m::merged_gaussian(prior[latent + l], bottom_up[latent + l]);
    merged[l] = m::merged_mean(g, prior[l], bottom_up[l]);
    merged[latent + l] = g.logvar;
  }
}

void merge_backward_row(const float* prior, const float* bottom_up, const float* dmerged, Index latent, float* dprior,
                        float* dbottom_up) {
#pragma omp simd
  for (Index l = 0; l < latent; ++l) {
    const m::MergedGaussian g = m::merged_gaussian(prior[latent + l], bottom_up[latent + l]);
    const m::MergedGradient d = m::merged_gradient(g, prior[l], bottom_up[l], dmerged[l], dmerged[latent + l]);
    if (dprior != nullptr) {
      dprior[l] += d.mu_p;
      dprior[latent + l] += m::clamp_gradient(d.logvar_p, prior[latent + l], kLogVarMin, kLogVarMax);
    }
    if (dbottom_up != nullptr) {
      dbottom_up[l] += d.mu_b;
      dbottom_up[latent + l] += d.logvar_b;
    }
  }
}

}  // namespace
}  // namespace cuvae::cpu::CUVAE_ISA
