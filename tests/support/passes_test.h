// Common to the tests of the CPU passes: the tables of this processor's instruction sets.
#pragma once
#include "cpu/passes.h"
#include "op_test.h"

namespace cuvae::cpu {
namespace portable {
extern const Passes table;
}
#if defined(__x86_64__)
namespace avx2 {
extern const Passes table;
}
namespace avx512 {
extern const Passes table;
}
#endif

inline std::vector<const Passes*> tables() {
  std::vector<const Passes*> found{&portable::table};
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"))
    found.push_back(&avx2::table);
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512cd") &&
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
    found.push_back(&avx512::table);
#endif
  return found;
}

class PassesTest : public ::testing::TestWithParam<const Passes*> {
 protected:
  const Passes& p_ = *GetParam();
  const Passes& portable_ = portable::table;
};
#define CUVAE_WITH_EVERY_INSTRUCTION_SET(suite)                                   \
  INSTANTIATE_TEST_SUITE_P(InstructionSets, suite, ::testing::ValuesIn(tables()), \
                           [](const auto& table) { return std::string(table.param->isa); })

constexpr Index kSizes[] = {1, 2, 3, 7, 15, 16, 17, 31, 32, 33, 64, 65, 127, 128, 129, 1023, 1025};
/// Every result is within `rtol` of the portable one, or of the inputs.
inline void expect_alike(const std::vector<float>& got, const std::vector<float>& portable, double rtol,
                         const char* label) {
  test::expect_close(got, reference::widen(portable), rtol, rtol, label);
}

// Some instruction sets fuse products: each of a few roundings may differ by an ulp or two. 0x1p-23 is an ulp.
constexpr double kFewUlp = 8 * 0x1p-23;

}  // namespace cuvae::cpu
