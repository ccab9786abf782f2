// What every test of an op shares: a backend by name, guarded arrays in its memory, and comparisons that report.
#pragma once
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "cuvae/backend.h"
#include "reference.h"

namespace cuvae::test {

/// Whether "cuda" can be made here: always on the emulator.
inline bool cuda_is_there() {
  static const bool there = [] {
    try {
      return make_backend("cuda") != nullptr;
    } catch (const Error&) {
      return false;
    }
  }();
  return there;
}

/// CUVAE_REQUIRE_CUDA=1: without a device, tests of CUDA fail where they would be skipped.
inline bool cuda_is_required() {
  const char* value = std::getenv("CUVAE_REQUIRE_CUDA");
  return value != nullptr && std::string(value) == "1";
}

/// The one list of the backends that every op is tested on. A required device that is not there stays in it, so that
/// each of its tests fails and says why.
#if defined(CUVAE_EMULATED)
inline std::vector<std::string> backends_under_test() { return {"cuda"}; }
#else
inline std::vector<std::string> backends_under_test() {
  if (cuda_is_required() || cuda_is_there()) return {"cpu", "cuda"};
  return {"cpu"};
}
#endif

class OpTest : public ::testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<Backend> owner_ = make_backend(GetParam());
  Backend& backend_ = *owner_;
};

/// Runs a suite derived from OpTest on every backend: "cpu", "cuda_0".
#define CUVAE_ON_EVERY_BACKEND(Suite)                                                                     \
  INSTANTIATE_TEST_SUITE_P(Backends, Suite, ::testing::ValuesIn(::cuvae::test::backends_under_test()),    \
                           [](const auto& backend) {                                                      \
                             std::string name = backend.param;                                            \
                             std::replace_if(                                                             \
                                 name.begin(), name.end(), [](char c) { return !std::isalnum(c); }, '_'); \
                             return name;                                                                 \
                           })

/// An array in a backend's memory between two guard bands. All bytes that nobody wrote are 0xFF: NaN in every float
/// type, so an unwritten output, or an input read past its end, shows in the result.
template <class T>
class Array {
 public:
  Array(Backend& backend, std::size_t size)
      : backend_(&backend), size_(size), bytes_(backend.allocate(2 * kGuard + size * sizeof(T))) {
    const std::vector<unsigned char> poison(bytes_.bytes(), kPoison);
    backend_->upload(bytes_.data(), poison.data(), poison.size());
  }
  Array(Backend& backend, const std::vector<T>& values) : Array(backend, values.size()) { set(values); }

  T* data() const { return reinterpret_cast<T*>(bytes_.as<unsigned char>() + kGuard); }
  std::size_t size() const { return size_; }
  void set(const std::vector<T>& values) const { backend_->upload(data(), values.data(), values.size() * sizeof(T)); }

  /// The values, once the guard bands are found as they were.
  std::vector<T> get() const {
    backend_->synchronize();
    std::vector<unsigned char> all(bytes_.bytes());
    backend_->download(all.data(), bytes_.data(), all.size());
    const auto intact = [](unsigned char c) { return c == kPoison; };
    EXPECT_TRUE(std::all_of(all.begin(), all.begin() + kGuard, intact)) << "written before its beginning";
    EXPECT_TRUE(std::all_of(all.end() - kGuard, all.end(), intact)) << "written past its end";
    std::vector<T> values(size_);
    std::memcpy(values.data(), all.data() + kGuard, size_ * sizeof(T));
    return values;
  }

 private:
  static constexpr std::size_t kGuard = 256;  // keeps the alignment that allocate() gives
  static constexpr unsigned char kPoison = 0xFF;
  Backend* backend_;
  std::size_t size_;
  Buffer bytes_;
};

/// A float32 matrix in a backend's memory, guarded likewise.
struct Matrix : Array<float> {
  Matrix(Backend& backend, Index r, Index c) : Array(backend, static_cast<std::size_t>(r * c)), rows(r), cols(c) {}
  Matrix(Backend& backend, Index r, Index c, const std::vector<float>& values) : Matrix(backend, r, c) { set(values); }
  operator View() const { return {data(), rows, cols}; }
  operator ConstView() const { return {data(), rows, cols}; }
  Index rows, cols;
};

/// Uniform on [low, high), the same on every platform.
inline std::vector<float> random_vector(Index size, std::uint64_t seed, float low = -1, float high = 1) {
  std::vector<float> v;
  for (Index i = 0; i < size; ++i)
    v.push_back(low + (high - low) * static_cast<float>(reference::uniform({seed, Stream::split}, i)));
  return v;
}

/// Every |got - want| within its own bound; written so that NaN fails. Reports the worst element.
template <class T>
void expect_within(const std::vector<T>& got, const reference::Vector& want, const reference::Vector& bound,
                   const std::string& label) {
  ASSERT_EQ(got.size(), want.size()) << label;
  double worst = 0;
  std::size_t at = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double error = std::fabs(double{got[i]} - want[i]);
    const double used = error == 0 ? 0 : error / bound[i];
    const double ratio = std::isnan(used) ? INFINITY : used;
    if (ratio > worst) worst = ratio, at = i;
  }
  EXPECT_LE(worst, 1) << label << "[" << at << "] of " << got.size() << ": got " << got[at] << ", want " << want[at]
                      << ", " << 100 * worst << "% of the tolerance";
}

/// |got - want| <= atol + rtol |want|, likewise.
template <class T>
void expect_close(const std::vector<T>& got, const reference::Vector& want, double atol, double rtol,
                  const std::string& label) {
  reference::Vector bound;
  for (double w : want) bound.push_back(atol + rtol * std::fabs(w));
  expect_within(got, want, bound, label);
}

template <class T>
void expect_same_bits(const std::vector<T>& a, const std::vector<T>& b, const std::string& label) {
  ASSERT_EQ(a.size(), b.size()) << label;
  EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(T)), 0) << label << " differs in its bits";
}

/// The relative error of a sum of n terms of one sign, each a few float32 roundings: 6 for the terms, and sqrt(n) for
/// five standard errors of the partial sums' own (u sqrt(sum_k (k/n)^2 / 3) = u sqrt(n)/3 at u = 2^-24 uniform, summed
/// in turn).
inline double sum_error(Index n) { return std::ldexp(6 + 2 * std::sqrt(n), -24); }

/// d f / d at[i] for every i, by central differences: f is smooth, in double and of order one, so h = 1e-5 errs by
/// 1e-9.
template <class F>
reference::Vector central_differences(F f, reference::Vector at) {
  constexpr double h = 1e-5;
  reference::Vector slope;
  for (double& x : at) {
    const double middle = x;
    x = middle + h;
    const double above = f(at);
    x = middle - h;
    const double below = f(at);
    x = middle;
    slope.push_back((above - below) / (2 * h));
  }
  return slope;
}

/// sum_i a_i b_i: turns an op with many results into one number to differentiate.
inline double dot(const reference::Vector& a, const reference::Vector& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace cuvae::test
