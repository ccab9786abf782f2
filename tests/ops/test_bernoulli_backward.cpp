// bernoulli_backward: the score function's gradient by the logits, with and without the optimal baseline.
#include "bernoulli_test.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

class BernoulliBackwards : public OpTest {
 protected:
  std::vector<float> backward(Shape s, const RowFactor& score, bool optimal, const std::vector<float>& logits,
                              const std::vector<float>& samples) {
    const Matrix in(backend_, s.batch, s.latent, logits), z(backend_, s.batch * s.samples, s.latent, samples, type_),
        dlogits(backend_, s.batch, s.latent, type_);
    backend_.run(BernoulliBackward{score, optimal, in, z, dlogits});
    return dlogits.get();
  }

  /// The error of sum_k (c_k - b_k) s_k. The ratio of the weights in b is that of odds, squared: four times a score's
  /// error. So b, a mean of c, is off by at most twice that of their range, and by a few roundings of double.
  void expect_match(Shape s, const RowFactor& factor, const Vector& score, bool optimal, double weight_error) {
    const std::vector<float> logits = random_logits(s.batch * s.latent),
                             samples = random_bits(s.batch * s.samples * s.latent);
    const Vector at = reference::widen(logits), z = reference::widen(samples),
                 want = reference::bernoulli_backward(score, optimal, at, z, s.samples, s.latent);
    Vector bound(want.size());
    for (Index i = 0; i < s.batch * s.latent; ++i) {
      const Index b = i / s.latent, l = i % s.latent;
      const Vector c(score.begin() + b * s.samples, score.begin() + (b + 1) * s.samples);
      const auto [least, most] = std::minmax_element(c.begin(), c.end());
      const double off = optimal ? 8 * kScoreError * (*most - *least) + 0x1p-40 * (std::fabs(*most) + 1) : 0;
      Vector of_k;
      for (Index k = 0; k < s.samples; ++k)
        of_k.push_back(reference::bernoulli_score(at[i], z[(b * s.samples + k) * s.latent + l]));
      for (Index k = 0; k < s.samples; ++k) {
        const double own = c[k] - (optimal ? reference::optimal_baseline(c, of_k, k) : 0), size = std::fabs(of_k[k]);
        bound[i] += size * (off + weight_error + std::fabs(own) * (kScoreError + sum_error(s.samples))) +
                    kLeastExp * std::fabs(own);
      }
    }
    expect_stored_within(backward(s, factor, optimal, logits, samples), want, bound, "dlogits");
  }
};
CUVAE_IN_EVERY_PRECISION(BernoulliBackwards);

TEST_P(BernoulliBackwards, MatchTheReference) {
  for (const Shape s : kShapes) {
    SCOPED_TRACE(trace(s));
    const std::vector<float> rows = random_vector(s.batch * s.samples, 17, -2, 2);
    const Matrix score(backend_, s.batch * s.samples, 1, rows);
    Vector factors;
    for (const float row : rows) factors.push_back(double{-0.7f} * row + double{0.3f});
    expect_match(s, RowFactor(-0.7f, score, 0.3f), factors, false, 0x1p-23);  // two roundings of up to 1.7
    expect_match(s, 0.3f, Vector(rows.size(), double{0.3f}), false, 0);
  }
}

TEST_P(BernoulliBackwards, OptimalBaselinesMatchTheReference) {
  for (Shape s : kShapes) {
    if (s.samples == 1) s.samples = 3;
    SCOPED_TRACE(trace(s));
    const std::vector<float> rows = random_vector(s.batch * s.samples, 17, -2, 2);
    const Matrix score(backend_, s.batch * s.samples, 1, rows);
    Vector factors;
    for (const float row : rows) factors.push_back(0.5 * row);
    expect_match(s, RowFactor(0.5f, score), factors, true, 0);
  }
}

// Double has 2^-52 of a cost of 700, which the float of the difference keeps.
TEST_P(BernoulliBackwards, WhatAllSamplesShareIsTakenAway) {
  for (const Shape s : {Shape{7, 5, 31}, Shape{33, 2, 8}}) {
    const Index rows = s.batch * s.samples;
    const Matrix score(backend_, rows, 1, std::vector<float>(static_cast<std::size_t>(rows), 700));
    const auto got =
        backward(s, RowFactor(1.0f, score), true, random_logits(s.batch * s.latent), random_bits(rows * s.latent));
    expect_close(got, Vector(got.size()), 1e-10, 0, "dlogits");
  }
}

// Every z of two samples of three units is a row. Their mean under q is the gradient of K E[cost], by central
// differences; each row is off by about 2^-20 of costs up to 4, in bf16 by 2^-8.
TEST_P(BernoulliBackwards, AreUnbiased) {
  const Index L = 3, K = 2, rows = 64;
  const std::vector<float> logits{0.4f, -1.7f, 3.0f}, costs = random_vector(8, 23, -4, 4);
  std::vector<float> samples, repeated, cost;
  for (Index row = 0; row < rows; ++row) {
    repeated.insert(repeated.end(), logits.begin(), logits.end());
    for (Index k = 0; k < K; ++k) {
      const Index z = row >> (L * k) & 7;
      for (Index l = 0; l < L; ++l) samples.push_back(static_cast<float>(z >> l & 1));
      cost.push_back(costs[static_cast<std::size_t>(z)]);
    }
  }
  const auto probability = [&](const Vector& at, Index z) {
    double log_q = 0;
    for (Index l = 0; l < L; ++l) log_q += reference::bernoulli_log_p(at[l], static_cast<double>(z >> l & 1));
    return std::exp(log_q);
  };
  const Vector want = central_differences(
      [&](const Vector& at) {
        double mean = 0;
        for (Index z = 0; z < 8; ++z) mean -= static_cast<double>(K) * probability(at, z) * costs[z];
        return mean;
      },
      reference::widen(logits));
  const Matrix score(backend_, rows * K, 1, cost);
  for (const bool optimal : {false, true}) {
    const std::vector<float> got = backward({rows, K, L}, RowFactor(1.0f, score), optimal, repeated, samples);
    Vector mean(L);
    for (Index row = 0; row < rows; ++row)
      for (Index l = 0; l < L; ++l)
        mean[l] += probability(reference::widen(logits), row & 7) * probability(reference::widen(logits), row >> L) *
                   got[row * L + l];
    expect_close(mean, want, 8 * (0x1p-20 + rounding_), 0, optimal ? "optimal" : "without a baseline");
  }
}

TEST_P(BernoulliBackwards, ALogitThatIsNotANumberShowsInItsPlaceAlone) {
  const Matrix score(backend_, 4, 1, {1, 2, 3, 4});
  for (const bool optimal : {false, true}) {
    const auto got = backward({2, 2, 2}, RowFactor(1.0f, score), optimal, {0, NAN, 1, 2}, {0, 1, 1, 1, 0, 0, 1, 0});
    for (std::size_t i = 0; i < got.size(); ++i) EXPECT_EQ(std::isnan(got[i]), i == 1) << i;
  }
}

}  // namespace
}  // namespace cuvae
