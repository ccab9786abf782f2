// Errors of a GPU, caused on the emulator: each gives one line that says what to do, and the last checkpoint of a run
// is kept.
#include <cuda_runtime.h>

#include "cuemu/control.h"
#include "cuvae/checkpoint.h"
#include "error_text.h"
#include "op_test.h"
#include "small_training.h"
#include "temp_dir.h"

namespace cuvae {
namespace {
using namespace test;

class CudaErrors : public ::testing::Test {
 protected:
  ~CudaErrors() override {
    cuemu::fail_call(0, cudaSuccess);
    cuemu::set_memory(kMemory);
    cuemu::reset();
  }
  static constexpr std::size_t kMemory = std::size_t{8} << 30;
};

std::string error_of_making(int call, cudaError_t error, const char* function) {
  cuemu::fail_call(call, error, function);
  return error_text([] { make_backend("cuda"); });
}

TEST_F(CudaErrors, NoDeviceOrNoDriver) {
  EXPECT_EQ(error_of_making(1, cudaErrorNoDevice, "cudaGetDeviceCount"),
            "cuda: there is no NVIDIA GPU that this program may use");
  EXPECT_NE(error_of_making(1, cudaErrorInsufficientDriver, "cudaGetDeviceCount").find("driver"), std::string::npos);
  EXPECT_NE(error_text([] { make_backend("cuda:5"); }).find("cuda:5"), std::string::npos);
}

TEST_F(CudaErrors, AutoFallsBackToTheCpu) {
  cuemu::fail_call(1, cudaErrorNoDevice, "cudaGetDeviceCount");
  EXPECT_EQ(make_backend("auto")->name(), "cpu");
  cuemu::fail_call(1, cudaErrorNoKernelImageForDevice, "cudaLaunchKernelExC");
  EXPECT_EQ(make_backend("auto")->name(), "cpu");
  EXPECT_EQ(make_backend("auto")->name(), "cuda:0");
}

TEST_F(CudaErrors, ABuildWithoutCodeForTheDevice) {
  const std::string text = error_of_making(1, cudaErrorNoKernelImageForDevice, "cudaLaunchKernelExC");
  EXPECT_NE(text.find("architecture"), std::string::npos) << text;
  EXPECT_NE(text.find("CMAKE_CUDA_ARCHITECTURES"), std::string::npos) << text;
}

TEST_F(CudaErrors, OutOfMemoryNamesWhatWasAskedForAndWhatThereIs) {
  cuemu::set_memory(cuemu::memory_in_use() + (std::size_t{64} << 20));
  const auto backend = make_backend("cuda");
  const std::string text = error_text([&] { const Buffer all = backend->allocate(std::size_t{1} << 30); });
  EXPECT_NE(text.find("1073741824 bytes"), std::string::npos) << text;
  EXPECT_NE(text.find("MiB free of"), std::string::npos) << text;
  const Matrix x(*backend, 1, 3, {1, 2, 3});  // the backend still works
  EXPECT_EQ(x.get(), (std::vector<float>{1, 2, 3}));
}

TEST_F(CudaErrors, AModelThatDoesNotFitGivesItsMemoryBack) {
  cuemu::set_memory(cuemu::memory_in_use() + (std::size_t{64} << 20));
  const auto backend = make_backend("cuda");
  backend->synchronize();
  const std::size_t before = cuemu::memory_in_use();
  VaeConfig large = small_model();
  large.encoder_hidden = {4000, 4000};
  EXPECT_THROW(Trainer(*backend, large, small_training(), kSmallRows), Error);
  backend->synchronize();  // memory is freed in the stream's order
  EXPECT_EQ(cuemu::memory_in_use(), before);
}

// Data that do not fit are streamed automatically, in training and in evaluation.
TEST_F(CudaErrors, DataThatDoesNotFitIsStreamed) {
  const auto trained = [](const Dataset& data, std::size_t* used) {
    const auto backend = make_backend("cuda");
    TrainConfig config = small_training();
    config.epochs = 1;
    config.batch = 4096;
    Trainer trainer(*backend, small_model(), config, data);
    EXPECT_EQ(trainer.fit(data), Outcome::finished);
    *used = cuemu::memory_in_use();
    const Evaluation e = evaluate(trainer.vae(), data, {1, 500, Binarize::stochastic, 3});
    return std::pair(parameters(trainer.vae()), e.elbo);
  };
  const Index rows = 20000;  // 937 KiB as floats
  const Dataset data = Dataset::from_memory(fractions(small_pixels(rows)), rows, 12);
  std::size_t used = 0;
  const auto resident = trained(data, &used);
  cuemu::set_memory(used + (std::size_t{800} << 10));
  const auto streamed = trained(data, &used);
  expect_same_bits(streamed.first, resident.first, "parameters");
  EXPECT_EQ(streamed.second, resident.second);
}

// Whichever call reports a lost device, the run ends with one error, and the checkpoint of the last epoch is kept.
TEST_F(CudaErrors, ALostDeviceLeavesTheLastCheckpoint) {
  const Dataset data = small_data();
  const auto whole = [&] {
    const TempDir folder;
    const auto backend = make_backend("cuda");
    Trainer(*backend, small_model(), small_training(), data).fit(data, {folder.path(), {}, nullptr});
    return file_bytes(folder / "last.safetensors");
  }();
  for (const char* function : {"cudaGraphLaunch", "cudaMemcpyAsync", "cudaStreamSynchronize"}) {
    SCOPED_TRACE(function);
    const TempDir folder;
    const auto backend = make_backend("cuda");
    std::string text;
    {
      Trainer trainer(*backend, small_model(), small_training(), data);
      const auto lose_in_second_epoch = [&](const Progress& p) {
        if (p.step == 9) cuemu::fail_call(1, cudaErrorIllegalAddress, function);
      };
      text = error_text([&] { trainer.fit(data, {folder.path(), lose_in_second_epoch, nullptr}); });
    }
    EXPECT_NE(text.find("lost"), std::string::npos) << text;
    cuemu::reset();  // a new process
    EXPECT_EQ(read_checkpoint_info(folder / "last.safetensors").state.step, 8u);
    const auto again = make_backend("cuda");
    Trainer::resume(*again, folder / "last.safetensors").fit(data, {folder.path(), {}, nullptr});
    EXPECT_TRUE(file_bytes(folder / "last.safetensors") == whole);
  }
}

}  // namespace
}  // namespace cuvae
