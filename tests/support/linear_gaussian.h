// A model whose log p(x) is known: z ~ N(0, I), x ~ N(W z + b, s^2 I), so that x ~ N(b, W W^T + s^2 I). The posterior
// is N(P^-1 W^T (x - b) / s^2, P^-1), P = W^T W / s^2 + I. Where the columns of W are orthogonal, P is diagonal, and
// the linear encoder can have the posterior.
#pragma once
#include <algorithm>
#include <array>
#include <cmath>

#include "cuvae/bound.h"
#include "op_test.h"

namespace cuvae::test {

class LinearGaussianTest : public OpTest {
 protected:
  static constexpr Index kRows = 12, kDim = 4, kLatent = 2;
  static constexpr double kScale = 0.5, kB[kDim] = {0.3, -0.2, 0.1, 0.4};
  using Columns = std::array<std::array<double, kLatent>, kDim>;
  static constexpr Columns kOrthogonal = {{{1.5, 0.5}, {-0.5, 1.5}, {1, 0.25}, {0.5, -0.5}}};
  /// Ten roundings of terms of up to 40 nats: the squares of four residuals, and the log-densities of z.
  static constexpr double kRounding = 10 * 0x1p-24 * 40;

  explicit LinearGaussianTest(const Columns& w = kOrthogonal) : w_(w) {
    for (Index i = 0; i < kRows; ++i)  // from the model
      for (Index d = 0; d < kDim; ++d) {
        double value = kB[d] + kScale * reference::normal({3, Stream::data_sample}, i * kDim + d);
        for (Index l = 0; l < kLatent; ++l)
          value += w_[d][l] * reference::normal({3, Stream::prior_sample}, i * kLatent + l);
        x_.push_back(static_cast<float>(value));
      }
  }

  /// Element (k, l) of P, and of its inverse.
  double precision(Index k, Index l) const {
    double sum = k == l ? 1 : 0;
    for (const auto& row : w_) sum += row[k] * row[l] / kScale / kScale;
    return sum;
  }
  double determinant() const { return precision(0, 0) * precision(1, 1) - precision(0, 1) * precision(1, 0); }
  double covariance(Index k, Index l) const {
    return (k == l ? precision(1 - k, 1 - k) : -precision(k, l)) / determinant();
  }

  /// q has the posterior's mean times `shrink`, and the variances 1 / P_ll times `widen`: those of the best q with
  /// independent latents, which for orthogonal columns is the posterior.
  Vae model(double shrink = 1, double widen = 1) { return model(backend_, shrink, widen); }
  Vae model(Backend& backend, double shrink, double widen) const {
    VaeConfig config;
    config.data_dim = config.image_width = kDim;
    config.latent = kLatent;
    config.encoder_hidden = config.decoder_hidden = {};
    config.likelihood = Likelihood::gaussian;
    config.scale = static_cast<float>(kScale);
    Vae vae(backend, config, 1);
    std::vector<float> arena(static_cast<std::size_t>(vae.layout().size()));
    const auto set = [&](const Parameter& p, Index row, Index col, double value) {
      arena[static_cast<std::size_t>(p.offset + row * p.cols + col)] = static_cast<float>(value);
    };
    for (Index l = 0; l < kLatent; ++l) {
      double bias = 0;
      for (Index d = 0; d < kDim; ++d) {
        set(vae.decoder().weights()[0], d, l, w_[d][l]);
        set(vae.decoder().biases()[0], 0, d, kB[d]);
        set(vae.encoder().weights()[0], l, d, shrink * mean_weight(l, d));
        bias -= shrink * mean_weight(l, d) * kB[d];
      }
      set(vae.encoder().biases()[0], 0, l, bias);
      set(vae.encoder().biases()[0], 0, kLatent + l, std::log(widen / precision(l, l)));
    }
    backend.upload(vae.params(), arena.data(), arena.size() * sizeof(float));
    vae.refresh_weights();
    return vae;
  }

  /// Value l of the mean of row i's posterior.
  double posterior_mean(Index i, Index l) const {
    double sum = 0;
    for (Index d = 0; d < kDim; ++d)
      sum += mean_weight(l, d) * (double{x_[static_cast<std::size_t>(i * kDim + d)]} - kB[d]);
    return sum;
  }

  /// log N(x; b, C), C = W W^T + s^2 I, by Gaussian elimination of C.
  double log_p(Index i) const {
    double c[kDim][kDim + 1], log_p = 0;
    for (Index r = 0; r < kDim; ++r) {
      for (Index k = 0; k < kDim; ++k) {
        c[r][k] = r == k ? kScale * kScale : 0;
        for (Index l = 0; l < kLatent; ++l) c[r][k] += w_[r][l] * w_[k][l];
      }
      c[r][kDim] = double{x_[static_cast<std::size_t>(i * kDim + r)]} - kB[r];
    }
    for (Index r = 0; r < kDim; ++r) {  // with C = L D L^T, the terms are those of L^-1 (x - b)
      log_p -= 0.5 * (std::log(2 * M_PI * c[r][r]) + c[r][kDim] * c[r][kDim] / c[r][r]);
      for (Index below = r + 1; below < kDim; ++below) {
        const double factor = c[below][r] / c[r][r];
        for (Index k = r; k <= kDim; ++k) c[below][k] -= factor * c[r][k];
      }
    }
    return log_p;
  }

  Dataset data() const { return Dataset::from_memory(x_, kRows, kDim); }
  /// The data in units half as large, which the model is told. log p(x) is then less by kDim log 2.
  Dataset in_halves(Vae& vae) const {
    vae.set_standardization({std::vector<double>(kDim, 0.0), std::vector<double>(kDim, 2.0)});
    std::vector<float> halves = x_;
    for (float& v : halves) v *= 2;
    return Dataset::from_memory(halves, kRows, kDim);
  }

  Columns w_;
  std::vector<float> x_;

 private:
  double mean_weight(Index l, Index d) const {
    double sum = 0;
    for (Index k = 0; k < kLatent; ++k) sum += covariance(l, k) * w_[d][k] / kScale / kScale;
    return sum;
  }
};

}  // namespace cuvae::test
