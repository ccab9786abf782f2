// Bernoulli latents: samples, the gradient of their score, and log-probabilities.
#include <algorithm>
#include <cmath>

#include "reference.h"

namespace cuvae::reference {
namespace {

Index count(const Vector& v) { return static_cast<Index>(v.size()); }
double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::fabs(x))); }
double sigmoid(double x) { return x < 0 ? std::exp(x) / (1 + std::exp(x)) : 1 / (1 + std::exp(-x)); }

}  // namespace

double bernoulli_log_p(double logit, double z) { return -z * softplus(-logit) - (1 - z) * softplus(logit); }
double bernoulli_score(double logit, double z) { return z * sigmoid(-logit) - (1 - z) * sigmoid(logit); }

double sample_uniform(const NoiseKey& noise, Index samples, Index latent, Index row, Index l) {
  const bool mirrored = noise.antithetic && row % samples % 2 == 1;
  const double u = uniform(noise, (noise.first_row * samples + (mirrored ? row - 1 : row)) * latent + l);
  return mirrored ? 1 - u : u;
}

BernoulliSample sample_bernoulli(const Vector& logits, const NoiseKey& noise, Index samples, Index latent) {
  const Index rows = count(logits) / latent * samples;
  BernoulliSample out{Vector(rows * latent), Vector(rows * latent)};
  for (Index i = 0; i < rows * latent; ++i) {
    const Index row = i / latent, l = i % latent;
    out.probability[i] = sigmoid(logits[row / samples * latent + l]);
    out.u[i] = sample_uniform(noise, samples, latent, row, l);
  }
  return out;
}

Vector bernoulli_backward(const Vector& score, bool optimal, const Vector& logits, const Vector& z, Index samples,
                          Index latent) {
  Vector dlogits(logits.size());
  for (Index i = 0; i < count(logits); ++i) {
    const Index b = i / latent, l = i % latent;
    const Vector c(score.begin() + b * samples, score.begin() + (b + 1) * samples);
    Vector s;
    for (Index k = 0; k < samples; ++k) s.push_back(bernoulli_score(logits[i], z[(b * samples + k) * latent + l]));
    for (Index k = 0; k < samples; ++k) dlogits[i] -= (c[k] - (optimal ? optimal_baseline(c, s, k) : 0)) * s[k];
  }
  return dlogits;
}

BernoulliLogProb bernoulli_log_prob(const Vector& z, const Vector& logits, const RowWeight& row_weight, Index latent) {
  const bool one_row = count(logits) == latent;
  BernoulliLogProb out{Vector(z.size() / latent), Vector(logits.size())};
  for (Index i = 0; i < count(z); ++i) {
    const Index row = i / latent, at = one_row ? i % latent : i;
    out.log_p[row] += bernoulli_log_p(logits[at], z[i]);
    out.dlogits[at] += row_weight[row] * bernoulli_score(logits[at], z[i]);
  }
  return out;
}

}  // namespace cuvae::reference
