// Data sets that do not fit into a device's memory: the batches, and therefore the whole run, have the same bits. (The
// CPU reads the host's memory, so there the limit changes nothing.)
#include <atomic>

#include "op_test.h"
#include "small_training.h"
#include "temp_dir.h"

namespace cuvae {
namespace {
using namespace test;

class Streaming : public OpTest {
 protected:
  // The checkpoint of a run whose data may take `bytes`, stopped and resumed after the report of step `stop_at`.
  std::string trained(const TrainConfig& config, const Dataset& data, std::size_t bytes, std::uint64_t stop_at = 0) {
    const TempDir folder;
    std::atomic<bool> stop{false};
    FitOptions options{folder.path(), [&](const Progress& p) { stop = p.step == stop_at; }, &stop, bytes};
    Trainer first(backend_, small_model(data), config, data);
    for (Outcome outcome = first.fit(data, options); outcome == Outcome::interrupted;) {
      stop = false;
      outcome = Trainer::resume(backend_, folder / "last.safetensors").fit(data, options);
    }
    return file_bytes(folder / "last.safetensors") + file_bytes(folder / "best.safetensors");
  }
};
CUVAE_ON_EVERY_BACKEND(Streaming);

constexpr std::size_t kBatchBytes = 5 * 12;

// Halves of the window with one batch, with several batches across the end of an epoch, and with more than an epoch.
TEST_P(Streaming, GivesTheBytesOfResidentData) {
  for (const Index log_every : {1, 0}) {
    TrainConfig config = thorough_training();
    config.log_every = log_every;
    const Dataset data = small_data();
    const std::string resident = trained(config, data, 0);
    EXPECT_GT(resident.size(), 1000u);
    for (const std::size_t batches : {0, 1, 2, 4, 7, 8})
      EXPECT_TRUE(resident == trained(config, data, batches * kBatchBytes + 1)) << batches << " batches";
  }
}

TEST_P(Streaming, AnInterruptedRunContinues) {
  const Dataset data = small_data();
  const std::string resident = trained(thorough_training(), data, 0);
  for (const std::uint64_t at : {1, 4, 6, 7, 11, 17})
    EXPECT_TRUE(resident == trained(thorough_training(), data, 6 * kBatchBytes, at)) << "stopped at " << at;
}

TEST_P(Streaming, TakesFloatsToo) {
  const Dataset data = Dataset::from_memory(fractions(small_pixels()), kSmallRows, 12);
  EXPECT_TRUE(trained(small_training(), data, 0) == trained(small_training(), data, 9 * kBatchBytes));
}

// Whole, the 4 bytes of floats or 3 of labels to each row's 12 count too.
TEST_P(Streaming, TakesConditionsToo) {
  const Dataset pixels = small_data();
  const auto columns = Dataset::from_memory(fractions(small_pixels(kSmallRows, 2)), kSmallRows, 2);
  for (const Dataset& data : {pixels.with_labels(small_labels()), pixels.with_conditions(columns)}) {
    const std::string resident = trained(thorough_training(), data, 0);
    for (const std::size_t bytes : {std::size_t{1}, 9 * kBatchBytes, kSmallRows * std::size_t{12}})
      EXPECT_TRUE(resident == trained(thorough_training(), data, bytes, bytes == 1 ? 7 : 0)) << bytes << " bytes";
  }
}

}  // namespace
}  // namespace cuvae
