// What a test may ask of the fake cuBLASLt: everything that the documents leave open.
#pragma once
#include <cublasLt.h>

namespace fake_cublaslt {

struct Behaviour {
  /// ReLU is documented as max(x, 0), which may be 0 for a NaN.
  bool relu_keeps_nan = false;
  /// What asking for a plan with an epilogue returns; and whether it then finds none, with success.
  cublasStatus_t heuristic = CUBLAS_STATUS_SUCCESS;
  bool finds_none = false;
  /// What a product with an epilogue returns though a plan for it was found; and whether BGRADB alone does.
  cublasStatus_t product = CUBLAS_STATUS_SUCCESS;
  bool bgradb_only = false;
};
Behaviour& behaviour();

}  // namespace fake_cublaslt
