#include "reference.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace cuvae::reference {
namespace {

double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::fabs(x))); }
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double mean(const Vector& v) {
  double sum = 0;
  for (double x : v) sum += x;
  return sum / static_cast<double>(v.size());
}
Index count(const Vector& v) { return static_cast<Index>(v.size()); }

}  // namespace

Vector widen(const std::vector<float>& values) { return {values.begin(), values.end()}; }

double round_to_bf16(double value) {
  if (!std::isfinite(value) || value == 0) return value;
  const double last_place = std::ldexp(1.0, std::max(std::ilogb(value), -126) - 7);
  const double rounded = std::nearbyint(value / last_place) * last_place;
  return std::fabs(rounded) < 0x1p128 ? rounded : std::copysign(INFINITY, value);
}

std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> c, std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = 0xD2511F53ull * c[0], p1 = 0xCD9E8D57ull * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ key[0], static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ key[1], static_cast<std::uint32_t>(p0)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return c;
}

std::uint32_t word(const NoiseKey& noise, std::uint64_t index) {
  const std::uint64_t w = index / 4;
  const auto low = [](std::uint64_t x) { return static_cast<std::uint32_t>(x); };
  return philox({low(w), low(w >> 32), noise.step, static_cast<std::uint32_t>(noise.stream)},
                {low(noise.seed), low(noise.seed >> 32)})[index % 4];
}

double uniform(const NoiseKey& noise, std::uint64_t index) {
  return std::ldexp(word(noise, index), -32) + std::ldexp(1.0, -33);
}

double normal(const NoiseKey& noise, std::uint64_t index) {
  const double u0 = uniform(noise, index - index % 2), u1 = uniform(noise, index - index % 2 + 1);
  const double r = std::sqrt(-2 * std::log(u0)), angle = 2 * std::numbers::pi * u1;
  return r * (index % 2 == 0 ? std::sin(angle) : std::cos(angle));
}

// A uniform below 1 rounded to float32 is off by at most u/2^24, which moves r by (that/u)/r (or, near u = 1, all of r
// away), and the angle by 2 pi u/2^24; then a few roundings of 2^-24 relative to r for the logarithm, root, angle and
// sine.
double normal_error(const NoiseKey& noise, std::uint64_t index) {
  const double u0 = uniform(noise, index - index % 2), u1 = uniform(noise, index - index % 2 + 1);
  const double ulp = std::ldexp(1.0, -24), r = std::sqrt(-2 * std::log(u0));
  return std::min(ulp / r, std::sqrt(2 * ulp)) + r * (2 * std::numbers::pi * u1 + 8) * ulp;
}

std::vector<Index> batch_rows(const std::vector<std::uint32_t>& order, Index rows, Index step, Index first_row,
                              Index batch) {
  const Index first = step < 0 ? first_row : step % (rows / batch) * batch;
  std::vector<Index> result;
  for (Index i = first; i < first + batch; ++i) result.push_back(order.empty() ? i : order[i]);
  return result;
}

Vector gather_batch(const Vector& pixels, Index width, const std::vector<Index>& rows, Binarize binarize,
                    const NoiseKey& noise) {
  Vector x;
  for (std::size_t b = 0; b < rows.size(); ++b)
    for (Index d = 0; d < width; ++d) {
      const double pixel = pixels[rows[b] * width + d];
      if (binarize == Binarize::none || std::isnan(pixel))
        x.push_back(pixel);
      else if (binarize == Binarize::threshold)
        x.push_back(pixel >= 0.5);
      else
        x.push_back(uniform(noise, (noise.first_row + static_cast<Index>(b)) * width + d) < pixel);
    }
  return x;
}

double activate(Activation act, double x) {
  switch (act) {
    case Activation::identity:
      return x;
    case Activation::relu:
      return std::max(x, 0.0);
    case Activation::tanh:
      return std::tanh(x);
    case Activation::softplus:
      return softplus(x);
    case Activation::silu:
      return x * sigmoid(x);
    case Activation::gelu:
      return x / 2 * std::erfc(-x / std::numbers::sqrt2);
    case Activation::elu:
      return x > 0 ? x : std::expm1(x);
    case Activation::leaky_relu:
      return std::max(x, 0.01 * x);
  }
  return NAN;
}

double activation_slope(Activation act, double x) {
  switch (act) {
    case Activation::identity:
      return 1;
    case Activation::relu:
      return x > 0;
    case Activation::tanh:
      return std::pow(std::cosh(x), -2);
    case Activation::softplus:
      return sigmoid(x);
    case Activation::silu:
      return sigmoid(x) * (1 + x * sigmoid(-x));
    case Activation::gelu:
      return std::erfc(-x / std::numbers::sqrt2) / 2 + x * std::exp(-x * x / 2) / std::sqrt(2 * std::numbers::pi);
    case Activation::elu:
      return x > 0 ? 1 : std::exp(x);
    case Activation::leaky_relu:
      return x > 0 ? 1 : 0.01;
  }
  return NAN;
}

Vector join_columns(const Vector& left, Index width, const Vector& right, Index C) {
  const Index rows = count(left) / width, each = rows * C / count(right);
  Vector joined;
  for (Index i = 0; i < rows * (width + C); ++i) {
    const Index r = i / (width + C), at = i % (width + C);
    joined.push_back(at < width ? left[r * width + at] : right[r / each * C + at - width]);
  }
  return joined;
}

Vector affine(const Vector& x, const Vector& w, const Vector& b, Index inputs, Index outputs) {
  Vector y;
  for (Index r = 0; r < count(x) / inputs; ++r)
    for (Index o = 0; o < outputs; ++o) {
      double sum = b[o];
      for (Index i = 0; i < inputs; ++i) sum += x[r * inputs + i] * w[o * inputs + i];
      y.push_back(sum);
    }
  return y;
}

LinearGradients linear_backward(const Vector& x, const Vector& w, const Vector& dy, const Vector& slope, Index inputs,
                                Index outputs) {
  LinearGradients g{Vector(w.size()), Vector(outputs), Vector(x.size())};
  for (Index r = 0; r < count(x) / inputs; ++r)
    for (Index o = 0; o < outputs; ++o) {
      const double d = dy[r * outputs + o];
      g.db[o] += d;
      for (Index i = 0; i < inputs; ++i) {
        g.dw[o * inputs + i] += d * x[r * inputs + i];
        g.dx[r * inputs + i] += d * w[o * inputs + i] * slope[r * inputs + i];
      }
    }
  return g;
}

double clamp_gradient(double gradient, double x, double low, double high) {
  const double inwards = x < low ? 1 : (x > high ? -1 : 0);
  return -gradient * inwards < 0 ? 0 : gradient;
}

LogProb bernoulli_log_prob(const Vector& logits, const Vector& x, const RowWeight& row_weight, Index samples,
                           Index width) {
  LogProb out{Vector(logits.size() / width), {}, {}};
  for (Index i = 0; i < count(logits); ++i) {
    const Index row = i / width;
    const double l = logits[i], target = x[row / samples * width + i % width];
    out.log_p[row] += -target * softplus(-l) - (1 - target) * softplus(l);
    out.gradient.push_back(row_weight[row] * (target * sigmoid(-l) - (1 - target) * sigmoid(l)));
  }
  return out;
}

LogProb gaussian_log_prob(const Vector& mean, const Vector& x, const Vector& log_scale, const RowWeight& row_weight,
                          Index samples, Index width) {
  LogProb out{Vector(mean.size() / width), {}, Vector(log_scale.size())};
  for (Index i = 0; i < count(mean); ++i) {
    const Index row = i / width, place = log_scale.size() == 1 ? 0 : i % width;
    const double clamped = std::clamp<double>(log_scale[place], kLogScaleMin, kLogScaleMax), s = std::exp(clamped);
    const double value = x[row / samples * width + i % width], standard = (value - mean[i]) / s;
    out.gradient.push_back(0);
    if (std::isnan(value)) continue;  // missing
    out.log_p[row] -= standard * standard / 2 + clamped + std::log(2 * std::numbers::pi) / 2;
    out.gradient.back() = row_weight[row] * standard / s;
    out.dlog_scale[place] += row_weight[row] * (standard * standard - 1);
  }
  for (std::size_t i = 0; i < log_scale.size(); ++i)
    out.dlog_scale[i] = clamp_gradient(out.dlog_scale[i], log_scale[i], kLogScaleMin, kLogScaleMax);
  return out;
}

Loss elbo_loss(const Vector& log_p, const Vector& kl, const Vector& kl_dims, const KlWeight& weight,
               std::uint32_t step) {
  double counted = mean(kl);
  if (weight.free_bits > 0) {
    counted = 0;
    for (double k : kl_dims) counted += std::max<double>(weight.free_bits, k);
  }
  return {-mean(log_p) + beta(weight, step) * counted, mean(log_p), mean(kl)};
}

Vector moments(const Vector& x, Index cols) {
  const double n = static_cast<double>(count(x) / cols);
  Vector out(1 + 2 * cols);
  out[0] = n;
  for (Index i = 0; i < count(x); ++i) out[1 + i % cols] += x[i] / n;
  for (Index i = 0; i < count(x); ++i) out[1 + cols + i % cols] += std::pow(x[i] - out[1 + i % cols], 2);
  return out;
}

}  // namespace cuvae::reference
