// sample_bernoulli: samples by their uniforms, their log-probabilities and scores, and the moments for active units.
#include "bernoulli_test.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

constexpr Shape kPairs[] = {{1, 2, 1}, {3, 2, 3}, {7, 4, 31}, {33, 2, 8}, {5, 6, 129}, {257, 2, 3}};

class SampleBernoullis : public LatentTest {
 protected:
  /// Samples against their uniforms, then their log-probabilities and norms against those of the samples.
  void expect_samples(Shape s, const std::vector<float>& logits, const Noise& noise, const reference::NoiseKey& key) {
    const Index rows = s.batch * s.samples;
    const Matrix in(backend_, s.batch, s.latent, logits), z(backend_, rows, s.latent, type_), log_q(backend_, rows, 1),
        norm(backend_, rows, 1);
    backend_.run(SampleBernoulli{.logits = in, .noise = noise, .z = z, .log_q = log_q, .score_norm = norm});
    const auto want = reference::sample_bernoulli(reference::widen(logits), key, s.samples, s.latent);
    const std::vector<float> got = z.get();
    Vector of_rows, norms;
    Index close = 0;
    for (Index i = 0; i < rows * s.latent; ++i) {
      if (i % s.latent == 0) of_rows.push_back(0), norms.push_back(0);
      const double u = want.u[i], p = want.probability[i];
      // A uniform is rounded; a probability has the error of exp and two roundings.
      if (std::fabs(u - p) > 0x1p-24 + kScoreError * p)
        ASSERT_EQ(got[i], u <= p ? 1.0f : 0.0f) << "z[" << i << "]: u is " << u << ", p " << p;
      else
        ++close;
      ASSERT_TRUE(got[i] == 0 || got[i] == 1) << got[i];
      const double logit = logits[i / s.latent / s.samples * s.latent + i % s.latent];
      of_rows.back() += reference::bernoulli_log_p(logit, got[i]);
      norms.back() += std::pow(reference::bernoulli_score(logit, got[i]), 2);
    }
    // The chance of more than two within 1e-6 is below 1e-6 for 2^14 samples.
    EXPECT_LE(close, 2);
    expect_within(log_q.get(), of_rows, log_p_bounds(of_rows, s.latent), "log_q");
    expect_close(norm.get(), norms, kLeastExp, 2 * kScoreError + sum_error(s.latent), "score_norm");

    const Matrix same_z(backend_, rows, s.latent, type_), alone(backend_, rows, 1),
        added(backend_, rows, 1, log_q.get()), added_norm(backend_, rows, 1, norm.get());
    backend_.run(SampleBernoulli{.logits = in, .noise = noise, .z = same_z});
    expect_same_bits(same_z.get(), got, "z alone");
    backend_.run(SampleBernoulli{.logits = in, .noise = noise, .z = same_z, .log_q = alone});
    expect_same_bits(alone.get(), log_q.get(), "log_q without norms");
    backend_.run(SampleBernoulli{
        .logits = in, .noise = noise, .z = same_z, .log_q = added, .score_norm = added_norm, .add = true});
    const auto twice = [](std::vector<float> values) {
      for (float& v : values) v += v;
      return values;
    };
    expect_same_bits(added.get(), twice(log_q.get()), "log_q added to itself");
    expect_same_bits(added_norm.get(), twice(norm.get()), "score_norm added to itself");
  }
};
CUVAE_IN_EVERY_PRECISION(SampleBernoullis);

TEST_P(SampleBernoullis, FollowTheirUniforms) {
  for (const Shape s : kShapes)
    for (const Index first_row : {0, 1000003}) {
      SCOPED_TRACE(trace(s) + ", row " + std::to_string(first_row));
      expect_samples(s, random_logits(s.batch * s.latent), noise(first_row), key(first_row));
    }
}

TEST_P(SampleBernoullis, AntitheticPairsShareTheirUniforms) {
  for (const Shape s : kPairs)
    for (const Index first_row : {0, 3}) {
      SCOPED_TRACE(trace(s) + ", row " + std::to_string(first_row));
      Noise pairs = noise(first_row);
      reference::NoiseKey of_pairs = key(first_row);
      pairs.antithetic = of_pairs.antithetic = true;
      expect_samples(s, random_logits(s.batch * s.latent), pairs, of_pairs);
    }
}

// Far from 0 only one value has a probability above 2^-33, the least uniform, and its log-probability is about 0.
TEST_P(SampleBernoullis, TakeLogitsOfAnySize) {
  const std::vector<float> logits{30, -30, 100, -100, 1e4f, -1e4f, 1e30f, -1e30f, 3e38f, -3e38f};
  const auto n = static_cast<Index>(logits.size());
  const Matrix in(backend_, 1, n, logits), z(backend_, 6, n, type_), log_q(backend_, 6, 1), norm(backend_, 6, 1);
  backend_.run(SampleBernoulli{.logits = in, .noise = noise(), .z = z, .log_q = log_q, .score_norm = norm});
  const std::vector<float> got = z.get();
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_EQ(got[i], logits[i % logits.size()] > 0 ? 1.0f : 0.0f) << i;
  // Two of exp(-30) each, to 1%.
  const double rare = std::exp(-30);
  expect_close(log_q.get(), Vector(6, -2 * rare), 0, 0.01, "log_q");
  expect_close(norm.get(), Vector(6, 2 * rare * rare), 0, 0.01, "score_norm");
}

// Logits as they are in double. The error e of a probability moves its mean by e, and the sum of the squares of n
// deviations d by at most 2 e sqrt(n sum d^2) + n e^2.
TEST_P(SampleBernoullis, MergeTheMomentsOfProbabilitiesAndLogits) {
  for (const Shape s : kShapes) {
    SCOPED_TRACE(trace(s));
    const Index L = s.latent;
    const Array<double> acc(backend_, std::vector<double>(static_cast<std::size_t>(1 + 4 * L)));
    const Matrix z(backend_, s.batch * s.samples, L, type_), alone(backend_, s.batch * s.samples, L, type_);
    Vector all;
    for (const std::uint64_t seed : {1, 2}) {
      const std::vector<float> logits = random_logits(s.batch * L, seed);
      const Matrix in(backend_, s.batch, L, logits);
      backend_.run(SampleBernoulli{.logits = in, .noise = noise(), .z = z, .moments = acc.data()});
      backend_.run(SampleBernoulli{.logits = in, .noise = noise(), .z = alone});
      expect_same_bits(z.get(), alone.get(), "z");
      for (Index b = 0; b < s.batch; ++b) {
        for (Index l = 0; l < L; ++l) all.push_back(-reference::bernoulli_score(logits[b * L + l], 0));
        for (Index l = 0; l < L; ++l) all.push_back(logits[b * L + l]);
      }
      const Vector want = reference::moments(all, 2 * L);
      Vector bound;
      for (Index i = 0; i < 1 + 4 * L; ++i) {
        const bool probability = i > 0 && (i - 1) % (2 * L)<L, square = i> 2 * L;
        const double e = probability ? kScoreError : 0, n = want[0];
        bound.push_back((square ? 2 * e * std::sqrt(n * want[i]) + n * e * e : e) + 1e-11 * (1 + want[i]));
      }
      expect_within(acc.get(), want, bound, "moments");
    }
  }
}

TEST_P(SampleBernoullis, ABatchSplitInTwoIsTheSame) {
  const Shape s{14, 3, 5};
  const std::vector<float> logits = random_logits(s.batch * s.latent);
  const auto sample = [&](Index first, Index batch, std::vector<float>& z, std::vector<float>& log_q) {
    const Matrix in(backend_, batch, s.latent,
                    {logits.begin() + first * s.latent, logits.begin() + (first + batch) * s.latent}),
        out(backend_, batch * s.samples, s.latent, type_), q(backend_, batch * s.samples, 1);
    backend_.run(SampleBernoulli{.logits = in, .noise = noise(first), .z = out, .log_q = q});
    for (const float v : out.get()) z.push_back(v);
    for (const float v : q.get()) log_q.push_back(v);
  };
  std::vector<float> z, log_q, joined_z, joined_q;
  sample(0, 14, z, log_q);
  sample(0, 7, joined_z, joined_q);
  sample(7, 7, joined_z, joined_q);
  expect_same_bits(joined_z, z, "z");
  expect_same_bits(joined_q, log_q, "log_q");
}

TEST_P(SampleBernoullis, ANewStepDrawsNewSamples) {
  const Matrix in(backend_, 3, 40, std::vector<float>(120)), z(backend_, 3, 40, type_);
  backend_.run(SampleBernoulli{.logits = in, .noise = noise(), .z = z});
  const std::vector<float> first = z.get();
  backend_.run(SampleBernoulli{.logits = in, .noise = noise(), .z = z});
  expect_same_bits(z.get(), first, "z");
  step_.set({kStep + 1});
  backend_.run(SampleBernoulli{.logits = in, .noise = noise(), .z = z});
  EXPECT_NE(z.get(), first);
}

TEST_P(SampleBernoullis, AreTheSameBitsEveryTime) {
  const Shape s{300, 2, 70};
  const Matrix in(backend_, s.batch, s.latent, random_logits(s.batch * s.latent)),
      z(backend_, s.batch * s.samples, s.latent, type_), log_q(backend_, z.rows, 1);
  std::vector<double> moments[2];
  std::vector<float> log_qs[2];
  for (int i = 0; i < 2; ++i) {
    const Array<double> acc(backend_, std::vector<double>(static_cast<std::size_t>(1 + 4 * s.latent)));
    backend_.run(SampleBernoulli{.logits = in, .noise = noise(), .z = z, .moments = acc.data(), .log_q = log_q});
    moments[i] = acc.get(), log_qs[i] = log_q.get();
  }
  expect_same_bits(moments[0], moments[1], "moments");
  expect_same_bits(log_qs[0], log_qs[1], "log_q");
}

TEST_P(SampleBernoullis, ALogitThatIsNotANumberShowsInItsRowAlone) {
  const Matrix in(backend_, 3, 2, {0, 1, NAN, 1, 0, 1}), z(backend_, 3, 2, type_), log_q(backend_, 3, 1),
      norm(backend_, 3, 1);
  backend_.run(SampleBernoulli{.logits = in, .noise = noise(), .z = z, .log_q = log_q, .score_norm = norm});
  for (int row = 0; row < 3; ++row) {
    EXPECT_EQ(std::isnan(z.get()[2 * row]), row == 1);
    EXPECT_FALSE(std::isnan(z.get()[2 * row + 1]));
    EXPECT_EQ(std::isnan(log_q.get()[row]), row == 1);
    EXPECT_EQ(std::isnan(norm.get()[row]), row == 1);
  }
}

}  // namespace
}  // namespace cuvae
