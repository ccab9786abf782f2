// What reaches the disk, in which order, and what is left if one call fails. A library that is loaded before the C
// library (io_shim.cpp) observes and fails the calls.
#include <cerrno>
#include <cstdlib>
#include <sstream>

#include "cli_test.h"
#include "cuvae/checkpoint.h"

namespace cuvae::test {
namespace {

namespace fs = std::filesystem;

struct Call {
  std::string name, path, target;
};

class IoTest : public CliTest {
 protected:
  ProgramOptions watched(const std::string& fault = "") const {
    fs::remove(path("log"));
    const char* const sanitizer = std::getenv("ASAN_OPTIONS");
    return {{{"LD_PRELOAD", CUVAE_IO_SHIM},
             {"CUVAE_IO_ROOT", path("run")},
             {"CUVAE_IO_LOG", path("log")},
             {"CUVAE_IO_FAULT", fault},
             // The library may be loaded before the sanitizer's, because it only passes calls on.
             {"ASAN_OPTIONS", (sanitizer ? std::string(sanitizer) + ":" : "") + "verify_asan_link_order=0"}},
            {},
            {}};
  }

  std::vector<Call> calls() const {
    std::vector<Call> all;
    std::ifstream file(path("log"));
    for (std::string line; std::getline(file, line);) {
      std::istringstream words(line);
      Call call;
      words >> call.name >> call.path >> call.target;
      all.push_back(call);
    }
    return all;
  }
  bool failed_as_told() const {
    const auto all = calls();
    return std::any_of(all.begin(), all.end(), [](const Call& c) { return c.name == "fault"; });
  }

  // Whether the log has a call with this name on this path between two places.
  static bool among(const std::vector<Call>& all, std::size_t from, std::size_t to, const std::string& name,
                    const std::string& path) {
    return std::any_of(all.begin() + static_cast<Index>(from), all.begin() + static_cast<Index>(to),
                       [&](const Call& c) { return c.name == name && c.path == path; });
  }

  // Two epochs of one step each, with a validation, in the folder that the library observes or in another one.
  Arguments small(const Arguments& more = {}, const std::string& out = "run") const {
    return train_arguments(out, Arguments{"--epochs", "2", "--batch", "100", "--hidden", "4", "--latent", "3",
                                          "--validation", "0.5", "--log-every", "1"} +
                                    more);
  }

  // Each file is written, synced and renamed, and its folder is synced before the next file is renamed.
  static void expect_safe_renames(const std::vector<Call>& all) {
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (all[i].name != "rename") continue;
      const std::string folder = fs::path(all[i].target).parent_path(), file = all[i].path;
      if (fs::path(file).filename().string().starts_with(".cuvae.")) {
        std::size_t last_write = 0, last_sync = 0;
        for (std::size_t k = 0; k < i; ++k) {
          if (all[k].path != file) continue;
          if (all[k].name == "write") last_write = k + 1;
          if (all[k].name == "fsync") last_sync = k + 1;
        }
        EXPECT_GT(last_write, 0U) << file << " was not written";
        EXPECT_GT(last_sync, last_write) << all[i].target << " was not synced before it took its name";
      }
      std::size_t next = i + 1;
      while (next < all.size() && all[next].name != "rename") ++next;
      EXPECT_TRUE(among(all, i + 1, next, "fsync", folder)) << "the name " << all[i].target << " was not synced";
    }
  }
  // Lines of metrics are on the disk before a checkpoint that refers to them is renamed.
  void expect_metrics_before_checkpoints(const std::vector<Call>& all) const {
    const std::string metrics = path("run/metrics.jsonl");
    bool dirty = false;
    int checkpoints = 0, lines = 0;
    for (const Call& call : all) {
      if (call.path == metrics && call.name == "write") dirty = true, ++lines;
      if (call.path == metrics && call.name == "fsync") dirty = false;
      if (call.name == "rename" && call.target.ends_with(".safetensors")) {
        EXPECT_FALSE(dirty) << "metrics.jsonl was not synced before " << call.target;
        ++checkpoints;
      }
    }
    EXPECT_GE(checkpoints, 3);
    EXPECT_GE(lines, 2);
  }

  /// Calls `prepare`, runs the command while the n-th call with a name fails, and calls `check` on what is left.
  /// Repeats this for each n, with a sanitizer for every third, until the command makes no more such calls.
  template <class Prepare, class Check>
  void fail_each(const std::string& name, int error, const Arguments& command, Prepare prepare, Check check) {
#if defined(CUVAE_SANITIZED)
    constexpr int kEvery = 3;
#else
    constexpr int kEvery = 1;
#endif
    for (int n = 1;; n += kEvery) {
      ASSERT_LT(n, 200);
      prepare();
      const ProgramResult result = run(command, watched(name + " " + std::to_string(n) + " " + std::to_string(error)));
      SCOPED_TRACE(name + " " + std::to_string(n) + " of " + command[0] + ": " + result.err);
      if (!failed_as_told()) {
        EXPECT_EQ(result.code, 0);
        EXPECT_GT(n, 1) << "no such call was seen";
        return;
      }
      if (result.code == 0) {  // success is allowed only if nothing depends on the failed call
        EXPECT_TRUE(name == "close" || name == "unlink") << "a failed call went unnoticed";
      } else {
        expect_failure(result, 1, "");
      }
      check(result);
    }
  }

  // No temporary file is left, unless its removal failed.
  void expect_no_leftovers() const {
    for (const auto& entry : fs::recursive_directory_iterator(path("run")))
      EXPECT_FALSE(entry.path().filename().string().starts_with(".")) << entry.path();
  }
  void copy(const std::string& from, const std::string& to) const {
    fs::remove_all(path(to));
    fs::copy(path(from), path(to), fs::copy_options::recursive);
  }
  void expect_same_checkpoint(const std::string& reference) const {
    EXPECT_TRUE(read_bytes(path("run/last.safetensors")) == read_bytes(path(reference + "/last.safetensors")));
  }
};

const std::pair<const char*, int> kFaults[] = {{"open", EIO},   {"write", ENOSPC},  {"fsync", EIO},   {"close", EIO},
                                               {"rename", EIO}, {"unlink", EACCES}, {"mkdir", ENOSPC}};

TEST_F(IoTest, SyncsFilesThenNamesAndMetricsBeforeCheckpoints) {
  succeed(small(), watched());
  expect_safe_renames(calls());
  expect_metrics_before_checkpoints(calls());
  succeed(small({"--overwrite"}), watched());
  expect_safe_renames(calls());
  succeed({"resume", path("run"), "--epochs", "4", "--quiet"}, watched());
  expect_safe_renames(calls());
  expect_metrics_before_checkpoints(calls());
}

TEST_F(IoTest, ANewRunThatFailsLeavesNothingOrARunThatGoesOn) {
  succeed(small({}, "reference"));
  for (const auto& [name, error] : kFaults) {
    if (std::string(name) == "unlink") continue;  // a new run removes nothing
    fail_each(
        name, error, small(), [&] { fs::remove_all(path("run")); },
        [&](const ProgramResult&) {
          if (!fs::exists(path("run"))) return;
          expect_no_leftovers();
          if (fs::is_empty(path("run"))) return;
          succeed({"resume", path("run"), "--quiet"});
          expect_same_checkpoint("reference");
        });
  }
}

TEST_F(IoTest, AFailedReplacementLeavesTheOldRunOrTheNewOne) {
  succeed(small({"--seed", "1"}, "old"));
  succeed(small({}, "new"));
  write(path("old/notes.txt"), "mine");
  for (const auto& [name, error] : kFaults)
    fail_each(
        name, error, small({"--overwrite"}), [&] { copy("old", "run"); },
        [&](const ProgramResult& result) {
          EXPECT_EQ(read_bytes(path("run/notes.txt")), "mine");
          succeed({"resume", path("run"), "--quiet"});  // completes unfinished work
          expect_no_leftovers();
          const bool old = read_bytes(path("run/config.json")) == read_bytes(path("old/config.json"));
          EXPECT_FALSE(old && result.code == 0);
          expect_same_checkpoint(old ? "old" : "new");
          EXPECT_TRUE(!old || names_in(path("run")) == names_in(path("old")));
        });
}

TEST_F(IoTest, AResumeThatFailsKeepsTheCheckpoint) {
  succeed(small({}, "start"));
  copy("start", "end");
  succeed({"resume", path("end"), "--epochs", "4", "--quiet"});
  for (const auto& [name, error] : kFaults) {
    if (std::string(name) == "unlink" || std::string(name) == "mkdir") continue;
    fail_each(
        name, error, {"resume", path("run"), "--epochs", "4", "--quiet"}, [&] { copy("start", "run"); },
        [&](const ProgramResult&) {
          read_checkpoint_info(path("run/last.safetensors"));
          expect_no_leftovers();
          succeed({"resume", path("run"), "--epochs", "4", "--quiet"});
          expect_same_checkpoint("end");
        });
  }
}

}  // namespace
}  // namespace cuvae::test
