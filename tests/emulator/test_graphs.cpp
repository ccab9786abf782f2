// Graphs on the emulator: captured calls are repeated at each launch, with the arguments of the capture.
#include <gtest/gtest.h>

#include "cuda_runtime.h"
#include "cuemu/control.h"
#include "planted.h"

namespace {

class Graphs : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(cudaStreamCreate(&stream_), cudaSuccess);
    ASSERT_EQ(cudaMalloc(&device_, sizeof(float)), cudaSuccess);
    ASSERT_EQ(cudaMallocHost(&host_, sizeof(float)), cudaSuccess);
    ASSERT_EQ(cudaMemset(device_, 0, sizeof(float)), cudaSuccess);
  }
  void TearDown() override {
    EXPECT_EQ(cudaFree(device_), cudaSuccess);
    EXPECT_EQ(cudaFreeHost(host_), cudaSuccess);
    EXPECT_EQ(cudaStreamDestroy(stream_), cudaSuccess);
    cuemu::set_seed(0);
    cuemu::reset();
  }
  cudaError_t begin() { return cudaStreamBeginCapture(stream_, cudaStreamCaptureModeGlobal); }
  float value() {
    float v = -1;
    EXPECT_EQ(cudaMemcpy(&v, device_, sizeof v, cudaMemcpyDeviceToHost), cudaSuccess);
    return v;
  }
  cudaStreamCaptureStatus status() {
    cudaStreamCaptureStatus s{};
    EXPECT_EQ(cudaStreamIsCapturing(stream_, &s), cudaSuccess);
    return s;
  }

  cudaStream_t stream_ = nullptr;
  float *device_ = nullptr, *host_ = nullptr;
  cudaGraph_t graph_ = nullptr;
};

TEST_F(Graphs, ReplayWhatWasCaptured) {
  for (unsigned seed = 0; seed <= 8; ++seed) {
    cuemu::set_seed(seed);
    ASSERT_EQ(cudaMemset(device_, 0, sizeof(float)), cudaSuccess);
    EXPECT_EQ(status(), cudaStreamCaptureStatusNone);
    ASSERT_EQ(begin(), cudaSuccess);
    EXPECT_EQ(status(), cudaStreamCaptureStatusActive);
    float amount = 2;
    EXPECT_EQ(planted::add(device_, amount, stream_), cudaSuccess);
    amount = 100;  // the capture has its own copy
    EXPECT_EQ(planted::add(device_, 1, stream_), cudaSuccess);
    EXPECT_EQ(cudaMemcpyAsync(host_, device_, sizeof(float), cudaMemcpyDeviceToHost, stream_), cudaSuccess);
    EXPECT_EQ(cudaLaunchHostFunc(
                  stream_, [](void* p) { *static_cast<float*>(p) *= 10; }, host_),
              cudaSuccess);
    ASSERT_EQ(cudaStreamEndCapture(stream_, &graph_), cudaSuccess);
    EXPECT_EQ(value(), 0) << "a capture runs nothing";

    std::size_t nodes = 0;
    EXPECT_EQ(cudaGraphGetNodes(graph_, nullptr, &nodes), cudaSuccess);
    EXPECT_EQ(nodes, 4u);
    cudaGraphExec_t exec = nullptr;
    ASSERT_EQ(cudaGraphInstantiate(&exec, graph_, 0), cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph_), cudaSuccess);
    for (int i = 0; i < 3; ++i) EXPECT_EQ(cudaGraphLaunch(exec, stream_), cudaSuccess);
    EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
    EXPECT_EQ(cudaStreamSynchronize(stream_), cudaSuccess);
    EXPECT_EQ(value(), 9);
    EXPECT_EQ(*host_, 90);
  }
}

TEST_F(Graphs, AFillIsCapturedToo) {
  ASSERT_EQ(planted::add(device_, 5, stream_), cudaSuccess);
  ASSERT_EQ(begin(), cudaSuccess);
  EXPECT_EQ(cudaMemsetAsync(device_, 0, sizeof(float), stream_), cudaSuccess);
  ASSERT_EQ(cudaStreamEndCapture(stream_, &graph_), cudaSuccess);
  EXPECT_EQ(value(), 5);
  cudaGraphExec_t exec = nullptr;
  ASSERT_EQ(cudaGraphInstantiate(&exec, graph_, 0), cudaSuccess);
  EXPECT_EQ(cudaGraphLaunch(exec, stream_), cudaSuccess);
  EXPECT_EQ(value(), 0);
  EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph_), cudaSuccess);
}

TEST_F(Graphs, ACallThatMustNotBeCapturedBreaksTheCapture) {
  const auto expect_broken = [this](cudaError_t error, cudaError_t want) {
    EXPECT_EQ(error, want);
    EXPECT_EQ(status(), cudaStreamCaptureStatusInvalidated);
    EXPECT_EQ(planted::add(device_, 1, stream_), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(cudaStreamEndCapture(stream_, &graph_), cudaErrorStreamCaptureInvalidated);
    EXPECT_EQ(graph_, nullptr);
    EXPECT_EQ(status(), cudaStreamCaptureStatusNone);
  };
  void* p = nullptr;
  ASSERT_EQ(begin(), cudaSuccess);
  expect_broken(cudaStreamSynchronize(stream_), cudaErrorStreamCaptureUnsupported);
  ASSERT_EQ(begin(), cudaSuccess);
  expect_broken(cudaDeviceSynchronize(), cudaErrorStreamCaptureUnsupported);
  ASSERT_EQ(begin(), cudaSuccess);
  expect_broken(cudaMalloc(&p, 4), cudaErrorStreamCaptureUnsupported);
  ASSERT_EQ(begin(), cudaSuccess);
  expect_broken(cudaMemcpy(host_, device_, 4, cudaMemcpyDeviceToHost), cudaErrorStreamCaptureImplicit);
  EXPECT_EQ(cudaStreamEndCapture(stream_, &graph_), cudaErrorIllegalState);
}

// A second stream takes part in a capture. It begins by waiting for an event of the first stream, and ends when the
// first stream waits for an event of the second.
class Forks : public Graphs {
 protected:
  void SetUp() override {
    Graphs::SetUp();
    ASSERT_EQ(cudaStreamCreateWithFlags(&side_, cudaStreamNonBlocking), cudaSuccess);
    ASSERT_EQ(cudaEventCreateWithFlags(&event_, cudaEventDisableTiming), cudaSuccess);
  }
  void TearDown() override {
    EXPECT_EQ(cudaEventDestroy(event_), cudaSuccess);
    EXPECT_EQ(cudaStreamDestroy(side_), cudaSuccess);
    Graphs::TearDown();
  }
  void wait(cudaStream_t waiting, cudaStream_t for_stream) {
    EXPECT_EQ(cudaEventRecord(event_, for_stream), cudaSuccess);
    EXPECT_EQ(cudaStreamWaitEvent(waiting, event_, 0), cudaSuccess);
  }
  // The stream adds 1. The side stream sets the value to 0 and adds 4. After the join, the stream adds 1.
  float replayed(unsigned seed, bool fork_after_add) {
    cuemu::set_seed(seed);
    EXPECT_EQ(begin(), cudaSuccess);
    if (!fork_after_add) wait(side_, stream_);
    EXPECT_EQ(planted::add(device_, 1, stream_), cudaSuccess);
    if (fork_after_add) wait(side_, stream_);
    EXPECT_EQ(cudaMemsetAsync(device_, 0, sizeof(float), side_), cudaSuccess);
    EXPECT_EQ(planted::add(device_, 4, side_), cudaSuccess);
    wait(stream_, side_);
    EXPECT_EQ(planted::add(device_, 1, stream_), cudaSuccess);
    EXPECT_EQ(cudaStreamEndCapture(stream_, &graph_), cudaSuccess);
    cudaGraphExec_t exec = nullptr;
    EXPECT_EQ(cudaGraphInstantiate(&exec, graph_, 0), cudaSuccess);
    EXPECT_EQ(cudaGraphLaunch(exec, stream_), cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph_), cudaSuccess);
    EXPECT_EQ(cudaGraphExecDestroy(exec), cudaSuccess);
    EXPECT_EQ(planted::add(device_, 0, side_), cudaSuccess) << "the side has left the capture";
    return value();
  }

  cudaStream_t side_ = nullptr;
  cudaEvent_t event_ = nullptr;
};

TEST_F(Forks, RespectTheirEvents) {
  for (unsigned seed = 0; seed <= 8; ++seed) EXPECT_EQ(replayed(seed, true), 5) << "seed " << seed;
}

TEST_F(Forks, ShowWorkThatDoesNotWait) {
  bool late = false;
  for (unsigned seed = 1; seed <= 8; ++seed) late |= replayed(seed, false) != 5;
  EXPECT_TRUE(late) << "in some order the first addition comes after the side's fill";
}

TEST_F(Forks, MustBeJoined) {
  ASSERT_EQ(begin(), cudaSuccess);
  wait(side_, stream_);
  EXPECT_EQ(planted::add(device_, 1, side_), cudaSuccess);
  EXPECT_EQ(cudaStreamEndCapture(side_, &graph_), cudaErrorStreamCaptureUnmatched);
  EXPECT_EQ(cudaStreamEndCapture(stream_, &graph_), cudaErrorStreamCaptureUnjoined);
  EXPECT_EQ(graph_, nullptr);
  EXPECT_EQ(status(), cudaStreamCaptureStatusNone);
  EXPECT_EQ(planted::add(device_, 2, side_), cudaSuccess);
  EXPECT_EQ(cudaStreamSynchronize(side_), cudaSuccess);
  EXPECT_EQ(value(), 2);
}

TEST_F(Forks, AnEventFromOutsideACaptureIsRefused) {
  EXPECT_EQ(cudaEventRecord(event_, side_), cudaSuccess);
  ASSERT_EQ(begin(), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(stream_, event_, 0), cudaErrorStreamCaptureIsolation);
  EXPECT_EQ(cudaStreamEndCapture(stream_, &graph_), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph_), cudaSuccess);
}

}  // namespace
