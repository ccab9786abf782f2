// The same run gives the same checkpoint, bit for bit, also if it is stopped anywhere and resumed.
#include <gtest/gtest.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <random>
#include <thread>

#include "cuvae/checkpoint.h"
#include "cuvae/estimator.h"
#include "op_test.h"
#include "small_training.h"
#include "stopped_run.h"
#include "temp_dir.h"

namespace cuvae {
namespace {
using namespace test;

class Resume : public OpTest {
 protected:
  std::string trained(const VaeConfig& model, const TrainConfig& config, const Stops& stops) {
    return test::trained(backend_, model, config, stops);
  }
};
CUVAE_ON_EVERY_BACKEND(Resume);

TEST_P(Resume, TheSameRunGivesTheSameBytes) {
  const std::string bytes = trained(small_model(), thorough_training(), never);
  EXPECT_GT(bytes.size(), 1000u);
  EXPECT_TRUE(bytes == trained(small_model(), thorough_training(), never));
  TrainConfig other_seed = thorough_training();
  ++other_seed.seed;
  EXPECT_FALSE(bytes == trained(small_model(), other_seed, never));
}

// The order of sums in matrix products may depend on the number of threads, but is the same for the same number.
TEST_P(Resume, ThreadsRepeatTheirOwnBytes) {
  VaeConfig model = small_model();
  model.encoder_hidden = {300};
  for (const int threads : {1, 2, 3}) {
    const auto backend = make_backend(GetParam(), threads);
    EXPECT_TRUE(test::trained(*backend, model, thorough_training(), never) ==
                test::trained(*backend, model, thorough_training(), never));
  }
}

// 33 rows in batches of 5: six steps per epoch, 18 in total.
TEST_P(Resume, StoppedAnywhereItEndsTheSame) {
  for (const Likelihood likelihood : {Likelihood::bernoulli, Likelihood::gaussian_learned_per_dim})
    for (const Optimizer optimizer : {Optimizer::adam, Optimizer::adamw, Optimizer::sgd, Optimizer::adam_iwae}) {
      SCOPED_TRACE(std::string(to_string(likelihood)) + ", " + std::string(to_string(optimizer)));
      VaeConfig model = small_model();
      model.likelihood = likelihood;
      TrainConfig config = thorough_training();
      config.optimizer = optimizer;
      const std::string whole = trained(model, config, never);
      EXPECT_TRUE(whole == trained(model, config, always)) << "after every step";
      for (const std::uint64_t at : {1, 5, 6, 7, 9, 12, 17, 18})
        EXPECT_TRUE(whole == trained(model, config, [at](std::uint64_t step) { return step == at; })) << at;
    }
}

TEST_P(Resume, EveryLikelihoodStoppedAnywhereEndsTheSame) {
  for (const LikelihoodTraits& t : kLikelihoods) {
    SCOPED_TRACE(std::string(t.name));
    VaeConfig model = small_model();
    model.likelihood = t.likelihood;
    TrainConfig config = thorough_training();
    config.binarize = is_binary(t.likelihood) ? Binarize::stochastic : Binarize::none;
    const std::string whole = trained(model, config, never);
    for (const std::uint64_t at : {1, 9, 17})
      EXPECT_TRUE(whole == trained(model, config, [at](std::uint64_t step) { return step == at; })) << at;
  }
}

TEST_P(Resume, EveryEstimatorStoppedAnywhereEndsTheSame) {
  for (const Estimator e : {Estimator::stl, Estimator::score_mean, Estimator::rloo, Estimator::optimal,
                            Estimator::optimal_shared, Estimator::nvil, Estimator::nvil_scaled, Estimator::delta,
                            Estimator::measure_valued, Estimator::dreg, Estimator::vimco}) {
    SCOPED_TRACE(to_string(e));
    TrainConfig config = small_training();
    config.estimator = e;
    config.antithetic = traits(e).antithetic;
    config.samples = config.antithetic ? 2 : 3;
    const std::string whole = trained(small_model(), config, never);
    for (const std::uint64_t at : {1, 9, 17})
      EXPECT_TRUE(whole == trained(small_model(), config, [at](std::uint64_t step) { return step == at; })) << at;
  }
}

TEST_P(Resume, ChainsWithAWeightedKlStoppedAnywhereEndTheSame) {
  VaeConfig model = small_model();
  model.above = {{2, {4}, {3}}};
  TrainConfig config = small_training();
  config.estimator = Estimator::total;
  config.beta = 0.7f, config.kl_warmup_epochs = 1.5;
  const std::string whole = trained(model, config, never);
  for (const std::uint64_t at : {1, 9, 17})
    EXPECT_TRUE(whole == trained(model, config, [at](std::uint64_t step) { return step == at; })) << at;
}

TEST_P(Resume, RareCheckpointsAreNoDifferent) {
  TrainConfig config = thorough_training();
  config.checkpoint_every = 2;
  const auto at_seven = [](std::uint64_t step) { return step == 7; };
  EXPECT_TRUE(trained(small_model(), config, never) == trained(small_model(), config, at_seven));
}

TEST_P(Resume, MoreEpochsContinueTheRun) {
  const TempDir folder;
  const Dataset data = small_data();
  TrainConfig config = small_training();
  Trainer(backend_, small_model(), config, data).fit(data, {folder.path(), {}, nullptr});
  Trainer more = Trainer::resume(backend_, folder / "last.safetensors");
  EXPECT_EQ(more.fit(data), Outcome::finished);
  EXPECT_EQ(more.state().step, 24u);
  config.epochs = 5;
  more.configure(config);
  EXPECT_EQ(more.fit(data, {folder.path(), {}, nullptr}), Outcome::finished);
  EXPECT_TRUE(file_bytes(folder / "last.safetensors") == trained(small_model(), config, never));
}

TEST_P(Resume, SaveAndResumeBetweenOwnSteps) {
  const TempDir folder;
  TrainConfig config = thorough_training();
  config.validation = 0, config.patience = 0;
  Trainer whole(backend_, small_model(), config, kSmallRows);
  Trainer(backend_, small_model(), config, kSmallRows).save(folder / "part");
  for (std::uint64_t i = 0; i < 6; ++i) {
    const Matrix x(backend_, 5, 12, random_vector(60, i, 0, 1));
    whole.step(x);
    Trainer part = Trainer::resume(backend_, folder / "part");
    part.step(x);
    part.save(folder / "part");
  }
  whole.save(folder / "whole");
  EXPECT_TRUE(file_bytes(folder / "whole") == file_bytes(folder / "part"));
}

/// A run of train_until_killed, which lies next to this program, in a folder.
class Child {
 public:
  explicit Child(const std::filesystem::path& folder) {
    const auto here = std::filesystem::read_symlink("/proc/self/exe").parent_path();
    std::string program = here / (emulated() ? "train_until_killed_emulated" : "train_until_killed"), argument = folder;
    char* arguments[] = {program.data(), argument.data(), nullptr};
    if (::posix_spawn(&pid_, program.c_str(), nullptr, nullptr, arguments, environ) != 0)
      throw std::runtime_error("cannot start " + program);
  }
  void kill() const { ::kill(pid_, SIGKILL); }
  /// Whether it was killed before its end; any other failure fails the test.
  bool was_killed() const {
    int status = 0;
    ::waitpid(pid_, &status, 0);
    const bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    EXPECT_TRUE(killed || (WIFEXITED(status) && WEXITSTATUS(status) == 0)) << "status " << status;
    return killed;
  }

 private:
  pid_t pid_ = 0;
};

TEST(Killed, AtAnyMomentARunResumesToTheSameBytes) {
  using Clock = std::chrono::steady_clock;
  const TempDir uninterrupted;
  const auto start = Clock::now();
  ASSERT_FALSE(Child(uninterrupted.path()).was_killed());
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
  const std::string want = file_bytes(uninterrupted / "last.safetensors");
  ASSERT_GT(want.size(), 1000u);

  std::mt19937 random(5);
  int kills = 0;
  const int enough = emulated() ? 5 : 20;  // the emulator is slow, and the files are written by the same code
  for (int run = 0; kills < enough; ++run) {
    ASSERT_LT(run, 200) << "the runs end before they are killed";
    const TempDir folder;
    const std::filesystem::path last = folder / "last.safetensors";
    bool killed = true;
    for (int part = 0; killed; ++part) {
      const Child child(folder.path());
      if (part < 5) {  // after that it may finish
        const double share = std::uniform_real_distribution(0.0, 1.0)(random);
        std::this_thread::sleep_for(std::chrono::duration<double>(share * seconds));
        child.kill();
      }
      killed = child.was_killed();
      kills += killed;
      if (std::filesystem::exists(last)) read_checkpoint_info(last);  // throws if it is not complete
    }
    EXPECT_TRUE(file_bytes(last) == want) << "run " << run;
  }
}

}  // namespace
}  // namespace cuvae
