// Data files that are rewritten while they are used.
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "data/bytes/mapped_file.h"
#include "dataset_files.h"
#include "error_text.h"
#include "process/mapped_files.h"
#include "process/system_memory.h"
#include "small_training.h"
#include "temp_dir.h"

namespace cuvae::test {
namespace {

/// While this object exists, all files are mapped, or all are read.
class LargestRead {
 public:
  explicit LargestRead(std::size_t bytes) { largest_read() = bytes; }
  ~LargestRead() { largest_read() = before_; }

 private:
  std::size_t before_ = largest_read();
};

class RewrittenData : public ::testing::Test {
 protected:
  static std::string pixels(std::uint8_t mask = 0) {
    std::string text;
    for (const std::uint8_t pixel : small_pixels(400)) text += static_cast<char>(pixel ^ mask);
    return npy(1, npy_dict("|u1", "(400, 12)"), text);
  }
  /// Rewrites the file in place, like numpy.save, and sets a later time, in case the file system's clock is coarse.
  void rewrite(const std::string& bytes) const {
    std::ofstream(file_, std::ios::binary) << bytes;
    std::filesystem::last_write_time(file_, std::filesystem::last_write_time(file_) + std::chrono::seconds(1));
  }
  Dataset open() const { return Dataset::open(file_, Split::train); }

  /// Trains with checkpoints; calls `meddle` after the first epoch.
  template <class Meddle>
  void train(Meddle meddle) const {
    const std::unique_ptr<Backend> backend = make_backend("cpu", 1);
    const Dataset data = open();
    Trainer trainer(*backend, small_model(), small_training(), data);
    FitOptions options;
    options.checkpoints = dir_.path();
    options.on_progress = [&](const Progress& p) {
      if (p.epoch_end && p.epoch == 1) meddle();
    };
    trainer.fit(data, options);
  }

  TempDir dir_;
  std::filesystem::path file_ = write(dir_ / "x.npy", pixels());
};

TEST_F(RewrittenData, WhatIsReadStaysAsItWas) {
  const Dataset data = open();
  const std::uint32_t crc = data.crc32();
  rewrite(pixels(0xff));
  EXPECT_EQ(data.crc32(), crc);
  EXPECT_FALSE(data.file_changed());
  rewrite("");
  EXPECT_EQ(data.crc32(), crc);
  write(file_, pixels());
  train([&] { rewrite("short"); });
}

TEST_F(RewrittenData, WhatIsMappedTells) {
  const LargestRead none(0);
  const Dataset data = open(), again = data.divided_by(255);
  EXPECT_FALSE(data.file_changed());
  rewrite(pixels(0xff));
  EXPECT_TRUE(data.file_changed());
  EXPECT_TRUE(again.file_changed());
}

TEST_F(RewrittenData, TrainingOnOtherBytesOfTheSameSizeEndsWithItsLastCheckpoint) {
  const LargestRead none(0);
  std::string before;
  expect_error(
      [&] {
        train([&] {
          before = file_bytes(dir_ / "last.safetensors");
          rewrite(pixels(0xff));
        });
      },
      "x.npy: the file changed during training");
  EXPECT_EQ(file_bytes(dir_ / "last.safetensors"), before);
  rewrite(pixels());
  train([&] { rewrite(pixels()); });  // the same bytes again
}

TEST_F(RewrittenData, AFileThatIsCutShortIsOneLineOfTheProgram) {
  const auto read_cut_file = [&] {
    cli::report_cut_files();
    largest_read() = 0;
    const Dataset data = open();
    std::filesystem::resize_file(file_, 10);
    ::alarm(20);
    EXPECT_NE(data.crc32(), 0U);
  };
  EXPECT_EXIT(read_cut_file(), ::testing::ExitedWithCode(1), "^cuvae: .*x.npy: the file was cut short or .*\n$");
  EXPECT_EXIT((cli::report_cut_files(), ::raise(SIGBUS), ::raise(SIGBUS)), ::testing::KilledBySignal(SIGBUS), "");
}

TEST_F(RewrittenData, TheLimitIsAQuarterOfTheMemoryAtMost) {
  const auto machine = static_cast<std::size_t>(::sysconf(_SC_PHYS_PAGES)) * static_cast<std::size_t>(::getpagesize());
  EXPECT_LE(memory_limit(), machine);
  EXPECT_GT(memory_limit(), std::size_t{1} << 20);
  EXPECT_EQ(largest_read(), memory_limit() / 4);
}

}  // namespace
}  // namespace cuvae::test
