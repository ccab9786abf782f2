// Runs that are stopped, and go on from their checkpoint.
#pragma once
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <string>

#include "cuvae/checkpoint.h"
#include "cuvae/trainer.h"
#include "small_training.h"
#include "temp_dir.h"

namespace cuvae::test {

using Stops = std::function<bool(std::uint64_t)>;  // after which steps
inline bool never(std::uint64_t) { return false; }
inline bool always(std::uint64_t) { return true; }

/// Trains to the end, stopped and resumed after each of the steps. Returns the bytes of the last checkpoint, followed
/// by those of the best one if there is one.
inline std::string trained(Backend& backend, const VaeConfig& model, const TrainConfig& config, const Stops& stops,
                           const Dataset& data = small_data()) {
  const TempDir folder;
  std::atomic<bool> stop{false};
  FitOptions options{folder.path(), [&](const Progress& p) { stop = stops(p.step); }, &stop};
  Trainer first(backend, model, config, data);
  for (Outcome outcome = first.fit(data, options); outcome == Outcome::interrupted;) {
    stop = false;
    EXPECT_EQ(read_checkpoint_info(folder / "last.safetensors").model, model);
    outcome = Trainer::resume(backend, folder / "last.safetensors").fit(data, options);
  }
  const std::filesystem::path best = folder / "best.safetensors";
  return file_bytes(folder / "last.safetensors") + (std::filesystem::exists(best) ? file_bytes(best) : "");
}

}  // namespace cuvae::test
