// Halves of device memory filled from pinned host memory on a stream of their own, while the ops run.
#include "cuda/cuda_backend.h"
#include "cuda/error.h"

namespace cuvae::cuda {
namespace {

struct Destroy {
  void operator()(CUstream_st* stream) const noexcept { (void)cudaStreamDestroy(stream); }
  void operator()(CUevent_st* event) const noexcept { (void)cudaEventDestroy(event); }
};
struct FreePinned {
  void operator()(void* p) const noexcept { (void)cudaFreeHost(p); }
};

std::unique_ptr<CUevent_st, Destroy> make_event() {
  cudaEvent_t event = nullptr;
  check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreate");
  return std::unique_ptr<CUevent_st, Destroy>(event);
}

class CudaDoubleBuffer final : public DoubleBuffer {
 public:
  CudaDoubleBuffer(int ordinal, cudaStream_t ops, Buffer both, std::size_t half)
      : ordinal_(ordinal), ops_(ops), both_(std::move(both)), half_(half) {
    cudaStream_t stream = nullptr;
    check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
    copies_.reset(stream);
    free_ = make_event();
    for (int half_number : {0, 1}) {
      void* p = nullptr;
      const std::string what = "allocate " + std::to_string(half_) + " bytes of pinned host memory";
      check(cudaHostAlloc(&p, half_, cudaHostAllocDefault), what.c_str());
      pinned_[half_number].reset(p);
      sent_[half_number] = make_event();
    }
  }
  ~CudaDoubleBuffer() override {
    (void)cudaSetDevice(ordinal_);
    (void)cudaStreamSynchronize(copies_.get());  // the pinned memory and the halves may still be in use
  }

  const void* device() const override { return both_.data(); }
  void* host(int half) override {
    bind();
    check(cudaEventSynchronize(sent_[half].get()), "cudaEventSynchronize");
    return pinned_[half].get();
  }
  void send(int half) override {
    bind();
    check(cudaEventRecord(free_.get(), ops_), "cudaEventRecord");
    check(cudaStreamWaitEvent(copies_.get(), free_.get(), 0), "cudaStreamWaitEvent");
    char* to = both_.as<char>() + static_cast<std::size_t>(half) * half_;
    check(cudaMemcpyAsync(to, pinned_[half].get(), half_, cudaMemcpyHostToDevice, copies_.get()), "upload");
    check(cudaEventRecord(sent_[half].get(), copies_.get()), "cudaEventRecord");
  }
  void use(int half) override {
    bind();
    check(cudaStreamWaitEvent(ops_, sent_[half].get(), 0), "cudaStreamWaitEvent");
  }

 private:
  void bind() const { check(cudaSetDevice(ordinal_), "cudaSetDevice"); }

  int ordinal_;
  cudaStream_t ops_;
  Buffer both_;
  std::size_t half_;
  std::unique_ptr<CUstream_st, Destroy> copies_;
  std::unique_ptr<void, FreePinned> pinned_[2];
  std::unique_ptr<CUevent_st, Destroy> free_, sent_[2];
};

}  // namespace

std::unique_ptr<DoubleBuffer> CudaBackend::do_make_double_buffer(std::size_t bytes_of_a_half) {
  return std::make_unique<CudaDoubleBuffer>(device_.ordinal, stream_, allocate(2 * bytes_of_a_half), bytes_of_a_half);
}

}  // namespace cuvae::cuda
