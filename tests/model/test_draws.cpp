// Samples from p(x|z) against their means and scales. A statistic of n samples may be off by five standard deviations.
#include <cmath>

#include "op_test.h"
#include "small_training.h"

namespace cuvae {
namespace {
using namespace test;

class Draws : public OpTest {
 protected:
  static constexpr Index kRows = 20000, kCols = 12;
  static VaeConfig model_of(Likelihood likelihood) {
    VaeConfig config = small_model();
    config.likelihood = likelihood;
    config.scale = 0.3f;
    return config;
  }
  static std::vector<float> points(Index rows = kRows) {
    std::vector<float> z;
    for (Index i = 0; i < rows; ++i) z.insert(z.end(), {1.0f, -2.0f});
    return z;
  }
  /// The mean and standard deviation of column `col` of samples minus their means.
  static std::pair<double, double> column(const std::vector<float>& draws, const std::vector<float>& means, Index col) {
    double sum = 0, squares = 0;
    for (auto i = static_cast<std::size_t>(col); i < draws.size(); i += kCols) {
      const double d = static_cast<double>(draws[i]) - static_cast<double>(means[i]);
      sum += d, squares += d * d;
    }
    const double n = static_cast<double>(kRows), mean = sum / n;
    return {mean, std::sqrt(squares / n - mean * mean)};
  }
};
CUVAE_ON_EVERY_BACKEND(Draws);

TEST_P(Draws, OfABernoulliAreItsProbabilities) {
  const Vae vae(backend_, model_of(Likelihood::bernoulli), 1);
  const std::vector<float> z = points(), draws = vae.sample(z, 5), means = vae.decode(z);
  for (const float value : draws) ASSERT_TRUE(value == 0 || value == 1);
  for (Index col = 0; col < kCols; ++col) {
    const double p = static_cast<double>(means[static_cast<std::size_t>(col)]);
    EXPECT_NEAR(column(draws, means, col).first, 0, 5 * std::sqrt(p * (1 - p) / kRows)) << col;
  }
}

TEST_P(Draws, OfAGaussianHaveItsScale) {
  for (const Likelihood likelihood :
       {Likelihood::gaussian, Likelihood::gaussian_learned, Likelihood::gaussian_learned_per_dim}) {
    SCOPED_TRACE(std::string(to_string(likelihood)));
    Vae vae(backend_, model_of(likelihood), 1);
    if (likelihood == Likelihood::gaussian_learned_per_dim) {  // each column has its own scale: 1/12 ... 12/12
      std::vector<float> params = parameters(vae);
      const Parameter& p = vae.layout().parameters().back();
      for (Index col = 0; col < kCols; ++col)
        params[static_cast<std::size_t>(p.offset + col)] = std::log(static_cast<float>(col + 1) / 12.0f);
      backend_.upload(vae.params(), params.data(), params.size() * sizeof(float));
    }
    const std::vector<float> z = points(), draws = vae.sample(z, 5), means = vae.decode(z),
                             scale = vae.likelihood_scale();
    for (Index col = 0; col < kCols; ++col) {
      const double s = static_cast<double>(scale[static_cast<std::size_t>(col) % scale.size()]);
      const auto [mean, deviation] = column(draws, means, col);
      EXPECT_NEAR(mean, 0, 5 * s / std::sqrt(kRows)) << col;
      EXPECT_NEAR(deviation, s, 5 * s / std::sqrt(2.0 * kRows)) << col;
    }
  }
}

// The standard deviation is that of the draws themselves; the mean of kRows is normal around decode(z).
TEST_P(Draws, OfEveryLikelihoodHaveTheMean) {
  for (const LikelihoodTraits& t : kLikelihoods) {
    SCOPED_TRACE(std::string(t.name));
    const Vae vae(backend_, model_of(t.likelihood), 1);
    const std::vector<float> z = points(), draws = vae.sample(z, 5), means = vae.decode(z);
    for (Index col = 0; col < kCols; ++col) {
      const auto [mean, deviation] = column(draws, means, col);
      EXPECT_GT(deviation, 0.01) << col;
      EXPECT_NEAR(mean, 0, 5 * deviation / std::sqrt(kRows)) << col;
    }
    for (const float x : draws) {
      if (t.unit_interval) {
        ASSERT_TRUE(x >= 0 && x <= 1) << x;
      }
      const float steps = x * static_cast<float>(t.values - 1);
      if (t.values > 0) {
        ASSERT_NEAR(steps, std::round(steps), 1e-4);
      }
    }
    EXPECT_EQ(vae.likelihood_scale().empty(), !is_scale_shared(t.likelihood));
  }
}

// Without weights the outputs are the biases.
TEST_P(Draws, HaveTheStandardDeviationOfTheDecodersOutputs) {
  for (const Likelihood likelihood :
       {Likelihood::continuous_bernoulli, Likelihood::gaussian_scale, Likelihood::beta_binomial}) {
    SCOPED_TRACE(std::string(to_string(likelihood)));
    Vae vae(backend_, model_of(likelihood), 1);
    std::vector<float> params(static_cast<std::size_t>(vae.layout().size()));
    const Parameter& bias = vae.decoder().biases().back();
    for (Index i = 0; i < bias.size(); ++i)
      params[static_cast<std::size_t>(bias.offset + i)] = static_cast<float>(i % kCols) * 0.4f - 2.0f;
    backend_.upload(vae.params(), params.data(), params.size() * sizeof(float));
    vae.refresh_weights();
    const std::vector<float> z = points(), draws = vae.sample(z, 5), means = vae.decode(z);
    for (Index col = 0; col < kCols; ++col) {
      const double o = static_cast<double>(col) * 0.4 - 2, a = std::exp(o);
      double variance = a * a;
      if (likelihood == Likelihood::continuous_bernoulli)  // the second derivative of log(sinh(l/2) / (l/2))
        variance = std::fabs(o) < 1e-6 ? 1.0 / 12 : 1 / (o * o) - 0.25 / std::pow(std::sinh(o / 2), 2);
      if (likelihood == Likelihood::beta_binomial)  // alpha = beta = a: that of the binomial and that of the beta
        variance = 0.25 * (2 * a + 255) / (255 * (2 * a + 1));
      // The variance of n squares is at most twice their mean's square over n: no kurtosis here is above 3.
      const double s = std::sqrt(variance);
      EXPECT_NEAR(column(draws, means, col).second, s, 5 * s / std::sqrt(2.0 * kRows)) << col;
    }
  }
}

TEST_P(Draws, AreAFunctionOfSeedAndPlace) {
  for (const LikelihoodTraits& t : kLikelihoods) {
    const Likelihood likelihood = t.likelihood;
    if (t.values == 256) continue;  // the last bits of a product may change a count
    const Vae vae(backend_, model_of(likelihood), 1);
    const std::vector<float> all = vae.sample(points(9), 5), some = vae.sample(points(3), 5);
    EXPECT_EQ(vae.sample(points(9), 5), all);
    EXPECT_NE(vae.sample(points(9), 6), all);
    EXPECT_NE(std::vector<float>(all.begin(), all.begin() + 12),
              std::vector<float>(all.begin() + 12, all.begin() + 24));
    for (std::size_t i = 0; i < some.size(); ++i) ASSERT_NEAR(some[i], all[i], 1e-6);  // products of other shapes
  }
}

}  // namespace
}  // namespace cuvae
