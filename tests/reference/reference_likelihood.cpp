// The likelihoods that take the data values one by one, by the library functions of double precision.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "cuvae/error.h"
#include "reference.h"

namespace cuvae::reference {
namespace {

double softplus(double v) { return std::max(v, 0.0) + std::log1p(std::exp(-std::fabs(v))); }

// Abramowitz and Stegun 6.3.5 and 6.3.18: the series from 20 on errs by 1e-17.
double digamma(double z) {
  double sum = 0;
  for (; z < 20; ++z) sum -= 1 / z;
  const double s = 1 / (z * z);
  return sum + std::log(z) - 0.5 / z - s * (1.0 / 12 - s * (1.0 / 120 - s * (1.0 / 252 - s / 240)));
}

ValueLogProb bernoulli(double l, double x) {
  return {x * l - softplus(l), {x / (1 + std::exp(l)) - (1 - x) / (1 + std::exp(-l))}};
}

// Loaiza-Ganem and Cunningham 2019, eq. 5 and 8: log C = log(2 atanh(1 - 2 p) / (1 - 2 p)), p = sigmoid(l). That is
// log(l / tanh(l / 2)); the first terms of its series below 1e-3, where the next ones are below 1e-20.
ValueLogProb continuous_bernoulli(double l, double x) {
  ValueLogProb value = bernoulli(l, x);
  const bool near = std::fabs(l) < 1e-3;
  value.log_p += near ? std::numbers::ln2 + l * l / 12 : std::log(l / std::tanh(l / 2));
  value.derivatives[0] += near ? l / 6 - 7 * l * l * l / 360 : 1 / l - 1 / std::sinh(l);
  return value;
}

ValueLogProb gaussian_scale(double mean, double log_scale, double x) {
  const double r = std::clamp<double>(log_scale, kLogScaleMin, kLogScaleMax), u = (x - mean) / std::exp(r);
  return {-u * u / 2 - r - std::log(2 * std::numbers::pi) / 2, {u / std::exp(r), u * u - 1}};
}

ValueLogProb beta_binomial(double log_alpha, double log_beta, double x) {
  const auto held = [](double v) {
    return std::exp(std::clamp<double>(v, kLogConcentrationMin, kLogConcentrationMax));
  };
  const double n = 255, k = std::round(n * x), a = held(log_alpha), b = held(log_beta);
  const auto log_beta_function = [](double p, double q) {
    return std::lgamma(p) + std::lgamma(q) - std::lgamma(p + q);
  };
  const double log_choose = std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1);
  const double of_sum = digamma(a + b) - digamma(n + a + b);
  return {log_choose + log_beta_function(k + a, n - k + b) - log_beta_function(a, b),
          {a * (digamma(k + a) - digamma(a) + of_sum), b * (digamma(n - k + b) - digamma(b) + of_sum)}};
}

double clamped_gradient(Likelihood likelihood, std::size_t output, double gradient, double value) {
  if (likelihood == Likelihood::gaussian_scale && output == 1)
    return clamp_gradient(gradient, value, kLogScaleMin, kLogScaleMax);
  if (likelihood == Likelihood::beta_binomial)
    return clamp_gradient(gradient, value, kLogConcentrationMin, kLogConcentrationMax);
  return gradient;
}

}  // namespace

ValueLogProb value_log_prob(Likelihood likelihood, const Vector& o, double x) {
  switch (likelihood) {
    case Likelihood::bernoulli:
      return bernoulli(o[0], x);
    case Likelihood::continuous_bernoulli:
      return continuous_bernoulli(o[0], x);
    case Likelihood::gaussian_scale:
      return gaussian_scale(o[0], o[1], x);
    case Likelihood::beta_binomial:
      return beta_binomial(o[0], o[1], x);
    case Likelihood::gaussian:
    case Likelihood::gaussian_learned:
    case Likelihood::gaussian_learned_per_dim:
      break;
  }
  throw Error("reference: the scale of this likelihood is not the value's own");
}

LogProb log_prob(Likelihood likelihood, const Vector& outputs, const Vector& x, const RowWeight& row_weight,
                 Index samples, Index width, Index outputs_of_value) {
  const auto rows = static_cast<Index>(outputs.size()) / (width * outputs_of_value);
  LogProb out{Vector(static_cast<std::size_t>(rows)), Vector(outputs.size()), {}};
  for (Index row = 0; row < rows; ++row)
    for (Index d = 0; d < width; ++d) {
      if (std::isnan(x[row / samples * width + d])) continue;  // missing
      const auto place = [&](Index i) { return (row * outputs_of_value + i) * width + d; };
      Vector of_value;
      for (Index i = 0; i < outputs_of_value; ++i) of_value.push_back(outputs[place(i)]);
      const ValueLogProb value = value_log_prob(likelihood, of_value, x[row / samples * width + d]);
      out.log_p[row] += value.log_p;
      for (Index i = 0; i < outputs_of_value; ++i)
        out.gradient[place(i)] = clamped_gradient(likelihood, static_cast<std::size_t>(i),
                                                  row_weight[row] * value.derivatives[i], of_value[i]);
    }
  return out;
}

}  // namespace cuvae::reference
