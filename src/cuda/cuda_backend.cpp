#include "cuda/cuda_backend.h"

#include <algorithm>
#include <cstdlib>
#include <utility>

#include "cuda/error.h"

namespace cuvae::cuda {
namespace {

constexpr std::size_t kMiB = 1024 * 1024;
// Environment variables that change how cuBLASLt multiplies, in spite of the chosen precision.
std::string overrides() {
  std::string text;
  for (const char* name : {"NVIDIA_TF32_OVERRIDE", "CUBLAS_EMULATE_SINGLE_PRECISION", "CUBLAS_EMULATION_STRATEGY"})
    if (const char* value = std::getenv(name)) text += std::string(", products changed by ") + name + "=" + value;
  return text;
}

// What NVIDIA recommends for cuBLASLt.
std::size_t workspace_bytes(const Device& d) { return (d.major >= 9 ? 32 : 4) * kMiB; }

}  // namespace

CudaBackend::CudaBackend(int ordinal, Precision precision, void* stream)
    : device_(device(ordinal)), precision_(precision), stream_(static_cast<cudaStream_t>(stream)) {
  bind();
  if (stream_ == nullptr) {
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreate");
    own_stream_.reset(stream_);
  }
  ticket_ = allocate(sizeof(unsigned));
  workspace_ = allocate(workspace_bytes(device_));
  gemm_ = std::make_unique<Gemm>(precision, stream_, workspace_.data(), workspace_.bytes());
  side_ = std::make_unique<SideLane>(precision, allocate(workspace_.bytes()));

  // One kernel now: a build without code for this device is found here, not in the middle of a run.
  const Buffer zeros = allocate(2 * sizeof(float));
  enqueue(name().c_str(), ColumnSums{zeros.view(1, 1), {zeros.as<float>() + 1, 1, 1}});
  try_epilogues();
  do_synchronize();
}

// description() can then say from the start which epilogues cuBLASLt refuses here.
void CudaBackend::try_epilogues() {
  constexpr Index kSize = 64;
  const Buffer zeros = allocate(3 * kSize * kSize * sizeof(float));
  auto* const a = zeros.as<float>();
  float *const c = a + kSize * kSize, *const row = c + kSize * kSize;
  for (const Epilogue epilogue : {Epilogue::bias, Epilogue::relu_bias}) {
    const DType type = activation_type();
    (void)gemm_->supports({Op::none, Op::none, kSize, kSize, kSize, a, a, c, type, type, epilogue, row});
  }
}

CudaBackend::~CudaBackend() = default;

std::string CudaBackend::description() const {
  const char* added[] = {"", ", tf32 products", ", bf16 activations"};  // by precision
  std::string text = describe(device_) + added[static_cast<int>(precision_)];
  constexpr std::pair<Epilogue, const char*> kEpilogues[] = {{Epilogue::bias, "bias"}, {Epilogue::relu_bias, "ReLU"}};
  for (const auto& [epilogue, what] : kEpilogues)
    if (gemm_->has_refused(epilogue)) text += std::string(", ") + what + " by a kernel, not by cuBLASLt";
  return text + overrides();
}

void CudaBackend::bind() const { check(cudaSetDevice(device_.ordinal), "cudaSetDevice"); }

void CudaBackend::done(const char* op, cudaError_t code) const {
  check(code, op);
#ifndef NDEBUG
  cudaStreamCaptureStatus capture = cudaStreamCaptureStatusNone;  // a capture allows no waiting
  check(cudaStreamIsCapturing(stream_, &capture), op);
  if (capture == cudaStreamCaptureStatusNone) check(cudaStreamSynchronize(stream_), op);
#endif
}

std::size_t CudaBackend::available_memory() const {
  bind();
  std::size_t free = 0, total = 0;
  check(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  return free;
}

void* CudaBackend::do_allocate(std::size_t bytes) {
  bind();
  const std::string what = "allocate " + std::to_string(bytes) + " bytes";
  void* p = nullptr;
  const std::size_t size = std::max<std::size_t>(bytes, 1);
  check(device_.memory_pools ? cudaMallocAsync(&p, size, stream_) : cudaMalloc(&p, size), what.c_str());
  const cudaError_t error = cudaMemsetAsync(p, 0, size, stream_);
  if (error != cudaSuccess) do_free(p);
  check(error, what.c_str());
  return p;
}

void CudaBackend::do_free(void* p) noexcept {
  // An error here was reported before, or the process is ending.
  (void)cudaSetDevice(device_.ordinal);
  (void)(device_.memory_pools ? cudaFreeAsync(p, stream_) : cudaFree(p));
}

// Both wait: afterwards the caller may reuse its memory, pinned or not.
void CudaBackend::do_upload(void* device, const void* host, std::size_t bytes) {
  bind();
  check(cudaMemcpyAsync(device, host, bytes, cudaMemcpyHostToDevice, stream_), "upload");
  check(cudaStreamSynchronize(stream_), "upload");
}
void CudaBackend::do_download(void* host, const void* device, std::size_t bytes) {
  bind();
  check(cudaMemcpyAsync(host, device, bytes, cudaMemcpyDeviceToHost, stream_), "download");
  check(cudaStreamSynchronize(stream_), "download");
}
void CudaBackend::do_zero(void* device, std::size_t bytes) {
  bind();
  check(cudaMemsetAsync(device, 0, bytes, stream_), "zero");
}
void CudaBackend::do_synchronize() {
  bind();
  check(cudaStreamSynchronize(stream_), "synchronize");
}

}  // namespace cuvae::cuda
