// The passes of Bernoulli latents: a part of passes.cpp, compiled with it once per instruction set.
#pragma once
#include "cpu/passes.h"
#include "math/bernoulli.h"
#include "math/likelihoods.h"

namespace cuvae::cpu::CUVAE_ISA {
namespace {

namespace m = cuvae::math;

CUVAE_FN float bernoulli_term(float logit, float z, float& score) {
  float log_p;
  m::BernoulliFormula::log_prob(&logit, z, log_p, &score);
  return log_p;
}

void sample_bernoulli(const float* logits, Index rows, Index samples, Index latent, float* z, float* log_q, bool add,
                      float* score_norm, float* columns) {
  for (Index b = 0; b < rows; ++b, logits += latent) {
    for (Index k = 0; k < samples; ++k, z += latent) {
#pragma omp simd
      for (Index l = 0; l < latent; ++l) z[l] = m::binarized(m::sigmoid(logits[l]), z[l]);
      if (log_q == nullptr) continue;
      float q = 0.0f, norm = 0.0f;
#pragma omp simd reduction(+ : q, norm)
      for (Index l = 0; l < latent; ++l) {
        float score;
        q += bernoulli_term(logits[l], z[l], score);
        norm += score * score;
      }
      *log_q = add ? *log_q + q : q;
      ++log_q;
      if (score_norm == nullptr) continue;
      *score_norm = add ? *score_norm + norm : norm;
      ++score_norm;
    }
    if (columns == nullptr) continue;
    float *probability = columns + b * 2 * latent, *logit = probability + latent;
#pragma omp simd
    for (Index l = 0; l < latent; ++l) {
      probability[l] = m::sigmoid(logits[l]);
      logit[l] = logits[l];
    }
  }
}

// Sixteen latents at a time, so that what depends on the logits alone is computed once for all samples.
void bernoulli_backward(const RowFactor& score, bool optimal, Index first, const float* logits, const float* z,
                        Index rows, Index samples, Index latent, float* dlogits) {
  constexpr Index kLanes = 16;
  for (Index b = 0; b < rows; ++b, z += samples * latent)
    for (Index begin = 0; begin < latent; begin += kLanes) {
      const Index n = latent - begin < kLanes ? latent - begin : kLanes;
      const float* of_row = logits + b * latent + begin;
      float q[kLanes], sum[kLanes] = {};
      m::OthersOfBernoulli others[kLanes];
#pragma omp simd
      for (Index i = 0; i < n; ++i) q[i] = m::rarer_probability(of_row[i]);
      for (Index k = 0; optimal && k < samples; ++k) {
        const auto c = static_cast<double>(m::at(score, first + b * samples + k));
        for (Index i = 0; i < n; ++i) others[i].add(c, m::is_rarer(of_row[i], z[k * latent + begin + i]));
      }
      for (Index k = 0; k < samples; ++k) {
        const float c = m::at(score, first + b * samples + k), *at = z + k * latent + begin;
        if (optimal) {
          for (Index i = 0; i < n; ++i) {
            const auto own = static_cast<double>(c);
            const double less = own - others[i].without(own, m::is_rarer(of_row[i], at[i]), q[i], samples);
            sum[i] -= static_cast<float>(less) * m::bernoulli_score(of_row[i], q[i], at[i]);
          }
        } else {
#pragma omp simd
          for (Index i = 0; i < n; ++i) sum[i] -= c * m::bernoulli_score(of_row[i], q[i], at[i]);
        }
      }
      for (Index i = 0; i < n; ++i) dlogits[b * latent + begin + i] = sum[i];
    }
}

float bernoulli_row(const float* z, const float* logits, Index latent, float weight, float* dlogits, bool add) {
  float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
  for (Index l = 0; l < latent; ++l) {
    float score;
    sum += bernoulli_term(logits[l], z[l], score);
  }
  if (dlogits == nullptr) return sum;
#pragma omp simd
  for (Index l = 0; l < latent; ++l) {
    float score;
    (void)bernoulli_term(logits[l], z[l], score);
    dlogits[l] = add ? dlogits[l] + weight * score : weight * score;
  }
  return sum;
}

}  // namespace
}  // namespace cuvae::cpu::CUVAE_ISA
