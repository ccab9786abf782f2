// Row-major products with an epilogue: the seam to cuBLASLt, which tests fill with plain loops instead.
#pragma once
#include <cuda_runtime_api.h>

#include <memory>

#include "cuvae/backend.h"

namespace cuvae::cuda {

enum class Op : std::uint8_t { none, transpose };

/// What a product may do to its result on the way.
enum class Epilogue : std::uint8_t {
  none,
  bias,       ///< c += bias [n], which has c's type, in every row
  relu_bias,  ///< c = relu(c + bias)
};

/// c [m, n] = op(a) [m, k] op(b) [k, n]; all matrices packed as stored, float32 or bf16, their sums float32.
struct Product {
  Op op_a = Op::none, op_b = Op::none;
  Index m = 0, n = 0, k = 0;
  const void *a = nullptr, *b = nullptr;
  void* c = nullptr;
  DType type = DType::f32, c_type = DType::f32;  // of a and b, of c
  Epilogue epilogue = Epilogue::none;
  const void* bias = nullptr;
  bool add = false;  // c += in place of c =; without an epilogue
};

class Gemm {
 public:
  /// `workspace` is used by one product at a time, in the stream's order. The current device is the stream's.
  Gemm(Precision precision, cudaStream_t stream, void* workspace, std::size_t workspace_bytes);
  ~Gemm();
  /// Whether the product can be had with its epilogue; without one it always can. The first of a kind is tried, which
  /// leaves other values in c; in a stream's capture it is false.
  bool supports(const Product& product);
  /// Whether some product so far could not be had with this epilogue.
  bool has_refused(Epilogue epilogue) const;
  void run(const Product& product);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cuvae::cuda
