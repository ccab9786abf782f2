// The benchmark of the estimators: its statistics against exact values, and its exact formulas against published values
// and draws.
#include <gtest/gtest.h>

#include <cmath>

#include "study/statistics.h"
#include "study/suites/discrete_exact.h"
#include "study/toy/toy.h"

namespace cuvae::bench {
namespace {

TEST(EstimatorStatistics, IntervalsOfGroups) {
  // Mean 3, sample variance 2.5, so that the error is sqrt(2.5 / 5); t of 4 degrees is 2.7764.
  const Interval i = group_interval({1, 2, 3, 4, 5});
  EXPECT_DOUBLE_EQ(i.mean, 3);
  EXPECT_NEAR(i.error, std::sqrt(0.5), 1e-15);
  EXPECT_NEAR(i.half, 2.7764 * std::sqrt(0.5), 1e-4);
  EXPECT_NEAR(student_quantile(19), 2.0930, 1e-4);
  EXPECT_NEAR(student_quantile(1000000), 1.959964, 1e-5);
}

TEST(EstimatorStatistics, PowerSumsAreMomentsFarFromZero) {
  PowerSums sums;  // 1e6 and 1e6 + 4, in turn: variance 4 n / (n - 1), fourth moment 16
  for (int n = 0; n < 1000; ++n) sums.add(1e6 + 4 * (n % 2));
  EXPECT_DOUBLE_EQ(sums.mean().mean, 1e6 + 2);
  EXPECT_NEAR(sums.variance().mean, 4 * 1000.0 / 999, 1e-12);
  EXPECT_NEAR(sums.variance().error, 0, 1e-9);
}

TEST(EstimatorStatistics, NormsLeaveOutTheNoiseOfMeans) {
  // The groups' means are (1, +-1), each with norm sqrt(2). Without the noise the mean is (1, 0).
  const std::vector<std::vector<double>> gram = {{2, 0, 2, 0}, {0, 2, 0, 2}, {2, 0, 2, 0}, {0, 2, 0, 2}};
  EXPECT_NEAR(squared_norm(gram).mean, 2.0 / 3, 1e-15);  // pairs: four of 2 and eight of 0
  EXPECT_NEAR(squared_distance(gram, gram, std::vector<std::vector<double>>(4, std::vector<double>(4, 1))).mean,
              4.0 / 3 - 2, 1e-15);
}

TEST(EstimatorStatistics, ProjectionIsTheScale) {
  // The reference has the mean (2, 0) with noise (0, +-1). The projected mean is half of it, with independent noise.
  const std::vector<std::vector<double>> gram = {{5, 3, 5, 3}, {3, 5, 3, 5}, {5, 3, 5, 3}, {3, 5, 3, 5}};
  const std::vector<std::vector<double>> cross(3, std::vector<double>(4, 2));
  EXPECT_NEAR(projection(gram, cross).mean, 2 / (11.0 / 3), 1e-15);  // pairs: four of 5 and eight of 3
}

TEST(EstimatorStatistics, SlopeOfAPowerLaw) {
  EXPECT_NEAR(log_log_slope({{1, 3, 0.1}, {4, 1.5, 0.1}, {16, 0.75, 0.1}}).mean, -0.5, 1e-12);
  // Weighted: the point with a large error has no influence. Two points with errors of 0.1 at log x = 0 and 1.
  EXPECT_NEAR(log_log_slope({{1, 1, 0.1}, {std::exp(1), std::exp(1), 0.1}, {std::exp(2), 1, 1e6}}).mean, 1, 1e-9);
  EXPECT_NEAR(log_log_slope({{1, 1, 0.1}, {std::exp(1), 1, 0.1}}).error, 0.1 * std::sqrt(2), 1e-12);
  EXPECT_TRUE(std::isnan(log_log_slope({{1, 1, 0.1}}).mean));
}

// Values of Mohamed et al. 2020, figures 2 and 3, at mu = sigma = 1, from an independent quadrature.
TEST(EstimatorExact, FunctionsAgreeWithAnIndependentQuadrature) {
  const struct {
    const char* name;
    double k;
    bool by_sigma;
    double gradient, score, mean_baseline, best_baseline, pathwise, measure_valued;
  } rows[] = {
      {"(x-k)^2", -3, false, 8, 495, 138, 134, 4, 17.48733},
      {"(x-k)^2", -3, true, 2, 1546, 696, 664, 72, 68},
      {"exp(-kx^2)", 0.1, false, -.13998, .5635316, .05407497, .04046769, .0162902, .002509089},
      {"exp(-kx^2)", 10, true, -.00614716, .009034595, .03918894, .008739076, .892046, .1167317},
      {"cos(kx)", 0.5, false, -.211546, .4552484, .1553512, .1178641, .03928465, .008275467},
      {"cos(kx)", 5, true, -2.643e-5, 1, 1, 1, 12.5, .99999},
  };
  for (const auto& r : rows) {
    SCOPED_TRACE(std::string(r.name) + " " + std::to_string(r.k));
    const ToyFunction f{r.name, r.k};
    const auto expect = [&](Estimator e, double variance) {
      const auto got = exact_function({e, Cost::likelihood}, f, 1, r.by_sigma);
      ASSERT_TRUE(got);
      EXPECT_NEAR(got->mean, r.gradient, 1e-4 * std::fabs(r.gradient) + 1e-7);
      EXPECT_NEAR(got->variance, variance, 1e-5 * variance);
    };
    expect(Estimator::score, r.score);
    expect(Estimator::score_mean, r.mean_baseline);
    expect(Estimator::optimal, r.best_baseline);
    expect(Estimator::pathwise, r.pathwise);
    expect(Estimator::measure_valued, r.measure_valued);
  }
}

// Gauss-Legendre quadrature with 400 points on [0, 13], and 400 on [0, 1] for the second number of coupled pairs. All
// digits shown are correct.
TEST(EstimatorExact, MeasureValuedVariancesAreExact) {
  const struct {
    const char* name;
    double k;
    bool by_sigma;
    double coupled, independent;
  } rows[] = {{"(x-k)^2", -3, false, 17.487330863, 10.0169049763},
              {"(x-k)^2", -3, true, 68, 264},
              {"(x-k)^2", 0, false, 1.09295817894, 1.81971863421},
              {"(x-k)^2", 0, true, 8, 24},
              {"exp(-kx^2)", 0.1, false, .00250908906503, .00507131591492},
              {"exp(-kx^2)", 0.1, true, .0219705471287, .0873062796592},
              {"exp(-kx^2)", 10, false, .0206557959525, .0206557857592},
              {"exp(-kx^2)", 10, true, .116731666718, .154374949176},
              {"cos(kx)", 0.5, false, .00827546709311, .0151634130918},
              {"cos(kx)", 0.5, true, .0652661927079, .226676330467},
              {"cos(kx)", 5, false, .295716835638, .160477850416},
              {"cos(kx)", 5, true, .99999314572, .999999999355}};
  for (const auto& r : rows)
    for (const bool coupled : {true, false}) {
      const double want = coupled ? r.coupled : r.independent;
      EXPECT_NEAR(exact_measure_valued({r.name, r.k}, coupled, r.by_sigma).variance, want, 1e-10 * want)
          << r.name << ", k " << r.k << (r.by_sigma ? ", by sigma" : ", by mu") << (coupled ? ", coupled" : "");
    }
}

TEST(EstimatorExact, NormalsAreThoseOfTheClosedForm) {
  const Variant score{Estimator::score, Cost::joint}, rloo{Estimator::rloo, Cost::joint};
  EXPECT_NEAR(*exact_normal(score, 0, 1, 1), 7.35126363, 1e-8);
  EXPECT_NEAR(*exact_normal(score, 5, 1, 1), 274.0747, 1e-4);
  EXPECT_NEAR(*exact_normal(score, 0, 100, 1), 20469.6533, 1e-4);
  EXPECT_NEAR(*exact_normal(rloo, 1, 1, 4), 1.33333333, 1e-8);
  EXPECT_NEAR(*exact_normal({Estimator::score, Cost::elbo}, 2, 1, 1), 12, 1e-12);
}

// q = N(phi, 1), p = N(theta, 1), phi = theta: 1 for the decoder, 7.35126 for the score function, 1 for pathwise.
TEST(EstimatorToy, TheSeedExampleLiesInItsInterval) {
  const auto backend = make_backend("cpu", 1);
  ToyDraws draws(*backend, 1, 1, 1);
  const auto expect = [](double want, const Interval& got) { EXPECT_NEAR(got.mean, want, 5 * got.error); };
  expect(1, draws.decoder(0, 1).variance());
  expect(7.35126363, draws.draw({Estimator::score, Cost::joint}, {0}, nullptr, 0, 1).mu.variance());
  expect(1, draws.draw({Estimator::total, Cost::elbo}, {0}, nullptr, 0, 1).mu.variance());
  EXPECT_NEAR(draws.draw({Estimator::stl, Cost::elbo}, {0}, nullptr, 0, 1).mu.variance().mean, 0, 1e-9);
}

// Exact moments of the gradient of a layer of Bernoulli units against those of its draws. Running means settle first.
TEST(EstimatorExact, UnitsAreEnumerated) {
  const auto backend = make_backend("cpu", 1);
  VaeConfig model;
  model.data_dim = model.image_width = 6;
  model.latent = 3, model.latent_kind = LatentKind::bernoulli;
  model.encoder_hidden = model.decoder_hidden = {5};
  model.activation = Activation::tanh;
  const Buffer x = backend->allocate(4 * 6 * sizeof(float));
  const std::vector<float> pixels = {1, 0, 0, 1, 1, 0, 0, 1, 0, 1, 0, 0, 1, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
  backend->upload(x.data(), pixels.data(), x.bytes());
  for (const Estimator e : {Estimator::score, Estimator::score_mean, Estimator::rloo, Estimator::optimal}) {
    SCOPED_TRACE(std::string(to_string(e)));
    TrainConfig config;
    config.batch = 4, config.samples = 3, config.estimator = e, config.binarize = Binarize::none;
    Trainer trainer(*backend, model, config, 4);
    const ExactDiscrete exact(trainer.vae(), x.view(4, 6));
    const GradientDraws g =
        draw_gradients(*backend, trainer, x.view(4, 6), encoder_of(trainer.vae().layout()), {4000, 60});
    const Interval distance =
        squared_distance(g.gram, exact.gradient().gram, products(g.means, exact.gradient().means));
    EXPECT_NEAR(distance.mean, 0, 5 * distance.error);
    EXPECT_LT(5 * distance.error, 0.1 * squared_norm(exact.gradient().gram).mean);
    const auto variance = exact.variance({e}, 3);
    ASSERT_EQ(variance.has_value(), e != Estimator::optimal);
    if (variance) {
      EXPECT_NEAR(g.trace.mean, *variance, 5 * g.trace.error);
    }
  }
  model.latent = 13;
  const Vae large(*backend, model, 1);
  EXPECT_THROW(ExactDiscrete(large, x.view(4, 6)), Error);
}

}  // namespace
}  // namespace cuvae::bench
