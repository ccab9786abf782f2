#include "test_device.h"

#include "op_test.h"

namespace cuvae::test {

bool emulated() { return false; }

// A required CUDA device is in the list even if it is missing, so that its tests fail with the reason.
std::vector<std::string> backends_under_test() {
  if (cuda_is_required() || cuda_is_there()) return {"cpu", "cuda"};
  return {"cpu"};
}

void forget(void* /*memory*/, std::size_t /*bytes*/) {}

}  // namespace cuvae::test
