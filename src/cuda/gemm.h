// Row-major products with an epilogue: the interface to cuBLASLt. In tests, plain loops can replace cuBLASLt here.
#pragma once
#include <cuda_runtime_api.h>

#include <memory>

#include "cuvae/backend.h"

namespace cuvae::cuda {

enum class Op : std::uint8_t { none, transpose };

/// What a product does to its result before it is stored.
enum class Epilogue : std::uint8_t {
  none,
  bias,       ///< c += bias [n], which has c's type, in every row
  relu_bias,  ///< c = relu(c + bias)
};

/// c [m, n] = op(a) [m, k] op(b) [k, n]. All matrices are packed in memory, float32 or bf16; sums are float32. Of b may
/// also be read only the first n of `cols_of_b` columns.
struct Product {
  Op op_a = Op::none, op_b = Op::none;
  Index m = 0, n = 0, k = 0;
  const void *a = nullptr, *b = nullptr;
  void* c = nullptr;
  DType type = DType::f32, c_type = DType::f32;  // of a and b, of c
  Epilogue epilogue = Epilogue::none;
  const void* bias = nullptr;
  bool add = false;     // c += instead of c =; allowed only without an epilogue
  Index cols_of_b = 0;  // of b as it is stored, not transposed; 0: n
};

class Gemm {
 public:
  /// One product at a time uses `workspace`, in the stream's order. The stream's device must be the current one.
  Gemm(Precision precision, cudaStream_t stream, void* workspace, std::size_t workspace_bytes);
  ~Gemm();
  /// Whether cuBLASLt computes the product with its epilogue. The first product of a kind is tried, which changes c.
  /// During a capture of the stream this is not possible, and the result is false.
  bool supports(const Product& product);
  /// Whether cuBLASLt has refused a product with this epilogue so far.
  bool has_refused(Epilogue epilogue) const;
  void run(const Product& product);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cuvae::cuda
