// The products of src/cuda/gemm.h as plain loops, in the stream's order. They replace cuBLASLt in the emulated backend.
#include <cuda_bf16.h>

#include <deque>
#include <vector>

#include "cuda/error.h"
#include "cuda/gemm.h"
#include "kernel_side.h"

namespace cuvae::cuda {
namespace {

std::vector<float> read(const void* from, DType type, Index size) {
  const auto *floats = static_cast<const float*>(from), *end = floats + size;
  if (type == DType::f32) return {floats, end};
  std::vector<float> values;
  for (Index i = 0; i < size; ++i) values.push_back(__bfloat162float(static_cast<const __nv_bfloat16*>(from)[i]));
  return values;
}

void write(float value, void* to, DType type, Index i) {
  if (type == DType::f32) {
    static_cast<float*>(to)[i] = value;
  } else {
    static_cast<__nv_bfloat16*>(to)[i] = __float2bfloat16_rn(value);
  }
}

// Each sum is in the order of k. As in cuBLASLt, the epilogue comes before the rounding to c's type.
void multiply(const Product& p) {
  const Index cols_of_b = p.cols_of_b > 0 ? p.cols_of_b : p.n;
  const std::vector<float> a = read(p.a, p.type, p.m * p.k), stored = read(p.b, p.type, p.k * cols_of_b);
  const bool has_bias = p.epilogue == Epilogue::bias || p.epilogue == Epilogue::relu_bias;
  const std::vector<float> bias = has_bias ? read(p.bias, p.c_type, p.n) : std::vector<float>();
  const auto at = [](const std::vector<float>& v, Index i) { return v[static_cast<std::size_t>(i)]; };
  // Rows of op(b), so that the inner loop runs along memory.
  std::vector<float> b = stored, row(static_cast<std::size_t>(p.n));
  if (p.op_b == Op::transpose)
    for (Index l = 0; l < p.k; ++l)
      for (Index j = 0; j < p.n; ++j) b[static_cast<std::size_t>(l * p.n + j)] = at(stored, j * p.k + l);
  for (Index i = 0; i < p.m; ++i) {
    row.assign(row.size(), 0.0f);
    for (Index l = 0; l < p.k; ++l) {
      const float factor = at(a, p.op_a == Op::none ? i * p.k + l : l * p.m + i);
      const float* b_row = b.data() + l * (p.op_b == Op::none ? cols_of_b : p.n);
      for (Index j = 0; j < p.n; ++j) row[static_cast<std::size_t>(j)] += factor * b_row[j];
    }
    for (Index j = 0; j < p.n; ++j) {
      float value = at(row, j);
      if (has_bias) value += at(bias, j);
      if (p.epilogue == Epilogue::relu_bias && value < 0.0f) value = 0.0f;
      if (p.add) value += static_cast<const float*>(p.c)[i * p.n + j];  // a gradient, which is float32
      write(value, p.c, p.c_type, i * p.n + j);
    }
  }
  cuemu::memory_written(p.c, static_cast<std::size_t>(p.m * p.n) * size_of(p.c_type));
}

}  // namespace

struct Gemm::State {
  cudaStream_t stream;
  std::deque<Product> products;  // all products so far, because a graph may repeat any of them
};

Gemm::Gemm(Precision, cudaStream_t stream, void*, std::size_t) : state_(new State{stream, {}}) {}
Gemm::~Gemm() { (void)cudaStreamSynchronize(state_->stream); }

// Only half of all shapes, so that the kernels that replace an epilogue are also tested.
bool Gemm::supports(const Product& product) { return product.m % 2 == 0; }
bool Gemm::has_refused(Epilogue) const { return false; }

void Gemm::run(const Product& product) {
  Product& kept = state_->products.emplace_back(product);
  check(cudaLaunchHostFunc(
            state_->stream, [](void* p) { multiply(*static_cast<const Product*>(p)); }, &kept),
        "cudaLaunchHostFunc");
}

}  // namespace cuvae::cuda
