// If any single allocation fails, a command ends with success or with one line, and leaves no damaged file.
// CUVAE_FAIL_EVERY=7 tries every seventh allocation, 1 tries each one; without it, 24 are tried for each command.
#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "cli_test.h"
#include "cuvae/checkpoint.h"
#include "cuvae/error.h"

namespace cuvae::test {
namespace {

namespace fs = std::filesystem;

class LittleMemory : public CliTest {
 protected:
  LittleMemory() {
    write(path("x.npy"), npy(1, npy_dict("<f4", "(12, 4)"), std::string(192, '\0')));
    write(path("z.npy"), npy(1, npy_dict("<f4", "(3, 2)"), std::string(24, '\0')));
  }

  Arguments small_train(const std::string& out) const {
    return {"train", "--data",   path("x.npy"), "--out",    path(out), "--epochs",  "1", "--batch",
            "4",     "--latent", "2",           "--hidden", "3",       "--threads", "1", "--quiet"};
  }

  /// Runs the command once for each failing allocation. Calls `prepare` before each run and `check` after it.
  void sweep(const Arguments& arguments, const std::function<void()>& prepare = {},
             const std::function<void()>& check = {}) {
    const std::pair<std::string, std::string> preload{"LD_PRELOAD", CUVAE_FAIL_ALLOCATION_LIBRARY};
    if (prepare) prepare();
    const ProgramResult whole = run(arguments, {{preload, {"CUVAE_COUNT_ALLOCATIONS", path("count")}}, {}, {}});
    ASSERT_EQ(whole.code, 0) << whole.err;
    const long count = std::stol(read_bytes(path("count")));
    ASSERT_GT(count, 100);
    const char* const every = std::getenv("CUVAE_FAIL_EVERY");
    const long step = every != nullptr ? std::max(1L, std::atol(every)) : std::max(1L, count / 24);
    long refused = 0;
    for (long n = 1 + step / 2; n <= count; n += step) {
      if (prepare) prepare();
      const ProgramResult result = run(arguments, {{preload, {"CUVAE_FAIL_ALLOCATION", std::to_string(n)}}, {}, {}});
      EXPECT_TRUE(result.code == 0 || result.code == 1)
          << arguments[0] << ", allocation " << n << ": " << result.code << result.err;
      if (result.code != 0) {
        EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), 1)
            << "allocation " << n << ": " << result.err;
      }
      refused += result.code != 0;
      if (check) check();
    }
    EXPECT_GT(refused, 0) << "no failure was injected";
  }

  void expect_whole(const fs::path& checkpoint) const {
    if (!fs::exists(checkpoint)) return;
    EXPECT_NO_THROW(read_checkpoint_info(checkpoint)) << checkpoint;
  }
};

TEST_F(LittleMemory, Train) {
  sweep(
      small_train("run"), [&] { fs::remove_all(path("run")); },
      [&] {
        expect_whole(path("run/last.safetensors"));
        if (!fs::exists(path("run/config.json"))) return;
        EXPECT_TRUE(nlohmann::json::accept(read_bytes(path("run/config.json"))));
      });
}

TEST_F(LittleMemory, Resume) {
  succeed(small_train("run"));
  sweep(
      {"resume", path("again"), "--epochs", "2", "--threads", "1", "--quiet"},
      [&] {
        fs::remove_all(path("again"));
        fs::copy(path("run"), path("again"));
      },
      [&] {
        ASSERT_TRUE(fs::exists(path("again/last.safetensors")));
        expect_whole(path("again/last.safetensors"));
      });
}

// Below the least limit here the program cannot be loaded: with CUDA, its libraries take hundreds of MiB. Above the
// largest one it has what it needs.
TEST_F(LittleMemory, ALimitOfTheAddressSpace) {
  const auto is_loaded = [&](rlim_t mib) {
    ProgramOptions options;
    options.address_space = mib << 20;
    return run({"--version"}, options).code == 0;
  };
  rlim_t below = 16, least = 16384;
  ASSERT_TRUE(is_loaded(least));
  while (least - below > 1) {
    const rlim_t middle = (below + least) / 2;
    (is_loaded(middle) ? least : below) = middle;
  }
  int refused = 0, done = 0;
  for (rlim_t mib = least; mib <= least + 80; mib += 2) {
    fs::remove_all(path("run"));
    ProgramOptions options;
    options.address_space = mib << 20;
    const ProgramResult result = run(small_train("run"), options);
    if (result.code == 127) continue;  // the dynamic loader's
    EXPECT_TRUE(result.code == 0 || result.code == 1) << mib << " MiB: " << result.code << result.err;
    EXPECT_EQ(std::count(result.err.begin(), result.err.end(), '\n'), result.code) << mib << " MiB: " << result.err;
    refused += result.err.find("oneDNN needs 32 MiB for its kernels") != result.err.npos;
    done += result.code == 0;
    expect_whole(path("run/last.safetensors"));
  }
  EXPECT_GT(refused, 3);
  EXPECT_GT(done, 5);
}

TEST_F(LittleMemory, TheOtherCommands) {
  const std::string model = path("run/last.safetensors");
  succeed(small_train("run"));
  sweep({"eval", model, "--data", path("x.npy"), "--threads", "1"});
  sweep({"encode", model, "--data", path("x.npy"), "--out", path("e.npy"), "--threads", "1"});
  sweep({"decode", model, "--in", path("z.npy"), "--out", path("d.npy"), "--threads", "1"});
  sweep({"sample", model, "--out", path("s.png"), "--count", "4", "--threads", "1"});
  sweep({"info", model});
}

}  // namespace
}  // namespace cuvae::test
