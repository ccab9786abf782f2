// --missing, and cuvae impute.
#include <cmath>

#include "cli_test.h"

namespace cuvae::test {
namespace {

class CliMissing : public CliTest {
 protected:
  /// 60 rows of x, x + 1 and 2 x, of which the second value of every third row is missing.
  std::string table(const std::string& name, const std::string& marker) const {
    std::string text = "a,b,c\n";
    for (int i = 0; i < 60; ++i) {
      const double x = std::sin(i) * 3;
      text +=
          std::to_string(x) + "," + (i % 3 == 1 ? marker : std::to_string(x + 1)) + "," + std::to_string(2 * x) + "\n";
    }
    write(path(name), text);
    return path(name);
  }
  std::string train_table(const std::string& out, const std::string& data, const Arguments& missing) const {
    return train(out, Arguments{"--data", data, "--batch", "20", "--latent", "1", "--likelihood", "gaussian-learned",
                                "--standardize", "--epochs", "100", "--lr", "0.04"} +
                          missing);
  }
  std::vector<float> completed(const std::string& run, const std::string& data, const Arguments& more = {}) const {
    succeed(Arguments{"impute", run, "--data", data, "--out", path("completed.npy"), "--samples", "100"} + more);
    const Dataset array = Dataset::open(path("completed.npy"), Split::train);
    const auto* const values = static_cast<const float*>(array.data());
    return {values, values + array.rows() * array.cols()};
  }
};

TEST_F(CliMissing, ATableIsCompleted) {
  const std::string data = table("x.csv", ""), folder = train_table("run", data, {"--missing"});
  const std::vector<float> values = completed(folder, data);
  ASSERT_EQ(values.size(), 180u);
  double squares = 0;
  for (std::size_t i = 0; i < 60; ++i) {
    const double x = std::sin(static_cast<double>(i)) * 3;
    EXPECT_NEAR(values[3 * i], x, 1e-5);
    squares += std::pow(double{values[3 * i + 1]} - (x + 1), 2) / 60;
  }
  EXPECT_LT(squares, 0.5);  // the values' variance is 4.5
  const std::string report =
      succeed({"impute", folder, "--data", data, "--out", path("copies.npy"), "--draws", "3", "--samples", "50"});
  EXPECT_NE(report.find("60, of which 20 have missing values, 20 in all"), std::string::npos) << report;
  EXPECT_NE(report.find(" of 50 samples on average"), std::string::npos) << report;
  const Dataset copies = Dataset::open(path("copies.npy"), Split::train);
  EXPECT_EQ(copies.rows(), 3);
  EXPECT_EQ(copies.cols(), 180);

  const Json info = Json::parse(succeed({"info", folder, "--json"}));
  EXPECT_EQ(info["model"]["missing"], "nan");
  const Json evaluation = Json::parse(succeed({"eval", folder, "--data", data, "--json"}));
  EXPECT_NEAR(evaluation["bits_per_dim"].get<double>(), -evaluation["elbo"].get<double>() * 60 / (160 * std::log(2.0)),
              1e-9);
  succeed({"encode", folder, "--data", data, "--out", path("z.npy")});
  succeed({"reconstruct", folder, "--data", data, "--out", path("both.npy")});
  const Dataset both = Dataset::open(path("both.npy"), Split::train, {}, NaNs::missing);
  EXPECT_TRUE(std::isnan(both.row(1)[1]));
  expect_failure(run({"reconstruct", folder, "--data", data, "--out", path("both.png")}), 1, "are not pictures");
}

TEST_F(CliMissing, AValueMayStandForThem) {
  const std::string empty = table("empty.csv", ""), marked = table("marked.csv", "-999");
  const std::string a = train_table("a", empty, {"--missing"}), b = train_table("b", marked, {"--missing", "-999"});
  EXPECT_EQ(completed(a, empty), completed(b, marked));
  EXPECT_EQ(completed(b, marked), completed(b, empty));
  EXPECT_EQ(completed(a, empty), completed(a, marked, {"--missing", "-999"}));
  EXPECT_EQ(Json::parse(read_bytes(b + "/config.json"))["missing"], "-999");
  succeed({"train", "--quiet", "--threads", "1", "--out", path("again"), "--config", b + "/config.json"});
  EXPECT_TRUE(read_bytes(path("again") + "/last.safetensors") == read_bytes(b + "/last.safetensors"));
}

TEST_F(CliMissing, PicturesShowThemBetweenBlackAndWhite) {
  std::string pixels = count_up(64 * 16);
  for (std::size_t i = 0; i < pixels.size(); i += 5) pixels[i] = '\xff';
  write(path("x.idx"), idx(0x08, {64, 4, 4}, pixels));
  const Arguments data{"--data", path("x.idx"), "--missing", "255", "--batch", "16"};
  const std::string run = train("run", data + Arguments{"--epochs", "2"});
  expect_picture(run + "/reconstructions.png", 8 * 5 * 14 + 14, 8 * 5 * 14 + 14);
  const ProgramResult stopped = this->run({"resume", run, "--epochs", "3", "--quiet"});
  EXPECT_EQ(stopped.code, 0) << stopped.err;
  train("straight", data + Arguments{"--epochs", "3"});
  EXPECT_TRUE(read_bytes(run + "/last.safetensors") == read_bytes(path("straight") + "/last.safetensors"));
}

TEST_F(CliMissing, ErrorsNameTheReason) {
  const std::string data = table("x.csv", ""), folder = train("run", {"--epochs", "1"});
  const Arguments gaussian{"--data", data, "--batch", "20", "--likelihood", "gaussian"};
  expect_failure(run(train_arguments("no", gaussian)), 1, "line 3, column 2: \"\" is missing: fill it in");
  expect_failure(run(train_arguments("no", gaussian + Arguments{"--missing", "x"})), 2, "--missing");
  expect_failure(run(train_arguments("no", gaussian + Arguments{"--missing", "--objective", "wake-sleep"})), 2,
                 "draws complete examples, but the model takes missing values");
  expect_failure(run({"impute", folder, "--data", this->data(), "--out", path("x.npy")}), 1,
                 "was not trained with --missing");
  expect_failure(run({"eval", folder, "--data", this->data(), "--missing", "0"}), 2,
                 "--missing: has no effect with a model that takes no missing values");
}

}  // namespace
}  // namespace cuvae::test
