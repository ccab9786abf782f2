// Settings of the fake cuBLASLt for tests: everything that the documentation leaves open.
#pragma once
#include <cublasLt.h>

namespace fake_cublaslt {

struct Behaviour {
  /// ReLU is documented as max(x, 0), which may be 0 for a NaN.
  bool relu_keeps_nan = false;
  /// The result of a request for a plan with an epilogue, and whether it then finds no plan in spite of success.
  cublasStatus_t heuristic = CUBLAS_STATUS_SUCCESS;
  bool finds_none = false;
  /// The result of a product with an epilogue although a plan was found.
  cublasStatus_t product = CUBLAS_STATUS_SUCCESS;
};
Behaviour& behaviour();

}  // namespace fake_cublaslt
