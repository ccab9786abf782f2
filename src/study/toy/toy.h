// Problems in few dimensions whose gradients have variances that are known in closed form or by quadrature.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "study/statistics.h"
#include "study/suite.h"
#include "train/encoder_gradient.h"

namespace cuvae::bench {

/// f and its derivative, for q = N(mu, sigma^2).
struct ToyFunction {
  std::string name;  ///< "(x-k)^2"
  double k = 0;
  double value(double x) const;
  double slope(double x) const;
};
/// log N(z; 0, 1).
double log_normal(double z);

/// Mean and variance of the gradients of E f by mu and by sigma.
struct ToyMoments {
  double mean = 0, variance = 0;
};

/// By the trapezoidal rule in double precision, at mu = sigma = 1. `samples` is K of the leave-one-out baseline.
/// Nothing if no exact form is known.
std::optional<ToyMoments> exact_function(const Variant&, const ToyFunction&, Index samples, bool by_sigma);
/// For measure-valued estimators: pairs of points, coupled or not.
ToyMoments exact_measure_valued(const ToyFunction&, bool coupled, bool by_sigma);

/// The variance of the gradient of E f by one coordinate of the mean. q = N((delta, 0, ..., 0), I) in d dimensions, p =
/// N(0, I), f = log p(z) (Cost::joint) or log p(z) - log q(z) (Cost::elbo). Nothing if no closed form is known.
std::optional<double> exact_normal(const Variant&, double delta, Index d, Index samples);

/// Many draws of the gradient by the statistics of one posterior, by the library's ops. Each row of a batch is a draw.
class ToyDraws {
 public:
  ToyDraws(Backend& backend, Index d, Index samples, std::uint64_t seed);
  struct Result {
    PowerSums mu, sigma;  ///< of the gradients of E f by the first coordinate
  };
  /// With `f` null, log p(x|z) is 0 and the cost is made of the library's own log p(z) and log q(z); for estimators
  /// that evaluate it at probes, log p(x|z) is log N(z; 0, I).
  Result draw(const Variant&, const std::vector<double>& mu, const ToyFunction* f, double seconds, double most_draws);
  /// The decoder's gradient: of log N(z; theta, 1) by theta, with z from N(theta, 1), by the library's likelihood.
  PowerSums decoder(double seconds, double most_draws);

 private:
  void step(const Variant&, EncoderGradient&, const ToyFunction* f);
  ConstView at_probes(ProbeKind, const Noise&, const ToyFunction* f);
  void evaluate(ConstView z, View log_p, const ToyFunction* f);
  Backend& backend_;
  Index d_, samples_, batch_, rows_;
  std::uint64_t seed_;
  std::vector<Buffer> buffers_;
  View stats_, z_, kl_, kl_dims_, log_p_z_, log_q_, log_p_, dz_, score_norm_, dstats_;
  View probes_, log_p_probes_;  // for estimators with probes
  Buffer step_;
  std::vector<float> host_z_, host_f_, host_dz_, host_dstats_;
};

}  // namespace cuvae::bench
