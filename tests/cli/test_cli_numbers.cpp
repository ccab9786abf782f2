// Numbers and settings in the user's texts: decimal, in range, and with an effect.
#include "cli_test.h"

namespace cuvae::test {
namespace {

namespace fs = std::filesystem;

class CliNumbersTest : public CliTest {
 protected:
  Json config(const std::string& run) const { return Json::parse(read_bytes(path(run) + "/config.json")); }
  void expect_refused(const Arguments& flags, const std::string& part) const {
    expect_failure(run(train_arguments("refused", flags)), 2, part);
    EXPECT_FALSE(fs::exists(path("refused"))) << part;
  }
  void expect_file_refused(const std::string& json, const std::string& part) const {
    write(path("c.json"), json);
    const ProgramOptions environment{{{"CUVAE_DATA", data()}}, {}, {}};
    expect_failure(run({"train", "--quiet", "--config", path("c.json"), "--out", path("refused")}, environment), 2,
                   part);
    EXPECT_FALSE(fs::exists(path("refused"))) << part;
  }
};

TEST_F(CliNumbersTest, LeadingZerosAreDecimal) {
  train("run", {"--epochs", "010", "--batch", "0100", "--seed", "08", "--hidden", "010", "--beta", "00.5"});
  const Json c = config("run");
  EXPECT_EQ(c["epochs"], 10);
  EXPECT_EQ(c["batch"], 100);
  EXPECT_EQ(c["seed"], 8);
  EXPECT_EQ(c["encoder-hidden"], Json({10}));
  EXPECT_EQ(c["beta"], 0.5);
}

TEST_F(CliNumbersTest, EveryCommandNamesItsRanges) {
  const std::string whole = "must be a whole number in decimal digits, not ";
  expect_refused({"--epochs", "99999999999999999999"},
                 "--epochs: must be 1 to 2147483647, not \"99999999999999999999\"");
  expect_refused({"--seed", "18446744073709551616"}, "--seed: must be 0 to 18446744073709551615, not");
  expect_refused({"--batch", "0x20"}, "--batch: " + whole + "\"0x20\"");
  expect_refused({"--hidden", "16", "1_000"}, "--hidden: " + whole + "\"1_000\"");
  expect_refused({"--threads", "4097"}, "--threads: must be 0 to 4096, not \"4097\"");
  expect_refused({"--data-memory", "-1"}, "--data-memory: must be 0 to 2147483647, not \"-1\"");
  expect_refused({"--beta", "1e-50"}, "--beta: must be 0 or at least 1.2e-38, not \"1e-50\"");
  expect_refused({"--lr", "1e-50"}, "the rate is 1e-50 but must be positive, also in float32");
  expect_refused(
      {"--schedule", "pieces", "--lr-pieces", "1:1e400"},
      "--lr-pieces: '1:1e400' is not EPOCHS:RATE: RATE must be a finite number of at least 0, not \"1e400\"");
  const Arguments picture = {"x", "--out", "p.npy"};
  const auto expect = [&](const Arguments& arguments, const std::string& part) {
    expect_failure(run(arguments), 2, part);
  };
  expect(Arguments{"sample"} + picture + Arguments{"--seed", "-1"}, "--seed: must be 0 to 18446744073709551615");
  expect(Arguments{"sample"} + picture + Arguments{"--count", "0b1"}, "--count: " + whole);
  expect(Arguments{"sample"} + picture + Arguments{"--temperature", "1e-60"}, "--temperature: must be 0 or at least");
  expect(Arguments{"traverse"} + picture + Arguments{"--dims", "0", "1x"}, "--dims: " + whole + "\"1x\"");
  expect(Arguments{"traverse"} + picture + Arguments{"--index", "-1"}, "--index: must be 0 to 2147483647");
  expect(Arguments{"manifold"} + picture + Arguments{"--size", "1001"}, "--size: must be 1 to 1000");
  expect(Arguments{"interpolate"} + picture + Arguments{"--steps", "1"}, "--steps: must be 2 to 1000");
  expect(Arguments{"reconstruct"} + picture + Arguments{"--count", "1e3"}, "--count: " + whole + "\"1e3\"");
  expect({"eval", "x", "--samples", "99999999999"}, "--samples: must be 1 to 2147483647");
  expect({"resume", "x", "--epochs", "0"}, "--epochs: must be 1 to 2147483647, not \"0\"");
  expect({"estimators", "--toy", "--seed", "-1"}, "--seed: must be 0 to 18446744073709551615");
  expect({"estimators", "--toy", "--budget", "1e-9"}, "--budget: must be 0.001 to 1e+06, not \"1e-9\"");
  expect({"estimators", "--toy", "--threads", "0x2"}, "--threads: " + whole + "\"0x2\"");
}

TEST_F(CliNumbersTest, FilesFollowTheSameRules) {
  expect_file_refused(R"({"epochs": 4.7})", "--epochs: must be a whole number in decimal digits, not \"4.7\"");
  expect_file_refused(R"({"epochs": 4.0})", "--epochs: must be a whole number in decimal digits, not \"4.0\"");
  expect_file_refused(R"({"epochs": 99999999999})", "--epochs: must be 1 to 2147483647, not \"99999999999\"");
  expect_file_refused(R"({"seed": 18446744073709551616})", "--seed: must be ");
  expect_file_refused(R"({"seed": -1})", "--seed: must be 0 to 18446744073709551615, not \"-1\"");
  expect_file_refused(R"({"beta": 1e-50})", "--beta: must be 0 or at least 1.2e-38");
  expect_file_refused(R"({"epochs": "4"})", "'epochs' must be a number, not a string");
  expect_file_refused(R"({"hidden": [8, "4"]})", "'hidden' must be a number, not a string");
  expect_file_refused(R"({"hidden": [[8]]})", "'hidden' must be a number, not a list or an object");
  expect_file_refused(R"({"encoder-hidden": []})", "'encoder-hidden' must not be an empty list; 0 stands for none");
  expect_file_refused(R"({"lr": [0.1]})", "'lr' must be one value, not a list");
  expect_file_refused(R"({"activation": 3})", "'activation' must be a string, not 3");
  expect_file_refused(R"({"antithetic": 1})", "'antithetic' must be true or false, not 1");
  expect_file_refused(R"({"lr": true})", "'lr' must be a number, not true");
  expect_file_refused(R"({"data": 5})", "'data' must be a string, not 5");
}

TEST_F(CliNumbersTest, SettingsWithoutEffectAreRefused) {
  const std::pair<Arguments, const char*> cases[] = {
      {{"--lr-final", "0"}, "--lr-final: has no effect without --schedule cosine"},
      {{"--lr-warmup", "1"}, "--lr-warmup: has no effect without --schedule cosine"},
      {{"--lr-decay", "0.5"}, "--lr-decay: has no effect without --schedule step"},
      {{"--lr-every", "2", "--schedule", "cosine"}, "--lr-every: has no effect without --schedule step"},
      {{"--lr-pieces", "1:1e-3"}, "--lr-pieces: has no effect without --schedule pieces"},
      {{"--lr-pieces", "1:1e-3", "--schedule", "pieces", "--lr", "1e-3"}, "--lr: has no effect with --schedule pieces"},
      {{"--cost", "elbo"}, "--cost: has no effect with this --estimator"},
      {{"--estimator", "score", "--beta", "1"},
       "--beta: has no effect with this --estimator, which does not weigh the KL"},
      {{"--estimator", "stl", "--free-bits", "0"}, "--free-bits: has no effect with this --estimator, which estimates"},
      {{"--beta", "0", "--kl-warmup", "1"}, "--kl-warmup: has no effect with --beta 0"},
      {{"--beta", "0", "--free-bits", "1"}, "--free-bits: has no effect with --beta 0"},
      {{"--scale", "0.5"}, "--scale: has no effect with this --likelihood, which has no scale"},
      {{"--hidden", "0", "--activation", "relu"}, "--activation: has no effect without hidden layers"},
      {{"--optimizer", "sgd", "--beta2", "0.9"}, "--beta2: has no effect with --optimizer sgd"},
      {{"--optimizer", "sgd", "--epsilon", "1e-8"}, "--epsilon: has no effect with --optimizer sgd"},
      {{"--patience", "0"}, "--patience: has no effect without --validation"},
      {{"--device", "cpu", "--data-memory", "9"}, "--data-memory: has no effect with --device cpu"},
      {{"--device", "cpu", "--precision", "tf32"}, "--precision: has no effect with tf32 on the CPU"},
      {{"--device", "cuda", "--threads", "1"}, "--threads: has no effect on a GPU"},
      {{"--hidden", "8", "--encoder-hidden", "8", "--decoder-hidden", "8"},
       "--hidden: has no effect with --encoder-hidden and --decoder-hidden"}};
  for (const auto& [flags, part] : cases) expect_refused(flags, part);

  const std::string model = train("run", {"--likelihood", "gaussian", "--scale", "0.5"});
  write(path("x.npy"), npy(1, npy_dict("<f4", "(1, 784)"), float_bytes(std::vector<float>(784), std::endian::little)));
  const auto expect = [&](const Arguments& arguments, const std::string& part) {
    expect_failure(run(arguments), 2, part);
  };
  const Arguments out = {"--out", path("p.npy")}, from = {"--data", data()};
  expect(Arguments{"sample", model, "--temperature", "0", "--mean", "--seed", "1"} + out,
         "--seed: has no effect with --temperature 0");
  expect(Arguments{"interpolate", model, "--rows", "2", "--to", "1"} + from + out, "--to: has no effect with --rows");
  expect(Arguments{"interpolate", model, "--seed", "2"} + from + out,
         "--seed: has no effect here: no random numbers are needed");
  expect(Arguments{"traverse", model} + from + out, "--data: has no effect without --index");
  expect(Arguments{"traverse", model, "--split", "test"} + out, "--split: has no effect without --index");
  expect({"eval", model, "--data", path("x.npy"), "--split", "test"}, "--split: has no effect on one file");
  expect({"eval", model, "--data", data(), "--device", "cuda:0", "--threads", "1"}, "--threads: has no effect on a");
  expect(Arguments{"reconstruct", model, "--count", "51"} + from + out,
         "--count: is 51, but the data have only 50 examples");
  expect({"estimators", "--toy", "--suite", "vae"}, "--suite: has no effect with --toy");
  expect({"estimators", "--suite", "toy", "--out", path("e"), "--draws", "10"},
         "--draws: has no effect without one of the suites vae and discrete");
  expect({"estimators", "--suite", "snr", "--out", path("e"), "--data", data()},
         "--data: has no effect without one of");
  EXPECT_FALSE(fs::exists(path("e")));
}

TEST_F(CliNumbersTest, FilesOfEarlierVersionsMaySpellOutDefaults) {
  // This key has no effect here. Older files contained all keys.
  const std::string idle = R"("lr-final": 0.0, "lr-warmup": 0.0, "lr-decay": 0.5, "lr-every": 10.0, "lr-pieces": [],
      "scale": 1.0, "cost": "elbo", "patience": 0, "data-memory": 0)";
  write(path("old.json"), "{" + idle + "}");
  train("run", {"--config", path("old.json")});
  const Json c = config("run");
  for (const char* key : {"lr-final", "lr-warmup", "lr-decay", "lr-every", "lr-pieces", "scale", "cost", "patience"})
    EXPECT_FALSE(c.contains(key)) << key;
  EXPECT_EQ(c["lr"], 1e-3);
  EXPECT_EQ(c["beta2"], 0.999);
  expect_file_refused(R"({"lr-final": 1e-5})", "--config: 'lr-final' has no effect without --schedule cosine");

  // A run with such a file can still be resumed.
  Json old = c;
  old["lr-final"] = 1e-5;
  old["lr-pieces"] = Json::array();
  write(path("run/config.json"), old.dump());
  succeed({"resume", path("run"), "--epochs", "3", "--quiet"});
  EXPECT_EQ(config("run")["epochs"], 3);
  EXPECT_FALSE(config("run").contains("lr-final"));
}

}  // namespace
}  // namespace cuvae::test
