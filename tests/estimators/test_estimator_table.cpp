// The functions of Mohamed, Rosca, Figurnov and Mnih 2020 (figures 2 and 3) under q = N(1, 1): means and variances of
// the gradients by mu and sigma against a table of exact values, itself against quadrature.
#include <array>
#include <functional>

#include "cuvae/estimator.h"
#include "moments_of.h"
#include "op_test.h"

namespace cuvae {
namespace {
using namespace test;
using reference::Vector;
using Function = std::function<double(double)>;

const std::uint32_t kSteps = emulated() ? 8 : 32;
const Index kBatch = emulated() ? 512 : 8192;
constexpr std::uint32_t kFirst = 20;  // batches for the running mean to come to rest

struct Row {
  const char* name;
  bool by_sigma;
  Function f, df;
  double gradient, score, mean_baseline, optimal_baseline, pathwise;
};

double square(double x) { return x * x; }
Function quadratic(double k) {
  return [k](double x) { return square(x - k); };
}
Function slope_of_quadratic(double k) {
  return [k](double x) { return 2 * (x - k); };
}
Function bell(double k) {
  return [k](double x) { return std::exp(-k * x * x); };
}
Function slope_of_bell(double k) {
  return [k](double x) { return -2 * k * x * std::exp(-k * x * x); };
}
Function wave(double k) {
  return [k](double x) { return std::cos(k * x); };
}
Function slope_of_wave(double k) {
  return [k](double x) { return -k * std::sin(k * x); };
}

const std::array<Row, 12> kTable{{
    {"(x+3)^2", false, quadratic(-3), slope_of_quadratic(-3), 8, 495, 138, 134, 4},
    {"(x+3)^2", true, quadratic(-3), slope_of_quadratic(-3), 2, 1546, 696, 664, 72},
    {"x^2", false, quadratic(0), slope_of_quadratic(0), 2, 30, 18, 14, 4},
    {"x^2", true, quadratic(0), slope_of_quadratic(0), 2, 136, 96, 64, 12},
    {"exp(-.1x^2)", false, bell(.1), slope_of_bell(.1), -.13998, .5635316, .05407497, .04046769, .0162902},
    {"exp(-.1x^2)", true, bell(.1), slope_of_bell(.1), -.11665, .9353838, .2288938, .1409906, .02776995},
    {"exp(-10x^2)", false, bell(10), slope_of_bell(10), -.12909, .07694042, .06023441, .06019662, .9416294},
    {"exp(-10x^2)", true, bell(10), slope_of_bell(10), -.00614716, .009034595, .03918894, .008739076, .892046},
    {"cos .5x", false, wave(.5), slope_of_wave(.5), -.211546, .4552484, .1553512, .1178641, .03928465},
    {"cos .5x", true, wave(.5), slope_of_wave(.5), -.193616, .7986579, .7236836, .4601021, .08751285},
    {"cos 5x", false, wave(5), slope_of_wave(5), 1.787e-5, .5, .5, .5, 12.5},
    {"cos 5x", true, wave(5), slope_of_wave(5), -2.643e-5, 1, 1, 1, 12.5},
}};

/// E g(eps) by the trapezoidal rule, which converges exponentially for integrands that vanish at the ends.
double expectation(const Function& g) {
  constexpr double kStep = 1.0 / 64;
  double sum = 0;
  for (double eps = -12; eps <= 12; eps += kStep) sum += kStep * std::exp(-eps * eps / 2) * g(eps);
  return sum / std::sqrt(2 * std::acos(-1.0));
}
double variance(const Function& g) {
  return expectation([&](double e) { return square(g(e)); }) - square(expectation(g));
}
double score_of(const Row& row, double eps) { return row.by_sigma ? eps * eps - 1 : eps; }
double optimal_baseline(const Row& row) {
  return expectation([&](double e) { return row.f(1 + e) * square(score_of(row, e)); }) /
         expectation([&](double e) { return square(score_of(row, e)); });
}

TEST(EstimatorTable, AgreesWithQuadrature) {
  for (const Row& row : kTable) {
    SCOPED_TRACE(std::string(row.name) + (row.by_sigma ? " by sigma" : " by mu"));
    const auto with_baseline = [&](double b) {
      return [&row, b](double e) { return (row.f(1 + e) - b) * score_of(row, e); };
    };
    const Function path = [&](double e) { return row.df(1 + e) * (row.by_sigma ? e : 1); };
    const double mean = expectation([&](double e) { return row.f(1 + e); });
    // Half of the table's last digit: it has four or more.
    const auto near = [](double got, double want) { EXPECT_NEAR(got, want, 4e-4 * std::fabs(want) + 1e-12); };
    near(expectation(path), row.gradient);
    near(expectation(with_baseline(0)), row.gradient);
    near(variance(with_baseline(0)), row.score);
    near(variance(with_baseline(mean)), row.mean_baseline);
    near(variance(with_baseline(optimal_baseline(row))), row.optimal_baseline);
    near(variance(path), row.pathwise);
  }
}

class EstimatorTable : public OpTest {
 protected:
  /// Of the estimator's gradient of E f by one row: f less `baseline` stands for log p(x|z).
  MomentsOf draw(Estimator e, const Row& row, double baseline = 0) {
    const std::vector<float> zeros(static_cast<std::size_t>(kBatch));
    std::vector<float> posteriors;
    for (Index b = 0; b < kBatch; ++b) posteriors.insert(posteriors.end(), {1.0f, 0.0f});
    const Array<std::uint32_t> step(backend_, std::size_t{1});
    const Noise noise{5, Stream::latent, step.data()};
    const Matrix stats(backend_, kBatch, 2, posteriors), z(backend_, kBatch, 1), kl(backend_, kBatch, 1),
        kl_dims(backend_, 1, 1), unused(backend_, kBatch, 1, zeros), score(backend_, kBatch, 1),
        dstats(backend_, kBatch, 2);
    const Array<RunningMean> running_mean(backend_, std::vector<RunningMean>(1));
    const LatentTerms terms = latent_terms(e, Cost::likelihood, kBatch, 1, {}, score);
    const std::uint32_t first = e == Estimator::score_mean ? kFirst : 0;
    Vector gradients;
    for (std::uint32_t s = 0; s < first + kSteps; ++s) {
      step.set({s});
      backend_.run(SampleGaussian{stats, noise, z, kl, kl_dims});
      std::vector<float> f, dz;
      for (const float at : z.get()) {
        f.push_back(static_cast<float>(row.f(double{at}) - baseline));
        dz.push_back(
            static_cast<float>(-row.df(double{at}) / static_cast<double>(kBatch)));  // of the loss, the mean of -f
      }
      const Matrix log_p(backend_, kBatch, 1, f), slope(backend_, kBatch, 1, dz);
      if (uses_score(e)) {
        ScoreWeights weigh = score_weights(e, Cost::likelihood, log_p, unused, unused, 1, score);
        weigh.mean = running_mean.data();
        backend_.run(weigh);
      }
      backend_.run(
          GaussianBackward{terms, stats, noise, uses_path(e) ? ConstView(slope) : ConstView{}, {}, kl_dims, 0, dstats});
      if (s < first) continue;
      const std::vector<float> got = dstats.get();
      // By sigma = exp(logvar/2) = 1, twice that by logvar.
      for (std::size_t i = 0; i < got.size(); i += 2)
        gradients.push_back(-static_cast<double>(kBatch) * (row.by_sigma ? 2 * double{got[i + 1]} : double{got[i]}));
    }
    return MomentsOf(gradients);
  }
};
CUVAE_ON_EVERY_BACKEND(EstimatorTable);

// 48 means and 48 variances: at 5.5 standard errors a right one fails once in 250,000 seeds. The float32 of z and f
// rounds what is 16 in size, and the running mean is off by the noise of its batches.
TEST_P(EstimatorTable, IsMeasured) {
  for (const Row& row : kTable) {
    const struct {
      const char* name;
      Estimator estimator;
      double baseline, variance;
    } columns[] = {{"score", Estimator::score, 0, row.score},
                   {"mean baseline", Estimator::score_mean, 0, row.mean_baseline},
                   {"optimal baseline", Estimator::score, optimal_baseline(row), row.optimal_baseline},
                   {"pathwise", Estimator::pathwise, 0, row.pathwise}};
    for (const auto& column : columns) {
      SCOPED_TRACE(std::string(row.name) + (row.by_sigma ? " by sigma, " : " by mu, ") + column.name);
      const MomentsOf got = draw(column.estimator, row, column.baseline);
      EXPECT_NEAR(got.mean, row.gradient, 5.5 * got.mean_error() + 1e-6);
      EXPECT_NEAR(got.variance, column.variance, 5.5 * got.variance_error() + 1e-3 * column.variance);
    }
  }
}

}  // namespace
}  // namespace cuvae
