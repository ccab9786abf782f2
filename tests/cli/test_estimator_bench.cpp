// The benchmark of the estimators: its records, and the program, started like by a user.
#include <cmath>
#include <sstream>

#include "cli_test.h"
#include "cuvae/cuvae.h"
#include "study/records.h"

namespace cuvae::bench {
namespace {
using namespace test;

Json record(const char* key, double v) { return {{"suite", "none"}, {"key", key}, {"estimator", "score"}, {"v", v}}; }

std::string refusal(const std::filesystem::path& folder) {
  try {
    Records(folder, {{"seed", 1}});
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(EstimatorRecords, RefuseWhatIsDamaged) {
  const TempDir dir;
  const auto write_lines = [&](const std::string& text) { std::ofstream(dir / "cells.jsonl") << text; };
  const std::string good = record("a", 1).dump() + "\n";
  EXPECT_EQ(refusal(dir.path()), "");
  for (const std::string bad : {"nonsense", "[]", "{\"key\":1}", "{\"suite\":\"vae\",\"key\":\"b\"}",
                                "{\"suite\":\"x\",\"key\":\"b\",\"estimator\":\"score\",\"variance\":null}",
                                "{\"suite\":\"x\",\"key\":\"b\",\"rows\":[1]}",
                                "{\"suite\":\"snr\",\"key\":\"b\",\"estimator\":\"score\",\"samples\":\"many\"}"}) {
    write_lines(good + bad + "\n");
    EXPECT_NE(refusal(dir.path()).find("cells.jsonl, line 2: "), std::string::npos) << bad << refusal(dir.path());
  }
  write_lines(good);
  EXPECT_EQ(refusal(dir.path()), "");
  EXPECT_THROW(Records(dir.path(), {{"seed", 1}}).add(record("c", std::nan(""))), Error);
  for (const std::string name : {"cells.jsonl", "settings.json"}) {
    std::filesystem::remove(dir / name);
    std::filesystem::create_directory(dir / name);
    EXPECT_NE(refusal(dir.path()).find(name + ": is not a file"), std::string::npos);
  }
}

TEST(EstimatorRecords, GoOnBehindALineThatWasCutShort) {
  const TempDir dir;
  const Json settings = {{"seed", 1}};
  {
    Records records(dir.path(), settings);
    records.add(record("a", 1));
    records.add(record("b", 2));
  }
  const std::filesystem::path path = dir / "cells.jsonl";
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 3);
  {
    Records records(dir.path(), settings);
    EXPECT_TRUE(records.has("a"));
    EXPECT_FALSE(records.has("b"));
    records.add(record("b", 3));
    EXPECT_EQ(read_bytes(path), record("a", 1).dump() + "\n" + record("b", 3).dump() + "\n");
    EXPECT_NE(refusal(dir.path()).find("another process is measuring in this folder"), std::string::npos);
  }
  EXPECT_EQ(refusal(dir.path()), "");
  EXPECT_THROW(Records(dir.path(), {{"seed", 2}}), Error);
}

TEST(EstimatorRecords, RefuseFoldersAndLinksOfOthers) {
  const TempDir dir;
  std::ofstream(dir / "config.json") << "{}";
  EXPECT_NE(refusal(dir.path()).find("is not empty and has no settings.json"), std::string::npos);
  EXPECT_FALSE(std::filesystem::exists(dir / "cells.jsonl"));
  const std::filesystem::path out = dir / "out", victim = dir / "config.json";
  for (const char* name : {"settings.json", "cells.jsonl", "results.csv", "results.json"}) {
    std::filesystem::remove_all(out);
    EXPECT_EQ(refusal(out), "");
    std::filesystem::remove(out / name);
    std::filesystem::create_symlink(victim, out / name);
    EXPECT_NE(refusal(out).find(std::string(name) + ": is a symbolic link"), std::string::npos) << name;
    EXPECT_EQ(read_bytes(victim), "{}");
  }
}

class EstimatorCommand : public CliTest {
 protected:
  static std::string reversed_lines(const std::string& text) {
    std::istringstream lines(text);
    std::string reversed;
    for (std::string line; std::getline(lines, line);) reversed = line + "\n" + reversed;
    return reversed;
  }
  Arguments estimators(const std::string& suite, const Arguments& more = {}) const {
    if (std::find(more.begin(), more.end(), "--data") != more.end())
      return Arguments{"estimators", "--quick", "--suite", suite, "--out", path("out")} + more;
    return Arguments{"estimators", "--quick",   "--suite",   suite, "--data",   data(),
                     "--out",      path("out"), "--threads", "1",   "--device", "cpu"} +
           more;
  }
};

TEST_F(EstimatorCommand, MeasuresAndGoesOn) {
  const Arguments arguments = estimators("toy,vae,curves", {"--estimators", "pathwise,rloo,dreg"});
  EXPECT_NE(succeed(arguments).find("var. time x"), std::string::npos);
  const std::string cells = read_bytes(path("out/cells.jsonl"));
  std::set<std::string> keys;
  for (const test::Json& record : json_lines(path("out/cells.jsonl"))) {
    EXPECT_TRUE(keys.insert(record["key"]).second);
    if (record.contains("variance")) {
      EXPECT_GE(record["variance"], 0);
    }
  }
  EXPECT_TRUE(keys.contains("vae/mid/layers=1/latent=20/K=2/batch=32/rloo"));
  EXPECT_FALSE(keys.contains("vae/mid/layers=1/latent=20/K=1/batch=32/rloo"));
  EXPECT_GT(read_bytes(path("out/results.csv")).size(), 100u);
  EXPECT_NE(succeed(arguments).find(" 0 to measure"), std::string::npos);
  EXPECT_EQ(read_bytes(path("out/cells.jsonl")), cells);
  const std::string results = read_bytes(path("out/results.csv"));
  std::filesystem::resize_file(path("out/cells.jsonl"), 0);
  std::ofstream(path("out/cells.jsonl")) << reversed_lines(cells);
  succeed(arguments);
  EXPECT_EQ(read_bytes(path("out/results.csv")), results);
  // A layer of Bernoulli units, by the estimators among these that it takes.
  succeed(estimators("discrete", {"--estimators", "pathwise,rloo,dreg"}));
  std::size_t enumerated = 0;
  for (const test::Json& row : test::Json::parse(read_bytes(path("out/results.json"))))
    if (row["suite"] == "discrete" && row.contains("variance")) {
      EXPECT_EQ(row["estimator"], "rloo");
      EXPECT_NEAR(row["exact_variance"], row["variance"], 5 * double{row["variance_error"]});
      EXPECT_NEAR(row["bias"], 0, 5 * double{row["bias_error"]});
      ++enumerated;
    }
  EXPECT_EQ(enumerated, 1u);
  // Other estimators are added, measured and timed.
  succeed(estimators("vae", {"--estimators", "pathwise,stl"}));
  std::set<std::string> timed;
  for (const test::Json& row : test::Json::parse(read_bytes(path("out/results.json"))))
    if (row["suite"] == "vae" && row.contains("variance")) {
      EXPECT_TRUE(row.contains("gradient_ms")) << row;
      if (row["estimator"] != "dreg") {
        EXPECT_TRUE(row.contains("variance_time_ratio_low")) << row;
      }
      timed.insert(row["estimator"]);
    }
  EXPECT_TRUE(timed.contains("stl") && timed.contains("rloo"));
  expect_failure(run(estimators("toy,vae", {"--seed", "3"})), 1, "made with seed 0, not 3");
}

TEST_F(EstimatorCommand, RefusesInOneLine) {
  expect_failure(run(estimators("toy", {"--estimators", "best"})), 2, "not one of pathwise, total");
  expect_failure(run(estimators("toy", {"--draws", "0"})), 2, "--draws");
  expect_failure(run({"estimators", "--suite", "toy", "--out", path("out"), "--device", "cpu", "--estimators", "iwae"}),
                 1, "none of them is in the chosen suites");
  expect_failure(run(estimators("toy", {"--precision", "half"})), 2, "--precision");
  expect_failure(run(estimators("all")), 2, "--suite");
  expect_failure(run({"estimators"}), 2, "--out");
  expect_failure(run({"estimators", "--suite", "toy", "--out", "/proc/none"}), 1, "/proc/none");
  expect_failure(run(estimators("vae", {"--data", path("nothing")})), 1, "nothing");
  expect_failure(run(estimators("vae", {"--checkpoint", path("nothing")})), 1, "nothing");
  EXPECT_FALSE(std::filesystem::exists(path("out")));
  const auto backend = make_backend("cpu", 1);
  VaeConfig other;
  other.data_dim = other.image_width = 9;
  Trainer(*backend, other, {}, 128).save(path("other"));
  for (const char* suite : {"vae", "cost"})
    expect_failure(run(estimators(suite, {"--checkpoint", path("other")})), 1,
                   "rows have 784 values but the model needs 9");
  const std::string one_file = data() + "/train-images-idx3-ubyte";
  expect_failure(run(estimators("curves", {"--data", one_file})), 1, "curves needs a folder");
  expect_failure(run(estimators("toy", {"--precision", "bf16"})), 2, "toy is in fp32 or tf32");
}

// A cell that fails is named, and the others are still measured.
TEST_F(EstimatorCommand, MeasuresTheRestWhereSomethingFails) {
  const auto backend = make_backend("cpu", 1);
  VaeConfig small;
  small.encoder_hidden = small.decoder_hidden = {4};
  Trainer diverged(*backend, small, {}, 128);
  const float nan = std::nanf("");
  backend->upload(diverged.vae().params(), &nan, sizeof nan);
  diverged.save(path("diverged"));
  const ProgramResult result = run(estimators("toy,vae", {"--estimators", "stl", "--checkpoint", path("diverged")}));
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.err.find("diverged: tensor \"encoder.0.weight\" has the value nan"), std::string::npos)
      << result.err;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1) << result.err;
  EXPECT_NE(result.out.find("toy: variance"), std::string::npos);
  EXPECT_GT(read_bytes(path("out/results.csv")).size(), 100u);
}

// A Gaussian model that was trained on values outside [0, 1] gets such values, not binarized ones.
TEST_F(EstimatorCommand, MeasuresAtACheckpointOnItsOwnKindOfData) {
  const auto backend = make_backend("cpu", 1);
  std::vector<float> ramp(40 * 6);
  for (std::size_t i = 0; i < ramp.size(); ++i) ramp[i] = static_cast<float>(i % 7) - 3;
  std::ofstream(path("ramp.npy")) << npy(1, npy_dict("<f4", "(40, 2, 3)"), float_bytes(ramp, std::endian::little));
  VaeConfig model;
  model.data_dim = 6, model.image_height = 2, model.image_width = 3, model.latent = 2;
  model.encoder_hidden = model.decoder_hidden = {4};
  model.likelihood = Likelihood::gaussian;
  TrainConfig training;
  training.binarize = Binarize::none;
  Trainer(*backend, model, training, 128).save(path("gaussian"));
  const Arguments arguments = estimators("vae", {"--estimators", "pathwise", "--draws", "10", "--data",
                                                 path("ramp.npy"), "--checkpoint", path("gaussian")});
  succeed(arguments);
  double variance = 0;
  for (const test::Json& record : json_lines(path("out/cells.jsonl")))
    if (record.contains("variance")) {
      EXPECT_EQ(record["draws"], 10);
      variance = record["variance"];
    }
  EXPECT_GT(variance, 0);
  training.binarize = Binarize::stochastic;
  Trainer(*backend, model, training, 128).save(path("binary"));
  expect_failure(run(estimators("vae", {"--data", path("ramp.npy"), "--checkpoint", path("binary")})), 1,
                 "stochastic binarization needs values in [0, 1]");
}

}  // namespace
}  // namespace cuvae::bench
