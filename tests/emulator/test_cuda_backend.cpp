// The CUDA backend: its names, the caller's stream, recordings, and agreement with the CPU.
#include <cuda_runtime.h>

#include <functional>

#include "error_text.h"
#include "op_test.h"
#include "small_training.h"

namespace cuvae {
namespace {
using namespace test;

TEST(CudaBackend, Names) {
  EXPECT_EQ(make_backend("cuda")->name(), "cuda:0");
  EXPECT_EQ(make_backend("cuda:0")->name(), "cuda:0");
  EXPECT_EQ(make_backend("auto")->name(), "cuda:0");
  EXPECT_EQ(make_backend("cpu")->name(), "cpu");
  for (const char* name : {"cuda:7", "cuda:", "cuda:x", "cuda:-1", "gpu", ""})
    EXPECT_THROW(make_backend(name), Error) << name;
}

// A layer forward and backward, and a counter of the calls.
struct Work {
  explicit Work(Backend& backend) : b(backend) {}
  void operator()() const {
    b.run(Linear{x, w, bias, Activation::tanh, View{}, y});
    b.run(LinearBackward{x, w, y, Activation::relu, {}, dw, db, dx});
    b.run(Moments{dx, count.as<double>()});
  }
  double runs() const {
    std::vector<double> counted(11);
    b.download(counted.data(), count.data(), count.bytes());
    return counted[0] / 7;
  }
  Backend& b;
  Matrix x{b, 7, 5, random_vector(35, 1)}, w{b, 6, 5, random_vector(30, 2)}, bias{b, 1, 6, random_vector(6, 3)};
  Matrix y{b, 7, 6}, dw{b, 6, 5}, db{b, 1, 6}, dx{b, 7, 5};
  Buffer count{b.allocate(11 * sizeof(double))};
};

class Replay : public ::testing::Test {
 protected:
  std::unique_ptr<Backend> backend_ = make_backend("cuda");
  Work work_{*backend_};
  Recording recording_;
};

TEST_F(Replay, DoesTheWorkOnWhatIsThereNow) {
  int calls = 0;
  for (std::uint64_t i = 0; i < 6; ++i) {
    work_.x.set(random_vector(35, 100 + i));
    backend_->replay(recording_, [&] {
      ++calls;
      work_();
    });
    const auto y = work_.y.get(), dx = work_.dx.get();
    work_();
    expect_same_bits(y, work_.y.get(), "y");
    expect_same_bits(dx, work_.dx.get(), "dx");
  }
  EXPECT_EQ(calls, 2);  // once for itself and once recorded
  EXPECT_EQ(work_.runs(), 12);
}

TEST_F(Replay, AnyNumberOfTimes) {
  double want = 0;
  for (int round = 0; round < 2; ++round)
    for (const Index times : {3, 1, 0, 20, 2, 64, 63, 65, 127, 128, 150}) {
      backend_->replay(recording_, std::ref(work_), times);
      EXPECT_EQ(work_.runs(), want += static_cast<double>(times));
    }
}

// Other work may make scratch memory grow between two replays. The recording keeps its own.
TEST_F(Replay, OutlivesLargerWork) {
  for (int i = 0; i < 2; ++i) backend_->replay(recording_, std::ref(work_));
  const auto want = work_.dx.get();
  const Matrix large(*backend_, 300, 5000, random_vector(1500000, 5));
  const Buffer sums = backend_->allocate(10001 * sizeof(double));
  backend_->run(Moments{large, sums.as<double>()});
  backend_->replay(recording_, std::ref(work_));
  expect_same_bits(work_.dx.get(), want, "dx");
}

TEST_F(Replay, AnErrorWhileRecordingLeavesTheBackendUsable) {
  backend_->replay(recording_, std::ref(work_));
  EXPECT_THROW(backend_->replay(recording_, [] { throw Error("stop"); }), Error);
  Recording other;
  backend_->replay(other, std::ref(work_));
  EXPECT_NE(error_text([&] { backend_->replay(other, [&] { backend_->synchronize(); }); }), "");
  for (int i = 0; i < 3; ++i) backend_->replay(recording_, std::ref(work_));
  EXPECT_EQ(work_.runs(), 5);
}

TEST(CallersStream, ThatCannotBeRecordedRunsTheWork) {
  const auto backend = make_cuda_backend(0, cudaStreamLegacy);
  const Work work(*backend);
  Recording recording;
  int calls = 0;
  for (int i = 0; i < 3; ++i)
    backend->replay(
        recording,
        [&] {
          ++calls;
          work();
        },
        2);
  EXPECT_EQ(calls, 6);
  EXPECT_EQ(work.runs(), 6);
}

// The step uses the caller's memory and keeps its order: it sees earlier work of the stream, and later work sees it.
TEST(CallersStream, TakesTheCallersPointersInItsOrder) {
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  const std::vector<float> rows = random_vector(60, 1, 0, 1);
  std::vector<float> got;
  {
    const auto backend = make_cuda_backend(0, stream);
    Trainer trainer(*backend, small_model(), small_training(), kSmallRows);
    float *x = nullptr, *host = nullptr;
    ASSERT_EQ(cudaMalloc(&x, 60 * sizeof(float)), cudaSuccess);
    ASSERT_EQ(cudaMallocHost(&host, 60 * sizeof(float)), cudaSuccess);
    std::copy(rows.begin(), rows.end(), host);
    ASSERT_EQ(cudaMemcpyAsync(x, host, 60 * sizeof(float), cudaMemcpyHostToDevice, stream), cudaSuccess);
    trainer.step({x, 5, 12});
    ASSERT_EQ(cudaMemsetAsync(x, 0xff, 60 * sizeof(float), stream), cudaSuccess);
    got = parameters(trainer.vae());
    ASSERT_EQ(cudaFreeHost(host), cudaSuccess);
    ASSERT_EQ(cudaFree(x), cudaSuccess);
  }
  ASSERT_EQ(cudaStreamDestroy(stream), cudaSuccess);

  const auto backend = make_backend("cuda");
  Trainer trainer(*backend, small_model(), small_training(), kSmallRows);
  const Matrix x(*backend, 5, 12, rows);
  trainer.step(x);
  expect_same_bits(got, parameters(trainer.vae()), "parameters");
}

// For a small batch, launches cost as much as the work. 784-400-20-400-784 at batch 128 needs 18 kernels and products.
TEST(CallersStream, RecordsAStepOfEighteenLaunches) {
  cudaStream_t stream = nullptr;
  ASSERT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
  {
    const auto backend = make_cuda_backend(0, stream);
    TrainConfig config = small_training();
    config.batch = 128;
    config.binarize = Binarize::none;
    Trainer trainer(*backend, VaeConfig{}, config, 1280);
    const Array<std::uint8_t> pixels(*backend, std::vector<std::uint8_t>(1280 * 784, 7));
    const Array<std::uint32_t> counter(*backend, std::vector<std::uint32_t>{0});
    const Matrix x(*backend, 128, 784);
    const auto step = [&] {
      backend->run(GatherBatch{{pixels.data(), 1280, 784, DType::u8},
                               {nullptr, 1280, counter.data()},
                               Binarize::stochastic,
                               {1, Stream::binarize, counter.data()},
                               x});
      trainer.step(x);
    };
    step();
    cudaGraph_t graph = nullptr;
    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), cudaSuccess);
    step();
    ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    std::size_t launches = 0;
    EXPECT_EQ(cudaGraphGetNodes(graph, nullptr, &launches), cudaSuccess);
    EXPECT_EQ(launches, 18u);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  }
  EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
}

// Both use the same scalar formulas. The order of sums differs, which changes results by a few ulp per step.
TEST(Parity, TrainingFollowsTheCpu) {
  for (const auto& config : {small_training(), thorough_training()}) {
    std::vector<std::vector<float>> results;
    std::vector<double> losses;
    for (const char* device : {"cpu", "cuda"}) {
      const auto backend = make_backend(device);
      const Dataset data = small_data();
      Trainer trainer(*backend, small_model(), config, data);
      trainer.fit(data, {{}, [&](const Progress& p) { losses.push_back(p.train.loss); }, nullptr});
      results.push_back(parameters(trainer.vae()));
    }
    const std::size_t n = losses.size() / 2;
    ASSERT_GT(n, 10u);
    for (std::size_t i = 0; i < n; ++i) EXPECT_NEAR(losses[i], losses[n + i], 1e-5 * losses[i]) << "report " << i;
    expect_close(results[1], reference::widen(results[0]), 1e-5, 1e-4, "parameters");
  }
}

}  // namespace
}  // namespace cuvae
