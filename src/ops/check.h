// Functions that the checks of all ops use.
#pragma once
#include <string>

#include "cuvae/backend.h"
#include "io/text.h"

namespace cuvae {

inline const char* type_name(DType type) { return type == DType::f32 ? "f32" : type == DType::bf16 ? "bf16" : "u8"; }

inline std::string shape(ConstView v) {
  std::string text = "[" + std::to_string(v.rows) + ", " + std::to_string(v.cols) + "]";
  if (v.dtype != DType::f32) text += std::string(" ") + type_name(v.dtype);
  return text;
}

// The checks of one op. Every error names the op and both shapes, or the allowed type.
class Check {
 public:
  Check(const char* op, const Backend& backend) : op_(op), activation_type_(backend.activation_type()) {}

  void given(const char* name, ConstView v) const {
    if (!v) fail(std::string(name) + " is not given");
    if (v.rows < 1 || v.cols < 1) fail(std::string(name) + " is " + shape(v) + ", which is empty");
  }
  void has_type(const char* name, ConstView v, DType type) const {
    given(name, v);
    if (v.dtype != type) fail(std::string(name) + " is " + shape(v) + " but must be " + type_name(type));
  }
  void f32(const char* name, ConstView v) const { has_type(name, v, DType::f32); }
  void activation(const char* name, ConstView v) const { has_type(name, v, activation_type_); }
  void activation_or_f32(const char* name, ConstView v) const {
    given(name, v);
    if (v.dtype != activation_type_ && v.dtype != DType::f32)
      fail(std::string(name) + " is " + shape(v) + " but must be f32" +
           (activation_type_ == DType::bf16 ? " or bf16" : ""));
  }
  /// `v` must be `type` [rows, cols]. This follows from the shape of `other`, which the error also names.
  void matches(const char* name, ConstView v, DType type, Index rows, Index cols, const char* other_name,
               ConstView other) const {
    has_type(name, v, type);
    if (v.rows != rows || v.cols != cols)
      fail(std::string(other_name) + " is " + shape(other) + " but " + name + " is " + shape(v) + ", not " +
           shape({nullptr, rows, cols, type}));
  }
  void true_that(bool condition, const std::string& text) const {
    if (!condition) fail(text);
  }
  template <class T>
  void pointer(const char* name, const T* p) const {
    if (p == nullptr) fail(std::string(name) + " is not given");
  }

 private:
  [[noreturn]] void fail(const std::string& text) const { throw Error(std::string(op_) + ": " + text); }
  const char* op_;
  DType activation_type_;
};

inline void check_noise(const Check& check, const Noise& noise) {
  check.pointer("the noise's step", noise.step);
  check.true_that(noise.first_row >= 0,
                  "the noise's first row is " + std::to_string(noise.first_row) + " but must not be negative");
}

/// The noise of K samples a row.
inline void check_sample_noise(const Check& check, const Noise& noise, Index samples) {
  check_noise(check, noise);
  check.true_that(!noise.antithetic || samples % 2 == 0,
                  "samples is " + std::to_string(samples) + " but must be even for antithetic pairs");
}

/// A factor of each of `rows` rows, or one for all. Their number follows from the shape of `other`.
inline void check_factor(const Check& check, const char* name, const RowFactor& factor, Index rows,
                         const char* other_name, ConstView other) {
  if (factor.rows) check.matches(name, factor.rows, DType::f32, rows, 1, other_name, other);
  check.true_that(factor.kl.beta >= 0,
                  std::string("the beta of ") + name + " is " + number(factor.kl.beta) + " but must not be negative");
}

}  // namespace cuvae
