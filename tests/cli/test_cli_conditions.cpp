// Conditional models on the command line: labels and files, from training to pictures, and what is refused.
#include <cmath>

#include "cli_test.h"

namespace cuvae::test {
namespace {

class CliConditions : public CliTest {
 protected:
  CliConditions() {
    for (const auto& [split, name, count] :
         {std::tuple{Split::train, "train-labels-idx1-ubyte", 200u}, {Split::test, "t10k-labels-idx1-ubyte", 50u}}) {
      const std::vector<std::uint8_t> all = open_labels(CUVAE_SOURCE_DIR "/data/mnist-10k", split);
      write(dir_ / "data" / name, idx(0x08, {count}, std::string(all.begin(), all.begin() + count)));
    }
    write(dir_ / "labels.npy", npy(1, npy_dict("|u1", "(200,)"), labels(Split::train)));
    std::string columns;
    for (const char label : labels(Split::train)) columns += std::to_string(label) + ",0.5\n";
    write(dir_ / "columns.csv", columns);
  }
  std::string labels(Split split) const {
    const std::vector<std::uint8_t> all = open_labels(data(), split);
    return {all.begin(), all.end()};
  }
  /// The rows that a command writes.
  std::vector<std::vector<float>> rows(const Arguments& arguments) const {
    succeed(arguments + Arguments{"--out", path("rows.npy")});
    const Dataset all = Dataset::open(path("rows.npy"), Split::train);
    std::vector<std::vector<float>> values;
    for (Index i = 0; i < all.rows(); ++i) values.push_back(all.row(i));
    return values;
  }
  /// Whether two rows are the same up to the roundings of products of other sizes: values of up to 1 from 16 terms.
  static bool close(const std::vector<float>& a, const std::vector<float>& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                      [](float u, float v) { return std::fabs(u - v) < 1e-5f; });
  }
  void refuse(const Arguments& arguments, int code, const std::string& part) const {
    expect_failure(run(arguments), code, part);
  }
};

TEST_F(CliConditions, LabelsAreTrainedContinuedEvaluatedAndSampled) {
  const std::string whole = train("whole", {"--condition", "labels", "--epochs", "4"}),
                    parts = train("parts", {"--condition", "labels"});
  succeed({"resume", parts, "--quiet", "--epochs", "4"});
  EXPECT_TRUE(read_bytes(whole + "/last.safetensors") == read_bytes(parts + "/last.safetensors"));
  EXPECT_EQ(Json::parse(read_bytes(whole + "/config.json"))["condition"], "labels");
  const Json model = Json::parse(succeed({"info", whole, "--json"}))["model"];
  EXPECT_EQ(model["condition"], "labels");
  EXPECT_EQ(model["condition-dim"], 10);
  for (const char* picture : {"/samples.png", "/reconstructions.png", "/manifold.png"})
    EXPECT_TRUE(std::filesystem::exists(whole + picture)) << picture;

  for (const char* bound : {"elbo", "iwae", "prior"})
    succeed({"eval", whole, "--data", data(), "--bound", bound, "--samples", "3"});
  EXPECT_EQ(rows({"encode", whole, "--data", data()}).size(), 50u);
  EXPECT_EQ(rows({"reconstruct", whole, "--data", data(), "--count", "3"}).size(), 6u);
  EXPECT_EQ(rows({"interpolate", whole, "--data", data(), "--steps", "4"}).size(), 4u);
  EXPECT_EQ(rows({"traverse", whole, "--data", data(), "--index", "1", "--steps", "3"}).size(), 6u);

  // Sample i is of class i mod 10 without a class, and has the same z with one.
  const auto all = rows({"sample", whole, "--mean"}),
             sevens = rows({"sample", whole, "--mean", "--condition", "7", "--count", "70"}),
             pairs = rows({"sample", whole, "--mean", "--condition", "7,2", "--count", "3"});
  ASSERT_EQ(all.size(), 70u);
  for (std::size_t i = 0; i < all.size(); ++i) EXPECT_EQ(all[i] == sevens[i], i % 10 == 7) << i;
  for (std::size_t i = 0; i < 3; ++i) EXPECT_EQ(close(pairs[i], sevens[i]), i != 1) << i;
  EXPECT_NE(rows({"traverse", whole, "--condition", "3"}), rows({"traverse", whole}));
  EXPECT_EQ(rows({"manifold", whole, "--condition", "0"}), rows({"manifold", whole}));
  EXPECT_NE(rows({"manifold", whole, "--condition", "3"}), rows({"manifold", whole}));

  // A reconstruction is encode and then decode under the same labels, which a file can give.
  write(dir_ / "test-labels.npy", npy(1, npy_dict("|u1", "(50,)"), labels(Split::test)));
  succeed({"encode", whole, "--data", data(), "--out", path("posterior.npy"), "--binarize", "none"});
  const auto decoded = rows({"decode", whole, "--in", path("posterior.npy"), "--condition", path("test-labels.npy")}),
             both = rows({"reconstruct", whole, "--data", data(), "--count", "50", "--binarize", "none"});
  for (std::size_t i = 0; i < 50; ++i) EXPECT_EQ(decoded[i], both[50 + i]) << i;
}

TEST_F(CliConditions, AVectorOfLabelsIsTheSameAsThoseOfTheData) {
  const std::string from_data = train("data-labels", {"--condition", "labels"}),
                    from_file = train("file-labels", {"--condition", path("labels.npy")});
  EXPECT_TRUE(read_bytes(from_data + "/last.safetensors") == read_bytes(from_file + "/last.safetensors"));
  EXPECT_EQ(Json::parse(read_bytes(from_file + "/config.json"))["condition"], "../labels.npy");
  succeed({"train", "--config", from_file + "/config.json", "--out", path("again"), "--quiet"});
  EXPECT_TRUE(read_bytes(from_file + "/last.safetensors") == read_bytes(path("again") + "/last.safetensors"));
  std::filesystem::rename(path("labels.npy"), path("moved.npy"));
  succeed({"resume", from_file, "--quiet", "--epochs", "3", "--condition", path("moved.npy")});
  EXPECT_EQ(Json::parse(read_bytes(from_file + "/config.json"))["condition"], "../moved.npy");
}

TEST_F(CliConditions, ColumnsComeFromAFile) {
  const std::string whole = train("columns", {"--condition", path("columns.csv"), "--epochs", "4"}),
                    parts = train("columns-parts", {"--condition", path("columns.csv")});
  succeed({"resume", parts, "--quiet", "--epochs", "4"});
  EXPECT_TRUE(read_bytes(whole + "/last.safetensors") == read_bytes(parts + "/last.safetensors"));
  const Json model = Json::parse(succeed({"info", whole, "--json"}))["model"];
  EXPECT_EQ(model["condition"], "columns");
  EXPECT_EQ(model["condition-dim"], 2);
  const Arguments of_training = {"--data", data(), "--split", "train", "--condition", path("columns.csv")};
  succeed(Arguments{"eval", whole} + of_training);
  const auto first = rows({"sample", whole, "--mean", "--count", "201", "--condition", path("columns.csv")});
  write(dir_ / "one.csv", std::to_string(labels(Split::train)[3]) + ",0.5\n");
  const auto fourth = rows({"sample", whole, "--mean", "--count", "4", "--condition", path("one.csv")});
  EXPECT_TRUE(close(first[3], fourth[3]));
  EXPECT_FALSE(close(first[0], fourth[0]));
  EXPECT_EQ(rows({"traverse", whole, "--condition", path("one.csv"), "--steps", "2"}).size(), 4u);
  refuse(Arguments{"eval", whole, "--data", data()}, 2, "--condition: is needed: the model reads 2 columns");
  refuse({"sample", whole, "--out", path("x.npy")}, 2, "--condition: is needed: the model reads 2 columns, of a file");
  refuse({"eval", whole, "--data", data(), "--condition", path("columns.csv")}, 1,
         "has 50 examples but there are 200 rows of conditions");
  refuse({"traverse", whole, "--out", path("x.npy"), "--condition", path("columns.csv")}, 2,
         "gives 200 conditions, but there is one for all pictures");
}

TEST_F(CliConditions, WhatDoesNotFitIsRefused) {
  const std::string digits = train("digits", {"--condition", "labels"}), plain = train("plain");
  const Arguments out = {"--out", path("x.npy")};
  refuse(Arguments{"sample", digits, "--condition", "10"} + out, 2, "10 is not one of the model's classes, 0 to 9");
  refuse(Arguments{"sample", plain, "--condition", "1"} + out, 2, "has no effect on this model");
  refuse({"eval", plain, "--data", data(), "--condition", "labels"}, 2, "has no effect on this model");
  write(dir_ / "z.npy", npy(1, npy_dict("<f4", "(3, 2)"), float_bytes(std::vector<float>(6), std::endian::little)));
  refuse(Arguments{"decode", digits, "--in", path("z.npy")} + out, 2, "is needed: the model reads a class, 0 to 9");
  refuse(Arguments{"decode", digits, "--in", path("z.npy"), "--condition", "1,2"} + out, 2,
         "gives 2 conditions for 3 latents");
  refuse({"eval", digits, "--data", data(), "--condition", path("columns.csv")}, 1, "200 rows of conditions");

  // Labels that the model has no class for, and none at all.
  std::string more = labels(Split::test);
  more[4] = 11;
  write(dir_ / "data" / "t10k-labels-idx1-ubyte", idx(0x08, {50}, more));
  refuse({"eval", digits, "--data", data()}, 1, "example 4 has the label 11 but the classes are 0 to 9");
  std::filesystem::remove(dir_ / "data" / "t10k-labels-idx1-ubyte");
  refuse({"eval", digits, "--data", data()}, 1, "no labels are known by their file's name");
  std::filesystem::remove(dir_ / "data" / "train-labels-idx1-ubyte");
  refuse(train_arguments("none", {"--condition", "labels"}), 1, "no labels are known by their file's name");
  EXPECT_FALSE(std::filesystem::exists(path("none")));
  write(dir_ / "negative.npy", npy(1, npy_dict("|i1", "(2,)"), "\x01\xff"));
  refuse(train_arguments("none", {"--condition", path("negative.npy")}), 1, "a label is -1");
  write(dir_ / "nan.csv", "1,nan\n");
  refuse(train_arguments("none", {"--condition", path("nan.csv")}), 1, "nan.csv");
}

}  // namespace
}  // namespace cuvae::test
