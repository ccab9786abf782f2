#include "cpu/cpu_backend.h"

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <new>

#include "cpu/cores.h"

namespace cuvae::cpu {
namespace {

// An op has ended when it returns, and ops read the host's memory. So there is nothing to send and nothing to wait for.
class CpuDoubleBuffer final : public DoubleBuffer {
 public:
  CpuDoubleBuffer(Buffer both, std::size_t half) : both_(std::move(both)), half_(half) {}
  const void* device() const override { return both_.data(); }
  void* host(int half) override { return both_.as<char>() + static_cast<std::size_t>(half) * half_; }
  void send(int) override {}
  void use(int) override {}

 private:
  Buffer both_;
  std::size_t half_;
};

}  // namespace

CpuBackend::CpuBackend(int threads) : team_(threads > 0 ? threads : default_threads()), p_(passes()) {}

std::string CpuBackend::description() const {
  std::string model = "CPU";
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);)
    if (line.rfind("model name", 0) == 0) {
      model = line.substr(line.find(':') + 2);
      break;
    }
  return model + ", " + std::to_string(team_.size()) + (team_.size() == 1 ? " thread, " : " threads, ") + p_.isa;
}

void* CpuBackend::do_allocate(std::size_t bytes) {
  void* p = std::aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
  if (p == nullptr) throw Error("cpu: no memory for " + std::to_string(bytes) + " bytes");
  std::memset(p, 0, bytes);
  return p;
}
void CpuBackend::do_free(void* p) noexcept { std::free(p); }
void CpuBackend::do_upload(void* device, const void* host, std::size_t bytes) { std::memcpy(device, host, bytes); }
void CpuBackend::do_download(void* host, const void* device, std::size_t bytes) { std::memcpy(host, device, bytes); }
void CpuBackend::do_zero(void* device, std::size_t bytes) { std::memset(device, 0, bytes); }
std::unique_ptr<DoubleBuffer> CpuBackend::do_make_double_buffer(std::size_t bytes_of_a_half) {
  return std::make_unique<CpuDoubleBuffer>(allocate(2 * bytes_of_a_half), bytes_of_a_half);
}

void CpuBackend::combine(const std::vector<float>& chunk_sums, Index width, float* out, Gradients gradients) {
  const Index chunks = static_cast<Index>(chunk_sums.size()) / width;
  if (gradients == Gradients::replace) std::memset(out, 0, sizeof(float) * static_cast<std::size_t>(width));
  for (Index c = 0; c < chunks; ++c)
    for (Index i = 0; i < width; ++i) out[i] += chunk_sums[static_cast<std::size_t>(c * width + i)];
}

}  // namespace cuvae::cpu
