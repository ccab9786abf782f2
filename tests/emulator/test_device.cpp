#include "test_device.h"

#include "cuemu/control.h"

namespace cuvae::test {

bool emulated() { return true; }

std::vector<std::string> backends_under_test() {
#if defined(CUVAE_EMULATED_AND_CPU)  // instead of a second program
  return {"cpu", "cuda"};
#else
  return {"cuda"};
#endif
}

void forget(void* memory, std::size_t bytes) { cuemu::forget(memory, bytes); }

}  // namespace cuvae::test
