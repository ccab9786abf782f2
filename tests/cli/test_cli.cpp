// Every command of the program, run like by a user.
#include <cmath>

#include "cli_test.h"

namespace cuvae::test {
namespace {

namespace fs = std::filesystem;

const Arguments kCommands = {"train",    "resume",   "eval",   "sample", "reconstruct", "interpolate",
                             "traverse", "manifold", "encode", "decode", "info",        "devices"};

TEST_F(CliTest, HelpListsEveryCommandAndShowsExamples) {
  const std::string help = succeed({"--help"});
  EXPECT_EQ(succeed({}), help);
  for (const std::string& command : kCommands) {
    EXPECT_NE(help.find("\n  " + command + " "), std::string::npos) << command;
    const std::string text = succeed({command, "--help"});
    EXPECT_NE(text.find("Example"), std::string::npos) << command;
    EXPECT_NE(text.find("\n  cuvae " + command), std::string::npos) << command;
    EXPECT_EQ(text.find("\n\n\n"), std::string::npos) << command;
  }
  EXPECT_TRUE(succeed({"--version"}).starts_with("cuvae "));
}

TEST_F(CliTest, TrainFillsTheRunFolder) {
  Arguments arguments = train_arguments("runs/first", {"--validation", "0.25", "--log-every", "2"});
  std::erase(arguments, "--quiet");
  const ProgramResult result = run(arguments);
  EXPECT_EQ(result.code, 0);
  EXPECT_TRUE(result.err.starts_with("training on c")) << result.err;
  EXPECT_NE(result.err.find("\nepoch 1/2  loss "), std::string::npos) << result.err;
  EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 3);
  EXPECT_TRUE(result.out.starts_with("epoch 2 of 2: ELBO -")) << result.out;
  EXPECT_NE(result.out.find("cuvae eval " + path("runs/first")), std::string::npos);

  const fs::path folder = path("runs/first");
  EXPECT_EQ(names_in(folder),
            (std::set<std::string>{"config.json", "metrics.jsonl", "last.safetensors", "best.safetensors",
                                   "samples.png", "reconstructions.png", "manifold.png"}));
  expect_picture(folder / "samples.png", 2 * (8 * 29 + 1), 2 * (8 * 29 + 1));
  expect_picture(folder / "reconstructions.png", 2 * (8 * 29 + 1), 2 * (8 * 29 + 1));
  expect_picture(folder / "manifold.png", 2 * (20 * 29 + 1), 2 * (20 * 29 + 1));

  const std::vector<Json> lines = json_lines(folder / "metrics.jsonl");
  ASSERT_EQ(lines.size(), 4U);  // 150 examples: 3 steps per epoch, reports after steps 2, 3, 4 and 6
  const std::pair<const char*, int> kinds[] = {{"step", 2}, {"epoch", 3}, {"step", 4}, {"epoch", 6}};
  for (std::size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i]["kind"], kinds[i].first);
    EXPECT_EQ(lines[i]["step"], kinds[i].second);
    EXPECT_EQ(lines[i].contains("validation"), lines[i]["kind"] == "epoch");
    EXPECT_EQ(lines[i]["kl_dims"].size(), 2U);
    EXPECT_NEAR(lines[i]["loss"], lines[i]["kl"].get<double>() - lines[i]["reconstruction"].get<double>(), 1e-3);
    for (const char* key : {"epoch", "active_units", "gradient_norm", "skipped", "learning_rate", "beta", "seconds",
                            "examples_per_second"})
      EXPECT_TRUE(lines[i][key].is_number()) << key;
  }
}

TEST_F(CliTest, EveryOutputNamesWhatItMeasures) {
  const auto train_on = [&](const std::string& name, const Arguments& more) {
    Arguments arguments = train_arguments(name, more);
    std::erase(arguments, "--quiet");
    return run(arguments);
  };
  const std::string bound = "IWAE bound over K = 5 samples";
  const ProgramResult iwae = train_on("iwae", {"--estimator", "dreg", "--samples", "5", "--validation", "0.25"});
  EXPECT_NE(iwae.err.find("; loss: -(" + bound + ")\n"), std::string::npos) << iwae.err;
  EXPECT_NE(iwae.err.find("validation " + bound + " -"), std::string::npos) << iwae.err;
  EXPECT_TRUE(iwae.out.starts_with("epoch 2 of 2: " + bound + " -")) << iwae.out;
  EXPECT_NE(iwae.out.find("(ELBO -"), std::string::npos) << iwae.out;
  EXPECT_NE(iwae.out.find("the model with the best validation " + bound), std::string::npos) << iwae.out;
  EXPECT_NE(iwae.out.find("\nvalidation " + bound + " -"), std::string::npos) << iwae.out;
  for (const Json& line : json_lines(path("iwae/metrics.jsonl"))) {
    EXPECT_EQ(line.at("bound"), -line.at("loss").get<double>());
    EXPECT_NEAR(line.at("elbo"), line.at("reconstruction").get<double>() - line.at("kl").get<double>(), 1e-9);
    EXPECT_GT(line.at("bound"), line.at("elbo"));
    if (line.contains("validation")) {
      EXPECT_GT(line["validation"].at("bound"), line["validation"].at("elbo"));
    }
  }
  EXPECT_TRUE(Json::parse(succeed({"info", path("iwae"), "--json"}))["progress"].at("best-bound").is_number());
  const std::string eval = succeed({"eval", path("iwae"), "--data", data()});
  EXPECT_NE(eval.find("trained on      " + bound), std::string::npos) << eval;
  EXPECT_EQ(Json::parse(succeed({"eval", path("iwae"), "--data", data(), "--json"})).at("trained_on"), bound);

  const ProgramResult weighted = train_on("beta", {"--beta", "2"});
  EXPECT_NE(weighted.err.find("; loss: -(reconstruction - beta KL)\n"), std::string::npos) << weighted.err;
  const ProgramResult plain = train_on("plain", {"--validation", "0.25"});
  EXPECT_NE(plain.err.find("validation ELBO -"), std::string::npos) << plain.err;
  EXPECT_NE(plain.err.find("; loss: -ELBO\n"), std::string::npos) << plain.err;
  for (const Json& line : json_lines(path("plain/metrics.jsonl"))) {
    EXPECT_FALSE(line.contains("bound"));
    EXPECT_FALSE(line.contains("validation") && line["validation"].contains("bound"));
  }
}

TEST_F(CliTest, QuietTrainingPrintsNothing) { EXPECT_EQ(succeed(train_arguments("run")), ""); }

TEST_F(CliTest, PicturesAndArraysOfAModel) {
  const std::string model = train("run"), picture = path("p.png"), array = path("a.npy");
  const auto show = [&](const Arguments& arguments, int columns, int rows) {
    succeed(arguments + Arguments{"--out", picture});
    expect_picture(picture, 2 * (columns * 29 + 1), 2 * (rows * 29 + 1));
    succeed(arguments + Arguments{"--out", array});
    EXPECT_EQ(Dataset::open(array, Split::train).cols(), 784);
    return Dataset::open(array, Split::train).rows();
  };
  EXPECT_EQ(show({"sample", model, "--count", "10"}, 4, 3), 10);
  EXPECT_EQ(show({"sample", model, "--count", "9", "--mean", "--temperature", "0.5"}, 3, 3), 9);
  EXPECT_EQ(show({"reconstruct", model, "--data", data(), "--count", "10"}, 8, 4), 20);
  EXPECT_EQ(show({"interpolate", model, "--data", data(), "--from", "3", "--to", "4", "--steps", "5"}, 5, 1), 5);
  EXPECT_EQ(show({"interpolate", model, "--data", data(), "--rows", "3"}, 10, 3), 30);
  EXPECT_EQ(show({"traverse", model}, 11, 2), 22);
  EXPECT_EQ(show({"traverse", model, "--data", data(), "--index", "7", "--dims", "1", "--steps", "3"}, 3, 1), 3);
  EXPECT_EQ(show({"manifold", model, "--size", "6"}, 6, 6), 36);
}

TEST_F(CliTest, SamplesFollowTheSeed) {
  const std::string model = train("run");
  const auto bytes = [&](const char* seed, const Arguments& more = {}) {
    succeed(Arguments{"sample", model, "--out", path("a.npy"), "--seed", seed} + more);
    return read_bytes(path("a.npy"));
  };
  const std::string first = bytes("1");
  EXPECT_EQ(bytes("1"), first);
  EXPECT_NE(bytes("2"), first);
  EXPECT_NE(bytes("1", {"--temperature", "2"}), first);
}

TEST_F(CliTest, SamplesAreDrawsOrMeans) {
  const std::string model = train("run");
  const auto samples = [&](const Arguments& more) {
    succeed(Arguments{"sample", model, "--out", path("a.npy")} + more);
    return Dataset::open(path("a.npy"), Split::train);
  };
  const Dataset draws = samples({});
  for (Index i = 0; i < draws.rows(); ++i)
    for (const float value : draws.row(i)) ASSERT_TRUE(value == 0 || value == 1);
  EXPECT_EQ(samples({"--binary"}).crc32(), draws.crc32());  // an older name of the default
  const std::vector<float> mean = samples({"--mean"}).row(0);
  EXPECT_TRUE(std::any_of(mean.begin(), mean.end(), [](float p) { return p > 0 && p < 1; }));
  expect_failure(run({"sample", model, "--out", path("a.npy"), "--mean", "--binary"}), 2,
                 "asks for samples, but --mean asks for means");
}

TEST_F(CliTest, SamplesOfAGaussianHaveItsNoise) {
  const std::string model = train("run", {"--likelihood", "gaussian", "--scale", "0.5"});
  const auto samples = [&](const Arguments& more) {
    succeed(Arguments{"sample", model, "--out", path("a.npy"), "--count", "20"} + more);
    const Dataset set = Dataset::open(path("a.npy"), Split::train);
    return std::vector<float>(static_cast<const float*>(set.data()), static_cast<const float*>(set.data()) + 20 * 784);
  };
  const std::vector<float> draws = samples({}), means = samples({"--mean"});
  double squares = 0;
  for (std::size_t i = 0; i < draws.size(); ++i) {
    const auto difference = static_cast<double>(draws[i] - means[i]);
    squares += difference * difference;
  }
  const double n = static_cast<double>(draws.size());  // 0.25, within five standard deviations of a mean of n squares
  EXPECT_NEAR(squares / n, 0.25, 5 * 0.25 * std::sqrt(2 / n));
  expect_failure(run({"sample", model, "--out", path("a.npy"), "--binary"}), 2, "whose samples are not 0 or 1");
}

TEST_F(CliTest, EncodesAndDecodes) {
  const std::string model = train("run");
  succeed({"encode", model, "--data", data(), "--split", "train", "--out", path("stats.npy"), "--binarize", "none"});
  const Dataset stats = Dataset::open(path("stats.npy"), Split::train);
  EXPECT_EQ(stats.rows(), 200);
  EXPECT_EQ(stats.cols(), 4);
  EXPECT_NE(stats.row(0), stats.row(1));

  // Decoding the means gives the reconstructions of `cuvae reconstruct`.
  std::string means;
  for (Index i = 0; i < 5; ++i) means += float_bytes({stats.row(i)[0], stats.row(i)[1]}, std::endian::little);
  write(path("means.npy"), npy(1, npy_dict("<f4", "(5, 2)"), means));
  succeed({"decode", model, "--in", path("means.npy"), "--out", path("decoded.npy")});
  succeed({"reconstruct", model, "--data", data(), "--split", "train", "--count", "5", "--out", path("pairs.npy"),
           "--binarize", "none"});
  succeed({"decode", model, "--in", path("stats.npy"), "--out", path("all.npy")});
  const Dataset decoded = Dataset::open(path("decoded.npy"), Split::train),
                all = Dataset::open(path("all.npy"), Split::train);
  const Dataset pairs = Dataset::open(path("pairs.npy"), Split::train), digits = Dataset::open(data(), Split::train);
  ASSERT_EQ(decoded.rows(), 5);
  ASSERT_EQ(all.rows(), 200);
  for (Index i = 0; i < 5; ++i) {
    EXPECT_EQ(pairs.row(i), digits.row(i));
    for (std::size_t d = 0; d < 784; ++d) {  // products with other shapes round differently
      ASSERT_NEAR(decoded.row(i)[d], pairs.row(5 + i)[d], 1e-5);
      ASSERT_NEAR(decoded.row(i)[d], all.row(i)[d], 1e-5);
    }
  }
  succeed({"decode", model, "--in", path("means.npy"), "--out", path("decoded.png")});
  expect_picture(path("decoded.png"), 2 * (3 * 29 + 1), 2 * (2 * 29 + 1));
}

// With pixel scale 1, masks of 0 and 1 stay unchanged in training and in every later use of the run.
TEST_F(CliTest, PixelScaleOfARun) {
  std::string masks, doubled;
  for (int i = 0; i < 40 * 16; ++i)
    masks += static_cast<char>(i % 7 < 3), doubled += static_cast<char>(2 * (i % 7 < 3));
  const std::string ones = write(path("ones.npy"), npy(1, npy_dict("|u1", "(40, 16)"), masks)),
                    twos = write(path("twos.npy"), npy(1, npy_dict("|u1", "(40, 16)"), doubled));
  const Arguments small = {"--batch", "10", "--data", ones};
  expect_failure(run(train_arguments("dark", small)), 1, "the largest uint8 value is 1, but values are divided by 255");
  const std::string model = train("run", small + Arguments{"--pixel-scale", "1"});
  EXPECT_EQ(Json::parse(read_bytes(model + "/config.json"))["pixel-scale"], 1);
  EXPECT_EQ(Json::parse(succeed({"info", model, "--json"}))["training"]["pixel-scale"], 1);
  succeed({"resume", model, "--epochs", "3", "--quiet"});

  const auto elbo = [&](const Arguments& data) {
    return Json::parse(succeed(Arguments{"eval", model, "--json", "--data"} + data))["elbo"].get<double>();
  };
  EXPECT_EQ(elbo({ones}), elbo({twos, "--pixel-scale", "2"}));
  EXPECT_NE(elbo({ones}), elbo({ones, "--pixel-scale", "255"}));
  succeed({"reconstruct", model, "--data", ones, "--count", "4", "--out", path("pairs.npy")});
  const std::vector<float> row = Dataset::open(path("pairs.npy"), Split::train).row(0);
  EXPECT_EQ(*std::max_element(row.begin(), row.begin() + 16), 1);
}

// A model that was trained on binarized pixels gets binarized pixels unless --binarize is given.
TEST_F(CliTest, BinarizesAsInTraining) {
  const std::string model = train("run"), grey = train("grey", {"--binarize", "none"});
  const auto latents = [&](const std::string& run_folder, const Arguments& more) {
    succeed(Arguments{"encode", run_folder, "--data", data(), "--out", path("z.npy")} + more);
    return Dataset::open(path("z.npy"), Split::train).crc32();
  };
  EXPECT_EQ(latents(model, {}), latents(model, {"--binarize", "stochastic", "--seed", "0"}));
  EXPECT_NE(latents(model, {}), latents(model, {"--seed", "1"}));
  EXPECT_NE(latents(model, {}), latents(model, {"--binarize", "none"}));
  EXPECT_NE(latents(model, {"--binarize", "threshold"}), latents(model, {"--binarize", "none"}));
  EXPECT_EQ(latents(grey, {}), latents(grey, {"--binarize", "none"}));

  succeed({"reconstruct", model, "--data", data(), "--count", "3", "--out", path("pairs.npy")});
  const std::vector<float> shown = Dataset::open(path("pairs.npy"), Split::train).row(0);
  for (const float pixel : shown) ASSERT_TRUE(pixel == 0 || pixel == 1);
}

TEST_F(CliTest, EvaluatesInTextAndJson) {
  const std::string model = train("run");
  const Arguments eval = {"eval", model, "--data", data(), "--samples", "3"};
  const Json e = Json::parse(succeed(eval + Arguments{"--json"}));
  EXPECT_EQ(e["examples"], 50);
  EXPECT_EQ(e["samples"], 3);
  EXPECT_NEAR(e["elbo"], e["reconstruction"].get<double>() - e["kl"].get<double>(), 1e-6);
  EXPECT_NEAR(e["kl"], e["kl_dims"][0].get<double>() + e["kl_dims"][1].get<double>(), 1e-3);
  EXPECT_NEAR(e["bits_per_dim"], -e["elbo"].get<double>() / (784 * std::log(2.0)), 1e-9);
  EXPECT_GT(e["elbo_error"], 0);
  EXPECT_LE(e["active_units"], 2);
  const std::string text = succeed(eval);
  EXPECT_NE(text.find("examples        50, 3 latent samples each\nELBO            -"), std::string::npos) << text;

  // The default binarization is that of the training.
  EXPECT_EQ(Json::parse(succeed(eval + Arguments{"--json", "--binarize", "stochastic"})), e);
  EXPECT_NE(Json::parse(succeed(eval + Arguments{"--json", "--binarize", "none"}))["elbo"], e["elbo"]);
  EXPECT_EQ(Json::parse(succeed(eval + Arguments{"--json", "--split", "train"}))["examples"], 200);
}

TEST_F(CliTest, InfoShowsTheBestCheckpointOfARun) {
  const std::string model = train("run", {"--validation", "0.25", "--ema", "0.9"});
  const Json info = Json::parse(succeed({"info", model, "--json"}));
  EXPECT_EQ(info["file"], model + "/best.safetensors");
  EXPECT_EQ(info["model"]["latent"], 2);
  EXPECT_EQ(info["model"]["encoder-hidden"], Json({16}));
  EXPECT_EQ(info["model"]["parameters"], 784 * 16 + 16 + 16 * 4 + 4 + 2 * 16 + 16 + 16 * 784 + 784);
  EXPECT_EQ(info["training"]["batch"], 50);
  EXPECT_EQ(info["progress"]["steps"], 6);
  EXPECT_TRUE(info["progress"]["averaged"]);
  EXPECT_TRUE(info["progress"]["best-elbo"].is_number());
  const std::string text = succeed({"info", model + "/last.safetensors"});
  EXPECT_TRUE(text.starts_with(model + "/last.safetensors\nmodel\n")) << text;
}

TEST_F(CliTest, DevicesListsCpuAndCuda) {
  const std::string text = succeed({"devices"});
  EXPECT_TRUE(text.starts_with("cpu ")) << text;
  EXPECT_NE(text.find("\ncuda"), std::string::npos) << text;
}

TEST_F(CliTest, TrainsOnFloatsThatAreNoPictures) {
  std::vector<float> values;
  for (int i = 0; i < 40 * 7; ++i) values.push_back(static_cast<float>(i % 13) - 6);
  write(path("x.npy"), npy(1, npy_dict("<f4", "(40, 7)"), float_bytes(values, std::endian::little)));
  succeed({"train", "--data", path("x.npy"), "--out", path("run"), "--quiet", "--batch", "8", "--epochs", "1",
           "--latent", "2", "--hidden", "0", "--likelihood", "gaussian-learned-per-dim"});
  EXPECT_EQ(names_in(path("run")), (std::set<std::string>{"config.json", "metrics.jsonl", "last.safetensors"}));
  EXPECT_EQ(Json::parse(succeed({"info", path("run"), "--json"}))["training"]["binarize"], "none");
  EXPECT_TRUE(Json::parse(succeed({"eval", path("run"), "--data", path("x.npy"), "--json"}))["elbo"].is_number());
  expect_failure(run({"sample", path("run"), "--out", path("p.png")}), 1, "not pictures");
  succeed({"sample", path("run"), "--out", path("a.npy"), "--count", "3"});
  EXPECT_EQ(Dataset::open(path("a.npy"), Split::train).cols(), 7);
}

}  // namespace
}  // namespace cuvae::test
