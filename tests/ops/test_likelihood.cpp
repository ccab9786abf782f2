// log_prob of a Bernoulli and gaussian_log_prob: log p(x|z) in nats and its gradients.
#include "op_test.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

struct Shape {
  Index batch, samples, width;
  Index rows() const { return batch * samples; }
};
constexpr Shape kShapes[] = {{1, 1, 1},  {2, 1, 2},  {3, 2, 3},   {7, 5, 31},  {31, 1, 32},  {5, 2, 33},
                             {1, 5, 65}, {33, 1, 7}, {2, 2, 128}, {3, 5, 129}, {65, 1, 257}, {4, 1, 784}};

std::string trace(Shape s) {
  return "B " + std::to_string(s.batch) + ", K " + std::to_string(s.samples) + ", D " + std::to_string(s.width);
}

/// Pixels of every kind: exact zeros and ones, and values between.
std::vector<float> random_pixels(Index size) {
  std::vector<float> v = random_vector(size, 21, -0.5f, 1.5f);
  for (float& f : v) f = std::clamp(f, 0.0f, 1.0f);
  return v;
}

class Likelihoods : public OpTest {
 protected:
  void expect_bernoulli(Shape s, const std::vector<float>& values, const std::vector<float>& grey, float row_weight) {
    const auto l = stored(values), pixels = stored(grey);
    const Matrix logits(backend_, s.rows(), s.width, l, type_), x(backend_, s.batch, s.width, pixels, type_);
    const Matrix log_p(backend_, s.rows(), 1), dlogits(backend_, s.rows(), s.width, type_),
        log_p_alone(backend_, s.rows(), 1);
    backend_.run(LogProb{Likelihood::bernoulli, logits, x, row_weight, log_p, dlogits});
    const auto want =
        reference::bernoulli_log_prob(reference::widen(l), reference::widen(pixels), row_weight, s.samples, s.width);
    // All terms are negative, so a row's relative error is that of a sum; 1e-37 a term where an exponential underflows.
    expect_close(log_p.get(), want.log_p, 1e-37 * static_cast<double>(s.width), sum_error(s.width), "log_p");
    // x - sigmoid(l): a difference of numbers up to one, 4 roundings.
    expect_stored_close(dlogits.get(), want.gradient, 0x1p-22 * std::fabs(row_weight), 0, "dlogits");
    expect_same_bits(logits.get(), l, "logits");

    backend_.run(LogProb{Likelihood::bernoulli, logits, x, row_weight, log_p_alone, {}});
    expect_same_bits(log_p_alone.get(), log_p.get(), "log_p without dlogits");
    backend_.run(LogProb{Likelihood::bernoulli, logits, x, row_weight, log_p_alone, logits});
    expect_same_bits(log_p_alone.get(), log_p.get(), "log_p in place");
    expect_same_bits(logits.get(), dlogits.get(), "dlogits in place");
  }

  void expect_gaussian(Shape s, const std::vector<float>& values, const std::vector<float>& grey,
                       const std::vector<float>& scale, float row_weight) {
    const auto m = stored(values), pixels = stored(grey);
    const auto scales = static_cast<Index>(scale.size());
    const Matrix mean(backend_, s.rows(), s.width, m, type_), x(backend_, s.batch, s.width, pixels, type_),
        log_scale(backend_, 1, scales, scale);
    const Matrix log_p(backend_, s.rows(), 1), dmean(backend_, s.rows(), s.width, type_),
        dlog_scale(backend_, 1, scales);
    backend_.run(GaussianLogProb{mean, x, log_scale, row_weight, log_p, dmean, dlog_scale});
    const auto want = reference::gaussian_log_prob(reference::widen(m), reference::widen(pixels),
                                                   reference::widen(scale), row_weight, s.samples, s.width);
    // Errors relative to the terms, which may cancel: the quadratic's are 6 roundings, then those of the sum. That of
    // exp(-log s) comes on top: it is the same in every term of a column, so that it grows with the sum itself.
    Vector log_p_bound(s.rows()), dlog_scale_bound(scales);
    for (Index i = 0; i < s.rows() * s.width; ++i) {
      const Index row = i / s.width, place = scales == 1 ? 0 : i % s.width;
      const double clamped = std::clamp(scale[place], kLogScaleMin, kLogScaleMax);
      const double standard = (double{pixels[row / s.samples * s.width + i % s.width]} - m[i]) / std::exp(clamped);
      const double square = standard * standard;
      log_p_bound[row] += sum_error(s.width) * (square / 2 + std::fabs(clamped) + 0.92) + kSquaredExpError * square / 2;
      const Index terms = s.rows() * (scales == 1 ? s.width : 1);
      dlog_scale_bound[place] += std::fabs(row_weight) * (sum_error(terms) * (square + 1) + kSquaredExpError * square);
    }
    expect_within(log_p.get(), want.log_p, log_p_bound, "log_p");
    expect_stored_close(dmean.get(), want.gradient, 0, 0x1p-20,
                        "dmean");  // the exponential twice at 2.5 ulp, then 3 roundings
    expect_within(dlog_scale.get(), want.dlog_scale, dlog_scale_bound, "dlog_scale");
    expect_same_bits(mean.get(), m, "mean");

    const Matrix log_p_alone(backend_, s.rows(), 1), dlog_scale_alone(backend_, 1, scales);
    backend_.run(GaussianLogProb{mean, x, log_scale, row_weight, log_p_alone, {}, {}});
    expect_same_bits(log_p_alone.get(), log_p.get(), "log_p without gradients");
    backend_.run(GaussianLogProb{mean, x, log_scale, row_weight, log_p_alone, {}, dlog_scale_alone});
    expect_same_bits(dlog_scale_alone.get(), dlog_scale.get(), "dlog_scale without dmean");
    backend_.run(GaussianLogProb{mean, x, log_scale, row_weight, log_p_alone, mean, dlog_scale_alone});
    expect_same_bits(log_p_alone.get(), log_p.get(), "log_p in place");
    expect_same_bits(mean.get(), dmean.get(), "dmean in place");
    expect_same_bits(dlog_scale_alone.get(), dlog_scale.get(), "dlog_scale in place");
  }
};
CUVAE_IN_EVERY_PRECISION(Likelihoods);

TEST_P(Likelihoods, BernoulliMatchesTheReference) {
  for (const Shape s : kShapes) {
    SCOPED_TRACE(trace(s));
    expect_bernoulli(s, random_vector(s.rows() * s.width, 22, -6, 6), random_pixels(s.batch * s.width), -1.0f / 3);
  }
}

TEST_P(Likelihoods, BernoulliIsExactAtExtremeLogits) {
  std::vector<float> logits, pixels;
  for (float l : {0.0f, 1e-6f, 1.0f, 17.0f, 20.0f, 40.0f, 80.0f, 88.0f, 100.0f, 1e4f})
    for (float x : {0.0f, 0.25f, 0.999f, 1.0f})
      for (float sign : {1.0f, -1.0f}) logits.push_back(sign * l), pixels.push_back(x);
  expect_bernoulli({static_cast<Index>(logits.size()), 1, 1}, logits, pixels, 2.0f);
}

// Rows that the model is sure of and right about: terms of about -2e-9, which x l - softplus(l) would lose.
TEST_P(Likelihoods, BernoulliDoesNotCancelOnConfidentRows) {
  for (const Index width : {3, 128, 784}) {
    std::vector<float> logits = random_vector(width, 29, 15, 25), pixels(width, 1.0f);
    for (Index d = 0; d < width; d += 2) logits[d] *= -1, pixels[d] = 0;
    expect_bernoulli({1, 1, width}, logits, pixels, -1.0f);
  }
}

TEST_P(Likelihoods, BernoulliGradientMatchesFiniteDifferences) {
  const Shape s{2, 2, 5};
  const auto l = stored(random_vector(s.rows() * s.width, 23, -3, 3)),
             pixels = stored(random_pixels(s.batch * s.width));
  const Matrix logits(backend_, s.rows(), s.width, l, type_), x(backend_, s.batch, s.width, pixels, type_);
  const Matrix log_p(backend_, s.rows(), 1), dlogits(backend_, s.rows(), s.width, type_);
  backend_.run(LogProb{Likelihood::bernoulli, logits, x, 1.5f, log_p, dlogits});
  const auto sum = [&](const Vector& v) {
    return dot(Vector(s.rows(), 1.5),
               reference::bernoulli_log_prob(v, reference::widen(pixels), 0, s.samples, s.width).log_p);
  };
  expect_stored_close(dlogits.get(), central_differences(sum, reference::widen(l)), 5e-7, 0,
                      "dlogits");  // 4 roundings of 1.5
}

TEST_P(Likelihoods, GaussianMatchesTheReference) {
  for (const Shape s : kShapes) {
    SCOPED_TRACE(trace(s));
    const auto mean = random_vector(s.rows() * s.width, 24), pixels = random_pixels(s.batch * s.width);
    expect_gaussian(s, mean, pixels, {0.0f}, -1.0f / 3);
    expect_gaussian(s, mean, pixels, {-1.7f}, 1.0f);
    if (s.width > 1) expect_gaussian(s, mean, pixels, random_vector(s.width, 25, -3, 2), -0.01f);
  }
}

TEST_P(Likelihoods, GaussianHoldsTheLogScaleAtItsClamp) {
  const std::vector<float> scale{-7.0f, 7.0f, -7.5f, 7.5f, -1e4f, 1e4f};
  expect_gaussian({2, 1, 6}, random_vector(12, 26), random_pixels(12), scale, 1.0f);
  for (float s : scale) expect_gaussian({2, 1, 6}, random_vector(12, 26), random_pixels(12), {s}, 1.0f);
}

// A scale that is too small for the data leads up, one that is too large down, and neither where that is further out.
TEST_P(Likelihoods, FromOutsideOfItsClampALearnedScaleComesBack) {
  const Index D = 4;
  const Matrix mean(backend_, 3, D, std::vector<float>(12, 0.0f), type_), log_p(backend_, 3, 1);
  for (const float value : {0.0f, 1.0f, 4096.0f})
    for (const Index scales : {Index{1}, D})
      for (const float outside : {-7.5f, 7.5f, -1e4f, 1e4f}) {
        SCOPED_TRACE(std::to_string(value) + " at a log scale of " + std::to_string(outside));
        const Matrix x(backend_, 3, D, std::vector<float>(12, value), type_), dlog_scale(backend_, 1, scales);
        const auto gradient = [&](float log_scale) {
          const Matrix at(backend_, 1, scales, std::vector<float>(static_cast<std::size_t>(scales), log_scale));
          backend_.run(GaussianLogProb{mean, x, at, -1.0f / 3, log_p, {}, dlog_scale});
          return dlog_scale.get();
        };
        const float bound = std::clamp(outside, kLogScaleMin, kLogScaleMax);
        const bool too_small = value > std::exp(bound), is_low = outside < 0;
        const auto at_bound = gradient(bound);
        for (const float g : at_bound) EXPECT_TRUE(too_small ? g < 0 : g > 0);
        expect_same_bits(gradient(outside), too_small == is_low ? at_bound : std::vector<float>(at_bound.size(), 0.0f),
                         "dlog_scale");
      }
}

// The same value in other units, so that all but the constant is the same; 2^-21 is of the exponential's 2.5 ulp.
TEST_P(Likelihoods, TheScalesGradientIsAddedWhereAskedFor) {
  const Shape s{33, 2, 7};
  for (const Index scales : {Index{1}, s.width}) {
    const std::vector<float> start = random_vector(scales, 61);
    const Matrix mean(backend_, s.rows(), s.width, random_vector(s.rows() * s.width, 62), type_),
        x(backend_, s.batch, s.width, random_vector(s.batch * s.width, 63), type_),
        log_scale(backend_, 1, scales, random_vector(scales, 64)), log_p(backend_, s.rows(), 1),
        alone(backend_, 1, scales), added(backend_, 1, scales, start);
    GaussianLogProb op{
        .mean = mean, .x = x, .log_scale = log_scale, .row_weight = 1.0f, .log_p = log_p, .dlog_scale = alone};
    backend_.run(op);
    op.dlog_scale = added;
    op.gradients = Gradients::add;
    backend_.run(op);
    std::vector<float> want;
    for (std::size_t i = 0; i < start.size(); ++i) want.push_back(start[i] + alone.get()[i]);
    expect_same_bits(added.get(), want, "dlog_scale");
  }
}

TEST_P(Likelihoods, AFixedScaleIsNotClamped) {
  const Matrix log_p(backend_, 2, 1), dmean(backend_, 2, 3, type_);
  for (const float unit : {0x1p-40f, 0x1p-14f, 1.0f, 0x1p14f, 0x1p40f}) {
    SCOPED_TRACE("unit " + std::to_string(unit));
    const Matrix mean(backend_, 2, 3, std::vector<float>(6, 0.5f * unit), type_),
        x(backend_, 2, 3, std::vector<float>(6, 1.25f * unit), type_), log_scale(backend_, 1, 1, {std::log(unit)});
    backend_.run(GaussianLogProb{mean, x, log_scale, 1.0f, log_p, dmean, {}, {}, false});
    const double constant = 3 * std::log(double{unit}) + 1.5 * std::log(2 * 3.14159265358979323846);
    // log(unit), up to 28, is a float32: off by 2^-20, and so is the exponential, relatively.
    expect_close(log_p.get(), Vector(2, -1.5 * 0.75 * 0.75 - constant), 6 * 0x1p-20, 0x1p-22, "log_p");
    expect_stored_close(dmean.get(), Vector(6, 0.75 / unit), 0, 2 * 0x1p-19, "dmean");
  }
  const Matrix x(backend_, 1, 1, {1}, type_), scale(backend_, 1, 1, {0}), one(backend_, 1, 1), dscale(backend_, 1, 1);
  EXPECT_THROW(backend_.run(GaussianLogProb{x, x, scale, 1.0f, one, {}, dscale, {}, false}), Error);
}

TEST_P(Likelihoods, GaussianGradientsMatchFiniteDifferences) {
  const Shape s{2, 2, 3};
  const auto m = stored(random_vector(s.rows() * s.width, 27)), pixels = stored(random_pixels(s.batch * s.width));
  for (const auto& scale : {std::vector<float>{-0.5f}, std::vector<float>{-0.7f, 0.2f, 0.5f}}) {
    const auto scales = static_cast<Index>(scale.size());
    const Matrix mean(backend_, s.rows(), s.width, m, type_), x(backend_, s.batch, s.width, pixels, type_),
        log_scale(backend_, 1, scales, scale);
    const Matrix log_p(backend_, s.rows(), 1), dmean(backend_, s.rows(), s.width, type_),
        dlog_scale(backend_, 1, scales);
    backend_.run(GaussianLogProb{mean, x, log_scale, 1.5f, log_p, dmean, dlog_scale});
    const auto sum = [&](const Vector& at_mean, const Vector& at_scale) {
      const auto forward =
          reference::gaussian_log_prob(at_mean, reference::widen(pixels), at_scale, 0, s.samples, s.width);
      return dot(Vector(s.rows(), 1.5), forward.log_p);
    };
    const Vector wide = reference::widen(m), wide_scale = reference::widen(scale);
    const auto of_mean = [&](const Vector& v) { return sum(v, wide_scale); };
    const auto of_scale = [&](const Vector& v) { return sum(wide, v); };
    expect_stored_close(dmean.get(), central_differences(of_mean, wide), 1e-6, 1e-6,
                        "dmean");  // a dozen roundings of order one
    expect_close(dlog_scale.get(), central_differences(of_scale, wide_scale), 1e-5, 1e-6,
                 "dlog_scale");  // of 12 such terms
  }
}

// K = 1 row of weights scales what a weight of one gives; the bounds are those of the weight itself.
TEST_P(Likelihoods, EachRowMayHaveItsOwnWeight) {
  for (const Shape s : kShapes) {
    SCOPED_TRACE(trace(s));
    const auto values = stored(random_vector(s.rows() * s.width, 22, -2, 2)),
               pixels = stored(random_pixels(s.batch * s.width)), rows = random_vector(s.rows(), 30, -1, 1);
    const float scale = -0.7f, offset = 0.3f;
    Vector weight;
    for (const float row : rows) weight.push_back(double{offset} + double{scale} * row);
    const Matrix output(backend_, s.rows(), s.width, values, type_), x(backend_, s.batch, s.width, pixels, type_),
        row(backend_, s.rows(), 1, rows);
    const Matrix log_p(backend_, s.rows(), 1), gradient(backend_, s.rows(), s.width, type_);
    const RowFactor factor(scale, row, offset);

    backend_.run(LogProb{Likelihood::bernoulli, output, x, factor, log_p, gradient});
    const auto bernoulli =
        reference::bernoulli_log_prob(reference::widen(values), reference::widen(pixels), weight, s.samples, s.width);
    expect_stored_close(gradient.get(), bernoulli.gradient, 0x1p-21, 0, "dlogits");
    const auto log_p_weighted = log_p.get();
    backend_.run(LogProb{Likelihood::bernoulli, output, x, 1.0f, log_p, {}});
    expect_same_bits(log_p.get(), log_p_weighted, "log_p");

    for (const Index scales : {Index{1}, s.width}) {
      const auto log_scales = random_vector(scales, 25);
      const Matrix log_scale(backend_, 1, scales, log_scales), dlog_scale(backend_, 1, scales);
      backend_.run(GaussianLogProb{output, x, log_scale, factor, log_p, gradient, dlog_scale});
      const auto gaussian = reference::gaussian_log_prob(reference::widen(values), reference::widen(pixels),
                                                         reference::widen(log_scales), weight, s.samples, s.width);
      // A weight is two roundings of numbers up to one, and the rest as with one weight; |u / s| <= 3 e^2.
      expect_stored_close(gradient.get(), gaussian.gradient, 23 * 0x1p-22, 0x1p-20, "dmean");
      const Index terms = s.rows() * s.width / scales;
      const double largest = std::exp(2) * 9 + 1;  // of u^2 - 1
      expect_close(dlog_scale.get(), gaussian.dlog_scale, largest * static_cast<double>(terms) * sum_error(terms), 0,
                   "dlog_scale");
    }
  }
}

TEST_P(Likelihoods, SameBitsEveryTime) {
  const Shape s{65, 2, 257};
  const Matrix in(backend_, s.rows(), s.width, random_vector(s.rows() * s.width, 28, -3, 3), type_);
  const Matrix x(backend_, s.batch, s.width, random_pixels(s.batch * s.width), type_),
      log_scale(backend_, 1, 1, {0.3f});
  std::vector<std::vector<float>> first;
  for (int run = 0; run < 3; ++run) {
    const Matrix log_p(backend_, s.rows(), 1), d(backend_, s.rows(), s.width, type_), dlog_scale(backend_, 1, 1);
    backend_.run(LogProb{Likelihood::bernoulli, in, x, 1.0f, log_p, d});
    std::vector<std::vector<float>> results{log_p.get(), d.get()};
    backend_.run(GaussianLogProb{in, x, log_scale, 1.0f, log_p, d, dlog_scale});
    for (const auto& r : {log_p.get(), d.get(), dlog_scale.get()}) results.push_back(r);
    if (run == 0) first = results;
    for (std::size_t i = 0; i < results.size(); ++i)
      expect_same_bits(results[i], first[i], "result " + std::to_string(i));
  }
}

}  // namespace
}  // namespace cuvae
