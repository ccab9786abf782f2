// A result that is not finite is a failure in every command: null in JSON, words in text, and exit code 1.
#include <cmath>

#include "cli_test.h"

namespace cuvae::test {
namespace {

class CliNotFinite : public CliTest {
 protected:
  /// An array [rows, 12] of one value; 1e30 squared is beyond float32, so that a Gaussian's log density is infinite.
  std::string array_of(float value, std::uint32_t rows, const std::string& name = "data.npy") const {
    const std::vector<float> values(rows * 12, value);
    write(path(name),
          npy(1, npy_dict("<f4", "(" + std::to_string(rows) + ", 12)"), float_bytes(values, std::endian::little)));
    return path(name);
  }
  Arguments train_gaussian(const std::string& out, const std::string& data, const Arguments& more = {}) const {
    Arguments arguments = train_arguments(
        out, Arguments{"--data", data, "--likelihood", "gaussian", "--batch", "10", "--hidden", "4"} + more);
    if (std::find(more.begin(), more.end(), "--quiet") == more.end()) std::erase(arguments, "--quiet");
    return arguments;
  }
};

TEST_F(CliNotFinite, ARunWhoseEveryStepWasSkippedFails) {
  const std::string data = array_of(1e30f, 50);
  const ProgramResult result = run(train_gaussian("run", data, {"--log-every", "1"}));
  EXPECT_EQ(result.code, 1);
  EXPECT_NE(result.err.find("no step of the last epoch changed the model"), std::string::npos) << result.err;
  EXPECT_NE(result.err.find("loss not finite  reconstruction not finite"), std::string::npos) << result.err;
  EXPECT_NE(result.out.find("ELBO not finite"), std::string::npos) << result.out;
  EXPECT_NE(result.out.find("10 steps were skipped"), std::string::npos) << result.out;
  for (const Json& line : json_lines(path("run/metrics.jsonl")))
    for (const char* key : {"loss", "reconstruction", "kl", "gradient_norm", "active_units"})
      EXPECT_TRUE(line.at(key).is_null()) << key << " is " << line.at(key);

  // A run that is already finished still counts as a failure.
  const ProgramResult again = run({"resume", path("run"), "--quiet"});
  expect_failure(again, 1, "no step of the last epoch changed the model");
}

TEST_F(CliNotFinite, ARunEndsAfterExactlyMaxSkippedStepsWhateverItReports) {
  const std::string data = array_of(1e30f, 50);
  for (const char* every : {"0", "1", "3", "7", "100"}) {
    const std::string run_name = std::string("run") + every;
    const ProgramResult result =
        run(train_gaussian(run_name, data, {"--epochs", "100", "--max-skipped", "4", "--log-every", every}));
    EXPECT_EQ(result.code, 1);
    EXPECT_NE(result.err.find("not finite in 4 steps in a row, up to step 4;"), std::string::npos) << result.err;
  }
}

TEST_F(CliNotFinite, EvaluationsAndLatentsOfModelsThatOverflow) {
  const std::string good = array_of(0.5f, 50), huge = array_of(1e30f, 3, "huge.npy");
  const ProgramResult trained = run(train_gaussian("run", good));
  ASSERT_EQ(trained.code, 0) << trained.err;
  const ProgramResult json = run({"eval", path("run"), "--data", huge, "--json"});
  EXPECT_EQ(json.code, 1);
  EXPECT_NE(json.err.find("the ELBO over 3 examples is not finite"), std::string::npos) << json.err;
  const Json object = Json::parse(json.out);
  EXPECT_TRUE(object.at("elbo").is_null() && object.at("bits_per_dim").is_null()) << object;
  const ProgramResult text = run({"eval", path("run"), "--data", huge});
  EXPECT_EQ(text.code, 1);
  EXPECT_NE(text.out.find("ELBO            not finite +- n/a"), std::string::npos) << text.out;

  const auto refused = [&](const Arguments& flags, const std::string& what) {
    const ProgramResult of_flags = run(Arguments{"eval", path("run"), "--data", huge, "--json"} + flags);
    EXPECT_EQ(of_flags.code, 1);
    EXPECT_NE(of_flags.err.find(what), std::string::npos) << of_flags.err;
    EXPECT_TRUE(Json::accept(of_flags.out)) << of_flags.out;
  };
  refused({"--gaps", "--samples", "3", "--refine-steps", "2"}, "the ELBO over 3 examples is not finite");
  refused({"--bound", "ais", "--temperatures", "2"}, "the AIS bound over K = 16 chains of example 0 is not finite");

  const std::string beyond = array_of(3e38f, 3, "beyond.npy");
  expect_failure(run({"encode", path("run"), "--data", beyond, "--out", path("z.npy")}), 1, "is not finite");
  EXPECT_FALSE(std::filesystem::exists(path("z.npy")));
}

TEST_F(CliNotFinite, OneExampleHasNoStandardError) {
  const std::string model = train("run");
  const std::string one = path("one.npy");
  write(one, npy(1, npy_dict("|u1", "(1, 784)"), std::string(784, '\x40')));
  const std::string text = succeed({"eval", model, "--data", one});
  EXPECT_NE(text.find(" +- n/a nats (standard error)"), std::string::npos) << text;
  const Json object = Json::parse(succeed({"eval", model, "--data", one, "--json"}));
  EXPECT_TRUE(object.at("elbo").is_number() && object.at("elbo_error").is_null()) << object;
}

TEST_F(CliNotFinite, InfoSaysNoneOfABestThatIsNot) {
  const std::string model = train("run");
  const std::string text = succeed({"info", model});
  EXPECT_NE(text.find("best-elbo               none"), std::string::npos) << text;
  EXPECT_TRUE(Json::parse(succeed({"info", model, "--json"})).at("progress").at("best-elbo").is_null());
}

}  // namespace
}  // namespace cuvae::test
