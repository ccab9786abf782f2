// The passes of learned priors: a part of passes.cpp, compiled with it once per instruction set.
#pragma once
#include "cpu/passes.h"
#include "math/prior.h"

namespace cuvae::cpu::CUVAE_ISA {
namespace {

namespace m = cuvae::math;

float latent_log_prob_row(const float* z, const float* stats, Index latent, float weight, float* dz, float* dstats) {
  const float *mu = stats, *logvar = stats + latent;
  float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
  for (Index l = 0; l < latent; ++l) sum += m::normal_term(z[l], mu[l], logvar[l]).log_p;
  if (dz != nullptr) {
#pragma omp simd
    for (Index l = 0; l < latent; ++l) dz[l] -= weight * m::normal_term(z[l], mu[l], logvar[l]).dmu;
  }
  if (dstats != nullptr) {
    float* dlogvar = dstats + latent;
#pragma omp simd
    for (Index l = 0; l < latent; ++l) {
      const m::NormalTerm term = m::normal_term(z[l], mu[l], logvar[l]);
      dstats[l] = weight * term.dmu;
      dlogvar[l] = m::clamp_gradient(weight * term.dlogvar, logvar[l], kLogVarMin, kLogVarMax);
    }
  }
  return sum;
}

}  // namespace
}  // namespace cuvae::cpu::CUVAE_ISA
