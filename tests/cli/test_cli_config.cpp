// Flags, config files, the environment, and existing run folders.
#include <cmath>

#include "cli_test.h"

namespace cuvae::test {
namespace {

namespace fs = std::filesystem;

class CliConfigTest : public CliTest {
 protected:
  Json config(const std::string& run) const { return Json::parse(read_bytes(path(run) + "/config.json")); }
};

TEST_F(CliConfigTest, HoldsEveryFlag) {
  train("run", {"--activation", "tanh", "--samples", "2", "--schedule", "pieces", "--lr-pieces", "1:1e-3,3:7e-4",
                "--beta2", "0.99", "--output-bias-from-data"});
  const Json c = config("run");
  EXPECT_EQ(c["data"], "../data");
  EXPECT_EQ(c["encoder-hidden"], Json({16}));
  EXPECT_EQ(c["activation"], "tanh");
  EXPECT_EQ(c["samples"], 2);
  EXPECT_EQ(c["schedule"], "pieces");
  EXPECT_EQ(c["lr-pieces"], Json({"1:0.001", "3:7e-04"}));
  EXPECT_EQ(c["beta2"], 0.99);
  EXPECT_EQ(c["output-bias-from-data"], true);
  EXPECT_EQ(c["binarize"], "stochastic");
  // Each key is a flag that train's help lists.
  const std::string help = succeed({"train", "--help"});
  for (const auto& [key, value] : c.items()) EXPECT_NE(help.find("--" + key + " "), std::string::npos) << key;
}

// The objective has its own name in the file, and each spelling of it trains the same model.
TEST_F(CliConfigTest, AnObjectiveOrItsEstimatorIsEnough) {
  const auto checkpoint = [&](const std::string& run, const Arguments& flags) {
    return read_bytes(train(run, Arguments{"--samples", "2"} + flags) + "/last.safetensors");
  };
  const auto repeated = [&](const std::string& run) {
    succeed({"train", "--quiet", "--config", path(run) + "/config.json", "--out", path(run + "2")});
    return read_bytes(path(run + "2") + "/last.safetensors");
  };
  const std::string iwae = checkpoint("iwae", {"--estimator", "iwae"});
  EXPECT_TRUE(iwae == checkpoint("objective", {"--objective", "iwae"}));
  EXPECT_TRUE(iwae == checkpoint("both", {"--objective", "iwae", "--estimator", "pathwise"}));
  EXPECT_TRUE(iwae == checkpoint("old", {"--objective", "variational", "--estimator", "iwae"}));
  for (const char* run : {"iwae", "objective", "both", "old"}) {
    EXPECT_EQ(config(run)["objective"], "iwae");
    EXPECT_EQ(config(run)["estimator"], "iwae");
  }
  EXPECT_TRUE(iwae == repeated("both"));

  const struct {
    const char* run;
    Arguments flags;
    const char *key, *name;
  } others[] = {
      {"miwae", {"--bounds", "3"}, "bounds", "MIWAE bound, M = 3 of K = 2 samples"},
      {"piwae", {"--bounds", "3"}, "bounds", "IWAE bound over M K = 6 samples (PIWAE: M = 3, K = 2)"},
      {"ciwae", {"--elbo-share", "0.25"}, "elbo-share", "CIWAE bound over K = 2 samples with ELBO share 0.25"},
      {"rws", {"--sleep-share", "0.25"}, "sleep-share", "IWAE bound over K = 2 samples"}};
  for (const auto& o : others) {
    SCOPED_TRACE(o.run);
    const std::string bytes = checkpoint(o.run, Arguments{"--objective", o.run} + o.flags);
    EXPECT_EQ(config(o.run)["objective"], o.run);
    EXPECT_TRUE(config(o.run).contains(o.key));
    EXPECT_TRUE(bytes == repeated(o.run));
    EXPECT_EQ(Json::parse(succeed({"eval", path(o.run), "--data", path("data"), "--json"}))["trained_on"], o.name);
  }
}

TEST_F(CliConfigTest, RepeatsTheRunBitForBit) {
  train("run", {"--seed",
                "18446744073709551615",
                "--encoder-hidden",
                "24",
                "12",
                "--decoder-hidden",
                "0",
                "--samples",
                "2",
                "--beta",
                "0.7",
                "--schedule",
                "cosine",
                "--lr",
                "0.0123",
                "--lr-warmup",
                "0.5",
                "--clip-norm",
                "5",
                "--ema",
                "0.95",
                "--free-bits",
                "0.1",
                "--kl-warmup",
                "1",
                "--optimizer",
                "adamw",
                "--weight-decay",
                "0.01",
                "--validation",
                "0.2"});
  succeed({"train", "--config", path("run/config.json"), "--out", path("again"), "--quiet"});
  EXPECT_EQ(config("again"), config("run"));
  for (const char* name :
       {"last.safetensors", "best.safetensors", "samples.png", "reconstructions.png", "manifold.png"})
    EXPECT_TRUE(read_bytes(path("again") + "/" + name) == read_bytes(path("run") + "/" + name)) << name;
}

TEST_F(CliConfigTest, TheScheduleOfBurdaEtAlHasAName) {
  train("run", {"--optimizer", "adam-iwae", "--beta1", "0.99", "--epsilon", "1e-4", "--schedule", "pieces",
                "--lr-pieces", "iwae"});
  const Json c = config("run");
  EXPECT_EQ(c["optimizer"], "adam-iwae");
  ASSERT_EQ(c["lr-pieces"].size(), 8u);
  double epochs = 0;
  for (int i = 0; i < 8; ++i) {
    const std::string piece = c["lr-pieces"][static_cast<std::size_t>(i)];
    epochs += std::stod(piece);
    EXPECT_NEAR(std::stod(piece.substr(piece.find(':') + 1)), 1e-3 * std::pow(10, -i / 7.0), 1e-12);
  }
  EXPECT_EQ(epochs, 3280);
  succeed({"train", "--config", path("run/config.json"), "--out", path("again"), "--quiet"});
  EXPECT_TRUE(read_bytes(path("again/last.safetensors")) == read_bytes(path("run/last.safetensors")));
}

TEST_F(CliConfigTest, FlagsWinOverTheFile) {
  write(path("c.json"), R"({"epochs": 1, "hidden": [8, 4], "lr": 0.5, "output-bias-from-data": true, "batch": 100})");
  const Arguments arguments = {"train", "--data",   data(),         "--quiet", "--latent",
                               "2",     "--config", path("c.json"), "--out"};
  succeed(arguments + Arguments{path("file")});
  EXPECT_EQ(config("file")["epochs"], 1);
  EXPECT_EQ(config("file")["encoder-hidden"], Json({8, 4}));
  EXPECT_EQ(config("file")["decoder-hidden"], Json({4, 8}));
  EXPECT_EQ(config("file")["lr"], 0.5);
  EXPECT_EQ(config("file")["output-bias-from-data"], true);

  succeed(arguments + Arguments{path("flags"), "--epochs", "2", "--decoder-hidden", "5", "--lr", "1e-4"});
  EXPECT_EQ(config("flags")["epochs"], 2);
  EXPECT_EQ(config("flags")["batch"], 100);
  EXPECT_EQ(config("flags")["encoder-hidden"], Json({8, 4}));
  EXPECT_EQ(config("flags")["decoder-hidden"], Json({5}));
  EXPECT_EQ(config("flags")["lr"], 1e-4);

  succeed({"train", "--config", path("flags/config.json"), "--out", path("hidden"), "--hidden", "6", "--quiet"});
  EXPECT_EQ(config("hidden")["encoder-hidden"], Json({6}));
  EXPECT_EQ(config("hidden")["decoder-hidden"], Json({6}));
}

TEST_F(CliConfigTest, DataComesFromFlagThenFileThenEnvironment) {
  const ProgramOptions environment{{{"CUVAE_DATA", data()}}, {}, {}}, wrong{{{"CUVAE_DATA", path("nowhere")}}, {}, {}};
  const Arguments small = {"--quiet", "--epochs", "1", "--batch", "50", "--latent", "2", "--hidden", "8"};
  succeed(Arguments{"train", "--out", path("run")} + small, environment);
  EXPECT_EQ(config("run")["data"], "../data");
  succeed({"train", "--out", path("again"), "--config", path("run/config.json"), "--quiet"}, wrong);
  succeed(Arguments{"train", "--out", path("flag"), "--data", data()} + small, wrong);
  succeed({"eval", path("run")}, environment);
  expect_failure(run({"eval", path("run")}, wrong), 1, "nowhere");
  expect_failure(run({"eval", path("run")}), 2, "CUVAE_DATA");
}

// Data near the run have a relative path in config.json, others the absolute path. Older runs have only absolute paths.
TEST_F(CliConfigTest, DataAreFoundFromTheFilesFolder) {
  const Arguments again = {"--config", path("a/b/c/run/config.json"), "--quiet", "--out"};
  train("a/b/c/run");
  EXPECT_EQ(config("a/b/c/run")["data"], data());
  succeed(Arguments{"train"} + again + Arguments{path("a/again")});
  EXPECT_EQ(config("a/again")["data"], "../../data");

  fs::create_directory(path("moved"));
  for (const char* name : {"a", "data"}) fs::rename(path(name), path("moved") + "/" + name);
  succeed({"train", "--config", path("moved/a/again/config.json"), "--quiet", "--out", path("third")});
  EXPECT_EQ(config("third")["data"], "../moved/data");
  succeed({"resume", path("moved/a/again"), "--epochs", "3", "--quiet"});
  EXPECT_EQ(config("moved/a/again")["data"], "../../data");
  expect_failure(run(Arguments{"train", "--config", path("moved/a/b/c/run/config.json"), "--out", path("x")}), 1,
                 path("data"));
}

TEST_F(CliConfigTest, HostileFilesEndInOneLine) {
  train("good");
  const auto expect = [&](const std::string& text, const std::string& part) {
    write(path("c.json"), text);
    expect_failure(run(train_arguments("run", {"--config", path("c.json")})), 2, path("c.json") + ": " + part);
    write(path("good/config.json"), text);
    expect_failure(run({"resume", path("good")}), 1, path("good/config.json") + ": " + part);
  };
  std::string many = "{";
  for (int i = 0; i < 80'000; ++i) many += "\"k" + std::to_string(i) + "\": 1, ";
  expect(many + "\"k\": 1}", "");
  expect("{\"lr\": " + std::string(60'000, '[') + std::string(60'000, ']') + "}", "nests deeper than");
  expect(std::string(60'000, '['), "nests deeper than");
  expect("{\"lr\": 1, \"lr\": 2}", "has the key \"lr\" twice");
  expect("{\"lr\": 1e999}", "has a number that is too large");
  expect("{\"\": 1}", "unknown key \"\"");
  expect("{\"l\\nr\": 1}", "unknown key \"l\\nr\"");
  expect("{\"l\xff\": 1}", "is not JSON");
  expect("{\"activation\": \"" + std::string(500'000, 'x') + "\"}", "--activation: activation 'xxx");
  std::string widths = "{\"hidden\": [1";
  for (int i = 0; i < 100'000; ++i) widths += ",1";
  write(path("c.json"), widths + "]}");
  expect_failure(run({"train", "--data", data(), "--out", path("run"), "--config", path("c.json")}), 2,
                 "more than 64 hidden layers");
}

TEST_F(CliConfigTest, BadFilesAreNamed) {
  const auto expect = [&](const std::string& text, const std::string& part) {
    write(path("c.json"), text);
    expect_failure(run(train_arguments("run", {"--config", path("c.json")})), 2, path("c.json") + ": " + part);
    EXPECT_FALSE(fs::exists(path("run")));
  };
  expect("{\"epoch\": 1}", "unknown key \"epoch\"");
  expect("{\"out\": \"x\"}", "unknown key \"out\"");
  expect("{\"help\": true}", "unknown key \"help\"");
  expect("{\"lr\": \"fast\"}", "'lr' must be a number, not a string");
  expect("{\"lr\": -1}", "--lr: must be a finite number of at least 0, not \"-1\"");
  expect("{\"lr\": null}", "'lr' must be a number, not null");
  expect("{\"lr\": {}}", "'lr' must be a number, not a list or an object");
  expect("{\"checkpoint-every\": 1.5}", "");
  expect("{\"activation\": \"sigmoid\"}", "--activation: ");
  expect("{\"lr\": [1, 2]}", "'lr' must be one value");
  expect("[1]", "is not a JSON object");
  expect("{\"lr\": 1", "is not JSON at byte 8");
  expect_failure(run(train_arguments("run", {"--config", path("none.json")})), 2, path("none.json") + ": cannot read");
}

TEST_F(CliConfigTest, OverwriteRemovesTheRunAndNothingElse) {
  const std::string folder = train("run", {"--validation", "0.2"});
  const std::string old = read_bytes(folder + "/last.safetensors");
  expect_failure(run(train_arguments("run")), 1, "holds a run");
  EXPECT_TRUE(read_bytes(folder + "/last.safetensors") == old);

  write(folder + "/notes.txt", "mine");
  write(folder + "/.cuvae.1.0.tmp", "left by a killed run");
  train("run", {"--overwrite", "--seed", "1", "--latent", "3"});
  EXPECT_EQ(names_in(folder), (std::set<std::string>{"config.json", "metrics.jsonl", "last.safetensors", "samples.png",
                                                     "reconstructions.png", "notes.txt"}));
  EXPECT_EQ(read_bytes(folder + "/notes.txt"), "mine");
  EXPECT_FALSE(read_bytes(folder + "/last.safetensors") == old);
}

TEST_F(CliConfigTest, OverwriteRefusesAFolderThatIsNoRun) {
  fs::create_directory(path("mine"));
  write(path("mine/samples.png"), "mine");
  expect_failure(run(train_arguments("mine", {"--overwrite"})), 1, "not a run");
  expect_failure(run(train_arguments("mine")), 1, "not a run");
  EXPECT_EQ(read_bytes(path("mine/samples.png")), "mine");
  fs::create_directory(path("killed"));
  write(path("killed/.cuvae.1.0.tmp"), "{");  // left by a run that was killed at its start
  train("killed");
}

}  // namespace
}  // namespace cuvae::test
