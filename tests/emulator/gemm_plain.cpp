// The products of src/cuda/gemm.h as plain loops, in the stream's order: what the emulated backend has for cuBLASLt.
#include <deque>
#include <vector>

#include "cuda/error.h"
#include "cuda/gemm.h"

namespace cuvae::cuda {
namespace {

// Each sum is taken in the order of k.
void multiply(const Product& p) {
  // Rows of op(b), so that the inner loop runs along memory.
  std::vector<float> b(p.b, p.b + p.k * p.n), row(static_cast<std::size_t>(p.n));
  if (p.op_b == Op::transpose)
    for (Index l = 0; l < p.k; ++l)
      for (Index j = 0; j < p.n; ++j) b[static_cast<std::size_t>(l * p.n + j)] = p.b[j * p.k + l];
  for (Index i = 0; i < p.m; ++i) {
    row.assign(row.size(), 0.0f);
    float sum = 0.0f;
    for (Index l = 0; l < p.k; ++l) {
      const float a = p.op_a == Op::none ? p.a[i * p.k + l] : p.a[l * p.m + i];
      const float* b_row = b.data() + l * p.n;
      sum += a;
      for (Index j = 0; j < p.n; ++j) row[static_cast<std::size_t>(j)] += a * b_row[j];
    }
    for (Index j = 0; j < p.n; ++j) {
      float value = row[static_cast<std::size_t>(j)];
      if (p.epilogue == Epilogue::bias || p.epilogue == Epilogue::relu_bias) value += p.bias[j];
      if (p.epilogue == Epilogue::relu_bias && value < 0.0f) value = 0.0f;
      p.c[i * p.n + j] = value;
    }
    if (p.epilogue == Epilogue::a_sums) p.sums[i] = sum;
  }
}

}  // namespace

struct Gemm::State {
  cudaStream_t stream;
  std::deque<Product> products;  // all so far: a graph may do any of them again
};

Gemm::Gemm(Precision, cudaStream_t stream, void*, std::size_t) : state_(new State{stream, {}}) {}
Gemm::~Gemm() { (void)cudaStreamSynchronize(state_->stream); }

// Half of all shapes, so that the kernels that stand in for an epilogue are tested too.
bool Gemm::supports(const Product& product) { return product.m % 2 == 0; }

void Gemm::run(const Product& product) {
  Product& kept = state_->products.emplace_back(product);
  check(cudaLaunchHostFunc(
            state_->stream, [](void* p) { multiply(*static_cast<const Product*>(p)); }, &kept),
        "cudaLaunchHostFunc");
}

}  // namespace cuvae::cuda
