// importance_weights and score_weights: what the samples of a row count for.
#include <limits>

#include "cuvae/estimator.h"
#include "op_test.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

struct Shape {
  Index batch, samples;
  Index rows() const { return batch * samples; }
};
constexpr Shape kShapes[] = {{1, 1}, {2, 1}, {3, 2}, {7, 5}, {33, 31}, {9, 32}, {65, 33}, {300, 3}, {2, 1000}};

std::string trace(Shape s) { return "B " + std::to_string(s.batch) + ", K " + std::to_string(s.samples); }

/// Multiples of 1/64, so that float32 adds and subtracts them without rounding.
std::vector<float> sixty_fourths(Index size, std::uint64_t seed, float low, float high) {
  std::vector<float> v = random_vector(size, seed, low, high);
  for (float& f : v) f = std::round(f * 64) / 64;
  return v;
}

/// Log-densities of samples whose log-weights in a row lie within `spread` nats or so, 500 nats below zero.
struct Densities {
  Densities(Backend& backend, Shape s, float spread)
      : p_x(backend, s.rows(), 1, sixty_fourths(s.rows(), 31, -500 - spread, -500)),
        p_z(backend, s.rows(), 1, sixty_fourths(s.rows(), 32, -30 - spread / 4, -30)),
        q(backend, s.rows(), 1, sixty_fourths(s.rows(), 33, -20 - spread / 4, -20)) {}
  Vector log_w(Cost cost = Cost::elbo) const {
    Vector sum = reference::widen(p_x.get());
    const auto of_z = p_z.get(), of_q = q.get();
    for (std::size_t i = 0; i < sum.size() && cost != Cost::likelihood; ++i)
      sum[i] += double{of_z[i]} - (cost == Cost::elbo ? of_q[i] : 0.0f);
    return sum;
  }
  Matrix p_x, p_z, q;
};

class Weights : public OpTest {
 protected:
  std::vector<float> scores(Estimator e, Shape s, const Densities& d, Cost cost = Cost::elbo,
                            RunningMean* mean = nullptr, ConstView score_norm = {}) {
    const Matrix score(backend_, s.rows(), 1);
    ScoreWeights op = score_weights(e, cost, d.p_x, d.p_z, d.q, s.samples, score);
    op.mean = mean, op.score_norm = score_norm;
    backend_.run(op);
    return score.get();
  }
};
CUVAE_ON_EVERY_BACKEND(Weights);

// A weight is an exponential (2.5 ulp, and e^-87 at the least) over a sum of them; the bound's logarithm has the sum's
// relative error.
TEST_P(Weights, ImportanceWeightsMatchTheReference) {
  for (const Shape s : kShapes)
    for (const float spread : {2.0f, 100.0f}) {
      SCOPED_TRACE(trace(s) + ", spread " + std::to_string(spread));
      const Densities d(backend_, s, spread);
      const Matrix bound(backend_, s.batch, 1), weights(backend_, s.rows(), 1), effective(backend_, s.batch, 1);
      backend_.run(ImportanceWeights{d.p_x, d.p_z, d.q, bound, weights, effective});
      const auto want = reference::importance_weights(d.log_w(), s.samples);
      const double error = sum_error(s.samples);
      expect_close(bound.get(), want.bound, error, 0x1p-23, "bound");
      expect_close(weights.get(), want.weights, 2e-38, 2 * error, "weights");
      expect_close(effective.get(), want.effective, 0, 5 * error, "effective");
      const Matrix bound_alone(backend_, s.batch, 1);
      backend_.run(ImportanceWeights{d.p_x, d.p_z, d.q, bound_alone, weights, {}});
      expect_same_bits(bound_alone.get(), bound.get(), "bound without the effective sample size");
    }
}

// The mean of the log-weights is off by the rounding of its sum, and the weights by theirs.
TEST_P(Weights, AMixWithTheElboMatchesTheReference) {
  for (const Shape s : kShapes)
    for (const float share : {0x1p-20f, 0.25f, 1.0f}) {
      SCOPED_TRACE(trace(s) + ", share " + std::to_string(share));
      const Densities d(backend_, s, 20);
      const Matrix bound(backend_, s.batch, 1), weights(backend_, s.rows(), 1), effective(backend_, s.batch, 1),
          path(backend_, s.rows(), 1), alone(backend_, s.rows(), 1);
      ImportanceWeights op{d.p_x, d.p_z, d.q, bound, weights, effective};
      op.elbo_share = share, op.path = path;
      backend_.run(op);
      const auto want = reference::importance_weights(d.log_w(), s.samples, double{share});
      const double error = sum_error(s.samples);
      expect_close(bound.get(), want.bound, 60 * error, 0x1p-23, "bound");  // log-weights within 60 nats of it
      expect_close(weights.get(), want.weights, 2e-38, 2 * error + 0x1p-22, "weights");
      expect_close(path.get(), want.path, 2e-38, 6 * error + 0x1p-21, "path");
      expect_close(effective.get(), want.effective, 0, 5 * error, "effective");
      op.weights = alone, op.path = {};
      backend_.run(op);
      expect_same_bits(alone.get(), weights.get(), "weights without the path's factors");
    }
}

// Several groups of samples for each row of the batch: the KL stays that of the rows.
TEST_P(Weights, TheLossOfSeveralBoundsIsTheirMean) {
  const Shape s{6, 5};
  const Densities d(backend_, s, 10);
  const Array<std::uint32_t> step(backend_, std::vector<std::uint32_t>{5});
  const Matrix bound(backend_, s.batch, 1), weights(backend_, s.rows(), 1), loss(backend_, 1, 1),
      kl(backend_, 2, 1, {3, 5}), kl_dims(backend_, 1, 1, {4});
  const Array<double> sums(backend_, std::vector<double>(metric::kl_dims + 1));
  const ElboLoss out{kl, kl_dims, {}, step.data(), loss.data(), sums.data()};
  backend_.run(ImportanceWeights{d.p_x, d.p_z, d.q, bound, weights, {}, out});
  expect_close(loss.get(), {-reference::moments(reference::widen(bound.get()), 1)[1]}, 0, 0x1p-23, "loss");
  EXPECT_EQ(sums.get()[metric::kl], 4);
}

TEST_P(Weights, EqualSamplesHaveEqualWeights) {
  const Matrix same(backend_, 12, 1, std::vector<float>(12, -700)), zero(backend_, 12, 1, std::vector<float>(12, 0)),
      bound(backend_, 3, 1), weights(backend_, 12, 1), effective(backend_, 3, 1);
  backend_.run(ImportanceWeights{same, zero, zero, bound, weights, effective});
  EXPECT_EQ(bound.get(), std::vector<float>(3, -700));
  EXPECT_EQ(weights.get(), std::vector<float>(12, 0.25f));
  EXPECT_EQ(effective.get(), std::vector<float>(3, 4));
}

TEST_P(Weights, NothingOverflowsWhateverTheLogWeights) {
  for (const float far : {1e4f, 1e30f}) {
    const Matrix p_x(backend_, 2, 1, {-far, far}), zero(backend_, 2, 1, {0, 0}), bound(backend_, 1, 1),
        weights(backend_, 2, 1), effective(backend_, 1, 1), score(backend_, 2, 1);
    backend_.run(ImportanceWeights{p_x, zero, zero, bound, weights, effective});
    expect_close(bound.get(), {far - std::log(2.0)}, 0, 0x1p-23, "bound");
    expect_close(weights.get(), {0, 1}, 2e-38, 0, "weights");
    EXPECT_EQ(effective.get(), std::vector<float>{1});
    backend_.run(ScoreWeights{ScoreBaseline::geometric, p_x, zero, zero, 2, score});
    // Without the large sample both are the small one: the bound falls by far - (-far), less log 2.
    expect_close(score.get(), {-std::log(2.0), 2.0 * far - std::log(2.0) - 1}, 1e-6, 1e-6, "score");
  }
}

TEST_P(Weights, TheLossIsTheBoundsMean) {
  for (const Shape s : kShapes) {
    SCOPED_TRACE(trace(s));
    const Densities d(backend_, s, 10);
    const Array<std::uint32_t> step(backend_, std::vector<std::uint32_t>{5});
    const Matrix bound(backend_, s.batch, 1), weights(backend_, s.rows(), 1), loss(backend_, 1, 1),
        kl(backend_, s.batch, 1, random_vector(s.batch, 34, 0, 30)), kl_dims(backend_, 1, 2, {1, 2});
    const Array<double> sums(backend_, std::vector<double>(metric::kl_dims + 2, 3.0));
    const ElboLoss out{kl, kl_dims, {}, step.data(), loss.data(), sums.data()};
    backend_.run(ImportanceWeights{d.p_x, d.p_z, d.q, bound, weights, {}, out});
    const Vector of_bound = reference::moments(reference::widen(bound.get()), 1),
                 of_p_x = reference::moments(reference::widen(d.p_x.get()), 1),
                 of_kl = reference::moments(reference::widen(kl.get()), 1);
    expect_close(loss.get(), {-of_bound[1]}, 0, 0x1p-23, "loss");
    expect_close(sums.get(), {4, 3 - of_bound[1], 3 + of_p_x[1], 3 + of_kl[1], 3, 3, 4, 5}, 0, 1e-12, "sums");
  }
}

TEST_P(Weights, ABoundThatIsNotFiniteIsNotSummed) {
  const Matrix p_x(backend_, 2, 1, {-1, NAN}), zero(backend_, 2, 1, {0, 0}), bound(backend_, 1, 1),
      weights(backend_, 2, 1), loss(backend_, 1, 1), kl(backend_, 1, 1, {1}), kl_dims(backend_, 1, 1, {1});
  const Array<std::uint32_t> step(backend_, std::vector<std::uint32_t>{5});
  const Array<double> sums(backend_, std::vector<double>(metric::kl_dims + 1));
  const ElboLoss out{kl, kl_dims, {}, step.data(), loss.data(), sums.data()};
  backend_.run(ImportanceWeights{p_x, zero, zero, bound, weights, {}, out});
  EXPECT_TRUE(std::isnan(loss.get()[0]));
  EXPECT_EQ(sums.get(), std::vector<double>(metric::kl_dims + 1));
}

// Costs are exact. Leave-one-out: differences up to the spread, averaged. VIMCO: logarithms of sums up to the spread,
// each with the sum's error.
TEST_P(Weights, ScoreWeightsMatchTheReference) {
  for (const Shape s : kShapes)
    for (const float spread : {2.0f, 100.0f})
      for (const Cost cost : {Cost::elbo, Cost::joint, Cost::likelihood}) {
        SCOPED_TRACE(trace(s) + ", spread " + std::to_string(spread) + ", " + std::string(to_string(cost)));
        const Densities d(backend_, s, spread);
        const Vector f = d.log_w(cost), log_w = d.log_w();
        const double error = 4 * (1 + 2 * double{spread}) * sum_error(s.samples);
        const Matrix norm(backend_, s.rows(), 1, random_vector(s.rows(), 35, 0, 9));
        const auto expect = [&](Estimator e, const Vector& costs, double atol) {
          expect_close(scores(e, s, d, cost, nullptr, norm),
                       reference::score_weights(e, costs, s.samples, 0, reference::widen(norm.get())), atol, 0x1p-22,
                       std::string(to_string(e)));
        };
        expect(Estimator::score, f, 0);
        if (s.samples == 1) continue;
        expect(Estimator::rloo, f, error);
        expect(Estimator::optimal, f, 0);
        expect(Estimator::optimal_shared, f, error);
        expect(Estimator::vimco, log_w, error);
        expect(Estimator::vimco_arithmetic, log_w, error);
      }
}

// The others' scores are all zero, or are all that there is: their mean, and a sum that must not cancel.
TEST_P(Weights, OptimalBaselinesOfScoresThatAreZeroOrFarApart) {
  const Shape s{4, 3};
  const Densities d(backend_, s, 10);
  const std::vector<float> norms = {0, 0, 0, 5, 0, 0, 1e-12f, 3, 1e12f, 1e-30f, 1e-30f, 1};
  const Matrix norm(backend_, s.rows(), 1, norms);
  const Vector want =
      reference::score_weights(Estimator::optimal_shared, d.log_w(), s.samples, 0, reference::widen(norms));
  std::vector<float> got = scores(Estimator::optimal_shared, s, d, Cost::elbo, nullptr, norm);
  // Beside 1 nothing is left of 1e-30 in a double: the mean of equal weights, too.
  expect_close(got, want, 1e-4, 0x1p-22, "score");
}

// The mean of the batches before: each is off by one rounding.
TEST_P(Weights, TheRunningMeanIsThatOfTheBatchesBefore) {
  const Array<RunningMean> mean(backend_, std::vector<RunningMean>(1));
  double sum = 0, weight = 0;
  for (int batch = 0; batch < 5; ++batch)
    for (const Shape s : kShapes) {
      SCOPED_TRACE(trace(s) + ", batch " + std::to_string(batch));
      const Densities d(backend_, s, static_cast<float>(10 * batch));
      const Vector f = d.log_w();
      const double baseline = weight > 0 ? sum / weight : 0;
      expect_close(scores(Estimator::score_mean, s, d, Cost::elbo, mean.data()),
                   reference::score_weights(Estimator::score_mean, f, s.samples, baseline), 0x1p-23 * 1000, 0, "score");
      sum = 0.9 * sum + 0.1 * reference::moments(f, 1)[1], weight = 0.9 * weight + 0.1;
    }
  EXPECT_NEAR(mean.get()[0].sum, sum, 1e-10);
  EXPECT_NEAR(mean.get()[0].weight, weight, 1e-12);
}

TEST_P(Weights, ACostThatIsNotFiniteLeavesTheRunningMean) {
  const Matrix zero(backend_, 2, 1, {0, 0}), score(backend_, 2, 1);
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    const Array<RunningMean> mean(backend_, std::vector<RunningMean>{{-3, 0.5}});
    const Matrix p_x(backend_, 2, 1, {-1, bad});
    backend_.run(ScoreWeights{ScoreBaseline::running_mean, p_x, zero, zero, 1, score, mean.data()});
    EXPECT_EQ(score.get()[0], 5);
    EXPECT_EQ(mean.get()[0].sum, -3);
    EXPECT_EQ(mean.get()[0].weight, 0.5);
  }
}

}  // namespace
}  // namespace cuvae
