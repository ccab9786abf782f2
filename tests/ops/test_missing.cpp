// Missing values in the ops of data and of likelihoods: NaN stays NaN on its way in, the encoder reads 0, and log p and
// its gradients are those of the other values.
#include "likelihood_test.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

struct Shape {
  Index batch, samples, width;
  Index rows() const { return batch * samples; }
};
constexpr Shape kShapes[] = {{1, 1, 1}, {3, 2, 3}, {7, 5, 31}, {5, 2, 33}, {2, 2, 128}, {4, 3, 257}, {2, 1, 1030}};

/// About a third of the values, and all of row 1.
std::vector<float> knocked_out(std::vector<float> x, Index width) {
  const std::vector<float> chance = random_vector(static_cast<Index>(x.size()), 77, 0, 1);
  for (std::size_t i = 0; i < x.size(); ++i)
    if (chance[i] < 0.35f || static_cast<Index>(i) / width == 1) x[i] = NAN;
  return x;
}

class Missing : public OpTest {
 protected:
  /// log_p, and the gradients by the outputs and by a shared scale, which may take the outputs' place.
  template <class Op>
  std::vector<float> all(Op op, Index rows, const std::vector<float>& outputs, bool in_place = false) {
    const Index width = static_cast<Index>(outputs.size()) / rows;
    const Matrix from(backend_, rows, width, outputs, type_), to(backend_, rows, width, type_),
        log_p(backend_, rows, 1);
    const Matrix& gradient = in_place ? from : to;
    op.log_p = log_p;
    std::vector<float> scale;
    if constexpr (std::is_same_v<Op, LogProb>) {
      op.outputs = from, op.doutputs = gradient;
      backend_.run(op);
    } else {
      const Matrix dlog_scale(backend_, 1, op.log_scale.cols);
      op.mean = from, op.dmean = gradient, op.dlog_scale = dlog_scale;
      backend_.run(op);
      scale = dlog_scale.get();
    }
    std::vector<float> values = log_p.get();
    const std::vector<float> by_outputs = gradient.get();
    values.insert(values.end(), by_outputs.begin(), by_outputs.end());
    values.insert(values.end(), scale.begin(), scale.end());
    return values;
  }
};
CUVAE_IN_EVERY_PRECISION(Missing);

TEST_P(Missing, TheEncoderReadsZero) {
  for (const Index size : {1, 3, 8, 33, 1030})
    for (const Index rows : {1, 3, 700}) {
      const std::vector<float> values = stored(random_vector(rows * size, 5)), x = knocked_out(values, size);
      std::vector<float> want = x;
      for (float& v : want) v = std::isnan(v) ? 0 : v;
      const Matrix from(backend_, rows, size, x, type_), to(backend_, rows, size, type_);
      backend_.run(FillMissing{from, to});
      expect_same_bits(to.get(), want, "y");
      backend_.run(FillMissing{from, from});
      expect_same_bits(from.get(), want, "y in place of x");
    }
  const Matrix x(backend_, 2, 3, type_), y(backend_, 3, 2, type_);
  EXPECT_THROW(backend_.run(FillMissing{x, y}), Error);
}

TEST_P(Missing, ABatchKeepsThemAndShowsWhatIsOutside) {
  const Array<std::uint32_t> step(backend_, std::vector<std::uint32_t>{5});
  for (const Index width : {5, 8}) {
    std::vector<float> values(static_cast<std::size_t>(width), 1.0f);
    values[0] = NAN, values[1] = -0.01f, values[2] = 1.5f, values[3] = 0;
    const Matrix pixels(backend_, 1, width, values), x(backend_, 1, width, type_);
    for (const Binarize binarize : {Binarize::none, Binarize::threshold, Binarize::stochastic}) {
      backend_.run(
          GatherBatch{pixels, {nullptr, 1, nullptr, 0}, binarize, {77, Stream::binarize, step.data(), 0, false}, x});
      const std::vector<float> got = x.get();
      EXPECT_TRUE(std::isnan(got[0])) << to_string(binarize);
      EXPECT_EQ(got[3], 0);
      EXPECT_EQ(got[4], 1);
      if (binarize == Binarize::none) continue;
      EXPECT_EQ(got[1], -INFINITY);
      EXPECT_EQ(got[2], INFINITY);
    }
  }
}

// The bounds are those of test_log_prob.
TEST_P(Missing, AddNothingToALogProbability) {
  for (const Likelihood likelihood : formulas())
    for (const Shape s : kShapes) {
      SCOPED_TRACE(std::string(to_string(likelihood)) + ", D " + std::to_string(s.width));
      const Index n = traits(likelihood).outputs;
      const auto o = stored(random_vector(s.rows() * n * s.width, 22, -6, 6)),
                 x = knocked_out(stored(random_values(likelihood, s.batch * s.width)), s.width);
      const Matrix values(backend_, s.batch, s.width, x, type_);
      const float weight = -1.0f / 3;
      const LogProb op{.likelihood = likelihood, .x = values, .row_weight = weight, .missing = true};
      const std::vector<float> got = all(op, s.rows(), o);
      const auto want =
          reference::log_prob(likelihood, reference::widen(o), reference::widen(x), weight, s.samples, s.width, n);
      Vector bound(got.size()), both = want.log_p;
      both.insert(both.end(), want.gradient.begin(), want.gradient.end());
      for (Index row = 0; row < s.rows(); ++row)
        for (Index d = 0; d < s.width; ++d) {
          const double at = x[row / s.samples * s.width + d];
          if (std::isnan(at)) continue;
          Vector of_value;
          for (Index i = 0; i < n; ++i) of_value.push_back(o[(row * n + i) * s.width + d]);
          const Bounds b = bounds_of(likelihood, of_value, at);
          const double size = std::fabs(reference::value_log_prob(likelihood, of_value, at).log_p);
          bound[row] += b.log_p + size * (sum_error(s.width) - sum_error(0));
          for (Index i = 0; i < n; ++i) {
            const Index place = (row * n + i) * s.width + d;
            bound[s.rows() + place] =
                std::fabs(weight) * b.derivatives[i] + (0x1p-24 + rounding_) * std::fabs(want.gradient[place]);
          }
        }
      expect_within(got, both, bound, "log_p and its gradient");
      expect_same_bits(all(op, s.rows(), o, true), got, "in place");
    }
}

// The bounds are those of test_likelihood.
TEST_P(Missing, AddNothingToALogDensityOfSharedScale) {
  for (const Shape s : kShapes)
    for (const Index scales : {Index{1}, s.width}) {
      SCOPED_TRACE("D " + std::to_string(s.width) + ", scales " + std::to_string(scales));
      const auto m = stored(random_vector(s.rows() * s.width, 24)), scale = random_vector(scales, 25, -3, 2),
                 x = knocked_out(stored(random_vector(s.batch * s.width, 26)), s.width);
      const Matrix values(backend_, s.batch, s.width, x, type_), log_scale(backend_, 1, scales, scale);
      const float weight = -1.0f / 3;
      const GaussianLogProb op{.x = values, .log_scale = log_scale, .row_weight = weight, .missing = true};
      const std::vector<float> got = all(op, s.rows(), m);
      const auto want = reference::gaussian_log_prob(reference::widen(m), reference::widen(x), reference::widen(scale),
                                                     weight, s.samples, s.width);
      Vector both = want.log_p, bound(got.size());
      both.insert(both.end(), want.gradient.begin(), want.gradient.end());
      both.insert(both.end(), want.dlog_scale.begin(), want.dlog_scale.end());
      for (Index i = 0; i < s.rows() * s.width; ++i) {
        const Index row = i / s.width, place = scales == 1 ? 0 : i % s.width;
        const double value = x[row / s.samples * s.width + i % s.width];
        if (std::isnan(value)) continue;
        const double square = std::pow((value - double{m[i]}) / std::exp(double{scale[place]}), 2);
        const Index terms = s.rows() * (scales == 1 ? s.width : 1);
        bound[row] +=
            sum_error(s.width) * (square / 2 + std::fabs(scale[place]) + 0.92) + kSquaredExpError * square / 2;
        bound[s.rows() + i] = (0x1p-20 + rounding_) * std::fabs(want.gradient[i]);
        bound[s.rows() + s.rows() * s.width + place] +=
            std::fabs(weight) * (sum_error(terms) * (square + 1) + kSquaredExpError * square);
      }
      expect_within(got, both, bound, "log_p and its gradients");
      expect_same_bits(all(op, s.rows(), m, true), got, "in place");
    }
}

TEST_P(Missing, ValuesOutsideOfZeroToOneAreNotMissing) {
  for (const LikelihoodTraits& t : kLikelihoods)
    if (t.unit_interval)
      for (const float bad : {-0.01f, 1.01f, 255.0f, -INFINITY, INFINITY}) {
        const Matrix outputs(backend_, 1, 2 * t.outputs, std::vector<float>(2 * t.outputs, 0.5f), type_),
            x(backend_, 1, 2, {NAN, bad}, type_), log_p(backend_, 1, 1);
        backend_.run(LogProb{.likelihood = t.likelihood, .outputs = outputs, .x = x, .log_p = log_p, .missing = true});
        EXPECT_TRUE(std::isnan(log_p.get()[0])) << t.name << " of " << bad;
      }
}

}  // namespace
}  // namespace cuvae
