// Row-major single-precision products, by oneDNN.
#pragma once
#include "cpu/team.h"
#include "cuvae/view.h"

namespace cuvae::cpu {

enum class Op : char { none = 'N', transpose = 'T' };

/// c [m, n] = op(a) [m, k] op(b) [k, n], or c += with `add`; a and b are packed as stored, or b's rows have `row_of_b`
/// floats.
void gemm(Team& team, Op op_a, Op op_b, Index m, Index n, Index k, const float* a, const float* b, float* c,
          bool add = false, Index row_of_b = 0);

}  // namespace cuvae::cpu
