// The emulated runtime API: its guarantees, and the mistakes of a program that it finds.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include "cuda_runtime.h"
#include "cuemu/control.h"
#include "planted.h"

namespace {

class Runtime : public ::testing::Test {
 protected:
  void SetUp() override { in_use_ = cuemu::memory_in_use(); }
  void TearDown() override {
    cuemu::set_seed(0);
    cuemu::set_memory(std::size_t{1} << 30);
    cuemu::reset();
    EXPECT_EQ(cuemu::memory_in_use(), in_use_);
  }
  std::size_t in_use_ = 0;
};

/// A float on the device and a float in pinned memory, with their own stream.
struct Pair {
  explicit Pair(float host_value = 0) {
    EXPECT_EQ(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), cudaSuccess);
    EXPECT_EQ(cudaMalloc(&device, sizeof(float)), cudaSuccess);
    EXPECT_EQ(cudaMallocHost(&host, sizeof(float)), cudaSuccess);
    *host = host_value;
  }
  Pair(const Pair&) = delete;
  Pair& operator=(const Pair&) = delete;
  ~Pair() {
    EXPECT_EQ(cudaFreeHost(host), cudaSuccess);
    EXPECT_EQ(cudaFree(device), cudaSuccess);
    EXPECT_EQ(cudaStreamDestroy(stream), cudaSuccess);
  }
  cudaError_t up() const { return cudaMemcpyAsync(device, host, sizeof(float), cudaMemcpyHostToDevice, stream); }
  cudaError_t down() const { return cudaMemcpyAsync(host, device, sizeof(float), cudaMemcpyDeviceToHost, stream); }
  cudaError_t wait() const { return cudaStreamSynchronize(stream); }
  float value() const {  // the value after all work of the stream
    float v = 0;
    EXPECT_EQ(cudaMemcpyAsync(&v, device, sizeof v, cudaMemcpyDeviceToHost, stream), cudaSuccess);
    return v;
  }
  float *device = nullptr, *host = nullptr;
  cudaStream_t stream = nullptr;
};

// The number of seeds from 1 to 20 for which `f` is true.
template <class F>
int count_seeds(F f) {
  int n = 0;
  for (unsigned seed = 1; seed <= 20; ++seed) {
    cuemu::set_seed(seed);
    n += f();
  }
  return n;
}

TEST_F(Runtime, DescribesItsDevice) {
  int devices = 0, driver = 0, runtime = 0, processors = 0;
  cudaDeviceProp properties;
  EXPECT_EQ(cudaGetDeviceCount(&devices), cudaSuccess);
  EXPECT_EQ(cudaDriverGetVersion(&driver), cudaSuccess);
  EXPECT_EQ(cudaRuntimeGetVersion(&runtime), cudaSuccess);
  EXPECT_EQ(cudaGetDeviceProperties(&properties, 0), cudaSuccess);
  EXPECT_EQ(cudaDeviceGetAttribute(&processors, cudaDevAttrMultiProcessorCount, 0), cudaSuccess);
  EXPECT_EQ(devices, 1);
  EXPECT_GE(driver, runtime);
  EXPECT_EQ(properties.multiProcessorCount, processors);
  EXPECT_STREQ(properties.name, "CUDA emulated on the CPU");
  EXPECT_EQ(cudaGetDeviceProperties(&properties, 1), cudaErrorInvalidDevice);
  EXPECT_STREQ(cudaGetErrorName(cudaErrorInvalidDevice), "cudaErrorInvalidDevice");
  EXPECT_STREQ(cudaGetErrorString(cudaErrorInvalidDevice), "invalid device ordinal");
}

TEST_F(Runtime, NewMemoryIsNaN) {
  const Pair p;
  EXPECT_TRUE(std::isnan(p.value()));
}

TEST_F(Runtime, RefusesMoreMemoryThanItHas) {
  cuemu::set_memory(in_use_ + 1000);
  void *a = nullptr, *b = nullptr;
  std::size_t free = 0, total = 0;
  EXPECT_EQ(cudaMalloc(&a, 600), cudaSuccess);
  EXPECT_EQ(cudaMemGetInfo(&free, &total), cudaSuccess);
  EXPECT_EQ(free, 400u);
  EXPECT_EQ(cudaMalloc(&b, 600), cudaErrorMemoryAllocation);
  EXPECT_EQ(b, nullptr);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  cuemu::set_seed(1);  // a free that waits in a stream is completed to make room
  EXPECT_EQ(cudaFreeAsync(a, nullptr), cudaSuccess);
  EXPECT_EQ(cudaMallocAsync(&b, 600, nullptr), cudaSuccess);
  EXPECT_EQ(cudaFree(b), cudaSuccess);
}

TEST_F(Runtime, RefusesWrongPointers) {
  const Pair p;
  float values[2] = {};
  EXPECT_EQ(cudaMemcpy(values, p.device, sizeof values, cudaMemcpyDeviceToHost), cudaErrorInvalidValue) << "too long";
  EXPECT_EQ(cudaMemcpy(p.device, values, 4, cudaMemcpyDeviceToHost), cudaErrorInvalidValue) << "the wrong way";
  EXPECT_EQ(cudaMemset(values, 0, 4), cudaErrorInvalidValue) << "the host's";
  EXPECT_EQ(cudaFree(values), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(p.host), cudaErrorInvalidValue) << "pinned";
  EXPECT_EQ(cudaFree(nullptr), cudaSuccess);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidValue);
}

TEST_F(Runtime, ShowsAReadBeforeTheStreamCameToIt) {
  const int seen = count_seeds([] {
    const Pair p(3);
    EXPECT_EQ(p.up(), cudaSuccess);
    *p.host = 3;  // the copy to the device may also be late
    EXPECT_EQ(p.wait(), cudaSuccess);
    *p.host = 0;
    EXPECT_EQ(p.down(), cudaSuccess);
    const bool early = *p.host != 3;
    EXPECT_EQ(p.wait(), cudaSuccess);
    EXPECT_EQ(*p.host, 3);
    return early;
  });
  EXPECT_GT(seen, 5);
}

TEST_F(Runtime, ShowsPinnedMemoryThatIsUsedAgainTooSoon) {
  const int seen = count_seeds([] {
    const Pair p(1);
    EXPECT_EQ(p.up(), cudaSuccess);
    *p.host = 2;
    return p.value() == 2;
  });
  EXPECT_GT(seen, 5);
}

TEST_F(Runtime, ReadsPageableMemoryAtOnce) {
  const int seen = count_seeds([] {
    const Pair p;
    float pageable = 1;
    EXPECT_EQ(cudaMemcpyAsync(p.device, &pageable, sizeof pageable, cudaMemcpyHostToDevice, p.stream), cudaSuccess);
    pageable = 2;
    return p.value() == 2;
  });
  EXPECT_EQ(seen, 0);
}

int wrong_with_two_streams(bool wait_for_event) {
  return count_seeds([=] {
    const Pair from(5), to;
    cudaEvent_t done = nullptr;
    EXPECT_EQ(cudaEventCreateWithFlags(&done, cudaEventDisableTiming), cudaSuccess);
    EXPECT_EQ(from.up(), cudaSuccess);
    EXPECT_EQ(cudaEventRecord(done, from.stream), cudaSuccess);
    EXPECT_EQ(wait_for_event ? cudaStreamWaitEvent(to.stream, done, 0) : cudaSuccess, cudaSuccess);
    EXPECT_EQ(cudaMemcpyAsync(to.device, from.device, sizeof(float), cudaMemcpyDeviceToDevice, to.stream), cudaSuccess);
    EXPECT_EQ(cudaEventDestroy(done), cudaSuccess);
    return to.value() != 5;
  });
}

TEST_F(Runtime, ShowsAStreamThatDoesNotWaitForAnother) {
  EXPECT_EQ(wrong_with_two_streams(true), 0);
  EXPECT_GT(wrong_with_two_streams(false), 5);
}

TEST_F(Runtime, EventsAndQueriesComeToAnEnd) {
  for (unsigned seed = 0; seed <= 4; ++seed) {
    cuemu::set_seed(seed);
    const Pair p(1);
    cudaEvent_t begin = nullptr, end = nullptr;
    EXPECT_EQ(cudaEventCreate(&begin), cudaSuccess);
    EXPECT_EQ(cudaEventCreate(&end), cudaSuccess);
    EXPECT_EQ(cudaEventRecord(begin, p.stream), cudaSuccess);
    EXPECT_EQ(p.up(), cudaSuccess);
    EXPECT_EQ(cudaEventRecord(end, p.stream), cudaSuccess);
    cudaError_t state = cudaErrorNotReady;
    while (state == cudaErrorNotReady) state = cudaEventQuery(end);
    EXPECT_EQ(state, cudaSuccess);
    float ms = -1;
    EXPECT_EQ(cudaEventElapsedTime(&ms, begin, end), cudaSuccess);
    EXPECT_GE(ms, 0);
    EXPECT_EQ(cudaStreamQuery(p.stream), cudaSuccess);
    EXPECT_EQ(cudaEventDestroy(begin), cudaSuccess);
    EXPECT_EQ(cudaEventDestroy(end), cudaSuccess);
  }
}

TEST_F(Runtime, HostFunctionsRunInTheStreamsOrder) {
  for (unsigned seed = 0; seed <= 4; ++seed) {
    cuemu::set_seed(seed);
    const Pair p(1);
    EXPECT_EQ(p.up(), cudaSuccess);
    EXPECT_EQ(cudaLaunchHostFunc(
                  p.stream,
                  [](void* host) {
                    *static_cast<float*>(host) += 1;
                    EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorNotPermitted);
                  },
                  p.host),
              cudaSuccess);
    EXPECT_EQ(p.up(), cudaSuccess);
    EXPECT_EQ(p.value(), 2);
  }
}

TEST_F(Runtime, ALostDeviceStaysLost) {
  {
    const Pair p(1);
    EXPECT_EQ(planted::wrong_mask(planted::Variant::mistaken), planted::Outcome::error);
    EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
    EXPECT_EQ(cudaGetLastError(), cudaErrorLaunchFailure);
    EXPECT_EQ(p.up(), cudaErrorLaunchFailure);
    EXPECT_EQ(cudaDeviceSynchronize(), cudaErrorLaunchFailure);
    cuemu::reset();
    EXPECT_EQ(cudaPeekAtLastError(), cudaSuccess);
  }
}

TEST_F(Runtime, FailsTheCallThatATestAsksFor) {
  const Pair p(1);
  cuemu::fail_call(2, cudaErrorInvalidValue);
  EXPECT_EQ(p.up(), cudaSuccess);
  EXPECT_EQ(p.up(), cudaErrorInvalidValue);
  EXPECT_EQ(p.up(), cudaSuccess);
  EXPECT_EQ(cudaPeekAtLastError(), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
  cuemu::fail_call(1, cudaErrorIllegalAddress, "cudaStreamSynchronize");
  EXPECT_EQ(p.up(), cudaSuccess);
  EXPECT_EQ(p.wait(), cudaErrorIllegalAddress);
  EXPECT_EQ(p.up(), cudaErrorIllegalAddress);
  cuemu::reset();
}

}  // namespace
