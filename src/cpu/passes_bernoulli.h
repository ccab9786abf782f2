// The passes of Bernoulli latents: a part of passes.cpp, compiled with it once per instruction set.
#pragma once
#include "cpu/passes.h"
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

}  // namespace
}  // namespace cuvae::cpu::CUVAE_ISA
