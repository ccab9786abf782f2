// Every failure gives one line on stderr and an exit code, and leaves no incomplete file.
#include <cmath>

#include "cli_test.h"

namespace cuvae::test {
namespace {

namespace fs = std::filesystem;

class CliErrorTest : public CliTest {
 protected:
  // A run that cannot start leaves no folder behind.
  void expect_no_run(const Arguments& more, int code, const std::string& part,
                     const ProgramOptions& options = {}) const {
    expect_failure(run(train_arguments("failed", more), options), code, part);
    EXPECT_FALSE(fs::exists(path("failed")));
  }
  void expect_unreadable(const std::string& name, const std::string& bytes, const std::string& part) const {
    write(path(name), bytes);
    expect_no_run({"--data", path(name)}, 1, part);
  }
};

TEST_F(CliErrorTest, WrongUsage) {
  expect_failure(run({"trian"}), 2, "trian (try 'cuvae --help')");
  expect_failure(run({"--bogus"}), 2, "--bogus");
  expect_failure(run({"train"}), 2, "--out is required (try 'cuvae train --help')");
  expect_failure(run({"eval"}), 2, "model is required (try 'cuvae eval --help')");
  expect_failure(run({"eval", "x", "--split", "both"}), 2, "--split");
  expect_failure(run({"sample", "x", "--out", "y.jpg"}), 2, "--out: 'y.jpg' must end in .png or .npy");
  expect_failure(run({"encode", "x", "--out", "y.png"}), 2, "--out: 'y.png' must end in .npy");
  expect_failure(run({"manifold", "x", "--out", "y.png", "--dims", "1"}), 2, "--dims");
}

TEST_F(CliErrorTest, ValuesOutOfRange) {
  const std::pair<Arguments, const char*> cases[] = {
      {{"--bogus", "1"}, "--bogus"},
      {{"--epochs", "0"}, "--epochs: must be 1 to 2147483647, not \"0\""},
      {{"--batch", "-3"}, "--batch: must be 1 to 2147483647, not \"-3\""},
      {{"--batch", "12x"}, "--batch: must be a whole number in decimal digits, not \"12x\""},
      {{"--batch", "1.5"}, "--batch: must be a whole number"},
      {{"--batch", "99999999999"}, "--batch: must be 1 to 2147483647"},
      {{"--seed", "-1"}, "--seed: must be 0 to 18446744073709551615, not \"-1\""},
      {{"--lr", "nan"}, "--lr: must be a finite number of at least 0, not \"nan\""},
      {{"--lr", "inf"}, "--lr: must be a finite number of at least 0, not \"inf\""},
      {{"--lr", "0"}, "rate is 0"},
      {{"--beta", "1e39"}, "--beta: must be a finite number of at least 0, not \"1e39\""},
      {{"--beta1", "1"}, "beta1 is 1"},
      {{"--validation", "1.5"}, "--validation: must be 0 to 1, not \"1.5\""},
      {{"--validation", "1"}, "validation is 1"},
      {{"--latent", "0"}, "--latent: must be 1 to 2147483647, not \"0\""},
      {{"--hidden", "16", "0"}, "hidden width"},
      {{"--scale", "0", "--likelihood", "gaussian"}, "--scale: must be 1e-18 to 1e+18, not \"0\""},
      {{"--likelihood", "gaussian-learned", "--scale", "5000"},
       "scale is 5000 but a learned one must start within 0.000911882 to 1096.63"},
      {{"--patience", "3"}, "patience is 3"},
      {{"--estimator", "rloo"}, "samples is 1 but must be at least 2 with the estimator rloo"},
      {{"--estimator", "optimal"}, "samples is 1 but must be at least 2 with the estimator optimal"},
      {{"--antithetic", "--samples", "3"}, "samples is 3 but must be even for antithetic pairs"},
      {{"--antithetic", "--samples", "2", "--estimator", "rloo"},
       "antithetic is true but must be false with the estimator rloo: only pathwise"},
      {{"--estimator", "stl", "--free-bits", "1"}, "free_bits is 1 but must be 0 with the estimator stl"},
      {{"--estimator", "vae"}, "--estimator: estimator 'vae' is not one of pathwise, total"},
      {{"--objective", "elbo", "--estimator", "iwae", "--samples", "2"},
       "estimator is iwae but must be pathwise, total"},
      {{"--objective", "ciwae", "--estimator", "vimco", "--samples", "2"},
       "estimator is vimco but must be pathwise, stl, iwae, stl-iwae or dreg for the objective ciwae"},
      {{"--objective", "best"}, "--objective: objective 'best' is not one of elbo, iwae, miwae, ciwae, piwae, wake-"},
      {{"--bounds", "2", "--estimator", "iwae"}, "bounds is 2 but must be 1 for the objective iwae"},
      {{"--bounds", "1"}, "--bounds: has no effect without --objective miwae or piwae"},
      {{"--elbo-share", "0.5", "--objective", "iwae"}, "--elbo-share: has no effect without --objective ciwae"},
      {{"--sleep-share", "0.5"}, "sleep_share is 0.5 but must be 0 for the objective elbo"},
      {{"--objective", "rws", "--sleep-share", "1", "--estimator", "wake-phi"},
       "--estimator: has no effect with --sleep-share 1"},
      {{"--objective", "wake-sleep", "--estimator", "pathwise"}, "--estimator: has no effect with --objective wake-sl"},
      {{"--activation", "sigmoid"}, "--activation: activation 'sigmoid'"},
      {{"--schedule", "pieces"}, "pairs"},
      {{"--lr-pieces", "1-1"}, "--lr-pieces: '1-1' is not EPOCHS:RATE"},
      {{"--lr-pieces", "1:x"}, "--lr-pieces: '1:x' is not EPOCHS:RATE"}};
  for (const auto& [flags, part] : cases) {
    expect_failure(run(train_arguments("failed", flags)), 2, part);
    EXPECT_FALSE(fs::exists(path("failed"))) << part;
  }
}

TEST_F(CliErrorTest, DataThatIsNone) {
  const std::string header = idx(0x08, {200, 28, 28}, ""), pixels(std::size_t{200} * 784, '\7');
  expect_no_run({"--data", path("nowhere")}, 1, path("nowhere") + ": ");
  fs::create_directory(path("folder"));
  expect_no_run({"--data", path("folder")}, 1, "no images in this folder");
  expect_unreadable("empty", "", "empty");
  expect_unreadable("text", "hello, world", path("text") + ": ");
  expect_unreadable("short", header + pixels.substr(1), "truncated");
  expect_unreadable("long", header + pixels + "x", path("long") + ": ");
  expect_unreadable("short.gz", gzip(header + pixels).substr(0, 100), "byte 100");
  expect_unreadable("labels", idx(0x08, {200}, std::string(200, '\1')), "one dimension");
  expect_unreadable(
      "nan", npy(1, npy_dict("<f4", "(1, 4)"), float_bytes({0, 1, std::nanf(""), 1}, std::endian::little)), "nan");
  std::vector<float> wide(120, 1.5F);
  wide[0] = 0;
  expect_unreadable("wide", npy(1, npy_dict("<f4", "(60, 2)"), float_bytes(wide, std::endian::little)),
                    "row 0, column 1 is 1.5, but a bernoulli likelihood needs values in [0, 1]: divide by 1.5");
  expect_no_run({"--batch", "201"}, 1, "batch is 201");
  expect_no_run({"--device", "tpu"}, 1, "tpu");
}

TEST_F(CliErrorTest, ModelsThatAreNone) {
  const std::string good = read_bytes(train("run") + "/last.safetensors");
  const auto expect = [&](const std::string& bytes, const std::string& part) {
    write(path("bad.safetensors"), bytes);
    for (const char* command : {"eval", "sample", "info"}) {
      Arguments arguments = {command, path("bad.safetensors")};
      if (arguments[0] == "sample") arguments = arguments + Arguments{"--out", path("p.png")};
      if (arguments[0] == "eval") arguments = arguments + Arguments{"--data", data()};
      expect_failure(run(arguments), 1, path("bad.safetensors") + ": " + part);
    }
    EXPECT_FALSE(fs::exists(path("p.png")));
  };
  const auto edited = [&](const std::string& from, const std::string& to) {
    std::string bytes = good;
    const std::size_t at = bytes.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return bytes.replace(at, from.size(), to);
  };
  expect("", "");
  expect("not a checkpoint", "");
  expect(good.substr(0, good.size() / 2), "");
  expect(good.substr(0, 20), "");
  expect(good + "x", "");
  expect(edited("latent\\\":2", "latent\\\":3"), "");
  expect(edited("encoder_hidden\\\":[16]", "encoder_hidden\\\":[61]"), "");
  expect(edited("relu", "rulu"), "");
  expect(edited("cuvae 1", "other 1"), "not a cuvae checkpoint");
  expect_failure(run({"info", path("nowhere")}), 1, path("nowhere") + ": ");
  expect_failure(run({"info", data()}), 1, "no best.safetensors or last.safetensors");

  write(path("run/last.safetensors"), good.substr(0, 1000));
  expect_failure(run({"resume", path("run")}), 1, "last.safetensors: ");
}

TEST_F(CliErrorTest, ExamplesThatDoNotFitTheModel) {
  const std::string model = train("run");
  write(path("x.npy"), npy(1, npy_dict("|u1", "(4, 2)"), count_up(8)));
  expect_failure(run({"eval", model, "--data", path("x.npy")}), 1, "rows have 2 values but the model needs 784");
  expect_failure(run({"encode", model, "--data", path("x.npy"), "--out", path("e.npy")}), 1, "needs 784");
  expect_failure(run({"decode", model, "--in", data() + "/t10k-images-idx3-ubyte", "--out", path("d.npy")}), 1,
                 "rows have 784 values but the model needs 2 or 4");
  expect_failure(run({"interpolate", model, "--data", data(), "--out", path("p.png"), "--to", "50"}), 1,
                 "row is 50 but must be from 0 to 49");
  expect_failure(run({"traverse", model, "--data", data(), "--out", path("p.png"), "--index", "99"}), 1,
                 "row is 99 but must be from 0 to 49");
  expect_failure(run({"traverse", model, "--out", path("p.png"), "--dims", "2"}), 2,
                 "--dims: 2 is not one of the model's dimensions, 0 to 1");
  expect_failure(run({"sample", model, "--out", path("p.png"), "--count", "2000000000"}), 2, "must be 1 to 1000000");
  EXPECT_EQ(names_in(dir_.path()), (std::set<std::string>{"data", "run", "x.npy"}));
}

TEST_F(CliErrorTest, OutputsThatCannotBeWritten) {
  const std::string model = train("run");
  write(path("file"), "mine");
  expect_failure(run(train_arguments("file")), 1, path("file") + ": cannot write");
  expect_failure(run(train_arguments("file/below")), 1, path("file/below") + ": cannot write: Not a directory");
  for (const char* out : {"file/p.npy", "nowhere/p.npy"}) {
    expect_failure(run({"sample", model, "--out", path(out)}), 1, path(out) + ": cannot write: No");
    expect_failure(run({"encode", model, "--data", data(), "--out", path(out)}), 1, path(out) + ": cannot write: No");
  }
  fs::create_directory(path("folder.npy"));
  expect_failure(run({"sample", model, "--out", path("folder.npy")}), 1, "not a regular file");
  expect_failure(run({"info", model}, {{}, {}, "/dev/full"}), 1, "standard output");
  EXPECT_EQ(read_bytes(path("file")), "mine");
}

TEST_F(CliErrorTest, AFullDisk) {
  const std::string model = train("run");
  const ProgramOptions full{{}, rlim_t{500}, {}};
  expect_failure(run({"sample", model, "--out", path("p.png")}, full), 1,
                 path("p.png") + ": cannot write: File too large");
  expect_failure(run({"encode", model, "--data", data(), "--out", path("e.npy")}, full), 1,
                 path("e.npy") + ": cannot write");
  EXPECT_EQ(names_in(dir_.path()), (std::set<std::string>{"data", "run"}));
  expect_no_run({}, 1, "config.json: cannot write: File too large", full);
  expect_no_run({}, 1, "last.safetensors: cannot write: File too large", {{}, rlim_t{2000}, {}});

  // A resumed run whose log cannot grow keeps its checkpoint.
  const std::string last = read_bytes(model + "/last.safetensors");
  const ProgramOptions log_full{{}, rlim_t{fs::file_size(model + "/metrics.jsonl") + 10}, {}};
  EXPECT_EQ(run({"resume", model, "--epochs", "4", "--quiet"}, log_full).code, 1);
  EXPECT_TRUE(read_bytes(model + "/last.safetensors") == last);
  succeed({"resume", model, "--quiet"});
}

TEST_F(CliErrorTest, ADivergedRunKeepsItsLastGoodCheckpoint) {
  const Arguments arguments = train_arguments("run", {"--optimizer", "sgd", "--lr", "1e30", "--max-skipped", "3"});
  const ProgramResult result = run(arguments);
  expect_failure(result, 1, "not finite");
  succeed({"sample", path("run"), "--out", path("p.npy")});
  EXPECT_EQ(Dataset::open(path("p.npy"), Split::train).rows(), 64);
}

}  // namespace
}  // namespace cuvae::test
