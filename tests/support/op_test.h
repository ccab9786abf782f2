// Common parts of all tests of ops: a backend by name, guarded arrays in its memory, and comparisons with messages.
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
#include "test_device.h"

namespace cuvae::test {

/// Whether the backend "cuda" can be created. On the emulator it always can.
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

/// With CUVAE_REQUIRE_CUDA=1, tests of CUDA fail if there is no device. Otherwise they are skipped.
inline bool cuda_is_required() {
  const char* value = std::getenv("CUVAE_REQUIRE_CUDA");
  return value != nullptr && std::string(value) == "1";
}

/// backends_under_test() and "cuda bf16", for tests that must pass with both types of activations.
inline std::vector<std::string> backends_in_every_precision() {
  std::vector<std::string> all = backends_under_test();
  for (const std::string& name : backends_under_test())
    if (name != "cpu") all.push_back(name + " bf16");
  return all;
}

/// The backend for a name of these lists.
inline std::unique_ptr<Backend> make_test_backend(const std::string& name) {
  const std::size_t space = name.find(' ');
  return make_backend(name.substr(0, space), 0,
                      space == std::string::npos ? Precision::fp32 : parse<Precision>(name.substr(space + 1)));
}

/// Runs a suite derived from OpTest on every backend, "cpu" and "cuda", or in every precision, then also "cuda_bf16".
#define CUVAE_ON_EVERY_BACKEND(Suite) CUVAE_ON_BACKENDS(Suite, ::cuvae::test::backends_under_test())
#define CUVAE_IN_EVERY_PRECISION(Suite) CUVAE_ON_BACKENDS(Suite, ::cuvae::test::backends_in_every_precision())
#define CUVAE_ON_BACKENDS(Suite, backends)                                                           \
  INSTANTIATE_TEST_SUITE_P(Backends, Suite, ::testing::ValuesIn(backends), [](const auto& backend) { \
    std::string name = backend.param;                                                                \
    std::replace_if(                                                                                 \
        name.begin(), name.end(), [](char c) { return !std::isalnum(c); }, '_');                     \
    return name;                                                                                     \
  })

/// An array in a backend's memory between two guard bands. Bytes that were not written are 0xFF: NaN in every float
/// type, so an unwritten output, or an input read past its end, shows in the result.
template <class T>
class Array {
 public:
  Array(Backend& backend, std::size_t size)
      : backend_(&backend), size_(size), bytes_(backend.allocate(2 * kGuard + size * sizeof(T))) {
    const std::vector<unsigned char> poison(bytes_.bytes(), kPoison);
    backend_->upload(bytes_.data(), poison.data(), poison.size());
    forget(bytes_.data(), bytes_.bytes());
  }
  Array(Backend& backend, const std::vector<T>& values) : Array(backend, values.size()) { set(values); }

  T* data() const { return reinterpret_cast<T*>(bytes_.as<unsigned char>() + kGuard); }
  std::size_t size() const { return size_; }
  void set(const std::vector<T>& values) const { backend_->upload(data(), values.data(), values.size() * sizeof(T)); }

  /// The values. Expects that the guard bands have not changed.
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

inline std::uint16_t to_bf16(float value) {
  return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(static_cast<float>(reference::round_to_bf16(value))) >>
                                    16);
}
inline float from_bf16(std::uint16_t bits) { return std::bit_cast<float>(std::uint32_t{bits} << 16); }

/// A float32 or bf16 matrix in a backend's memory between guard bands. Its values are floats on the host; set() rounds.
class Matrix {
 public:
  Matrix(Backend& backend, Index r, Index c, DType t = DType::f32)
      : rows(r), cols(c), type(t), bytes_(backend, static_cast<std::size_t>(r * c) * size_of(t)) {}
  Matrix(Backend& backend, Index r, Index c, const std::vector<float>& values, DType t = DType::f32)
      : Matrix(backend, r, c, t) {
    set(values);
  }
  operator View() const { return {bytes_.data(), rows, cols, type}; }
  operator ConstView() const { return {bytes_.data(), rows, cols, type}; }
  float* data() const { return reinterpret_cast<float*>(bytes_.data()); }

  void set(const std::vector<float>& values) const {
    std::vector<unsigned char> bytes(values.size() * size_of(type));
    std::vector<std::uint16_t> halves;
    if (type == DType::bf16)
      for (const float value : values) halves.push_back(to_bf16(value));
    std::memcpy(bytes.data(), type == DType::bf16 ? static_cast<const void*>(halves.data()) : values.data(),
                bytes.size());
    bytes_.set(bytes);
  }
  std::vector<float> get() const {
    const std::vector<unsigned char> bytes = bytes_.get();
    std::vector<float> values(bytes.size() / size_of(type));
    if (type == DType::f32) {
      std::memcpy(values.data(), bytes.data(), bytes.size());
    } else {
      std::vector<std::uint16_t> halves(values.size());
      std::memcpy(halves.data(), bytes.data(), bytes.size());
      std::transform(halves.begin(), halves.end(), values.begin(), from_bf16);
    }
    return values;
  }

  Index rows, cols;
  DType type;

 private:
  Array<unsigned char> bytes_;
};

/// Uniform on [low, high), the same on every platform.
inline std::vector<float> random_vector(Index size, std::uint64_t seed, float low = -1, float high = 1) {
  std::vector<float> v;
  for (Index i = 0; i < size; ++i)
    v.push_back(low + (high - low) * static_cast<float>(reference::uniform({seed, Stream::split}, i)));
  return v;
}

/// Expects that every |got - want| is within its own bound. NaN fails. Reports the worst element.
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

/// Expects |got - want| <= atol + rtol |want| in the same way.
template <class T>
void expect_close(const std::vector<T>& got, const reference::Vector& want, double atol, double rtol,
                  const std::string& label) {
  reference::Vector bound;
  for (double w : want) bound.push_back(atol + rtol * std::fabs(w));
  expect_within(got, want, bound, label);
}

/// A test of an op, on one backend.
class OpTest : public ::testing::TestWithParam<std::string> {
 protected:
  /// The values after rounding to the activation type.
  std::vector<float> stored(std::vector<float> values) const {
    if (type_ == DType::bf16)
      for (float& v : values) v = static_cast<float>(reference::round_to_bf16(v));
    return values;
  }
  /// expect_within and expect_close for activations. If these are bf16, the error of one rounding is added to the
  /// bound.
  template <class T>
  void expect_stored_within(const std::vector<T>& got, const reference::Vector& want, reference::Vector bound,
                            const std::string& label) const {
    for (std::size_t i = 0; i < bound.size(); ++i) bound[i] += rounding_ * (std::fabs(want[i]) + bound[i]);
    expect_within(got, want, bound, label);
  }
  template <class T>
  void expect_stored_close(const std::vector<T>& got, const reference::Vector& want, double atol, double rtol,
                           const std::string& label) const {
    reference::Vector bound;
    for (double w : want) bound.push_back(atol + rtol * std::fabs(w));
    expect_stored_within(got, want, bound, label);
  }

  std::unique_ptr<Backend> owner_ = make_test_backend(GetParam());
  Backend& backend_ = *owner_;
  DType type_ = backend_.activation_type();
  double rounding_ = type_ == DType::bf16 ? 0x1p-8 : 0;  // half a unit in the last of 8 significant bits
};

template <class T>
void expect_same_bits(const std::vector<T>& a, const std::vector<T>& b, const std::string& label) {
  ASSERT_EQ(a.size(), b.size()) << label;
  EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(T)), 0) << label << " differs in its bits";
}

/// A bound of the relative error of a sum of n terms of one sign, in units of u = 2^-24: 6 for the few roundings of
/// each term, and 2 sqrt(n) for the roundings of the partial sums. The second part is more than five standard errors.
/// With errors uniform in [-u, u] and terms added in order, one standard error is
///   u sqrt(sum_k (k/n)^2 / 3) = u sqrt(n) / 3.
inline double sum_error(Index n) { return std::ldexp(6 + 2 * std::sqrt(n), -24); }

/// A bound of the relative error of exp(x)^2. exp has an error of 2.5 ulp, an ulp is at most 2^-23 of the value, and
/// the square doubles the error.
inline constexpr double kSquaredExpError = 5 * 0x1p-23;

/// d f / d at[i] for every i, by central differences with h = 1e-5. The error is about 1e-9 if f is smooth, of order
/// one and computed in double precision.
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

/// A factor of each row, its values in double, and the error of a float32 value: two roundings of numbers up to one.
inline RowFactor row_factor(ConstView rows) { return {-0.7f, rows, 0.3f}; }
inline reference::Vector weights_of(const std::vector<float>& rows) {
  const RowFactor factor = row_factor({});
  reference::Vector weights;
  for (const float row : rows) weights.push_back(double{factor.offset} + double{factor.scale} * row);
  return weights;
}
inline constexpr double kWeightError = 0x1p-24;

/// sum_i a_i b_i. Combines the results of an op into one number that can be differentiated.
inline double dot(const reference::Vector& a, const reference::Vector& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace cuvae::test
