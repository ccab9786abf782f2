#include <cstdlib>
#include <cstring>

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
  // x86-64-v4 and -v3, feature by feature: older compilers do not know the names of the levels.
  // CUVAE_ISA=portable or avx2 makes a newer processor run the older code, for tests.
  static const Passes& best = [&]() -> const Passes& {
    const char* limit = std::getenv("CUVAE_ISA");
    const bool up_to_portable = limit != nullptr && std::strcmp(limit, "portable") == 0;
    const bool up_to_avx2 = limit != nullptr && std::strcmp(limit, "avx2") == 0;
    __builtin_cpu_init();
    const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
                    __builtin_cpu_supports("bmi2");
    const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                    __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                    __builtin_cpu_supports("avx512vl");
    if (up_to_portable || !v3) return portable::table;
    return v4 && !up_to_avx2 ? avx512::table : avx2::table;
  }();
  return best;
#else
  return portable::table;
#endif
}

}  // namespace cuvae::cpu
