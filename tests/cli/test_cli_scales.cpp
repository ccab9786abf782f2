// Data and scale that do not fit together: refused settings, warnings, --standardize.
#include <cmath>
#include <random>

#include "cli_test.h"

namespace cuvae::test {
namespace {

class CliScales : public CliTest {
 protected:
  /// Data with two factors in six columns, in units of `unit`.
  std::string factors(const std::string& name, double unit, double offset = 0) const {
    std::mt19937 random(3);
    std::normal_distribution<double> normal;
    double loadings[2][6];
    for (auto& row : loadings)
      for (double& v : row) v = normal(random);
    std::vector<float> values;
    for (int i = 0; i < 320; ++i) {
      const double z[2] = {normal(random), normal(random)};
      for (int d = 0; d < 6; ++d)
        values.push_back(
            static_cast<float>(unit * (z[0] * loadings[0][d] + z[1] * loadings[1][d] + 0.1 * normal(random)) + offset));
    }
    write(path(name), npy(1, npy_dict("<f4", "(320, 6)"), float_bytes(values, std::endian::little)));
    return path(name);
  }
  /// The lines on stderr of a training of twenty epochs, without progress, and its last ELBO.
  struct Trained {
    std::string warnings;
    double elbo = 0;
  };
  Trained trained(const std::string& out, const std::string& data, const Arguments& more) const {
    Arguments arguments = train_arguments(out, Arguments{"--data", data, "--batch", "32", "--epochs", "20"} + more);
    arguments.erase(std::find(arguments.begin(), arguments.end(), "--quiet"));
    const ProgramResult result = run(arguments);
    EXPECT_EQ(result.code, 0) << result.err;
    Trained t;
    std::istringstream lines(result.err);
    for (std::string line; std::getline(lines, line);)
      if (line.starts_with("warning: ")) t.warnings += line + "\n";
    const Json last = json_lines(path(out) + "/metrics.jsonl").back();
    t.elbo = last["reconstruction"].get<double>() - last["kl"].get<double>();
    return t;
  }
};

const Arguments kLearned{"--likelihood", "gaussian-learned", "--lr", "0.01"};

TEST_F(CliScales, DataFarFromTheScaleAreNamedAndStandardizedOnesAreEqual) {
  const std::string unit = factors("unit.npy", 1), meters = factors("meters.npy", 1e-5),
                    euros = factors("euros.npy", 2e4, 5e4);
  const Trained plain = trained("plain", unit, kLearned);
  EXPECT_EQ(plain.warnings, "");
  for (const std::string& far : {meters, euros}) {
    const std::string warnings = trained("far", far, kLearned + Arguments{"--overwrite"}).warnings;
    EXPECT_NE(warnings.find("differ from the untrained decoder's output by"), std::string::npos) << warnings;
    EXPECT_NE(warnings.find("times --scale 1: "), std::string::npos) << warnings;
    EXPECT_NE(warnings.find("try --standardize"), std::string::npos) << warnings;
  }
  const Arguments standardized = kLearned + Arguments{"--standardize"};
  const Trained a = trained("a", unit, standardized), b = trained("b", meters, standardized),
                c = trained("c", euros, standardized);
  EXPECT_EQ(a.warnings + b.warnings + c.warnings, "");
  EXPECT_NEAR(b.elbo, a.elbo - 6 * std::log(1e-5), 0.05);
  EXPECT_NEAR(c.elbo, a.elbo - 6 * std::log(2e4), 0.05);

  const Json evaluation = Json::parse(succeed({"eval", path("c"), "--data", euros, "--json"}));
  EXPECT_NEAR(evaluation["elbo"], c.elbo, 1);  // of the model after the epoch; c.elbo is the mean during the epoch
  const Json info = Json::parse(succeed({"info", path("c"), "--json"}));
  EXPECT_EQ(info["training"]["standardize"], true);
  EXPECT_GT(info["model"]["standardized-by"][0], 1e3);
  succeed({"sample", path("c"), "--out", path("means.npy"), "--mean"});
  const Dataset means = Dataset::open(path("means.npy"), Split::train);
  for (const float mean : means.column_means()) EXPECT_NEAR(mean, 5e4, 3e4);
  succeed({"encode", path("c"), "--data", euros, "--out", path("z.npy")});
  succeed({"decode", path("c"), "--in", path("z.npy"), "--out", path("x.npy")});
  const Dataset x = Dataset::open(euros, Split::train), again = Dataset::open(path("x.npy"), Split::train);
  double error = 0, spread = 0;
  for (Index i = 0; i < x.rows(); ++i)
    for (int d = 0; d < 6; ++d) {
      error += std::pow(x.row(i)[d] - again.row(i)[d], 2);
      spread += std::pow(x.row(i)[d] - 5e4, 2);
    }
  EXPECT_LT(error, 0.5 * spread) << "reconstructions follow the examples, in their units";
}

// With steps of 0.05, the learned scale soon moves from 1000 to its upper limit, e^7 = 1097.
TEST_F(CliScales, ScalesThatEndAtTheirBoundsAreNamed) {
  const Arguments more{"--likelihood", "gaussian-learned", "--scale", "1000", "--lr", "0.05"};
  const Trained t = trained("euros", factors("euros.npy", 2e4, 5e4), more);
  EXPECT_NE(t.warnings.find("1 of 1 learned scales are at their limits, 0.000911882 and 1096.63; try"),
            std::string::npos)
      << t.warnings;
}

// A rate of 1 moves the log variances beyond their limits, -15 and 15.
TEST_F(CliScales, LogVariancesThatEndAtTheirBoundsAreNamed) {
  const std::string unit = factors("unit.npy", 1);
  const Arguments more{"--likelihood", "gaussian", "--lr", "1"};
  const std::string warning = "of 2 latent dimensions are at their limits, -15 and 15";
  const Trained t = trained("run", unit, more), s = trained("standardized", unit, more + Arguments{"--standardize"});
  EXPECT_TRUE(t.warnings.starts_with("warning: the log variances of ")) << t.warnings;
  EXPECT_TRUE(t.warnings.ends_with(warning + "; try --standardize\n")) << t.warnings;
  EXPECT_TRUE(s.warnings.ends_with(warning + "\n")) << s.warnings;
}

TEST_F(CliScales, ConstantDataAreNamed) {
  const std::vector<float> values(320 * 6, 0.25F);
  write(path("x.npy"), npy(1, npy_dict("<f4", "(320, 6)"), float_bytes(values, std::endian::little)));
  const std::string warning = "warning: every value is 0.25: a model learns nothing from constant data\n";
  for (const Arguments& likelihood : {Arguments{}, Arguments{"--likelihood", "gaussian"}})
    EXPECT_EQ(trained("run", path("x.npy"), likelihood + Arguments{"--overwrite"}).warnings, warning);
}

// For these scales the decoder is far from the data and learns nothing: log p is proportional to 1 / scale^2.
TEST_F(CliScales, AFixedScaleIsUsedAsAsked) {
  const std::string unit = factors("unit.npy", 1);
  const auto log_p = [&](const std::string& out, const std::string& scale) {
    trained(out, unit, {"--likelihood", "gaussian", "--scale", scale, "--lr", "1e-30"});
    return Json::parse(succeed({"eval", path(out), "--data", unit, "--json"}))["reconstruction"].get<double>();
  };
  EXPECT_NEAR(log_p("hundredth", "1e-6") / log_p("tenth", "1e-5"), 100, 1e-3);
}

TEST_F(CliScales, WhatCannotBeStandardizedIsWrongUsage) {
  expect_failure(run(train_arguments("failed", {"--standardize"})), 2, "standardize");
  expect_failure(
      run(train_arguments("failed", {"--likelihood", "gaussian", "--binarize", "threshold", "--standardize"})), 2,
      "binarize is threshold but must be none for standardized data");
  EXPECT_FALSE(std::filesystem::exists(path("failed")));
}

}  // namespace
}  // namespace cuvae::test
