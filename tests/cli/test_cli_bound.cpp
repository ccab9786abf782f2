// cuvae eval --bound: log p(x) by importance sampling, and the values of single examples.
#include <cmath>
#include <cstring>

#include "cli_test.h"
#include "cuvae/checkpoint.h"
#include "io/safetensors.h"

namespace cuvae {
namespace {
using namespace test;

class CliBound : public CliTest {
 protected:
  Arguments eval(const std::string& model, const Arguments& more = {}) const {
    return Arguments{"eval", model, "--data", data()} + more;
  }
  Json json(const std::string& model, const Arguments& more = {}) const {
    return Json::parse(succeed(eval(model, more + Arguments{"--json"})));
  }
};

// A float64 array [N] of NumPy: magic, version 1.0, the header's length, a dict and a line end, the values.
std::vector<double> read_doubles(const std::string& file) {
  const std::string bytes = read_bytes(file);
  EXPECT_EQ(bytes.substr(0, 8), std::string("\x93NUMPY\x01\x00", 8));
  const std::size_t header = static_cast<unsigned char>(bytes[8]) + 256 * static_cast<unsigned char>(bytes[9]);
  std::vector<double> values((bytes.size() - 10 - header) / sizeof(double));
  const std::string dict = bytes.substr(10, header);
  EXPECT_NE(dict.find("'descr': '<f8', 'fortran_order': False, 'shape': (" + std::to_string(values.size()) + ",)"),
            std::string::npos)
      << dict;
  EXPECT_EQ((10 + header) % 64, 0U);
  std::memcpy(values.data(), bytes.data() + 10 + header, values.size() * sizeof(double));
  return values;
}

double mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double v : values) sum += v;
  return sum / static_cast<double>(values.size());
}

TEST_F(CliBound, NamesWhatItMeasures) {
  const std::string model = train("run");
  const std::string text = succeed(eval(model, {"--bound", "iwae", "--samples", "200"}));
  const Json e = json(model, {"--bound", "iwae", "--samples", "200"});
  EXPECT_EQ(e["bound"], "iwae");
  EXPECT_EQ(e["examples"], 50);
  EXPECT_EQ(e["samples"], 200);
  EXPECT_NEAR(e["bits_per_dim"], -e["value"].get<double>() / (784 * std::log(2.0)), 1e-9);
  EXPECT_EQ(e["bits_are_of"], "mass over 2 values");
  EXPECT_EQ(e["trained_on"], "ELBO");
  EXPECT_GT(e["error"], 0);
  EXPECT_GT(e["error"], e["sampling_error"]);
  EXPECT_GE(e["mean_effective"], e["least_effective"]);
  EXPECT_GE(e["least_effective"], 1);
  EXPECT_TRUE(text.starts_with("examples        50, 200 latent samples each\nlog p(x)        at least -")) << text;
  for (const char* part : {" nats (IWAE bound over K = 200 samples, standard error)\n", "\nsampling error  ",
                           " of 200 samples on average, ", "\nPareto k-hat    at most "})
    EXPECT_NE(text.find(part), std::string::npos) << text;
  EXPECT_EQ(text.find("examples have a k-hat above 0.7") == text.npos, e["unreliable"] == 0) << text;
  EXPECT_EQ(text.find("ELBO"), text.npos) << text;

  // The bound is above the ELBO, and above the one from the prior, which misses the posterior.
  EXPECT_GT(e["value"], json(model)["elbo"]);
  const Json prior = json(model, {"--bound", "prior", "--samples", "200"});
  EXPECT_EQ(prior["bound"], "prior");
  EXPECT_GT(e["value"], prior["value"]);
  EXPECT_NE(succeed(eval(model, {"--bound", "prior", "--samples", "200"}))
                .find("(naive Monte Carlo over K = 200 samples from the prior, standard error)"),
            std::string::npos);
  EXPECT_EQ(json(model, {"--bound", "prior", "--samples", "200", "--batch", "7"})["samples"], 200);
}

TEST_F(CliBound, HasDefaultsForEachBound) {
  const std::string model = train("run", {"--latent", "1", "--hidden", "2"});
  const Arguments few = {"--split", "test", "--threads", "1"};
  EXPECT_EQ(json(model, few)["samples"], 1);
  EXPECT_EQ(json(model, few + Arguments{"--bound", "elbo"}), json(model, few));
  EXPECT_EQ(json(model, few + Arguments{"--bound", "iwae"})["samples"], 5000);
  const std::string one = succeed(eval(model, {"--bound", "iwae", "--samples", "1"}));
  EXPECT_NE(one.find("Pareto k-hat    n/a: it needs at least 21 samples\n"), std::string::npos) << one;
  EXPECT_TRUE(json(model, {"--bound", "iwae", "--samples", "20"})["largest_pareto_k"].is_null());
  EXPECT_TRUE(json(model, {"--bound", "iwae", "--samples", "21"})["largest_pareto_k"].is_number());
}

TEST_F(CliBound, WritesTheValueOfEachExample) {
  const std::string model = train("run"), file = path("values.npy");
  const Json elbo = json(model, {"--per-example", file});
  std::vector<double> values = read_doubles(file);
  EXPECT_EQ(values.size(), 50U);
  EXPECT_NEAR(mean(values), elbo["elbo"], 1e-9);
  const Json bound = json(model, {"--bound", "iwae", "--samples", "60", "--per-example", file});
  values = read_doubles(file);
  EXPECT_EQ(values.size(), 50U);
  EXPECT_NEAR(mean(values), bound["value"], 1e-9);
  EXPECT_EQ(names_in(path("")), (std::set<std::string>{"data", "run", "values.npy"}));
}

TEST_F(CliBound, RefusesWhatDoesNotGoTogether) {
  const std::string model = train("run");
  expect_failure(run(eval(model, {"--bound", "best"})), 2,
                 "--bound: bound 'best' is not one of elbo, iwae, prior, ais");
  expect_failure(run(eval(model, {"--bound", "iwae", "--samples", "0"})), 2, "--samples: must be 1 to 2147483647");
  expect_failure(run(eval(model, {"--per-example", path("x.csv")})), 2, "must end in .npy");
  expect_failure(run(eval(model, {"--per-example", "-"})), 2, "must end in .npy");
  expect_failure(run(eval(model, {"--per-example", path("nowhere/x.npy")})), 1, "nowhere");

  VaeConfig config;
  config.latent = 2;
  config.prior = Prior::mixture, config.prior_components = 2;
  TrainConfig training;
  training.estimator = Estimator::iwae;
  const auto backend = make_backend("cpu");
  Trainer(*backend, config, training, training.batch).save(path("mixture.safetensors"));
  expect_failure(run(eval(path("mixture.safetensors"), {"--bound", "prior"})), 2,
                 "--bound: prior draws from a standard prior, but the model's is mixture");
  EXPECT_TRUE(json(path("mixture.safetensors"), {"--bound", "iwae", "--samples", "30"})["value"].is_number());
}

// A run of an older version has the ELBO of its best epoch, which is not compared with the bound.
TEST_F(CliBound, ResumingARunOfAnOlderVersionSaysWhatIsFollowed) {
  const std::string model = train("run", {"--estimator", "iwae", "--samples", "3", "--validation", "0.25"});
  const std::string last = model + "/last.safetensors";
  {
    const SafetensorsFile file = SafetensorsFile::open(last);
    auto metadata = file.metadata();
    Json progress = Json::parse(metadata.at("progress"));
    progress.erase("best_bound");
    progress["best_elbo"] = -1.5;
    metadata["progress"] = progress.dump();
    metadata.erase("crc32");
    write_safetensors(path("old.safetensors"), metadata, file.tensors());
  }
  std::filesystem::rename(path("old.safetensors"), last);
  const ProgramResult result = run({"resume", model, "--epochs", "3", "--threads", "1"});
  EXPECT_EQ(result.code, 0);
  EXPECT_TRUE(
      result.err.starts_with("validation follows the IWAE bound over K = 3 samples now: the ELBO of -1.5 that "
                             "was the best before is not compared with it\n"))
      << result.err;
  EXPECT_NE(result.err.find(" (best)"), std::string::npos) << result.err;
  const ProgramResult again = run({"resume", model, "--epochs", "4", "--threads", "1"});
  EXPECT_EQ(again.err.find("follows"), std::string::npos) << again.err;
}

}  // namespace
}  // namespace cuvae
