// draw_data: each value against the inverse distribution function of its likelihood, in double.
#include "cuvae/likelihood.h"
#include "op_test.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;

class DrawDataOp : public OpTest {
 protected:
  static constexpr std::uint64_t kSeed = 12;
  Noise noise(Index first_row = 0) const { return {kSeed, Stream::sleep_data, step_.data(), first_row}; }

  /// Whether u, or a number within float32's error of it, gives x.
  static void expect_drawn(Likelihood likelihood, const Vector& o, double x, double u) {
    constexpr double kError = 1e-5;  // a few ulp of exp and of sums of masses
    switch (likelihood) {
      case Likelihood::bernoulli: {
        const double p = 1 / (1 + std::exp(-o[0]));
        if (std::fabs(u - p) > kError) {
          EXPECT_EQ(x, u <= p ? 1 : 0);
        }
        return;
      }
      case Likelihood::continuous_bernoulli: {  // F(x) = (exp(l x) - 1) / (exp(l) - 1) is u, or 1 - u where l > 0
        EXPECT_NEAR(std::expm1(o[0] * x) / std::expm1(o[0]), o[0] > 0 ? 1 - u : u, kError);
        return;
      }
      case Likelihood::beta_binomial: {
        const auto k = static_cast<int>(std::lround(255 * x));
        double below = 0;
        for (int i = 0; i < k; ++i) below += mass(i, std::exp(o[0]), std::exp(o[1]));
        EXPECT_LE(below, u + kError);
        EXPECT_GE(below + mass(k, std::exp(o[0]), std::exp(o[1])), u - kError);
        return;
      }
      case Likelihood::gaussian:
      case Likelihood::gaussian_learned:
      case Likelihood::gaussian_learned_per_dim:
      case Likelihood::gaussian_scale:
        FAIL() << "drawn from a normal";
    }
  }
  static double mass(int k, double a, double b) {
    const auto log_beta = [](double p, double q) { return std::lgamma(p) + std::lgamma(q) - std::lgamma(p + q); };
    return std::exp(-log_beta(k + 1.0, 256.0 - k) - std::log(256.0) + log_beta(k + a, 255.0 - k + b) - log_beta(a, b));
  }

  void expect_draws(Likelihood likelihood, Index rows, Index cols, Index first_row) {
    SCOPED_TRACE(std::string(to_string(likelihood)) + ", R " + std::to_string(rows) + ", D " + std::to_string(cols));
    const Index n = traits(likelihood).outputs;
    const std::vector<float> outputs = stored(random_vector(rows * n * cols, 31, -2, 2));
    const Matrix in(backend_, rows, n * cols, outputs, type_), x(backend_, rows, cols, type_);
    const Index scales = likelihood == Likelihood::gaussian_learned_per_dim ? cols : 1;
    std::vector<float> log_scale = random_vector(scales, 32, -2, 1);
    log_scale[0] = 8;  // beyond the clamp of a learned one
    const Matrix scale(backend_, 1, scales, log_scale);
    const bool shared = is_scale_shared(likelihood), learned = likelihood != Likelihood::gaussian;
    backend_.run(DrawData{likelihood, in, shared ? ConstView(scale) : ConstView{}, learned, noise(first_row), x});
    const reference::NoiseKey key{kSeed, Stream::sleep_data, 7};
    const std::vector<float> got = x.get();
    for (Index i = 0; i < rows * cols; ++i) {
      const Index r = i / cols, d = i % cols, number = first_row * cols + i;
      const double mean = outputs[r * n * cols + d], second = n == 2 ? outputs[(r * n + 1) * cols + d] : 0;
      if (likelihood == Likelihood::gaussian_scale || shared) {
        const double raw = shared ? log_scale[scales == 1 ? 0 : d] : second;
        const double sigma = std::exp(learned ? std::clamp(raw, double{kLogScaleMin}, double{kLogScaleMax}) : raw);
        const double want = mean + sigma * reference::normal(key, number),
                     bound = sigma * (reference::normal_error(key, number) + 4 * 0x1p-22) + 0x1p-23 * std::fabs(want);
        ASSERT_NEAR(got[i], want, bound + rounding_ * (std::fabs(want) + bound)) << i;
      } else if (type_ == DType::f32) {
        expect_drawn(likelihood, {mean, second}, got[i], reference::uniform(key, number));
      }
      if (HasFailure()) FAIL() << "value " << i;
    }
  }

  Array<std::uint32_t> step_{backend_, std::vector<std::uint32_t>{7}};
};
CUVAE_IN_EVERY_PRECISION(DrawDataOp);

TEST_P(DrawDataOp, FollowsTheDistribution) {
  for (const LikelihoodTraits& t : kLikelihoods)
    for (const auto& [rows, cols] : {std::pair<Index, Index>{1, 1}, {3, 5}, {7, 64}, {2, 65}, {5, 257}}) {
      expect_draws(t.likelihood, rows, cols, 0);
      expect_draws(t.likelihood, rows, cols, 3);
    }
}

TEST_P(DrawDataOp, ExtremeOutputsStayInRange) {
  for (const Likelihood likelihood :
       {Likelihood::bernoulli, Likelihood::continuous_bernoulli, Likelihood::beta_binomial}) {
    const Index n = traits(likelihood).outputs, cols = 600;
    for (const float a : {-100.0f, -20.0f, 0.0f, 20.0f, 100.0f})
      for (const float b : {-100.0f, 0.0f, 100.0f}) {
        std::vector<float> outputs(static_cast<std::size_t>(cols), a);
        if (n == 2) outputs.insert(outputs.end(), static_cast<std::size_t>(cols), b);
        const Matrix in(backend_, 1, n * cols, outputs, type_), x(backend_, 1, cols, type_);
        backend_.run(DrawData{likelihood, in, {}, true, noise(), x});
        for (const float v : x.get()) ASSERT_TRUE(v >= 0 && v <= 1) << to_string(likelihood) << " " << a << " " << b;
      }
  }
}

TEST_P(DrawDataOp, DependsOnThePlaceInTheBatchOnly) {
  constexpr Index kRows = 10, kCols = 33, kHalf = 5;
  const std::vector<float> outputs = random_vector(kRows * kCols, 33, -1, 1);
  for (const Likelihood likelihood : {Likelihood::bernoulli, Likelihood::gaussian_learned}) {
    const bool shared = is_scale_shared(likelihood);
    const Matrix scale(backend_, 1, 1, {0.5f}), whole(backend_, kRows, kCols, type_);
    const auto draw = [&](Index first, Index rows, const Matrix& x) {
      const Matrix in(backend_, rows, kCols,
                      {outputs.begin() + first * kCols, outputs.begin() + (first + rows) * kCols}, type_);
      backend_.run(DrawData{likelihood, in, shared ? ConstView(scale) : ConstView{}, true, noise(first), x});
      return x.get();
    };
    const std::vector<float> all = draw(0, kRows, whole);
    const Matrix half(backend_, kHalf, kCols, type_);
    std::vector<float> joined = draw(0, kHalf, half);
    const std::vector<float> second = draw(kHalf, kHalf, half);
    joined.insert(joined.end(), second.begin(), second.end());
    expect_same_bits(joined, all, "x");
  }
}

}  // namespace
}  // namespace cuvae
