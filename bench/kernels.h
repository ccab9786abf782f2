// What cuvae-bench kernels measures: operations, each with its own arrays.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "cuda/gemm.h"
#include "cuvae/backend.h"

namespace cuvae::bench {

/// Random values in a device's memory. Copies on the device fill arrays with them.
class Randoms {
 public:
  enum Kind { between_ones, bits, bytes };  // floats in [-1, 1), floats 0 or 1, bytes
  Randoms(Backend& backend, cudaStream_t stream);
  Buffer make(std::size_t size, DType type, Kind kind) const;

 private:
  Backend& backend_;
  cudaStream_t stream_;
  Buffer pools_[3], rounded_[3];  // as float32, as bf16
};

/// The arrays of one run of an operation, and the bytes that it must move: each array once, or twice if it is updated.
class Arrays {
 public:
  Arrays(Backend& backend, const Randoms& randoms, Index number)
      : backend_(backend), randoms_(randoms), number_(number) {}
  /// The number of this set of arrays; the sets of one operation are counted from 0.
  Index number() const { return number_; }
  double bytes() const { return bytes_; }

  /// The type of activations.
  DType type() const { return backend_.activation_type(); }
  View input(Index rows, Index cols, DType type = DType::f32, Randoms::Kind kind = Randoms::between_ones);
  View output(Index rows, Index cols, DType type = DType::f32);  ///< check() requires finite values
  View updated(Index rows, Index cols, DType type = DType::f32,
               Randoms::Kind kind = Randoms::between_ones);  ///< the same
  /// n zeros. They are few, and bytes() does not count them.
  template <class T>
  T* state(Index n) {
    return memory_.emplace_back(backend_.allocate(static_cast<std::size_t>(n) * sizeof(T))).as<T>();
  }
  /// Adds bytes of an array that all sets share.
  void count(double bytes) { bytes_ += bytes; }

  /// Throws Error, naming the operation, if a result is not finite.
  void check(const std::string& operation) const;

 private:
  Backend& backend_;
  const Randoms& randoms_;
  Index number_;
  double bytes_ = 0;
  std::vector<Buffer> memory_;
  std::vector<View> results_;
};

struct KernelCase {
  std::string operation, shape;
  double flops;  // of the matrix products in it
  std::function<std::function<void()>(Arrays&)> prepare;
};

/// The kernels of one step of the standard model at this batch size.
std::vector<KernelCase> step_cases(Backend& backend, const Randoms& randoms, Index batch);
/// The kernels whose time the memory limits, on `elements` = rows x 1024 elements.
std::vector<KernelCase> large_cases(Backend& backend, const Randoms& randoms, cudaStream_t stream, Index elements);
/// The matrix products of a step, by cuBLASLt.
std::vector<KernelCase> product_cases(cuda::Gemm& gemm, Index batch);

}  // namespace cuvae::bench
