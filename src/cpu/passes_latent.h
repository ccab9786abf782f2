// The passes of the latent variable: a part of passes.cpp, compiled with it once per instruction set.
#pragma once
#include "cuvae/types.h"
#include "math/formulas.h"

namespace cuvae::cpu::CUVAE_ISA {
namespace {

namespace m = cuvae::math;

void sample_latent(const float* stats, const float* noise, Index rows, Index samples, Index latent, float* z, float* kl,
                   float* kl_dims) {
  for (Index b = 0; b < rows; ++b) {
    const float *mu = stats + b * 2 * latent, *logvar = mu + latent;
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (Index l = 0; l < latent; ++l) {
      const float lv = m::clamp(logvar[l], kLogVarMin, kLogVarMax);
      const float k = 0.5f * (mu[l] * mu[l] + (m::exp(lv) - lv - 1.0f));
      sum += k;
      kl_dims[l] += k;
    }
    if (kl != nullptr) kl[b] = sum;
    for (Index k = 0; k < samples; ++k, z += latent, noise += latent) {
#pragma omp simd
      for (Index l = 0; l < latent; ++l)
        z[l] = mu[l] + m::exp(0.5f * m::clamp(logvar[l], kLogVarMin, kLogVarMax)) * noise[l];
    }
  }
}

float squared_norm_of_score(const float* noise, const float* logvar, Index latent) {
  float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
  for (Index l = 0; l < latent; ++l) {
    const float square = noise[l] * noise[l], by_logvar = 0.5f * (square - 1.0f);
    sum += square * m::exp(-m::clamp(logvar[l], kLogVarMin, kLogVarMax)) + by_logvar * by_logvar;
  }
  return sum;
}

void log_densities(const float* stats, const float* noise, const float* z, Index rows, Index samples, Index latent,
                   float* log_p_z, float* log_q, bool add, float* score_norm) {
  const float constant = static_cast<float>(latent) * m::kLog2Pi;
  for (Index b = 0; b < rows; ++b) {
    const float* logvar = stats + (2 * b + 1) * latent;
    for (Index k = 0; k < samples; ++k, z += latent, noise += latent) {
      if (score_norm != nullptr) {
        const float norm = squared_norm_of_score(noise, logvar, latent);
        *score_norm = add ? *score_norm + norm : norm;
        ++score_norm;
      }
      float p = constant, q = constant;
#pragma omp simd reduction(+ : p, q)
      for (Index l = 0; l < latent; ++l) {
        p += z[l] * z[l];
        q += noise[l] * noise[l] + m::clamp(logvar[l], kLogVarMin, kLogVarMax);
      }
      if (log_p_z != nullptr) *log_p_z++ = -0.5f * p;
      if (log_q == nullptr) continue;
      *log_q = add ? *log_q - 0.5f * q : -0.5f * q;
      ++log_q;
    }
  }
}

void latent_backward(const float* stats, const float* noise, const float* dz, const float* kl_scale, Index rows,
                     Index samples, Index latent, float* dstats) {
  for (Index b = 0; b < rows; ++b) {
    const float *mu = stats + b * 2 * latent, *logvar = mu + latent;
    float *dmu = dstats + b * 2 * latent, *dlogvar = dmu + latent;
#pragma omp simd
    for (Index l = 0; l < latent; ++l) dmu[l] = dlogvar[l] = 0.0f;
    for (Index k = 0; k < samples; ++k, dz += latent, noise += latent) {
#pragma omp simd
      for (Index l = 0; l < latent; ++l) {
        dmu[l] += dz[l];
        dlogvar[l] += dz[l] * noise[l];
      }
    }
#pragma omp simd
    for (Index l = 0; l < latent; ++l) {
      const float lv = m::clamp(logvar[l], kLogVarMin, kLogVarMax), sigma = m::exp(0.5f * lv), s = kl_scale[l];
      dmu[l] += s * mu[l];
      const float d = 0.5f * (dlogvar[l] * sigma + s * (m::exp(lv) - 1.0f));
      dlogvar[l] = m::clamp_gradient(d, logvar[l], kLogVarMin, kLogVarMax);
    }
  }
}

// Subtracts the score's part of dstats with an optimal baseline, sixteen latents at a time. `noise` is of one row's
// samples, which have the numbers `first` onwards in `score`.
void subtract_optimal_score(const RowFactor& score, Index first, const float* logvar, const float* noise, Index samples,
                            Index latent, float* dmu, float* dlogvar) {
  constexpr Index kLanes = 16;
  for (Index begin = 0; begin < latent; begin += kLanes) {
    const Index n = latent - begin < kLanes ? latent - begin : kLanes;
    m::OthersConstant of_mu[kLanes], of_logvar[kLanes];
    for (Index k = 0; k < samples; ++k) {
      const auto c = static_cast<double>(m::at(score, first + k));
      for (Index i = 0; i < n; ++i) {
        const auto eps = static_cast<double>(noise[k * latent + begin + i]);
        of_mu[i].add(c, eps * eps);
        of_logvar[i].add(c, (eps * eps - 1.0) * (eps * eps - 1.0));
      }
    }
    for (Index k = 0; k < samples; ++k) {
      const auto c = static_cast<double>(m::at(score, first + k));
      for (Index i = 0; i < n; ++i) {
        const Index l = begin + i;
        const auto eps = static_cast<double>(noise[k * latent + l]);
        const double s = eps * eps - 1.0;
        const float sigma = m::exp(0.5f * m::clamp(logvar[l], kLogVarMin, kLogVarMax));
        dmu[l] -= static_cast<float>((c - of_mu[i].without(c, eps * eps, samples)) * eps) / sigma;
        dlogvar[l] -= static_cast<float>((c - of_logvar[i].without(c, s * s, samples)) * s);
      }
    }
  }
}

/// The factors of one sample row in its terms: of the path, the density and the score.
struct RowTerms {
  float path, density, score;
};

// Adds a sample's part of dstats. A loop with a condition on dz would have no vector code.
template <bool has_dz>
void add_sample(const LatentTerms& terms, const RowTerms& row, const float* mu, const float* noise, const float* dz,
                Index latent, float* dmu, float* dlogvar) {
  const float *logvar = mu + latent, stick = terms.stick_the_landing ? 1.0f : 0.0f;
  const float of_z = terms.standard_prior ? 1.0f : 0.0f;
  const float t = row.path, w = row.density, c = row.score;
#pragma omp simd
  for (Index l = 0; l < latent; ++l) {
    const float sigma = m::exp(0.5f * m::clamp(logvar[l], kLogVarMin, kLogVarMax)), eps = noise[l];
    const float pull = eps / sigma, z = mu[l] + sigma * eps;
    const float path = t * ((has_dz ? dz[l] : 0.0f) + w * (of_z * z - stick * pull));
    dmu[l] += path - c * pull;
    dlogvar[l] += path * sigma * eps - (1.0f - stick) * t * w - c * (eps * eps - 1.0f);
  }
}

void latent_backward_terms(const LatentTerms& terms, Index first, const float* stats, const float* noise,
                           const float* dz, const float* kl_scale, Index rows, Index samples, Index latent,
                           float* dstats) {
  for (Index b = 0; b < rows; ++b) {
    const float *mu = stats + b * 2 * latent, *logvar = mu + latent;
    float *dmu = dstats + b * 2 * latent, *dlogvar = dmu + latent;
#pragma omp simd
    for (Index l = 0; l < latent; ++l) dmu[l] = dlogvar[l] = 0.0f;
    if (terms.optimal_baseline)
      subtract_optimal_score(terms.score, first + b * samples, logvar, noise, samples, latent, dmu, dlogvar);
    for (Index k = 0; k < samples; ++k, noise += latent) {
      const Index r = first + b * samples + k;
      const RowTerms row{m::at(terms.path, r), m::at(terms.density, r),
                         terms.optimal_baseline ? 0.0f : m::at(terms.score, r)};
      if (dz != nullptr)
        add_sample<true>(terms, row, mu, noise, dz + (b * samples + k) * latent, latent, dmu, dlogvar);
      else
        add_sample<false>(terms, row, mu, noise, nullptr, latent, dmu, dlogvar);
    }
#pragma omp simd
    for (Index l = 0; l < latent; ++l) {
      const float lv = m::clamp(logvar[l], kLogVarMin, kLogVarMax), s = kl_scale[l];
      dmu[l] += s * mu[l];
      const float d = 0.5f * (dlogvar[l] + s * (m::exp(lv) - 1.0f) - terms.entropy);
      dlogvar[l] = m::clamp_gradient(d, logvar[l], kLogVarMin, kLogVarMax);
    }
  }
}

}  // namespace
}  // namespace cuvae::cpu::CUVAE_ISA
