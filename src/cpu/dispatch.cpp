#include "cpu/passes.h"

namespace cuvae::cpu {

namespace portable {
extern const Passes table;
}
#if defined(CUVAE_X86_VARIANTS)
namespace avx2 {
extern const Passes table;
}
namespace avx512 {
extern const Passes table;
}
#endif

const Passes& passes() {
#if defined(CUVAE_X86_VARIANTS)
  // x86-64-v4 and -v3, feature by feature: the compilers' own names for the levels came later.
  static const Passes& best = [&]() -> const Passes& {
    __builtin_cpu_init();
    const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
                    __builtin_cpu_supports("bmi2");
    const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512vl");
    return v4 ? avx512::table : v3 ? avx2::table : portable::table;
  }();
  return best;
#else
  return portable::table;
#endif
}

}  // namespace cuvae::cpu
