#include "process/limited_memory.h"

#include <sys/mman.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstddef>
#include <string>

#include "cuvae/backend.h"
#include "cuvae/error.h"

namespace cuvae::cli {
namespace {

// Measured with AVX-512: 18.2 MiB. Other processors take less.
constexpr std::size_t kProductsMib = 32;

bool is_limited(__rlimit_resource resource) {
  rlimit limit{};
  return ::getrlimit(resource, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

bool is_free(std::size_t bytes) {
  void* const map = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return map != MAP_FAILED && ::munmap(map, bytes) == 0;
}

// Runs the products of a layer with `batch` rows and those of its gradients.
void multiply(Backend& backend, Index batch, Index inputs, Index outputs) {
  const auto allocate = [&](Index rows, Index cols) {
    return backend.allocate(static_cast<std::size_t>(rows * cols) * sizeof(float));
  };
  const Buffer inner = allocate(batch, inputs), inner_gradient = allocate(batch, inputs),
               outer = allocate(batch, outputs), weights = allocate(outputs, inputs),
               weights_gradient = allocate(outputs, inputs), bias = allocate(1, outputs);
  const View x = inner.view(batch, inputs), y = outer.view(batch, outputs), w = weights.view(outputs, inputs),
             b = bias.view(1, outputs);
  backend.run(Linear{.x = x, .w = w, .b = b, .y = y});
  backend.run(LinearBackward{.x = x,
                             .w = w,
                             .dy = y,
                             .dw = weights_gradient.view(outputs, inputs),
                             .db = b,
                             .dx = inner_gradient.view(batch, inputs)});
}

}  // namespace

void compile_products_if_limited() {
  if (!is_limited(RLIMIT_AS) && !is_limited(RLIMIT_DATA)) return;
  if (!is_free(kProductsMib << 20))
    throw Error("not enough memory: oneDNN needs " + std::to_string(kProductsMib) +
                " MiB for its kernels, and the process's limit (ulimit -v, ulimit -d) leaves less");
  // On this thread only. The limit may forbid a heap for another thread, which then takes a page for every block.
  const auto backend = make_backend("cpu", 1);
  for (const Index size : {1, 8, 64, 160}) multiply(*backend, size, size, size);
}

}  // namespace cuvae::cli
