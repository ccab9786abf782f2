// Moments in closed form and by quadrature.
#include <cmath>

#include "study/toy/toy.h"

namespace cuvae::bench {
namespace {

constexpr double kPi = 3.14159265358979323846;

// The trapezoidal rule converges exponentially if the integrand and all its derivatives vanish at both ends.
template <class F>
void over_normal(F f) {
  constexpr double h = 1.0 / 64, end = 12;
  for (double eps = -end; eps <= end; eps += h) f(eps, h * std::exp(-eps * eps / 2) / std::sqrt(2 * kPi));
}

// Points and weights of Simpson's rule on the half line, for integrands that vanish like densities. Its error for the
// functions here is about 100 h^4 = 1e-11.
constexpr int kIntervals = 1 << 14;
constexpr double kEnd = 12, kStep = kEnd / kIntervals;
template <class F>
void over_half_line(F f) {
  for (int i = 0; i <= kIntervals; ++i) f(i * kStep, kStep / 3 * (i == 0 || i == kIntervals ? 1 : i % 2 == 1 ? 4 : 2));
}

// Mean and variance of value(w) over a density on the half line.
template <class F, class G>
ToyMoments moments_of(F value, G density) {
  double first = 0, second = 0;
  over_half_line([&](double w, double weight) {
    const double p = density(w) * weight, v = value(w);
    first += p * v, second += p * v * v;
  });
  return {first, second - first * first};
}

// E f(m) f(m u), with m from the density on the half line and u uniform. The inner mean is the integral of f up to m,
// divided by m; it is accumulated step by step, also by Simpson's rule.
template <class F, class G>
double mean_product_with_fraction(F f, G density_over_m) {
  double sum = 0, integral = 0, before = 0;
  over_half_line([&](double m, double weight) {
    if (m > 0) integral += kStep / 6 * (f(before) + 4 * f((before + m) / 2) + f(m));
    sum += weight * density_over_m(m) * f(m) * integral;
    before = m;
  });
  return sum;
}

}  // namespace

double ToyFunction::value(double x) const {
  if (name == "(x-k)^2") return (x - k) * (x - k);
  return name == "exp(-kx^2)" ? std::exp(-k * x * x) : std::cos(k * x);
}

double ToyFunction::slope(double x) const {
  if (name == "(x-k)^2") return 2 * (x - k);
  return name == "exp(-kx^2)" ? -2 * k * x * std::exp(-k * x * x) : -k * std::sin(k * x);
}

double log_normal(double z) { return -(z * z + std::log(2 * kPi)) / 2; }

std::optional<ToyMoments> exact_function(const Variant& v, const ToyFunction& function, Index samples, bool by_sigma) {
  if ((uses_probes(v.estimator) && traits(v.estimator).probes != ProbeKind::differences))
    return exact_measure_valued(function, v.estimator == Estimator::measure_valued, by_sigma);
  // The delta method subtracts from f a quadratic through values that are one standard deviation apart.
  const double below = function.value(0), middle = function.value(1), above = function.value(2);
  const bool delta = v.estimator == Estimator::delta;
  const double a = (above - below) / 2, c = above - 2 * middle + below, added = delta ? (by_sigma ? c : a) : 0;
  // Moments of f, of the score s, of their products, and of the pathwise gradient.
  double f = 0, f2 = 0, fs = 0, fs2 = 0, f2s2 = 0, s2 = 0, path = 0, path2 = 0;
  over_normal([&](double eps, double p) {
    const double x = 1 + eps, y = function.value(x) - (delta ? middle + a * eps + c * eps * eps / 2 : 0),
                 s = by_sigma ? eps * eps - 1 : eps, g = function.slope(x) * (by_sigma ? eps : 1);
    f += p * y, f2 += p * y * y, fs += p * y * s, fs2 += p * y * s * s, f2s2 += p * y * y * s * s, s2 += p * s * s;
    path += p * g, path2 += p * g * g;
  });
  const double K = static_cast<double>(samples);
  const auto baseline = [&](double b) { return f2s2 - 2 * b * fs2 + b * b * s2 - fs * fs; };
  switch (v.estimator) {
    case Estimator::pathwise:
      return ToyMoments{path, (path2 - path * path) / K};
    case Estimator::score:
    case Estimator::delta:
      return ToyMoments{fs + added, baseline(0) / K};
    case Estimator::score_mean:
      return ToyMoments{fs, baseline(f) / K};
    case Estimator::rloo:
      return ToyMoments{fs, baseline(f) / K + ((f2 - f * f) * s2 + fs * fs) / (K * (K - 1))};
    case Estimator::optimal:  // in the limit of many samples to estimate the constant from
      return ToyMoments{fs, baseline(fs2 / s2) / K};
    default:
      return {};
  }
}

// The derivative of the density N(mu, sigma^2) by mu is the difference of two Weibull densities, one on each side. By
// sigma it is the difference of a double-sided Maxwell density and a normal one (Mohamed et al. 2020, section 6). Here
// sigma = 1.
ToyMoments exact_measure_valued(const ToyFunction& f, bool coupled, bool by_sigma) {
  const auto at = [&](double eps) { return f.value(1 + eps); };
  const auto rayleigh = [](double w) { return w * std::exp(-w * w / 2); };
  const auto maxwell = [](double m) { return 2 * m * m * std::exp(-m * m / 2) / std::sqrt(2 * kPi); };
  const auto square = [](double x) { return x * x; };
  if (!by_sigma) {
    const double c = 1 / std::sqrt(2 * kPi);
    if (coupled) return moments_of([&](double w) { return c * (at(w) - at(-w)); }, rayleigh);
    const ToyMoments up = moments_of(at, rayleigh), down = moments_of([&](double w) { return at(-w); }, rayleigh);
    return {c * (up.mean - down.mean), c * c * (up.variance + down.variance)};
  }
  ToyMoments m{}, n{};
  for (const double side : {-1.0, 1.0}) {
    const ToyMoments half = moments_of([&](double w) { return at(side * w); }, maxwell);
    m.mean += half.mean / 2, m.variance += (half.variance + half.mean * half.mean) / 2;
  }
  over_normal([&](double eps, double p) { n.mean += p * at(eps), n.variance += p * square(at(eps)); });
  m.variance -= square(m.mean), n.variance -= square(n.mean);
  if (!coupled) return {m.mean - n.mean, m.variance + n.variance};
  // n = m u with u uniform.
  const auto maxwell_over_m = [](double w) { return 2 * w * std::exp(-w * w / 2) / std::sqrt(2 * kPi); };
  double product = 0;
  for (const double side : {-1.0, 1.0})
    product += mean_product_with_fraction([&](double w) { return at(side * w); }, maxwell_over_m) / 2;
  return {m.mean - n.mean, m.variance + n.variance - 2 * (product - m.mean * n.mean)};
}

std::optional<double> exact_normal(const Variant& v, double delta, Index dims, Index samples) {
  const double d = static_cast<double>(dims), d2 = delta * delta, K = static_cast<double>(samples);
  const double C = -d / 2 * std::log(2 * kPi), best = C - (d + 2 + d2) / 2, least = (d + 2) / 2 + 2 * d2;
  const bool joint = v.cost == Cost::joint;
  if (v.antithetic)  // in a pair, terms that are even in the noise cancel
    return v.estimator == Estimator::score ? 4 * d2 / K : 0.0;
  switch (v.estimator) {
    case Estimator::total:
      return 1 / K;
    case Estimator::stl:
      return 0.0;
    case Estimator::score:  // log q cancels all terms of f except those that are linear or constant in the noise
      return joint ? (least + best * best) / K : (2 * d2 + d2 * d2 / 4) / K;
    case Estimator::score_mean:
      return joint ? (least + 1) / K : 2 * d2 / K;
    case Estimator::rloo:
      if (joint) return (K * least + K - 2) / (K * (K - 1));
      return 2 * d2 / K + 2 * d2 / (K * (K - 1));
    case Estimator::optimal:  // in the limit of many samples
      return joint ? least / K : 2 * d2 / K;
    case Estimator::delta:  // f is a quadratic
      return 0.0;
    case Estimator::measure_valued:
      return d2 * (4 / kPi - 1) / K;
    case Estimator::measure_valued_independent:
      return (1 + d2 * (2 - kPi / 2)) / kPi / K;
    default:
      return {};
  }
}

}  // namespace cuvae::bench
