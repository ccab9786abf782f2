// log_prob of the likelihoods that take the values one by one: against the reference at ordinary and extreme outputs.
#include <numeric>

#include "likelihood_test.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

class LogProbs : public OpTest {
 protected:
  struct Case {
    Index batch, samples, width;
    std::vector<float> outputs, x;  // [batch * samples, n width], [batch, width]
  };

  void expect_as_reference(Likelihood likelihood, const Case& c, float row_weight) {
    const Index n = traits(likelihood).outputs, rows = c.batch * c.samples, width = n * c.width;
    const auto o = stored(c.outputs), x = stored(c.x);
    const Matrix outputs(backend_, rows, width, o, type_), values(backend_, c.batch, c.width, x, type_);
    const Matrix log_p(backend_, rows, 1), doutputs(backend_, rows, width, type_), log_p_alone(backend_, rows, 1);
    backend_.run(LogProb{likelihood, outputs, values, row_weight, log_p, doutputs});

    const auto want =
        reference::log_prob(likelihood, reference::widen(o), reference::widen(x), row_weight, c.samples, c.width, n);
    Vector log_p_bound(static_cast<std::size_t>(rows)), bound(o.size());
    for (Index row = 0; row < rows; ++row)
      for (Index d = 0; d < c.width; ++d) {
        Vector of_value;
        for (Index i = 0; i < n; ++i) of_value.push_back(o[(row * n + i) * c.width + d]);
        const double at = x[row / c.samples * c.width + d];
        const Bounds b = bounds_of(likelihood, of_value, at);
        const double size = std::fabs(reference::value_log_prob(likelihood, of_value, at).log_p);
        log_p_bound[row] += b.log_p + size * (sum_error(c.width) - sum_error(0));
        for (Index i = 0; i < n; ++i)
          bound[(row * n + i) * c.width + d] = std::fabs(row_weight) * b.derivatives[i] +
                                               0x1p-24 * std::fabs(want.gradient[(row * n + i) * c.width + d]);
      }
    expect_within(log_p.get(), want.log_p, log_p_bound, "log_p");
    expect_stored_within(doutputs.get(), want.gradient, bound, "doutputs");
    expect_same_bits(outputs.get(), o, "outputs");

    backend_.run(LogProb{likelihood, outputs, values, row_weight, log_p_alone, {}});
    expect_same_bits(log_p_alone.get(), log_p.get(), "log_p without doutputs");
    backend_.run(LogProb{likelihood, outputs, values, row_weight, log_p_alone, outputs});
    expect_same_bits(log_p_alone.get(), log_p.get(), "log_p in place");
    expect_same_bits(outputs.get(), doutputs.get(), "doutputs in place");
  }

  /// One value a row: each x with each tuple of outputs.
  Case grid(const std::vector<std::vector<float>>& outputs, const std::vector<float>& x) {
    Case c{0, 1, 1, {}, {}};
    for (const auto& o : outputs)
      for (const float value : x) c.outputs.insert(c.outputs.end(), o.begin(), o.end()), c.x.push_back(value);
    c.batch = static_cast<Index>(c.x.size());
    return c;
  }

  /// log p of each of [0, 1]'s 257 points k / 256, or of k / 255, under the same outputs.
  std::vector<float> over_all_values(Likelihood likelihood, const std::vector<float>& o, Index intervals) {
    std::vector<float> x, outputs;
    for (Index k = 0; k <= intervals; ++k) {
      x.push_back(static_cast<float>(k) / static_cast<float>(intervals));
      outputs.insert(outputs.end(), o.begin(), o.end());
    }
    const auto rows = static_cast<Index>(x.size());
    const Matrix of_all(backend_, rows, traits(likelihood).outputs, outputs, type_), at(backend_, rows, 1, x, type_),
        log_p(backend_, rows, 1);
    backend_.run(LogProb{likelihood, of_all, at, 1, log_p, {}});
    return log_p.get();
  }
};
CUVAE_IN_EVERY_PRECISION(LogProbs);

std::vector<float> both_signs(const std::vector<float>& values) {
  std::vector<float> all;
  for (const float v : values) all.push_back(v), all.push_back(-v);
  return all;
}

TEST_P(LogProbs, MatchTheReference) {
  constexpr Index kShapes[][3] = {{1, 1, 1},   {3, 2, 3},   {7, 5, 31}, {31, 1, 32},  {5, 2, 33},
                                  {2, 2, 128}, {3, 5, 129}, {65, 1, 8}, {1, 1, 1030}, {2, 1, 784}};
  for (const Likelihood likelihood : formulas())
    for (const auto& [batch, samples, width] : kShapes) {
      SCOPED_TRACE(std::string(to_string(likelihood)) + ", B " + std::to_string(batch) + ", K " +
                   std::to_string(samples) + ", D " + std::to_string(width));
      const Index size = batch * samples * width * traits(likelihood).outputs;
      expect_as_reference(
          likelihood, {batch, samples, width, random_vector(size, 22, -6, 6), random_values(likelihood, batch * width)},
          -1.0f / 3);
    }
}

TEST_P(LogProbs, AContinuousBernoulliIsExactAtExtremeLogits) {
  std::vector<std::vector<float>> outputs;
  for (const float l : both_signs({0.0f, 1e-30f,   1e-8f, 1e-6f, 1e-4f, 0.01f, 0.3f,  1.0f,  1.9f,   1.99999f,
                                   2.0f, 2.00001f, 2.2f,  5.0f,  17.0f, 20.0f, 50.0f, 88.0f, 100.0f, 1e4f}))
    outputs.push_back({l});
  expect_as_reference(Likelihood::continuous_bernoulli,
                      grid(outputs, {0.0f, 0.004f, 0.25f, 0.5f, 0.50001f, 0.999f, 1.0f}), 2.0f);
}

TEST_P(LogProbs, AGaussianScaleIsExactAtExtremeScales) {
  std::vector<std::vector<float>> outputs;
  for (const float mean : {-3.0f, 0.0f, 0.5f, 100.0f})
    for (const float log_scale : both_signs({0.0f, 1e-8f, 1.0f, 3.0f, 6.9f, 7.0f, 7.1f, 1e4f}))
      outputs.push_back({mean, log_scale});
  expect_as_reference(Likelihood::gaussian_scale, grid(outputs, {-2.0f, 0.0f, 0.5f, 1.0f, 100.0f}), -0.5f);
}

TEST_P(LogProbs, ABetaBinomialIsExactAtExtremeConcentrations) {
  std::vector<float> logs{-1e4f, -7.5f, -7.0f, 9.9f, 10.0f, 10.5f, 1e4f};
  for (const float value : {1e-3f, 0.03f, 0.5f, 1.0f, 2.0f, 3.99f, 4.0f, 4.01f, 60.0f, 1e3f, 1e4f})
    logs.push_back(std::log(value));
  std::vector<std::vector<float>> outputs;
  for (const float alpha : logs)
    for (const float beta : logs) outputs.push_back({alpha, beta});
  std::vector<float> x;
  for (const int k : {0, 1, 2, 3, 4, 5, 60, 126, 127, 128, 200, 250, 251, 252, 254, 255})
    x.push_back(static_cast<float>(k) / 255.0f);
  expect_as_reference(Likelihood::beta_binomial, grid(outputs, x), 1.0f);
}

// bf16 has only 8 significant bits, so that a pixel is stored as its neighbour's would be if these were closer.
TEST_P(LogProbs, ABetaBinomialFindsEveryCountAgain) {
  const std::vector<float> got = over_all_values(Likelihood::beta_binomial, {1.0f, -0.5f}, 255);
  const auto o = stored({1.0f, -0.5f});
  for (Index k = 0; k <= 255; ++k) {
    const double want =
        reference::value_log_prob(Likelihood::beta_binomial, {o[0], o[1]}, static_cast<double>(k) / 255).log_p;
    EXPECT_NEAR(got[k], want, 0x1p-24 * (64 + 16 * std::fabs(want) + 5 * 3)) << k;  // the derivatives are below 1.5
  }
}

TEST_P(LogProbs, GradientsMatchFiniteDifferences) {
  constexpr Index kBatch = 2, kSamples = 2, kWidth = 5, kRows = kBatch * kSamples;
  for (const Likelihood likelihood : formulas()) {
    SCOPED_TRACE(std::string(to_string(likelihood)));
    const Index n = traits(likelihood).outputs;
    const auto o = stored(random_vector(kRows * n * kWidth, 23, -3, 3)),
               x = stored(random_values(likelihood, kBatch * kWidth));
    const Matrix outputs(backend_, kRows, n * kWidth, o, type_), values(backend_, kBatch, kWidth, x, type_),
        log_p(backend_, kRows, 1), doutputs(backend_, kRows, n * kWidth, type_);
    backend_.run(LogProb{likelihood, outputs, values, 1.5f, log_p, doutputs});
    const auto sum = [&](const Vector& v) {
      return dot(Vector(kRows, 1.5),
                 reference::log_prob(likelihood, v, reference::widen(x), 0, kSamples, kWidth, n).log_p);
    };
    // Differences err by h^2 / 6 of the third derivative, 1e-8 for exp(6), and by 1e-16 / h of a sum of a few hundred.
    // A beta-binomial's D has terms of up to 255: 1e-4 of them, by the bounds above.
    const double atol = likelihood == Likelihood::beta_binomial ? 1e-3 : 1e-6;
    expect_stored_close(doutputs.get(), central_differences(sum, reference::widen(o)), atol, 3e-6, "doutputs");
  }
}

// Descent on -log p: from outside, only a step that leads back is taken.
TEST_P(LogProbs, OutputsOutsideOfTheirClampComeBack) {
  struct Clamped {
    Likelihood likelihood;
    Index output;
    float low, high;
    std::vector<float> x;  // which makes each direction the better one
  };
  for (const auto& [likelihood, output, low, high, x] :
       {Clamped{Likelihood::gaussian_scale, 1, kLogScaleMin, kLogScaleMax, {0.0f, 4096.0f}},
        Clamped{Likelihood::beta_binomial, 0, kLogConcentrationMin, kLogConcentrationMax, {0.0f, 1.0f}},
        Clamped{Likelihood::beta_binomial, 1, kLogConcentrationMin, kLogConcentrationMax, {0.0f, 1.0f}}})
    for (const float value : x)
      for (const bool is_low : {true, false})
        for (const float beyond : {0.5f, 1e4f}) {
          const float bound = is_low ? low : high, outside = is_low ? low - beyond : high + beyond;
          SCOPED_TRACE(std::string(to_string(likelihood)) + " of " + std::to_string(value) + " at " +
                       std::to_string(outside));
          const auto gradient = [&, likelihood = likelihood, output = output](float at) {
            std::vector<float> o{0.0f, 0.0f};
            o[output] = at;
            const Matrix outputs(backend_, 1, 2, o, type_), values(backend_, 1, 1, {value}, type_),
                log_p(backend_, 1, 1), doutputs(backend_, 1, 2, type_);
            backend_.run(LogProb{likelihood, outputs, values, -1.0f, log_p, doutputs});
            return doutputs.get()[output];
          };
          const float at_bound = gradient(bound), leads_back = is_low ? -1.0f : 1.0f;
          EXPECT_NE(at_bound, 0);
          EXPECT_EQ(gradient(outside), at_bound * leads_back > 0 ? at_bound : 0);
        }
}

// Simpson's rule over 256 intervals errs by (l / 256)^4 / 180 of the integral of exp(l x).
TEST_P(LogProbs, AContinuousBernoulliIntegratesToOne) {
  for (const float l : {0.0f, 1e-6f, -0.5f, 1.75f, 2.25f, -8.0f, 32.0f, -96.0f}) {
    const std::vector<float> log_p = over_all_values(Likelihood::continuous_bernoulli, {l}, 256);
    double sum = 0;
    for (Index k = 0; k <= 256; ++k)
      sum += std::exp(double{log_p[k]}) * (k == 0 || k == 256 ? 1 : k % 2 == 1 ? 4 : 2) / (3 * 256);
    EXPECT_NEAR(sum, 1, 1e-6 + 1.1 * std::pow(l / 256, 4) / 180) << l;
  }
}

TEST_P(LogProbs, ABetaBinomialSumsToOne) {
  for (const float a : {-7.0f, -2.0f, 0.0f, 1.5f, 4.0f, 10.0f})
    for (const float b : {-7.0f, -1.0f, 0.0f, 2.0f, 5.0f, 10.0f}) {
      double sum = 0;
      for (const float p : over_all_values(Likelihood::beta_binomial, {a, b}, 255)) sum += std::exp(double{p});
      EXPECT_NEAR(sum, 1, 1e-5) << a << ", " << b;  // 64 u, and 16 u of log p, on average below -8
    }
}

TEST_P(LogProbs, ValuesOutsideOfZeroToOneAreNaN) {
  for (const LikelihoodTraits& t : kLikelihoods)
    if (t.unit_interval)
      for (const float bad : {-0.01f, 1.01f, 255.0f, NAN}) {
        const Matrix outputs(backend_, 2, t.outputs, std::vector<float>(2 * t.outputs, 0.5f), type_),
            x(backend_, 2, 1, {0.5f, bad}, type_), log_p(backend_, 2, 1);
        backend_.run(LogProb{t.likelihood, outputs, x, 1, log_p, {}});
        EXPECT_TRUE(std::isfinite(log_p.get()[0])) << t.name;
        EXPECT_TRUE(std::isnan(log_p.get()[1])) << t.name << " of " << bad;
      }
}

TEST_P(LogProbs, NaNInTheOutputsStaysNaN) {
  for (const Likelihood likelihood : formulas())
    for (Index bad = 0; bad < traits(likelihood).outputs; ++bad)
      for (const float value : {0.0f, 0.25f, 1.0f}) {
        std::vector<float> o(static_cast<std::size_t>(traits(likelihood).outputs), 0.5f);
        o[bad] = NAN;
        const Matrix outputs(backend_, 1, traits(likelihood).outputs, o, type_), x(backend_, 1, 1, {value}, type_),
            log_p(backend_, 1, 1);
        backend_.run(LogProb{likelihood, outputs, x, 1, log_p, {}});
        EXPECT_TRUE(std::isnan(log_p.get()[0])) << to_string(likelihood) << ", output " << bad;
      }
}

TEST_P(LogProbs, SameBitsEveryTimeAndFromEachPlace) {
  constexpr Index kRows = 65, kWidth = 257;
  for (const Likelihood likelihood : formulas()) {
    SCOPED_TRACE(std::string(to_string(likelihood)));
    const Index n = traits(likelihood).outputs;
    const Matrix outputs(backend_, kRows, n * kWidth, random_vector(kRows * n * kWidth, 28, -3, 3), type_),
        x(backend_, kRows, kWidth, random_values(likelihood, kRows * kWidth), type_);
    std::vector<float> first;
    for (int run = 0; run < 3; ++run) {
      const Matrix log_p(backend_, kRows, 1), d(backend_, kRows, n * kWidth, type_);
      backend_.run(LogProb{likelihood, outputs, x, 1.0f, log_p, d});
      std::vector<float> all = log_p.get();
      const std::vector<float> gradient = d.get();
      all.insert(all.end(), gradient.begin(), gradient.end());
      if (run == 0) first = all;
      expect_same_bits(all, first, "run " + std::to_string(run));
    }
  }
}

}  // namespace
}  // namespace cuvae
