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

float mixture_row(const MixtureTables& tables, const float* z, float weight, float* responsibilities, float* dz) {
  const Index n = tables.components;
  float* r = responsibilities;  // first the squares, then the terms' logs, then exponentials
#pragma omp simd
  for (Index c = 0; c < n; ++c) r[c] = 0.0f;
  for (Index l = 0; l < tables.latent; ++l) {
    const float *mu = tables.mu + l * n, *inverse = tables.inverse + l * n, at = z[l];
#pragma omp simd
    for (Index c = 0; c < n; ++c) {
      const float u = (at - mu[c]) * inverse[c];
      r[c] += u * u;
    }
  }
#pragma omp simd
  for (Index c = 0; c < n; ++c) r[c] = tables.constant[c] - 0.5f * r[c];
  float max = r[0], sum = 0.0f;
  for (Index c = 1; c < n; ++c) max = r[c] > max ? r[c] : max;
#pragma omp simd reduction(+ : sum)
  for (Index c = 0; c < n; ++c) {
    r[c] = m::exp(r[c] - max);
    sum += r[c];
  }
#pragma omp simd
  for (Index c = 0; c < n; ++c) r[c] /= sum;
  for (Index l = 0; dz != nullptr && l < tables.latent; ++l) {
    const float *mu = tables.mu + l * n, *inverse = tables.inverse + l * n, at = z[l];
    float slope = 0.0f;
#pragma omp simd reduction(+ : slope)
    for (Index c = 0; c < n; ++c) slope += r[c] * ((at - mu[c]) * inverse[c] * inverse[c]);
    dz[l] -= weight * slope;
  }
  return max + (sum > 0.0f ? m::log(sum) : sum);  // log() takes numbers only: NaN is passed on
}

void mixture_component(const float* z, const float* responsibilities, Index stride, const RowFactor& weight, Index rows,
                       const float* stats, Index latent, float* inverse, float* d) {
  const float *mu = stats, *logvar = stats + latent;
  float *dmu = d, *dlogvar = d + latent;
#pragma omp simd
  for (Index l = 0; l < latent; ++l) {
    inverse[l] = m::inverse_sigma(logvar[l]);
    dmu[l] = dlogvar[l] = 0.0f;
  }
  for (Index r = 0; r < rows; ++r, z += latent) {
    const float g = m::at(weight, r) * responsibilities[r * stride];
#pragma omp simd
    for (Index l = 0; l < latent; ++l) {
      const float u = (z[l] - mu[l]) * inverse[l];
      dmu[l] += g * u;
      dlogvar[l] += g * (u * u - 1.0f);
    }
  }
#pragma omp simd
  for (Index l = 0; l < latent; ++l) {
    dmu[l] *= inverse[l];
    dlogvar[l] = m::clamp_gradient(0.5f * dlogvar[l], logvar[l], kLogVarMin, kLogVarMax);
  }
}

}  // namespace
}  // namespace cuvae::cpu::CUVAE_ISA
