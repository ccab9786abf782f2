// The scalar formulas that every backend shares.
#pragma once
#include "cuvae/types.h"
#include "math/elementary.h"

namespace cuvae::math {

inline constexpr float kLog2Pi = 1.83787706f;

CUVAE_FN float clamp(float x, float low, float high) { return x < low ? low : (x > high ? high : x); }

/// The gradient of a loss by x, from that by clamp(x, low, high). It is 0 where a step against it would move x further
/// out, so that a parameter outside of its clamp comes back.
CUVAE_FN float clamp_gradient(float gradient, float x, float low, float high) {
  return (x < low && gradient > 0.0f) || (x > high && gradient < 0.0f) ? 0.0f : gradient;
}

CUVAE_FN bool is_probability(float p) { return (p >= 0.0f) & (p <= 1.0f); }
/// Where a model takes missing values, NaN is one.
CUVAE_FN bool is_missing(float x) { return !(x == x); }
/// 1 where the uniform u is at most p, else 0; where p is no probability an infinity, or NaN where it is NaN.
CUVAE_FN float binarized(float p, float u) { return is_probability(p) ? (u <= p ? 1.0f : 0.0f) : p * kInfinity; }
/// 1 from 1/2 on, else 0; an infinity or NaN likewise.
CUVAE_FN float thresholded(float p) { return is_probability(p) ? (p >= 0.5f ? 1.0f : 0.0f) : p * kInfinity; }

/// beta(step): see KlWeight.
CUVAE_FN float kl_weight(const KlWeight& w, std::uint32_t step) {
  return step >= w.warmup_steps ? w.beta : w.beta * static_cast<float>(step) / static_cast<float>(w.warmup_steps);
}

/// The factor of row r.
CUVAE_FN float at(const RowFactor& factor, Index r) {
  const auto* rows = static_cast<const float*>(factor.rows.data);
  const float f = rows == nullptr ? factor.offset : factor.offset + factor.scale * rows[r];
  return factor.step == nullptr ? f : f * kl_weight(factor.kl, *factor.step);
}

/// The constant b of least variance of (c - b) s from a row's samples but one: sum c s^2 / sum s^2 over the others, or
/// their mean where all s are 0. The sums are over all samples, in double; subtracting a sample gives the sums over the
/// others.
struct OthersConstant {
  double sum = 0.0, weighted = 0.0, weight = 0.0;  // of c, c s^2, s^2
  CUVAE_FN void add(double c, double square) { sum += c, weighted += c * square, weight += square; }
  CUVAE_FN double without(double c, double square, Index samples) const {
    const double rest = weight - square;
    return rest > 0.0 ? (weighted - c * square) / rest : (sum - c) / static_cast<double>(samples - 1);
  }
};

CUVAE_FN float softplus(float x) { return (x > 0.0f ? x : 0.0f) + log1p_unit(exp(x > 0.0f ? -x : x)); }
CUVAE_FN float sigmoid(float x) {
  const float t = exp(x > 0.0f ? -x : x), r = 1.0f / (1.0f + t);
  return x > 0.0f ? r : t * r;
}
/// e^x - 1 for x <= 0, to a few ulp: 2 tanh(x/2) / (1 - tanh(x/2)).
CUVAE_FN float expm1_negative(float x) {
  const float h = tanh(0.5f * x);
  return 2.0f * h / (1.0f - h);
}

template <Activation A>
CUVAE_FN float activate(float x) {
  if constexpr (A == Activation::relu) {
    return x < 0.0f ? 0.0f : x;  // NaN stays NaN
  } else if constexpr (A == Activation::tanh) {
    return tanh(x);
  } else if constexpr (A == Activation::softplus) {
    return softplus(x);
  } else if constexpr (A == Activation::silu) {
    return x * sigmoid(x);
  } else if constexpr (A == Activation::gelu) {
    return 0.5f * x * (1.0f + erf(x * 0.70710678f));
  } else if constexpr (A == Activation::elu) {
    return x > 0.0f ? x : expm1_negative(x > 0.0f ? 0.0f : x);
  } else if constexpr (A == Activation::leaky_relu) {
    return x > 0.0f ? x : kLeak * x;
  } else {
    static_assert(A == Activation::identity, "an activation without its formula");
    return x;
  }
}

/// The derivative, from the result y or, where needs_pre_activation(A), from the value before, x.
template <Activation A>
CUVAE_FN float activation_derivative(float y, float x) {
  if constexpr (A == Activation::relu) {
    return y > 0.0f ? 1.0f : 0.0f;
  } else if constexpr (A == Activation::tanh) {
    return 1.0f - y * y;
  } else if constexpr (A == Activation::softplus) {
    return -expm1_negative(-y);  // sigmoid(x) = 1 - exp(-y)
  } else if constexpr (A == Activation::silu) {
    return sigmoid(x) * (1.0f + x * sigmoid(-x));  // 1 - sigmoid(x) would cancel
  } else if constexpr (A == Activation::gelu) {
    return 0.5f * (1.0f + erf(x * 0.70710678f)) + x * 0.39894228f * exp(-0.5f * x * x);
  } else if constexpr (A == Activation::elu) {
    return y > 0.0f ? 1.0f : y + 1.0f;
  } else if constexpr (A == Activation::leaky_relu) {
    return y > 0.0f ? 1.0f : kLeak;
  } else {
    static_assert(A == Activation::identity, "an activation without its derivative");
    return 1.0f;
  }
}

/// f<A>() for the run-time value, so that loops and kernels do not branch on it.
template <class F>
auto with_activation(Activation act, F f) {
  switch (act) {
    case Activation::identity:
      break;
    case Activation::relu:
      return f.template operator()<Activation::relu>();
    case Activation::tanh:
      return f.template operator()<Activation::tanh>();
    case Activation::softplus:
      return f.template operator()<Activation::softplus>();
    case Activation::silu:
      return f.template operator()<Activation::silu>();
    case Activation::gelu:
      return f.template operator()<Activation::gelu>();
    case Activation::elu:
      return f.template operator()<Activation::elu>();
    case Activation::leaky_relu:
      return f.template operator()<Activation::leaky_relu>();
  }
  return f.template operator()<Activation::identity>();
}

/// The learning rate at a step: see LearningRate.
CUVAE_FN float learning_rate(const LearningRate& s, std::uint32_t step) {
  switch (s.kind) {
    case LearningRate::Kind::constant:
      break;
    case LearningRate::Kind::cosine: {
      if (step < s.warmup_steps) return s.rate * static_cast<float>(step + 1) / static_cast<float>(s.warmup_steps);
      const std::uint32_t span = s.total_steps > s.warmup_steps ? s.total_steps - s.warmup_steps : 1;
      const float done = static_cast<float>(step - s.warmup_steps) / static_cast<float>(span);
      float sine, cosine;
      sincos_turns(0.5f * (done < 1.0f ? done : 1.0f), sine, cosine);
      return s.final_rate + (s.rate - s.final_rate) * 0.5f * (1.0f + cosine);
    }
    case LearningRate::Kind::step:
      return s.rate * ::powf(s.decay, static_cast<float>(step / s.every_steps));
    case LearningRate::Kind::pieces: {
      std::uint32_t i = 0;
      while (i + 1 < s.pieces && step >= s.piece_end[i]) ++i;
      return s.piece_rate[i];
    }
  }
  return s.rate;
}

/// One parameter's update; t counts updates from 1, the corrections are 1 / (1 - beta^t).
struct UpdateScalars {
  float rate, gradient_scale, correction1, correction2_sqrt;  // 1 / (1 - b1^t), 1 / sqrt(1 - b2^t)
};

// `clips` is a template argument, so that without it products and sums are contracted as ever.
template <Optimizer O, bool clips>
CUVAE_FN void update(const OptimizerStep& o, const UpdateScalars& s, float grad, float& p, float& m, float& v) {
  static_assert(O == Optimizer::adam || O == Optimizer::adamw || O == Optimizer::sgd || O == Optimizer::adam_iwae,
                "an optimizer without its update");
  float g = grad * s.gradient_scale;
  if constexpr (clips) g = clamp(g, -o.clip_value, o.clip_value);
  if constexpr (O == Optimizer::adamw) {
    p -= s.rate * o.weight_decay * p;
  } else {
    g += o.weight_decay * p;
  }
  if constexpr (O == Optimizer::sgd) {
    m = o.beta1 * m + g;
    p -= s.rate * m;
  } else {
    m = o.beta1 * m + (1.0f - o.beta1) * g;
    v = o.beta2 * v + (1.0f - o.beta2) * g * g;
    if constexpr (O == Optimizer::adam_iwae) {
      p -= s.rate * (m * s.correction1) / ((sqrt(v) + o.epsilon) * s.correction2_sqrt);
    } else {
      p -= s.rate * (m * s.correction1) / (sqrt(v) * s.correction2_sqrt + o.epsilon);
    }
  }
}

}  // namespace cuvae::math
