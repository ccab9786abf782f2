// bernoulli_log_prob: log-probabilities of Bernoulli latents under logits of each row or of all rows, and the gradient.
#include "bernoulli_test.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;
using reference::widen;

struct Size {
  Index rows, latent;
};
// One lane to all of a warp's, whole packs and single values, a row longer than a turn of its lanes, many blocks and
// several chunks of a sum.
constexpr Size kSizes[] = {{1, 1},   {2, 3},   {7, 4},    {33, 50},  {5, 128},
                           {300, 1}, {9, 129}, {20, 200}, {3000, 8}, {700, 33}};
std::string trace(Size s, bool one_row) {
  return "R " + std::to_string(s.rows) + ", L " + std::to_string(s.latent) + (one_row ? ", logits in one row" : "");
}

class BernoulliLogProbs : public OpTest {
 protected:
  DType gradient_type(bool one_row) const { return one_row ? DType::f32 : type_; }
  static Index rows_of(Size s, bool one_row) { return one_row ? 1 : s.rows; }

  void expect_match(Size s, bool one_row, const RowFactor& factor, const reference::RowWeight& weight,
                    double weight_error) {
    const Index n = rows_of(s, one_row);
    const std::vector<float> bits = random_bits(s.rows * s.latent), logits = random_logits(n * s.latent);
    const Matrix z(backend_, s.rows, s.latent, bits, type_), in(backend_, n, s.latent, logits),
        log_p(backend_, s.rows, 1), dlogits(backend_, n, s.latent, gradient_type(one_row));
    backend_.run(BernoulliLogProb{z, in, factor, log_p, false, dlogits});
    const Vector at = widen(logits), values = widen(bits);
    const auto want = reference::bernoulli_log_prob(values, at, weight, s.latent);
    // Each score's error and its weight's, then the sum's over the rows.
    Vector bound(want.dlogits.size());
    for (Index i = 0; i < s.rows * s.latent; ++i) {
      const Index to = one_row ? i % s.latent : i;
      const double size = std::fabs(reference::bernoulli_score(at[to], values[i])), w = std::fabs(weight[i / s.latent]);
      bound[to] += size * (weight_error + w * (kScoreError + (one_row ? sum_error(s.rows) : 0x1p-24))) + kLeastExp;
    }
    expect_within(log_p.get(), want.log_p, log_p_bounds(want.log_p, s.latent), "log_p");
    if (one_row)
      expect_within(dlogits.get(), want.dlogits, bound, "dlogits");
    else
      expect_stored_within(dlogits.get(), want.dlogits, bound, "dlogits");
  }
};
CUVAE_IN_EVERY_PRECISION(BernoulliLogProbs);

TEST_P(BernoulliLogProbs, MatchTheReference) {
  for (const Size s : kSizes)
    for (const bool one_row : {false, true}) {
      SCOPED_TRACE(trace(s, one_row));
      const auto rows = random_vector(s.rows, 73);
      expect_match(s, one_row, -0.37f, double{-0.37f}, 0);
      const Matrix row(backend_, s.rows, 1, rows);
      expect_match(s, one_row, row_factor(row), weights_of(rows), kWeightError);
    }
}

TEST_P(BernoulliLogProbs, TakeLogitsOfAnySize) {
  const std::vector<float> logits{30, -30, 100, -100, 1e4f, -1e4f, 1e30f, -1e30f};
  const auto n = static_cast<Index>(logits.size());
  for (const bool likely : {false, true}) {
    std::vector<float> bits;
    for (const float l : logits) bits.push_back((l > 0) == likely ? 1.0f : 0.0f);
    const Matrix z(backend_, n, 1, bits, type_), in(backend_, n, 1, logits), log_p(backend_, n, 1),
        dlogits(backend_, n, 1, type_);
    backend_.run(BernoulliLogProb{z, in, 1.0f, log_p, false, dlogits});
    const auto want = reference::bernoulli_log_prob(widen(bits), widen(logits), 1, 1);
    expect_within(log_p.get(), want.log_p, log_p_bounds(want.log_p, 1), "log_p");
    expect_stored_close(dlogits.get(), want.dlogits, kLeastExp, kScoreError, "dlogits");
  }
}

// Sums of order 10: central differences err by 1e-8, a dozen roundings by 1e-6.
TEST_P(BernoulliLogProbs, GradientsMatchFiniteDifferences) {
  const Size s{4, 5};
  const auto bits = random_bits(s.rows * s.latent), rows = random_vector(s.rows, 75);
  const Vector weight = weights_of(rows), values = widen(bits);
  const Matrix z(backend_, s.rows, s.latent, bits, type_), row(backend_, s.rows, 1, rows);
  for (const bool one_row : {false, true}) {
    const Index n = rows_of(s, one_row);
    const auto logits = random_vector(n * s.latent, 76, -3, 3);
    const Matrix in(backend_, n, s.latent, logits), dlogits(backend_, n, s.latent, gradient_type(one_row));
    backend_.run(BernoulliLogProb{z, in, row_factor(row), {}, false, dlogits});
    const auto sum = [&](const Vector& at) {
      return dot(weight, reference::bernoulli_log_prob(values, at, 0, s.latent).log_p);
    };
    const Vector want = central_differences(sum, widen(logits));
    expect_close(dlogits.get(), want, 1e-6, 2e-6 + (one_row ? 0 : rounding_), "dlogits");
  }
}

TEST_P(BernoulliLogProbs, AreThoseOfSamples) {
  const Size s{9, 20};
  const Array<std::uint32_t> step(backend_, std::vector<std::uint32_t>{kStep});
  const Matrix in(backend_, s.rows, s.latent, random_logits(s.rows * s.latent)), z(backend_, s.rows, s.latent, type_),
      log_q(backend_, s.rows, 1), log_p(backend_, s.rows, 1);
  backend_.run(SampleBernoulli{.logits = in, .noise = {kSeed, Stream::latent, step.data(), 0}, .z = z, .log_q = log_q});
  backend_.run(BernoulliLogProb{.z = z, .logits = in, .log_p = log_p});
  const Vector want = widen(log_q.get());
  Vector bound = log_p_bounds(want, s.latent);
  for (double& b : bound) b *= 2;  // the errors of both sums
  expect_within(log_p.get(), want, bound, "log_p");
}

TEST_P(BernoulliLogProbs, OutputsDoNotDependOnWhatElseIsAskedFor) {
  for (const Size s : kSizes)
    for (const bool one_row : {false, true}) {
      SCOPED_TRACE(trace(s, one_row));
      const Index n = rows_of(s, one_row);
      const Matrix z(backend_, s.rows, s.latent, random_bits(s.rows * s.latent), type_),
          in(backend_, n, s.latent, random_logits(n * s.latent)), log_p(backend_, s.rows, 1),
          log_p_alone(backend_, s.rows, 1), dlogits(backend_, n, s.latent, gradient_type(one_row)),
          dlogits_alone(backend_, n, s.latent, gradient_type(one_row));
      backend_.run(BernoulliLogProb{z, in, 0.3f, log_p, false, dlogits});
      backend_.run(BernoulliLogProb{.z = z, .logits = in, .log_p = log_p_alone});
      backend_.run(BernoulliLogProb{.z = z, .logits = in, .row_weight = 0.3f, .dlogits = dlogits_alone});
      expect_same_bits(log_p_alone.get(), log_p.get(), "log_p");
      expect_same_bits(dlogits_alone.get(), dlogits.get(), "dlogits");
    }
}

TEST_P(BernoulliLogProbs, AreAddedWhereAskedFor) {
  for (const Size s : {Size{33, 5}, Size{700, 8}}) {
    const auto start = random_vector(s.rows, 76, -9, 9), dstart = random_vector(s.latent, 77, -9, 9);
    const Matrix z(backend_, s.rows, s.latent, random_bits(s.rows * s.latent), type_),
        in(backend_, 1, s.latent, random_logits(s.latent)), alone(backend_, s.rows, 1), dalone(backend_, 1, s.latent),
        added(backend_, s.rows, 1, start), dadded(backend_, 1, s.latent, dstart);
    backend_.run(BernoulliLogProb{z, in, 0.3f, alone, false, dalone});
    backend_.run(BernoulliLogProb{z, in, 0.3f, added, true, dadded, Gradients::add});
    const auto expect_added = [](const Matrix& got, const std::vector<float>& before, const Matrix& what) {
      Vector want, bound;
      for (std::size_t i = 0; i < before.size(); ++i) {
        want.push_back(double{before[i]} + what.get()[i]);
        bound.push_back(0x1p-24 * std::fabs(want.back()));
      }
      expect_within(got.get(), want, bound, "added");
    };
    expect_added(added, start, alone);
    expect_added(dadded, dstart, dalone);
  }
}

// A batch of one row: its gradient may have the activations' type, as that of a layer, or float32, as that of a prior.
TEST_P(BernoulliLogProbs, OneRowIsItsOwnSum) {
  const Size s{1, 37};
  const Matrix z(backend_, 1, s.latent, random_bits(s.latent), type_),
      in(backend_, 1, s.latent, random_logits(s.latent)), stored(backend_, 1, s.latent, type_),
      wide(backend_, 1, s.latent);
  backend_.run(BernoulliLogProb{.z = z, .logits = in, .row_weight = 0.3f, .dlogits = stored});
  backend_.run(BernoulliLogProb{.z = z, .logits = in, .row_weight = 0.3f, .dlogits = wide});
  expect_same_bits(stored.get(), this->stored(wide.get()), "dlogits");
}

TEST_P(BernoulliLogProbs, GiveTheSameBitsEveryTime) {
  const Size s{3000, 40};
  const Matrix z(backend_, s.rows, s.latent, random_bits(s.rows * s.latent), type_),
      in(backend_, 1, s.latent, random_logits(s.latent)), weight(backend_, s.rows, 1, random_vector(s.rows, 78)),
      first(backend_, 1, s.latent), second(backend_, 1, s.latent);
  for (const Matrix* dlogits : {&first, &second})
    backend_.run(BernoulliLogProb{.z = z, .logits = in, .row_weight = RowFactor(1.0f, weight), .dlogits = *dlogits});
  expect_same_bits(first.get(), second.get(), "dlogits");
}

TEST_P(BernoulliLogProbs, ANumberThatIsNotFiniteShowsInItsRowAlone) {
  const Matrix z(backend_, 3, 2, {0, 1, NAN, 1, 0, 1}, type_), in(backend_, 3, 2, {1, 2, 1, 2, 1, NAN}),
      log_p(backend_, 3, 1), dlogits(backend_, 3, 2, type_);
  backend_.run(BernoulliLogProb{z, in, 1.0f, log_p, false, dlogits});
  for (int row = 0; row < 3; ++row) EXPECT_EQ(std::isnan(log_p.get()[row]), row > 0) << row;
  for (int i = 0; i < 6; ++i) EXPECT_EQ(std::isnan(dlogits.get()[i]), i == 2 || i == 5) << i;
}

}  // namespace
}  // namespace cuvae
