// What cuvae-bench kernels measures: operations with the arrays of one run each.
#pragma once
#include <functional>
#include <string>
#include <vector>

#include "cuda/gemm.h"
#include "cuvae/backend.h"

namespace cuvae::bench {

/// Random values in a device's memory, from which arrays are filled by copies on the device.
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

/// The arrays of one run of an operation, and the bytes it must move: each array once, twice where it is updated.
class Arrays {
 public:
  Arrays(Backend& backend, const Randoms& randoms, Index number)
      : backend_(backend), randoms_(randoms), number_(number) {}
  /// Counts the sets of one operation.
  Index number() const { return number_; }
  double bytes() const { return bytes_; }

  /// Of activations.
  DType type() const { return backend_.activation_type(); }
  View input(Index rows, Index cols, DType type = DType::f32, Randoms::Kind kind = Randoms::between_ones);
  View output(Index rows, Index cols, DType type = DType::f32);  ///< is to be finite
  View updated(Index rows, Index cols, DType type = DType::f32,
               Randoms::Kind kind = Randoms::between_ones);  ///< likewise
  /// Zeros; small, so not counted.
  template <class T>
  T* state(Index n) {
    return memory_.emplace_back(backend_.allocate(static_cast<std::size_t>(n) * sizeof(T))).as<T>();
  }
  /// Part of an array that all sets share.
  void count(double bytes) { bytes_ += bytes; }

  /// Throws Error naming the operation when a result is not finite.
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
  double flops;  // of products
  std::function<std::function<void()>(Arrays&)> prepare;
};

/// What one step of the standard model does at this batch size.
std::vector<KernelCase> step_cases(Backend& backend, const Randoms& randoms, Index batch);
/// The kernels that memory bounds, on `elements` = rows x 1024 elements.
std::vector<KernelCase> large_cases(Backend& backend, const Randoms& randoms, cudaStream_t stream, Index elements);
/// A step's products by the library.
std::vector<KernelCase> product_cases(cuda::Gemm& gemm, Index batch);

}  // namespace cuvae::bench
