// Models of several latent layers, with learned priors and with Bernoulli latents, from training to pictures, and the
// settings that they refuse.
#include <cmath>

#include "cli_test.h"

namespace cuvae::test {
namespace {

class CliModels : public CliTest {
 protected:
  Json config(const std::string& run) const { return Json::parse(read_bytes(path(run) + "/config.json")); }
  Json info(const std::string& model) const { return Json::parse(succeed({"info", model, "--json"})); }
};

struct Model {
  const char* name;
  Arguments flags;
  Json settings;  // of config.json and info
};

std::vector<Model> models() {
  return {
      {"layers",
       {"--latent", "6", "4", "3", "--hidden-above", "8", "5"},
       {{"latent", {6, 4, 3}},
        {"encoder-hidden-above", {8, 5}},
        {"decoder-hidden-above", {5, 8}},
        {"prior", "standard"}}},
      {"linear-layers",
       {"--latent", "6", "4", "--encoder-hidden-above", "7", "--decoder-hidden-above", "0"},
       {{"latent", {6, 4}}, {"encoder-hidden-above", {7}}, {"decoder-hidden-above", {0}}}},
      {"ladder",
       {"--latent", "6", "4", "--ladder", "--hidden-above", "8", "--beta", "0.9", "--kl-warmup", "1"},
       {{"latent", {6, 4}}, {"ladder", true}}},
      {"mixture",
       {"--prior", "mixture", "--prior-components", "5"},
       {{"latent", 2}, {"prior", "mixture"}, {"prior-components", 5}}},
      {"vampprior",
       {"--prior", "vampprior", "--prior-components", "7"},
       {{"latent", 2}, {"prior", "vampprior"}, {"prior-components", 7}}},
      {"belief",
       {"--latent-kind", "bernoulli", "--latent", "8", "5", "--hidden", "0", "--hidden-above", "0", "--samples", "3"},
       {{"latent", {8, 5}}, {"latent-kind", "bernoulli"}, {"estimator", "rloo"}}},
      {"bernoulli",
       {"--latent-kind", "bernoulli", "--latent", "2"},
       {{"latent", 2}, {"latent-kind", "bernoulli"}, {"estimator", "score-mean"}}},
      {"layers-vampprior",
       {"--latent", "5", "3", "--prior", "vampprior"},
       {{"latent", {5, 3}}, {"prior", "vampprior"}, {"prior-components", 500}, {"encoder-hidden-above", {100}}}},
  };
}

TEST_F(CliModels, EachIsTrainedContinuedEvaluatedAndSampled) {
  for (const Model& m : models()) {
    SCOPED_TRACE(m.name);
    const std::string name = m.name;
    const Arguments more = m.flags + Arguments{"--lr", "0.003"};
    const std::string whole = train(name, more + Arguments{"--epochs", "6"}),
                      parts = train(name + "-parts", more + Arguments{"--epochs", "3"});
    succeed({"resume", parts, "--quiet", "--epochs", "6"});
    EXPECT_TRUE(read_bytes(whole + "/last.safetensors") == read_bytes(parts + "/last.safetensors"));
    succeed({"train", "--config", whole + "/config.json", "--out", path(name + "-again"), "--quiet"});
    EXPECT_TRUE(read_bytes(whole + "/last.safetensors") == read_bytes(path(name + "-again") + "/last.safetensors"));

    const Json all = info(whole);
    for (const auto& [key, value] : m.settings.items()) {
      EXPECT_EQ(config(name)[key], value) << key;
      EXPECT_EQ(all[key == "estimator" ? "training" : "model"][key], value) << key;
    }
    const bool bernoulli = m.settings.contains("latent-kind");
    if (!bernoulli) {
      EXPECT_EQ(config(name)["estimator"], "total");
      EXPECT_EQ(all["training"]["estimator"], "total");
    }

    const std::vector<Json> lines = json_lines(whole + "/metrics.jsonl");
    EXPECT_LT(lines.back()["loss"], lines.front()["loss"]);
    const Json evaluation = Json::parse(succeed({"eval", whole, "--data", data(), "--split", "train", "--json"}));
    EXPECT_GT(evaluation["elbo"], -lines.front()["loss"].get<double>());
    EXPECT_NEAR(evaluation["elbo"], evaluation["reconstruction"].get<double>() - evaluation["kl"].get<double>(), 1e-9);

    const int latent = m.settings["latent"].is_array() ? m.settings["latent"][0].get<int>() : 2;
    succeed({"encode", whole, "--data", data(), "--out", path("z.npy")});
    EXPECT_EQ(Dataset::open(path("z.npy"), Split::train).cols(), 2 * latent);
    succeed({"decode", whole, "--in", path("z.npy"), "--out", path("x.npy")});
    EXPECT_EQ(Dataset::open(path("x.npy"), Split::train).cols(), 784);
    succeed({"sample", whole, "--out", path("samples.png"), "--count", "4"});
    expect_picture(path("samples.png"), 118, 118);
    succeed({"reconstruct", whole, "--data", data(), "--out", path("pairs.png"), "--count", "4"});
    if (bernoulli) {
      expect_failure(run({"traverse", whole, "--out", path("rows.png")}), 1, "but those of the model are 0 or 1");
    } else {
      succeed({"traverse", whole, "--out", path("rows.png")});
    }
    succeed({"interpolate", whole, "--data", data(), "--from", "0", "--to", "1", "--out", path("way.png")});
    EXPECT_FALSE(std::filesystem::exists(whole + "/manifold.png"));
    expect_failure(run({"manifold", whole, "--out", path("m.png")}), 1,
                   "shows quantiles of one latent layer under a standard normal, but the model has " +
                       (latent != 2 ? "several layers"
                        : bernoulli ? "Bernoulli latents"
                                    : "the prior " + name));
  }
}

TEST_F(CliModels, TheBoundOfTheTwoLayerModelOfBurdaEtAlIsTrained) {
  const std::string model = train("iwae", {"--latent", "10", "5", "--hidden", "20", "20", "--hidden-above", "10", "10",
                                           "--activation", "tanh", "--estimator", "iwae", "--samples", "5"});
  EXPECT_EQ(config("iwae")["estimator"], "iwae");
  EXPECT_LT(json_lines(model + "/metrics.jsonl").back()["loss"], json_lines(model + "/metrics.jsonl").front()["loss"]);
}

TEST_F(CliModels, AnObjectiveBringsAnEstimatorOfSeveralLayers) {
  for (const auto& [objective, estimator] : {std::pair{"elbo", "total"},
                                             {"iwae", "iwae"},
                                             {"ciwae", "iwae"},
                                             {"piwae", "iwae"},
                                             {"rws", "wake-phi"},
                                             {"wake-sleep", nullptr}}) {
    SCOPED_TRACE(objective);
    train(objective, {"--latent", "3", "2", "--samples", "2", "--objective", objective});
    EXPECT_EQ(config(objective)["objective"], objective);
    EXPECT_EQ(config(objective).contains("estimator"), estimator != nullptr);
    if (estimator != nullptr) {
      EXPECT_EQ(config(objective)["estimator"], estimator);
    }
  }
}

TEST_F(CliModels, AnObjectiveBringsAnEstimatorOfBernoulliLatents) {
  for (const auto& [objective, estimator] :
       {std::pair{"elbo", "rloo"}, {"iwae", "vimco"}, {"miwae", "vimco"}, {"piwae", "vimco"}, {"rws", "wake-phi"}}) {
    SCOPED_TRACE(objective);
    const std::string model = train(objective, {"--latent-kind", "bernoulli", "--latent", "3", "2", "--samples", "2",
                                                "--validation", "0.2", "--objective", objective});
    EXPECT_EQ(config(objective)["estimator"], estimator);
    succeed({"eval", model, "--data", data(), "--bound", "iwae", "--samples", "20"});
  }
}

TEST_F(CliModels, OneLayerUnderAStandardNormalHasItsOldSettings) {
  train("one");
  const Json settings = config("one");
  EXPECT_EQ(settings["latent"], 2);
  EXPECT_EQ(settings["prior"], "standard");
  EXPECT_EQ(settings["estimator"], "pathwise");
  for (const char* key : {"encoder-hidden-above", "decoder-hidden-above", "prior-components"})
    EXPECT_FALSE(settings.contains(key)) << key;
}

TEST_F(CliModels, FlagsWinOverTheFile) {
  train("two", {"--latent", "6", "4", "--hidden-above", "8", "5"});
  const Arguments again = {"train", "--quiet", "--config", path("two/config.json"), "--out"};
  succeed(again + Arguments{path("hidden"), "--hidden-above", "9"});
  EXPECT_EQ(config("hidden")["latent"], Json({6, 4}));
  EXPECT_EQ(config("hidden")["encoder-hidden-above"], Json({9}));
  EXPECT_EQ(config("hidden")["decoder-hidden-above"], Json({9}));
  succeed(again + Arguments{path("widths"), "--latent", "6", "4", "2", "--decoder-hidden-above", "3"});
  EXPECT_EQ(config("widths")["latent"], Json({6, 4, 2}));
  EXPECT_EQ(config("widths")["encoder-hidden-above"], Json({8, 5}));
  EXPECT_EQ(config("widths")["decoder-hidden-above"], Json({3}));
}

TEST_F(CliModels, SettingsThatDoNotGoTogetherAreWrongUsage) {
  const auto refused = [&](const Arguments& more, const std::string& text) {
    expect_failure(run(train_arguments("x", more)), 2, text);
    EXPECT_FALSE(std::filesystem::exists(path("x")));
  };
  const Arguments two = {"--latent", "4", "3"};
  refused({"--hidden-above", "8"}, "--hidden-above: has no effect with one latent layer");
  refused({"--encoder-hidden-above", "8"}, "--encoder-hidden-above: has no effect with one latent layer");
  refused({"--ladder"}, "ladder is true but must be false with one latent layer");
  refused(two + Arguments{"--ladder", "--objective", "piwae", "--samples", "2"},
          "the objective is piwae, which trains the two networks apart, but a ladder's decoders belong to both");
  refused({"--prior-components", "8"}, "prior_components is 8 but must be 0 with the prior standard");
  refused(two + Arguments{"--hidden-above", "8", "--encoder-hidden-above", "8", "--decoder-hidden-above", "8"},
          "--hidden-above: has no effect with --encoder-hidden-above and --decoder-hidden-above");
  refused(two + Arguments{"--estimator", "pathwise"},
          "the estimator is pathwise but there is no KL in closed form with 2 latent layers: use total, stl, iwae");
  refused(two + Arguments{"--estimator", "optimal", "--samples", "2"},
          "the estimator is optimal, whose baselines need several samples of each layer");
  refused(two + Arguments{"--free-bits", "2"}, "free_bits is 2 but must be 0 with the estimator total");
  refused(two + Arguments{"--estimator", "iwae", "--beta", "2"}, "beta is 2 but must be 1 with the estimator iwae");
  refused(two + Arguments{"--antithetic", "--samples", "2"},
          "antithetic is true but must be false with 2 latent layers");
  refused({"--latent", "4", "0"}, "--latent: must be 1 to 2147483647, not \"0\"");
  refused({"--prior", "mixture", "--prior-components", "0"}, "--prior-components: must be 1 to 2147483647, not \"0\"");
  refused({"--prior", "flow"}, "--prior:");
  const Arguments bernoulli = {"--latent-kind", "bernoulli"};
  refused(bernoulli + Arguments{"--estimator", "pathwise"},
          "Bernoulli latents need a score function: score, score-mean");
  refused(bernoulli + Arguments{"--prior", "vampprior"}, "prior");
  refused({"--latent-kind", "cauchy"}, "--latent-kind:");
  refused({"--prior", "mixture", "--estimator", "delta"}, "there is no KL in closed form with the prior mixture");
  refused({"--prior", "vampprior", "--objective", "wake-sleep"},
          "draws from a standard normal, but the prior is vampprior");
}

}  // namespace
}  // namespace cuvae::test
