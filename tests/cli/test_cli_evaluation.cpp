// cuvae eval: layers, the aggregate posterior, exact sums, gaps and annealed importance sampling.
#include <cmath>

#include "cli_test.h"

namespace cuvae {
namespace {
using namespace test;

class CliEvaluation : public CliTest {
 protected:
  Arguments eval(const std::string& model, const Arguments& more = {}) const {
    return Arguments{"eval", model, "--data", data(), "--threads", "1"} + more;
  }
  Json json(const std::string& model, const Arguments& more = {}) const {
    return Json::parse(succeed(eval(model, more + Arguments{"--json"})));
  }
  void expect_lines(const std::string& text, const std::vector<const char*>& starts) const {
    for (const char* start : starts)
      EXPECT_NE(("\n" + text).find(std::string("\n") + start), std::string::npos) << start << " in:\n" << text;
  }
};

TEST_F(CliEvaluation, ShowsTheLayersOfAChain) {
  const Arguments chain = {"--latent", "4", "3", "--hidden-above", "5", "--validation", "0.25"};
  const std::string model = train("run", chain);
  const Json e = json(model);
  ASSERT_EQ(e["layers"].size(), 2U);
  EXPECT_EQ(e["layers"][0]["latent"], 4);
  EXPECT_EQ(e["layers"][1]["latent"], 3);
  EXPECT_NEAR(e["layers"][0]["kl"].get<double>() + e["layers"][1]["kl"].get<double>(), e["kl"], 1e-4);
  EXPECT_EQ(e["layers"][0]["active_units"], e["active_units"]);
  EXPECT_EQ(e["rate"], e["kl"]);
  EXPECT_EQ(e["distortion"], -e["reconstruction"].get<double>());
  expect_lines(succeed(eval(model)),
               {"reconstruction  -", "KL              ", "layer 1         KL ", "layer 2         KL "});

  const Json logged = json_lines(model + "/metrics.jsonl").back()["validation"];
  ASSERT_EQ(logged["layers"].size(), 2U);
  EXPECT_NEAR(logged["layers"][0]["kl"].get<double>() + logged["layers"][1]["kl"].get<double>(), logged["kl"], 1e-4);
  EXPECT_LE(logged["layers"][1]["active_units"], 3);
  const ProgramResult result = run(Arguments{"train", "--data", data(), "--out", path("loud"), "--epochs", "1",
                                             "--hidden", "16", "--batch", "50", "--threads", "1"} +
                                   chain);
  EXPECT_EQ(result.code, 0) << result.err;
  EXPECT_NE(result.err.find("  layers: kl "), std::string::npos) << result.err;
  EXPECT_NE(result.out.find("\nvalidation KL "), std::string::npos) << result.out;

  const Json one = json(train("one"));
  ASSERT_EQ(one["layers"].size(), 1U);
  EXPECT_EQ(one["layers"][0]["kl"], one["kl"]);
}

TEST_F(CliEvaluation, DividesTheKlOfTheAggregatePosterior) {
  const std::string model = train("run");
  const Json e = json(model, {"--aggregate", "--samples", "4"});
  EXPECT_NEAR(e["mutual_information"].get<double>() + e["marginal_kl"].get<double>(), e["kl_from_samples"], 1e-9);
  EXPECT_LE(e["mutual_information"], std::log(50.0) + 1e-4);
  EXPECT_NEAR(e["kl_from_samples"], e["kl"], 1);  // both estimate it
  EXPECT_EQ(e["elbo"], json(model, {"--samples", "4"})["elbo"]);
  EXPECT_FALSE(json(model).contains("mutual_information"));
  expect_lines(succeed(eval(model, {"--aggregate"})), {"mutual info     ", "marginal KL     "});
  const std::string chain = train("chain", {"--latent", "4", "3", "--hidden-above", "5"});
  for (const char* flag : {"--aggregate", "--gaps"})
    expect_failure(run(eval(chain, {flag})), 2,
                   std::string(flag) + ": the model must have one layer of Gaussian latents");
  expect_failure(run(eval(chain, {"--bound", "ais"})), 2, "--bound: ais needs one layer of Gaussian latents under a");
}

TEST_F(CliEvaluation, SumsOverTheLatentsExactly) {
  const std::string model = train("run", {"--latent-kind", "bernoulli", "--latent", "4", "3", "--hidden-above", "0"});
  const Json e = json(model, {"--exact"});
  EXPECT_GT(e["log_p"], e["elbo"]);
  EXPECT_NEAR(e["posterior_kl"], e["log_p"].get<double>() - e["elbo"].get<double>(), 1e-9);
  EXPECT_NEAR(e["elbo"], e["reconstruction"].get<double>() - e["kl"].get<double>(), 1e-9);
  const Json bound = json(model, {"--bound", "iwae", "--samples", "2000"});
  EXPECT_NEAR(bound["value"], e["log_p"], 5 * bound["sampling_error"].get<double>() + 0.01);
  expect_lines(succeed(eval(model, {"--exact"})), {"log p(x)        -", "ELBO            -", "KL to posterior "});
  const std::string gaussian = train("gaussian");
  expect_failure(run(eval(gaussian, {"--exact"})), 2, "--exact: the model's latents are Gaussian");
  EXPECT_TRUE(bound["largest_pareto_k"].is_null());
  expect_lines(succeed(eval(model, {"--bound", "iwae", "--samples", "50"})),
               {"Pareto k-hat    n/a for Bernoulli latents\nValues of the latents that are never drawn count in none"});
}

TEST_F(CliEvaluation, ShowsTheGapsOfThePosterior) {
  const std::string model = train("run");
  const Arguments few = {"--gaps", "--examples", "7", "--samples", "500", "--refine-steps", "60", "--refine-lr", "0.1"};
  const Json e = json(model, few);
  EXPECT_EQ(e["examples"], 7);
  EXPECT_GT(e["refined_elbo"], e["elbo"]);
  EXPECT_NEAR(e["log_p"].get<double>() - e["elbo"].get<double>(),
              e["approximation_gap"].get<double>() + e["amortization_gap"].get<double>(), 1e-9);
  EXPECT_EQ(json(model, few), e);
  expect_lines(succeed(eval(model, few)), {"log p(x)        at least -", "refined ELBO    -", "ELBO            -",
                                           "approximation   ", "amortization    "});
}

TEST_F(CliEvaluation, AnnealsImportanceSampling) {
  const std::string model = train("run");
  const Arguments few = {"--examples", "5"}, ais = few + Arguments{"--bound", "ais", "--temperatures", "100"};
  const Json e = json(model, ais);
  EXPECT_EQ(e["bound"], "ais");
  EXPECT_EQ(e["samples"], 16);
  EXPECT_GT(e["acceptance"], 0);
  const std::string at_once =
      succeed(eval(model, few + Arguments{"--bound", "ais", "--temperatures", "1", "--chains", "1"}));
  EXPECT_NE(at_once.find("acceptance      n/a"), std::string::npos) << at_once;
  EXPECT_NE(at_once.find("sampling error  n/a"), std::string::npos) << at_once;
  const Json prior = json(model, few + Arguments{"--bound", "prior", "--samples", "20000"});  // enough for two latents
  EXPECT_NEAR(e["value"], prior["value"],
              5 * (e["sampling_error"].get<double>() + prior["sampling_error"].get<double>()) + 0.1);
  EXPECT_LT(e["sampling_error"], 0.2);
  EXPECT_EQ(json(model, ais + Arguments{"--chains", "3"})["samples"], 3);
  EXPECT_NE(json(model, ais + Arguments{"--annealing", "linear"})["value"], e["value"]);
  const std::string text = succeed(eval(model, ais));
  expect_lines(text, {"examples        5\n", "log p(x)        at least -", "acceptance      "});
  EXPECT_NE(text.find("(AIS bound over K = 16 chains, standard error)"), std::string::npos) << text;
}

TEST_F(CliEvaluation, RefusesFlagsWithoutEffect) {
  const std::string model = train("run");
  const auto refused = [&](const Arguments& flags, const std::string& text) {
    expect_failure(run(eval(model, flags)), 2, text);
  };
  refused({"--exact", "--samples", "3"}, "--samples: has no effect with --exact");
  refused({"--exact", "--bound", "iwae"}, "--bound: has no effect with --exact");
  refused({"--gaps", "--bound", "iwae"}, "--bound: has no effect with --gaps");
  refused({"--exact", "--gaps"}, "--gaps: has no effect with --exact");
  refused({"--aggregate", "--bound", "iwae"}, "--aggregate: has no effect with a --bound other than elbo");
  refused({"--refine-steps", "3"}, "--refine-steps: has no effect without --gaps");
  refused({"--temperatures", "3"}, "--temperatures: has no effect without --bound ais");
  refused({"--bound", "ais", "--samples", "3"}, "--samples: has no effect with --bound ais, which has --chains");
  refused({"--bound", "ais", "--annealing", "fast"}, "schedule 'fast' is not one of linear, sigmoidal");
  expect_failure(run(eval(model, {"--examples", "51"})), 1, "--examples is 51 but there are only 50");
  EXPECT_EQ(json(model, {"--examples", "3"})["examples"], 3);
}

}  // namespace
}  // namespace cuvae
