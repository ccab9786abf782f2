// Which backend a name means.
#include <charconv>

#include "cpu/cpu_backend.h"
#include "cuvae/backend.h"
#if defined(CUVAE_HAVE_CUDA)
#include "cuda/cuda_backend.h"
#endif

namespace cuvae {
namespace {

std::unique_ptr<Backend> make_cpu(int threads, Precision precision) {
  if (precision == Precision::bf16) throw Error("cpu: precision bf16 is not available; there is fp32");
  return std::make_unique<cpu::CpuBackend>(threads);
}

#if defined(CUVAE_HAVE_CUDA)
// The number in "cuda:3", 0 for "cuda", -1 for anything else.
int cuda_ordinal(const std::string& device) {
  if (device == "cuda") return 0;
  if (device.rfind("cuda:", 0) != 0) return -1;
  int ordinal = -1;
  const char *begin = device.data() + 5, *end = device.data() + device.size();
  const auto [stop, error] = std::from_chars(begin, end, ordinal);
  return error == std::errc() && stop == end ? ordinal : -1;
}
#endif

}  // namespace

std::unique_ptr<Backend> make_backend(const std::string& device, int threads, Precision precision) {
  if (threads < 0) throw Error("make_backend: threads is " + std::to_string(threads) + " but must not be negative");
  if (device == "cpu") return make_cpu(threads, precision);
#if defined(CUVAE_HAVE_CUDA)
  if (device == "auto" && !cuda::devices().empty()) try {
      return std::make_unique<cuda::CudaBackend>(0, precision);
    } catch (const Error&) {  // this build cannot use the device: the CPU is taken
    }
  if (const int ordinal = cuda_ordinal(device); ordinal >= 0)
    return std::make_unique<cuda::CudaBackend>(ordinal, precision);
  const std::string all = "cpu, cuda, cuda:N";
#else
  if (device.rfind("cuda", 0) == 0) throw Error("cuda: this build has no CUDA backend: it was built without nvcc");
  const std::string all = "cpu";
#endif
  if (device == "auto") return make_cpu(threads, precision);
  throw Error("make_backend: there is no device '" + device + "'; this build has: " + all);
}

std::unique_ptr<Backend> make_cuda_backend([[maybe_unused]] int ordinal, [[maybe_unused]] void* stream,
                                           [[maybe_unused]] Precision precision) {
#if defined(CUVAE_HAVE_CUDA)
  return std::make_unique<cuda::CudaBackend>(ordinal, precision, stream);
#else
  throw Error("make_cuda_backend: this build has no CUDA");
#endif
}

}  // namespace cuvae
