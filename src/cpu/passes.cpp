// Compiled once per instruction set, with CUVAE_ISA naming the namespace and the compiler flags choosing the vectors.
#include "cpu/passes.h"

#include "cpu/passes_bernoulli.h"
#include "cpu/passes_ladder.h"
#include "cpu/passes_latent.h"
#include "cpu/passes_prior.h"
#include "math/formulas.h"
#include "math/likelihoods.h"
#include "math/philox.h"

namespace cuvae::cpu::CUVAE_ISA {
namespace {

namespace m = cuvae::math;

void bias_activation(float* y, float* pre, const float* b, Index rows, Index cols, Activation act) {
  m::with_activation(act, [&]<Activation A>() {
    for (Index r = 0; r < rows; ++r) {
      float* row = y + r * cols;
      if (pre != nullptr) {
        float* out = pre + r * cols;
#pragma omp simd
        for (Index c = 0; c < cols; ++c) out[c] = row[c] + b[c];
      }
#pragma omp simd
      for (Index c = 0; c < cols; ++c) row[c] = m::activate<A>(row[c] + b[c]);
    }
  });
}

void activation_backward(float* dx, const float* y, const float* pre, Index n, Activation act) {
  const float* before = pre != nullptr ? pre : y;
  m::with_activation(act, [&]<Activation A>() {
#pragma omp simd
    for (Index i = 0; i < n; ++i) dx[i] *= m::activation_derivative<A>(y[i], before[i]);
  });
}

void column_sums(const float* x, Index rows, Index cols, float* sums) {
  for (Index r = 0; r < rows; ++r) {
    const float* row = x + r * cols;
#pragma omp simd
    for (Index c = 0; c < cols; ++c) sums[c] += row[c];
  }
}

// Fills `words` with 64 words from number 64 * block onwards; lanes are independent, so this loop becomes vector code.
void word_block(const Draw& d, std::uint64_t block, std::uint32_t* words) {
  std::uint32_t lane[4][16];
#pragma omp simd
  for (std::uint32_t i = 0; i < 16; ++i) {
    const std::uint64_t w = block * 16 + i;
    const m::Words r = m::philox(d.seed, d.stream, d.step, w);
    lane[0][i] = r.v[0], lane[1][i] = r.v[1], lane[2][i] = r.v[2], lane[3][i] = r.v[3];
  }
  for (int i = 0; i < 16; ++i)
    for (int j = 0; j < 4; ++j) words[4 * i + j] = lane[j][i];
}

template <bool from_bytes, Binarize mode>
void gather_values(const void* pixels, const std::uint32_t* words, Index n, float* x) {
#pragma omp simd
  for (Index i = 0; i < n; ++i) {
    float p;
    if constexpr (from_bytes) {
      p = static_cast<float>(static_cast<const std::uint8_t*>(pixels)[i]) / 255.0f;
    } else {
      p = static_cast<const float*>(pixels)[i];
    }
    if constexpr (mode == Binarize::threshold) p = m::thresholded(p);
    if constexpr (mode == Binarize::stochastic) p = m::binarized(p, m::uniform(words[i]));
    x[i] = p;
  }
}

template <bool from_bytes>
void gather_typed(const void* pixels, Binarize mode, const std::uint32_t* words, Index n, float* x) {
  switch (mode) {
    case Binarize::none:
      return gather_values<from_bytes, Binarize::none>(pixels, words, n, x);
    case Binarize::threshold:
      return gather_values<from_bytes, Binarize::threshold>(pixels, words, n, x);
    case Binarize::stochastic:
      return gather_values<from_bytes, Binarize::stochastic>(pixels, words, n, x);
  }
}

void gather_row(const void* pixels, DType type, Binarize mode, const Draw& draw, std::uint64_t first, Index cols,
                float* x) {
  const bool bytes = type == DType::u8;
  const auto part = [&](Index at, Index n, const std::uint32_t* words) {
    if (bytes) {
      gather_typed<true>(static_cast<const std::uint8_t*>(pixels) + at, mode, words, n, x + at);
    } else {
      gather_typed<false>(static_cast<const float*>(pixels) + at, mode, words, n, x + at);
    }
  };
  if (mode != Binarize::stochastic) return part(0, cols, nullptr);
  alignas(64) std::uint32_t words[64];
  for (Index at = 0; at < cols;) {
    const std::uint64_t index = first + static_cast<std::uint64_t>(at);
    const Index skip = static_cast<Index>(index % 64), n = cols - at < 64 - skip ? cols - at : 64 - skip;
    word_block(draw, index / 64, words);
    part(at, n, words + skip);
    at += n;
  }
}

void fill_missing(const float* x, Index n, float* y) {
#pragma omp simd
  for (Index i = 0; i < n; ++i) y[i] = m::is_missing(x[i]) ? 0.0f : x[i];
}

void normals(const Draw& draw, std::uint64_t first, Index count, float* out) {
  alignas(64) std::uint32_t words[64];
  alignas(64) float pairs[64];
  for (Index at = 0; at < count;) {
    const std::uint64_t index = first + static_cast<std::uint64_t>(at);
    const Index skip = static_cast<Index>(index % 64), n = count - at < 64 - skip ? count - at : 64 - skip;
    word_block(draw, index / 64, words);
#pragma omp simd
    for (int i = 0; i < 32; ++i)
      m::normal_pair(m::uniform(words[2 * i]), m::uniform(words[2 * i + 1]), pairs[2 * i], pairs[2 * i + 1]);
    for (Index i = 0; i < n; ++i) out[at + i] = pairs[skip + i];
    at += n;
  }
}

void uniforms(const Draw& draw, std::uint64_t first, Index count, bool complements, float* out) {
  alignas(64) std::uint32_t words[64];
  const std::uint32_t flip = complements ? 0xffffffffu : 0;  // the complement of u's word is that of 1 - u
  for (Index at = 0; at < count;) {
    const std::uint64_t index = first + static_cast<std::uint64_t>(at);
    const Index skip = static_cast<Index>(index % 64), n = count - at < 64 - skip ? count - at : 64 - skip;
    word_block(draw, index / 64, words);
#pragma omp simd
    for (Index i = 0; i < n; ++i) out[at + i] = m::uniform(words[skip + i] ^ flip);
    at += n;
  }
}

// log p of a value and the gradients of its outputs. The arrays are in a function of their own because g++ does not
// vectorize a loop that has one of two values.
template <class Formula>
CUVAE_FN float of_value(float output, float output2, float x, float weight, float& first, float& second) {
  float o[Formula::outputs], derivative[Formula::outputs], log_p;
  o[0] = output;
  if constexpr (Formula::outputs == 2) o[1] = output2;
  Formula::log_prob(o, x, log_p, derivative);
  first = Formula::gradient(0, weight * derivative[0], o[0]);
  if constexpr (Formula::outputs == 2) second = Formula::gradient(1, weight * derivative[1], o[1]);
  return log_p;
}

// The loops themselves load the values: clang then knows that no element depends on another one, also in place.
template <class Formula>
float formula_row(const float* outputs, const float* x, Index cols, float weight, float* doutputs) {
  static_assert(Formula::outputs <= 2);
  const float* outputs2 = Formula::outputs == 2 ? outputs + cols : outputs;
  float sum = 0.0f;
  if (doutputs != nullptr) {
#pragma omp simd reduction(+ : sum)
    for (Index d = 0; d < cols; ++d) {
      float first, second;
      sum += of_value<Formula>(outputs[d], outputs2[d], x[d], weight, first, second);
      doutputs[d] = first;
      if constexpr (Formula::outputs == 2) doutputs[cols + d] = second;
    }
  } else {
#pragma omp simd reduction(+ : sum)
    for (Index d = 0; d < cols; ++d) {
      float first, second;
      sum += of_value<Formula>(outputs[d], outputs2[d], x[d], weight, first, second);
    }
  }
  return sum;
}

float log_prob_row(Likelihood likelihood, bool missing, const float* outputs, const float* x, Index cols, float weight,
                   float* doutputs) {
  return m::with_likelihood(likelihood, missing, [&]<class Formula>() {
    if constexpr (m::takes_values_alone<Formula>)
      return formula_row<Formula>(outputs, x, cols, weight, doutputs);
    else
      return m::kNaN;  // LogProb::check refuses it
  });
}

template <class Formula>
void draw_formula_row(const float* outputs, const Draw& draw, std::uint64_t first, Index cols, float* x) {
  alignas(64) std::uint32_t words[64];
  alignas(64) float random[64];
  for (Index at = 0; at < cols;) {
    const std::uint64_t index = first + static_cast<std::uint64_t>(at);
    const Index skip = static_cast<Index>(index % 64), n = cols - at < 64 - skip ? cols - at : 64 - skip;
    if constexpr (Formula::from_normal) {
      normals(draw, index, n, random);
    } else {
      word_block(draw, index / 64, words);
      for (Index i = 0; i < n; ++i) random[i] = m::uniform(words[skip + i]);
    }
    for (Index i = 0; i < n; ++i) {
      float o[Formula::outputs];
      for (int k = 0; k < Formula::outputs; ++k) o[k] = outputs[k * cols + at + i];
      x[at + i] = Formula::draw(o, random[i]);
    }
    at += n;
  }
}

void draw_row(Likelihood likelihood, const float* outputs, const float* log_scale, Index scales, const Draw& draw,
              std::uint64_t first, Index cols, float* x) {
  m::with_likelihood(likelihood, [&]<class Formula>() {
    if constexpr (m::takes_values_alone<Formula>) {
      draw_formula_row<Formula>(outputs, draw, first, cols, x);
    } else {
      normals(draw, first, cols, x);
      for (Index d = 0; d < cols; ++d) x[d] = outputs[d] + m::exp(log_scale[scales == 1 ? 0 : d]) * x[d];
    }
  });
}

// A missing value stands at its mean, and d log p / d log s there is 0.
template <bool missing>
float gaussian_row_of(const float* mean, const float* x, const float* inv_scale, Index cols, float weight, float* dmean,
                      float* dlog_scale) {
  const auto difference = [&](Index d) {
    if constexpr (missing)
      if (m::is_missing(x[d])) return 0.0f;
    return x[d] - mean[d];
  };
  float sum = 0.0f;
  if (dlog_scale != nullptr) {
#pragma omp simd
    for (Index d = 0; d < cols; ++d) {
      const float u = difference(d) * inv_scale[d], slope = weight * (u * u - 1.0f);
      dlog_scale[d] += missing && m::is_missing(x[d]) ? 0.0f : slope;
    }
  }
#pragma omp simd reduction(+ : sum)
  for (Index d = 0; d < cols; ++d) {
    const float u = difference(d) * inv_scale[d];
    sum += u * u;
  }
  if (dmean != nullptr) {
#pragma omp simd
    for (Index d = 0; d < cols; ++d) dmean[d] = weight * difference(d) * inv_scale[d] * inv_scale[d];
  }
  return sum;
}

float gaussian_row(bool missing, const float* mean, const float* x, const float* inv_scale, Index cols, float weight,
                   float* dmean, float* dlog_scale) {
  const auto row = missing ? gaussian_row_of<true> : gaussian_row_of<false>;
  return row(mean, x, inv_scale, cols, weight, dmean, dlog_scale);
}

double sum_of_squares(const float* x, Index n) {
  double sum = 0.0;
#pragma omp simd reduction(+ : sum)
  for (Index i = 0; i < n; ++i) sum += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  return sum;
}

template <Optimizer O>
void update_all(const OptimizerStep& step, const m::UpdateScalars& s, Index n, float* p, const float* g, float* mo,
                float* v, float* ema) {
  if (step.clip_value > 0) {
#pragma omp simd
    for (Index i = 0; i < n; ++i) m::update<O, true>(step, s, g[i], p[i], mo[i], v[i]);
  } else {
#pragma omp simd
    for (Index i = 0; i < n; ++i) m::update<O, false>(step, s, g[i], p[i], mo[i], v[i]);
  }
  if (ema == nullptr) return;
#pragma omp simd
  for (Index i = 0; i < n; ++i) ema[i] = step.ema_decay * ema[i] + (1.0f - step.ema_decay) * p[i];
}

void update(const OptimizerStep& step, float rate, float gradient_scale, float correction1, float correction2_sqrt,
            Index n, float* p, const float* g, float* mo, float* v, float* ema) {
  const OptimizerStep local = step;
  const m::UpdateScalars s{rate, gradient_scale, correction1, correction2_sqrt};
  switch (step.kind) {
    case Optimizer::adam:
      return update_all<Optimizer::adam>(local, s, n, p, g, mo, v, ema);
    case Optimizer::adamw:
      return update_all<Optimizer::adamw>(local, s, n, p, g, mo, v, ema);
    case Optimizer::sgd:
      return update_all<Optimizer::sgd>(local, s, n, p, g, mo, v, ema);
    case Optimizer::adam_iwae:
      return update_all<Optimizer::adam_iwae>(local, s, n, p, g, mo, v, ema);
  }
}

#define CUVAE_STRING_(x) #x
#define CUVAE_STRING(x) CUVAE_STRING_(x)

}  // namespace

extern const Passes table;
const Passes table = {CUVAE_STRING(CUVAE_ISA),
                      bias_activation,
                      activation_backward,
                      column_sums,
                      gather_row,
                      fill_missing,
                      normals,
                      uniforms,
                      sample_latent,
                      log_densities,
                      latent_backward,
                      latent_backward_terms,
                      log_prob_row,
                      gaussian_row,
                      draw_row,
                      latent_log_prob_row,
                      sample_bernoulli,
                      bernoulli_backward,
                      bernoulli_row,
                      mixture_row,
                      mixture_component,
                      merge_row,
                      merge_backward_row,
                      sum_of_squares,
                      update};

}  // namespace cuvae::cpu::CUVAE_ISA
