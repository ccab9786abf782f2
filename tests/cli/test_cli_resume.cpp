// Runs that are stopped or killed and then continue with the same bytes.
#include <random>

#include "cli_test.h"

namespace cuvae::test {
namespace {

namespace fs = std::filesystem;

// Values that depend on time differ between runs.
std::vector<Json> metrics_without_times(const std::string& run) {
  std::vector<Json> lines = json_lines(run + "/metrics.jsonl");
  for (Json& line : lines) {
    line.erase("seconds");
    line.erase("examples_per_second");
  }
  return lines;
}

class CliResumeTest : public CliTest {
 protected:
  // Long enough to be stopped before its end: a few seconds, also with a sanitizer.
  Arguments long_arguments(const std::string& out) const {
#if defined(CUVAE_SANITIZED)
    const char* const epochs = "40";
#else
    const char* const epochs = "150";
#endif
    return train_arguments(
        out, {"--epochs", epochs, "--batch", "10", "--log-every", "7", "--validation", "0.2", "--ema", "0.9"});
  }

  static void expect_same_run(const std::string& run, const std::string& reference) {
    EXPECT_EQ(names_in(run), names_in(reference));
    std::set<std::string> names = names_in(reference);
    names.erase("metrics.jsonl");
    for (const std::string& name : names)
      EXPECT_TRUE(read_bytes(run + "/" + name) == read_bytes(reference + "/" + name)) << name;
    const std::vector<Json> lines = metrics_without_times(run), wanted = metrics_without_times(reference);
    ASSERT_EQ(lines.size(), wanted.size());
    for (std::size_t i = 0; i < lines.size(); ++i) ASSERT_EQ(lines[i], wanted[i]) << "line " << i;
  }

  void wait_for_reports(const std::string& run, std::size_t count) const {
    const fs::path metrics = path(run) + "/metrics.jsonl";
    for (int i = 0; i < 20'000; ++i) {
      if (fs::exists(metrics) && lines_in(metrics) >= count) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    FAIL() << "no metrics in 20 s";
  }
  static std::size_t lines_in(const fs::path& path) {
    const std::string text = read_bytes(path);
    return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n'));
  }
};

TEST_F(CliResumeTest, ContinuesAfterEveryKillBitForBit) {
  succeed(long_arguments("reference"));
  std::mt19937 random(1);
  int kills = 0;
  while (true) {
    const bool started = fs::exists(path("run/config.json"));
    Program program(cuvae(started ? Arguments{"resume", path("run"), "--quiet"} : long_arguments("run")));
    const ProgramResult result =
        kills < 20 ? program.wait(std::chrono::milliseconds(20 + random() % 120)) : program.wait();
    if (result.code == 0) break;
    ASSERT_EQ(result.code, 128 + SIGKILL) << result.err;
    ++kills;
  }
  EXPECT_GE(kills, 10);
  expect_same_run(path("run"), path("reference"));
}

TEST_F(CliResumeTest, StopsAtASignalWithACheckpoint) {
  succeed(long_arguments("reference"));
  for (const int signal : {SIGINT, SIGTERM}) {
    const std::string name = signal == SIGINT ? "interrupted" : "terminated";
    Program program(cuvae(long_arguments(name)));
    wait_for_reports(name, 9);
    program.send(SIGSTOP);  // paused, so that it cannot end while the second program starts
    expect_failure(run({"resume", path(name)}), 1, "another process is training in this folder");
    program.send(signal);
    program.send(SIGCONT);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
    program.send(signal);  // as timeout(1) does
    const ProgramResult result = program.wait();
    EXPECT_EQ(result.code, 128 + signal);
    EXPECT_TRUE(result.err.starts_with("stopped at step ")) << result.err;
    EXPECT_TRUE(result.err.ends_with("continue with: cuvae resume " + path(name) + "\n")) << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1);
    succeed({"eval", path(name) + "/last.safetensors", "--data", data()});
    succeed({"resume", path(name), "--quiet"});
    expect_same_run(path(name), path("reference"));
  }
}

TEST_F(CliResumeTest, LeavesAnIgnoredSignalIgnored) {
  const Arguments command = cuvae(train_arguments("run"));
  std::string line = "trap '' INT; kill -INT $$; exec";
  for (const std::string& argument : command) line += " '" + argument + "'";
  EXPECT_EQ(run_program({"/bin/sh", "-c", line}).code, 0);
}

TEST_F(CliResumeTest, GoesOnForMoreEpochs) {
  succeed(train_arguments("long", {"--epochs", "4"}));
  succeed(train_arguments("run"));
  succeed({"resume", path("run"), "--epochs", "4", "--quiet"});
  expect_same_run(path("run"), path("long"));

  const std::string last = read_bytes(path("run/last.safetensors"));
  EXPECT_TRUE(succeed({"resume", path("run")}).starts_with("the run is already finished"));
  EXPECT_TRUE(read_bytes(path("run/last.safetensors")) == last);
  expect_failure(run({"resume", path("run"), "--epochs", "3"}), 2, "--epochs");
  expect_same_run(path("run"), path("long"));
}

TEST_F(CliResumeTest, ACosineIsStretchedOnlyWhereToldSo) {
  const Arguments cosine = {"--schedule", "cosine"}, final = {"--lr-final", "1e-4"};
  succeed(train_arguments("run", cosine));
  const std::string last = read_bytes(path("run/last.safetensors")), config = read_bytes(path("run/config.json"));
  expect_failure(
      run({"resume", path("run"), "--epochs", "4"}), 2,
      "--epochs: is 4, but this run's cosine schedule ends at epoch 2 with a rate of 0: give --schedule-epochs 4 to "
      "stretch the schedule (the result then differs from a run that was started with 4 epochs)");
  expect_failure(run({"resume", path("run"), "--epochs", "4", "--schedule-epochs", "2"}), 2,
                 "epochs is 4 but must be at most 2, where the cosine's rate comes to 0");
  EXPECT_TRUE(read_bytes(path("run/config.json")) == config);
  EXPECT_TRUE(read_bytes(path("run/last.safetensors")) == last);
  succeed({"resume", path("run"), "--epochs", "4", "--schedule-epochs", "4", "--quiet"});
  const std::vector<Json> stretched = metrics_without_times(path("run"));
  EXPECT_LT(stretched[1]["learning_rate"], stretched[2]["learning_rate"]);

  // If the length is kept, or was set at the start, the result is that of the uninterrupted run.
  succeed(train_arguments("kept", cosine + final));
  expect_failure(run({"resume", path("kept"), "--epochs", "4"}), 2,
                 "give --schedule-epochs 2 to continue at that rate");
  succeed({"resume", path("kept"), "--epochs", "4", "--schedule-epochs", "2", "--quiet"});
  succeed(train_arguments("kept-whole", cosine + final + Arguments{"--epochs", "4", "--schedule-epochs", "2"}));
  expect_same_run(path("kept"), path("kept-whole"));
  succeed(train_arguments("first", cosine + Arguments{"--schedule-epochs", "4"}));
  succeed({"resume", path("first"), "--epochs", "4", "--quiet"});
  succeed(train_arguments("whole", cosine + Arguments{"--epochs", "4", "--schedule-epochs", "4"}));
  expect_same_run(path("first"), path("whole"));
  succeed(train_arguments("constant"));
  expect_failure(run({"resume", path("constant"), "--schedule-epochs", "4"}), 2, "--schedule-epochs: has no effect on");
}

TEST_F(CliResumeTest, StoresNothingThatCannotBeContinued) {
  succeed(train_arguments("run", {"--batch", "5"}));
  const std::string config = read_bytes(path("run/config.json"));
  expect_failure(run({"resume", path("run"), "--epochs", "300000000"}), 2,
                 "300000000 epochs of 40 steps are more than 4294967294 steps");
  fs::create_directory(path("other"));
  std::string bytes = read_bytes(data() + "/train-images-idx3-ubyte");
  bytes.back() = '\1';
  write(path("other/train-images-idx3-ubyte"), bytes);
  expect_failure(run({"resume", path("run"), "--epochs", "3", "--data", path("other")}), 1,
                 "not the data that this run was trained on");
  EXPECT_TRUE(read_bytes(path("run/config.json")) == config);
  succeed({"resume", path("run"), "--quiet"});
}

TEST_F(CliResumeTest, FindsDataThatMoved) {
  succeed(train_arguments("run"));
  succeed(train_arguments("reference", {"--epochs", "4"}));
  fs::rename(data(), path("elsewhere"));
  expect_failure(run({"resume", path("run"), "--epochs", "3"}), 1,
                 data() + ": does not exist: if the data were moved, give the new path by --data or CUVAE_DATA");
  expect_failure(run({"resume", path("run"), "--data", path("nowhere")}), 1, path("nowhere"));
  succeed({"resume", path("run"), "--epochs", "3", "--quiet"}, {{{"CUVAE_DATA", path("elsewhere")}}, {}, {}});
  fs::rename(path("elsewhere"), path("again"));
  succeed({"resume", path("run"), "--epochs", "4", "--quiet", "--data", path("again")});
  EXPECT_TRUE(read_bytes(path("run/last.safetensors")) == read_bytes(path("reference/last.safetensors")));
  EXPECT_TRUE(succeed({"resume", path("run")}).starts_with("the run is already finished"));  // the new place is stored
}

// The name of an array in an archive does not belong to the file's name.
TEST_F(CliResumeTest, FindsAnArrayOfAnArchive) {
  write(path("x.npy"), npy(1, npy_dict("|u1", "(50, 4)"), count_up(200)));
  const std::string zip = "cd '" + dir_.path().string() + "' && python3 -m zipfile -c x.npz x.npy";
  if (run_program({"/bin/sh", "-c", zip}).code != 0) GTEST_SKIP() << "no python3 to make an archive";
  succeed(train_arguments("run", {"--data", path("x.npz") + ":x", "--batch", "10"}));
  succeed({"resume", path("run"), "--epochs", "3", "--quiet"});
  expect_failure(run({"eval", path("run"), "--data", path("x.npz") + ":x", "--split", "test"}), 2, "--split: has no");
}

TEST_F(CliResumeTest, StopsEarlyForGood) {
  const Arguments arguments = {"--epochs", "50",         "--batch", "50",   "--validation",
                               "0.2",      "--patience", "1",       "--lr", "0.1"};
  succeed(train_arguments("run", arguments));
  const std::vector<Json> lines = metrics_without_times(path("run"));
  ASSERT_FALSE(lines.empty());
  ASSERT_LT(lines.back()["epoch"], 50);
  const std::string out = succeed({"resume", path("run")});
  EXPECT_NE(out.find("stopped early"), std::string::npos) << out;
  EXPECT_EQ(metrics_without_times(path("run")), lines);
}

TEST_F(CliResumeTest, StartsFromTheBeginningWithoutACheckpoint) {
  succeed(train_arguments("run"));
  fs::create_directory(path("killed"));
  fs::copy_file(path("run/config.json"), path("killed/config.json"));
  write(path("killed/metrics.jsonl"), R"({"kind":"ep)");  // a line that a kill cut short
  write(path("killed/.cuvae.7.0.tmp"), "half");
  succeed({"resume", path("killed"), "--quiet"});
  expect_same_run(path("killed"), path("run"));
}

TEST_F(CliResumeTest, NeedsItsOwnData) {
  succeed(train_arguments("run"));
  const fs::path images = fs::path(data()) / "train-images-idx3-ubyte";
  std::string bytes = read_bytes(images);
  bytes.back() = '\1';
  write(images, bytes);
  expect_failure(run({"resume", path("run"), "--epochs", "4", "--quiet"}), 1,
                 "not the data that this run was trained on");
  write(images, idx(0x08, {200, 28, 29}, ""));  // refused before its values are read: there are none
  expect_failure(run({"resume", path("run"), "--epochs", "4", "--quiet"}), 1,
                 "rows have 812 values but the model needs 784");
  expect_failure(run({"resume", path("nowhere")}), 1, "not a run folder");
}

}  // namespace
}  // namespace cuvae::test
