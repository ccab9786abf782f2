// Every likelihood from training to samples, and the settings and data that it refuses.
#include <cmath>

#include "cli_test.h"
#include "cuvae/likelihood.h"

namespace cuvae::test {
namespace {

class CliLikelihoods : public CliTest {
 protected:
  static std::vector<float> values_in(const std::string& npy) {
    const Dataset set = Dataset::open(npy, Split::train);
    const auto* const values = static_cast<const float*>(set.data());
    return {values, values + set.rows() * set.cols()};
  }
  std::string floats(const std::string& name, const std::vector<float>& values, int cols) const {
    const std::string shape = "(" + std::to_string(values.size() / cols) + ", " + std::to_string(cols) + ")";
    write(path(name), npy(1, npy_dict("<f4", shape), float_bytes(values, std::endian::little)));
    return path(name);
  }
};

TEST_F(CliLikelihoods, EachIsTrainedContinuedEvaluatedAndSampled) {
  for (const LikelihoodTraits& t : kLikelihoods) {
    const std::string name(t.name);
    SCOPED_TRACE(name);
    const Arguments more{"--likelihood", name, "--lr", "0.003"};
    const std::string whole = train(name, more + Arguments{"--epochs", "6"}),
                      parts = train(name + "-parts", more + Arguments{"--epochs", "3"});
    succeed({"resume", parts, "--quiet", "--epochs", "6"});
    EXPECT_TRUE(read_bytes(whole + "/last.safetensors") == read_bytes(parts + "/last.safetensors"));

    // Each epoch has only four steps, but the first ones gain far more than the noise of a batch.
    const std::vector<Json> lines = json_lines(whole + "/metrics.jsonl");
    const auto elbo = [](const Json& line) { return line["reconstruction"].get<double>() - line["kl"].get<double>(); };
    EXPECT_GT(elbo(lines.back()), elbo(lines.front()));
    const Json config = Json::parse(read_bytes(whole + "/config.json"));
    EXPECT_EQ(config["likelihood"], name);
    EXPECT_EQ(config["binarize"], is_binary(t.likelihood) ? "stochastic" : "none");

    const Json evaluation = Json::parse(succeed({"eval", whole, "--data", data(), "--split", "train", "--json"}));
    EXPECT_NEAR(evaluation["bits_per_dim"], -evaluation["elbo"].get<double>() / (784 * std::log(2)), 1e-9);
    EXPECT_GT(evaluation["elbo"], elbo(lines.front()));
    EXPECT_EQ(evaluation["bits_are_of"],
              t.values == 0 ? "density" : "mass over " + std::to_string(t.values) + " values");
    // A mass is at most 1, and a uniform one over n values costs log2 n bits each.
    if (t.values > 0) {
      EXPECT_GT(evaluation["bits_per_dim"], 0);
      EXPECT_LT(evaluation["bits_per_dim"], std::log2(t.values));
    }

    succeed({"sample", whole, "--out", path("draws.npy"), "--count", "20"});
    succeed({"sample", whole, "--out", path("means.npy"), "--count", "20", "--mean"});
    const std::vector<float> draws = values_in(path("draws.npy")), means = values_in(path("means.npy"));
    ASSERT_EQ(draws.size(), 20 * 784);
    EXPECT_NE(draws, means);
    for (std::size_t i = 0; i < draws.size(); ++i) {
      ASSERT_TRUE(std::isfinite(draws[i]) && std::isfinite(means[i]));
      if (t.unit_interval) {
        ASSERT_TRUE(draws[i] >= 0 && draws[i] <= 1 && means[i] >= 0 && means[i] <= 1) << draws[i] << ", " << means[i];
      }
      const float steps = draws[i] * static_cast<float>(t.values - 1);
      if (t.values > 0) {
        ASSERT_NEAR(steps, std::round(steps), 1e-4);
      }
    }
    succeed({"sample", whole, "--out", path("samples.png"), "--count", "4"});
    expect_picture(path("samples.png"), 118, 118);
    succeed({"encode", whole, "--data", data(), "--out", path("z.npy")});
    succeed({"decode", whole, "--in", path("z.npy"), "--out", path("x.npy")});
    EXPECT_EQ(values_in(path("x.npy")).size(), 50 * 784);
    succeed({"reconstruct", whole, "--data", data(), "--out", path("pairs.png"), "--count", "4"});
    if (!is_binary(t.likelihood))
      expect_failure(run({"sample", whole, "--out", path("a.npy"), "--binary"}), 2,
                     "the model's likelihood is " + name + ", whose samples are not 0 or 1");
  }
}

TEST_F(CliLikelihoods, TheTextOfAnEvaluationNamesWhatItsBitsAreOf) {
  for (const auto& [name, text] : {std::pair{"beta-binomial", "(of a mass over 256 values)"},
                                   {"continuous-bernoulli", "(of a density)"},
                                   {"bernoulli", "(of a mass over 2 values)"}}) {
    const std::string model = train(name, {"--likelihood", name});
    const std::string out = succeed({"eval", model, "--data", data()});
    EXPECT_NE(out.find(text), std::string::npos) << out;
  }
}

TEST_F(CliLikelihoods, DataOutsideOfZeroToOneAreRefusedWhereItTakesNoOthers) {
  std::vector<float> values(320, 0.5f);
  values[7] = 1.25f;
  const std::string wide = floats("wide.npy", values, 4);
  for (const LikelihoodTraits& t : kLikelihoods) {
    SCOPED_TRACE(std::string(t.name));
    const Arguments arguments = train_arguments("wide", {"--likelihood", std::string(t.name), "--data", wide});
    if (!t.unit_interval) {
      EXPECT_EQ(run(arguments).code, 0);
      std::filesystem::remove_all(path("wide"));
      continue;
    }
    expect_failure(run(arguments), 1,
                   "row 1, column 3 is 1.25, but a " + std::string(t.name) + " likelihood needs values in [0, 1]");
    EXPECT_FALSE(std::filesystem::exists(path("wide")));
    const std::string model = train(std::string(t.name), {"--likelihood", std::string(t.name), "--data",
                                                          floats("in.npy", std::vector<float>(320, 0.5f), 4)});
    expect_failure(run({"eval", model, "--data", wide}), 1, "likelihood needs values in [0, 1]");
  }
}

TEST_F(CliLikelihoods, SettingsWithoutEffectAreWrongUsage) {
  for (const LikelihoodTraits& t : kLikelihoods) {
    const std::string name(t.name);
    SCOPED_TRACE(name);
    const Arguments arguments = train_arguments("run", {"--likelihood", name});
    if (!has_scale(t.likelihood))
      expect_failure(run(arguments + Arguments{"--scale", "0.5"}), 2,
                     "--scale: has no effect with this --likelihood, which has no scale");
    if (t.unit_interval)
      expect_failure(run(arguments + Arguments{"--standardize", "--binarize", "none"}), 2,
                     "standardize is true but must be false with a " + name + " likelihood, which takes 0 to 1");
    if (is_scale_learned(t.likelihood))
      expect_failure(run(arguments + Arguments{"--scale", "1e5"}), 2, "a learned one must start within");
  }
  expect_failure(run(train_arguments("run", {"--likelihood", "laplace"})), 2,
                 "bernoulli, gaussian, gaussian-learned, gaussian-learned-per-dim, continuous-bernoulli, "
                 "gaussian-scale, beta-binomial");
  EXPECT_FALSE(std::filesystem::exists(path("run")));
}

// The decoder's scale is that of standardized data; samples are in the data's units.
TEST_F(CliLikelihoods, AScaleFromTheDecoderIsStandardizedWithTheData) {
  std::vector<float> values;
  for (int i = 0; i < 640; ++i) values.push_back(5e4f + 2e4f * std::sin(static_cast<float>(i)));
  const std::string euros = floats("euros.npy", values, 4);
  const std::string model =
      train("run", {"--data", euros, "--likelihood", "gaussian-scale", "--standardize", "--lr", "1e-30"});
  succeed({"sample", model, "--out", path("draws.npy"), "--count", "2000"});
  succeed({"sample", model, "--out", path("means.npy"), "--count", "2000", "--mean"});
  const std::vector<float> draws = values_in(path("draws.npy")), means = values_in(path("means.npy"));
  // Untrained it is exp of random weights times z, times the data's 2e4 / sqrt(2): 1.4e4, up to a factor of 14 for that
  // exponential. It would be about 1 in the units of the decoder.
  double squares = 0;
  for (std::size_t i = 0; i < draws.size(); ++i) squares += std::pow(double{draws[i]} - double{means[i]}, 2);
  const double scale = std::sqrt(squares / static_cast<double>(draws.size()));
  EXPECT_GT(scale, 1e3);
  EXPECT_LT(scale, 2e5);
}

}  // namespace
}  // namespace cuvae::test
